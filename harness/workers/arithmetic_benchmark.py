"""The project's own benchmark for evalscope: held-out arithmetic questions, answered after `####`."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

from evalscope.api.benchmark import BenchmarkMeta, DefaultDataAdapter
from evalscope.api.dataset import DatasetDict, DictDataLoader, Sample
from evalscope.api.evaluator import TaskState
from evalscope.api.metric import Score
from evalscope.api.registry import register_benchmark

from harness.data.arithmetic import DEFAULT_QUESTIONS, generate
from harness.processes.jobs import ARITHMETIC

MARK = "####"


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
