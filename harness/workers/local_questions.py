"""Benchmarks of evalscope read straight from files on this machine, without a hub and without `datasets`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from evalscope.api.benchmark import BenchmarkMeta, DataAdapter
from evalscope.api.dataset import Dataset, DatasetDict, LocalDataLoader
from evalscope.api.registry import BENCHMARK_REGISTRY

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
"""What evalscope's LocalDataLoader reads."""


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
