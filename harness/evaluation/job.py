"""What an evaluation child is told: written as JSON by the parent, which imports neither torch nor evalscope."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from harness.config.schema import PromptConfig
from harness.devices.selection import TorchDevice

ARITHMETIC = "arithmetic"
ANSWERS = "answers.jsonl"
SCORE = "score.json"
REPLIES = "prompts.json"


class EvaluationJob(BaseModel):
    # Pydantic keeps names with `model_` for itself, which these two fields mean literally.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    benchmark: str | None
    """`arithmetic`, the project's own held-out questions, or evalscope's name of a benchmark. None: only prompts."""
    prompts: list[PromptConfig] = []
    path: Path | None = None
    """Questions on this machine: a file, or a folder with one file a split. None: evalscope fetches them."""
    limit: PositiveInt | None = None
    """Questions; evalscope counts them by subset where a benchmark has several. None: all (arithmetic: 200)."""
    few_shot: NonNegativeInt = 0
    batch_size: PositiveInt = 32
    """Questions that the model answers at once."""
    max_new_tokens: PositiveInt = 512
    seed: int = 42
    """Draws the arithmetic questions: the same in all jobs that are compared."""
    device: TorchDevice
    """The child refuses to fall back to the CPU."""
    model_arguments: dict[str, Any]
    """LLaMA-Factory's inference arguments: those of the training that say what the model is."""
    model_id: Annotated[str, StringConstraints(pattern=r"^[^./\\][^/\\]*$")]
    """Unique for each variant: evalscope names a folder after it."""
    output: Path
    """Folder of answers.jsonl and score.json, and of prompts.json."""
    events: Path
    """The events.jsonl that the child appends to."""

    @model_validator(mode="after")
    def _arithmetic_is_generated(self) -> EvaluationJob:
        if self.benchmark == ARITHMETIC and (self.path is not None or self.few_shot):
            raise ValueError("the arithmetic questions are generated: leave path=null and few_shot=0")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_ask(self) -> EvaluationJob:
        if self.benchmark is None and not self.prompts:
            raise ValueError("there is neither a benchmark nor a prompt")
        return self

    @property
    def questions_are_local(self) -> bool:
        return self.benchmark in (None, ARITHMETIC) or self.path is not None

    def command(self, file: Path) -> list[str]:
        """Write the job to `file`; returns the command that runs it."""
        file.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return [sys.executable, "-m", "harness.workers.evaluate", str(file)]
