"""Benchmarks for evalscope: the project's own, and any that is read straight from files on this machine.

The own one: held-out arithmetic questions, answered after `####`. Neither needs a hub, nor `datasets`.
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

from evalscope.api.benchmark import BenchmarkMeta, DataAdapter, DefaultDataAdapter
from evalscope.api.dataset import Dataset, DatasetDict, DictDataLoader, LocalDataLoader, Sample
from evalscope.api.evaluator import TaskState
from evalscope.api.metric import Score
from evalscope.api.registry import BENCHMARK_REGISTRY, register_benchmark

from harness.data.arithmetic import DEFAULT_QUESTIONS, generate
from harness.data.final_number import MARK
from harness.data.questions import SUFFIXES
from harness.processes.jobs import ARITHMETIC


def answer_after_mark(text: str) -> str:
    """Return what follows the last `####` on its line; empty where there is none."""
    _, mark, rest = text.rpartition(MARK)
    return rest.strip().partition("\n")[0].strip() if mark else ""


def same_number(answer: str, expected: str) -> bool:
    """Return whether both are the same number, however written: `1,200` and `1200.0` are; what is no number is not."""
    try:
        return Decimal(answer.replace(",", "")) == Decimal(expected.replace(",", ""))
    except InvalidOperation:
        return False


@register_benchmark(
    BenchmarkMeta(
        name=ARITHMETIC,
        pretty_name="Arithmetic",
        description="Small word problems in Math10K's shape, generated; none of them occurs in training.",
        dataset_id=ARITHMETIC,
        few_shot_mode="disabled",
        eval_split="test",
        prompt_template="{question}",
        metric_list=["acc"],
    )
)
class Arithmetic(DefaultDataAdapter):
    """The project's own benchmark, as evalscope asks and marks it."""

    def load(self) -> tuple[DatasetDict, None]:
        rows = generate("test", int(self.limit or DEFAULT_QUESTIONS), self.seed)
        loader = DictDataLoader([asdict(row) for row in rows], sample_fields=self.record_to_sample)
        return DatasetDict({self.default_subset: loader.load()}), None

    def record_to_sample(self, record: dict[str, Any]) -> Sample:
        # Joined as LLaMA-Factory joins them for training.
        question = "\n".join(part for part in (record["instruction"], record["input"]) if part)
        return Sample(input=question, target=record["answer"])

    def extract_answer(self, prediction: str, task_state: TaskState) -> str:
        return answer_after_mark(prediction)

    def match_score(
        self, original_prediction: str, filtered_prediction: str, reference: str, task_state: TaskState
    ) -> Score:
        right = same_number(filtered_prediction, reference)
        return Score(
            value={"acc": float(right)},
            main_score_name="acc",
            extracted_prediction=filtered_prediction,
            prediction=original_prediction,
        )


def use_local_questions(benchmark: str, path: Path, few_shot: int) -> None:
    """Have the registered `benchmark` take its questions from `path`.

    A file is the split that is evaluated; a folder holds one file a split (test.jsonl, train.jsonl). evalscope itself
    would refuse a lone test.jsonl (`BuilderConfig 'main' not found`). It is left to read any other folder, as a dataset
    downloaded from a hub, and the benchmarks that have several subsets. Raises FileNotFoundError if there are no such
    questions, or no examples for `few_shot`.
    """
    if not path.exists():
        raise FileNotFoundError(f"evaluation.path={path}: no such file; give the questions of {benchmark}")
    meta: BenchmarkMeta = BENCHMARK_REGISTRY.lookup(benchmark)
    questions = path if path.is_file() else _split_file(path, meta.eval_split)
    if questions is None or len(meta.subset_list) != 1:
        return
    files = {meta.eval_split: questions}
    if few_shot:
        examples = _split_file(questions.parent, meta.train_split)
        if examples is None:
            raise FileNotFoundError(
                f"evaluation.few_shot={few_shot}: the examples come from {meta.train_split}.jsonl, and "
                f"{questions.parent} has none; put it there, or set evaluation.few_shot=0"
            )
        files[meta.train_split] = examples
    meta.data_adapter = _reading(files, meta.data_adapter)


def _split_file(folder: Path, split: str | None) -> Path | None:
    candidates = (folder / f"{split}{suffix}" for suffix in SUFFIXES)
    return next((file for file in candidates if file.is_file()), None)


def _reading(files: dict[str | None, Path], adapter: type[DataAdapter] | None) -> type[DataAdapter]:
    """`adapter`, but with its splits from `files`."""

    class SplitLoader(LocalDataLoader):
        def load(self) -> Dataset:
            self.data_id_or_path = str(files[self.split])
            return super().load()

    class Local(adapter):  # type: ignore[valid-type, misc]
        def load(self) -> tuple[DatasetDict, DatasetDict | None]:
            questions = self.load_subsets(partial(self.load_subset, data_loader=SplitLoader))
            if not self._should_load_fewshot():
                return questions, None
            load_examples = partial(self.load_fewshot_subset, data_loader=SplitLoader)
            return questions, self.load_subsets(load_examples, is_fewshot=True)

    return Local
