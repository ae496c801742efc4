"""What was trained, for the steps after the training: all that says what the model is comes from its train.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.trainer.fields import REACH, Reach
from harness.trainer.named_files import parts_of

PISSA_CONVERTED = "pissa_converted"
"""Where LLaMA-Factory leaves a PiSSA adapter that it made an ordinary one of (train/callbacks.py)."""


@dataclass(frozen=True)
class Trained:
    """A run's training as its train.yaml has it: all that a later step need know to load what was trained."""

    arguments: Mapping[str, Any]
    output: Path
    """What it left. Not what train.yaml says: a run's folder may have been moved."""

    @property
    def base(self) -> str:
        """A folder or a hub id."""
        return str(self.arguments["model_name_or_path"])

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter was trained, and not the whole model."""
        return self.arguments.get("finetuning_type") != "full"

    @property
    def adapter(self) -> Path:
        """The adapter that the later steps load; after a full fine-tuning the model."""
        # What PiSSA itself leaves fits a base that it changed at its start; this fits the base as it is.
        return self.output / PISSA_CONVERTED if self.arguments.get("pissa_convert") else self.output

    @property
    def first_adapters(self) -> list[str]:
        """Those that the training started from."""
        return parts_of(self.arguments.get("adapter_name_or_path"))

    @property
    def adapters_below(self) -> list[str]:
        """Those of them that LLaMA-Factory merged into the base before it trained (model/adapter.py); where it made no
        new adapter, it went on with the last, and what it saved takes that one's place."""
        return self.first_adapters if self.arguments.get("create_new_adapter") else self.first_adapters[:-1]

    @property
    def precision(self) -> str:
        """fp32, fp16 or bf16."""
        if self.arguments.get("bf16") or self.arguments.get("pure_bf16"):
            return "bf16"
        return "fp16" if self.arguments.get("fp16") else "fp32"

    def base_arguments(self) -> dict[str, Any]:
        """Return what loads the model that the training started from, not quantized."""
        return self._with_adapters(self._every_step(), self.first_adapters)

    def adapter_arguments(self) -> dict[str, Any]:
        """Return what loads the trained model as it was trained."""
        if not self.has_adapter:
            return self._every_step() | {"model_name_or_path": str(self.adapter), "finetuning_type": "full"}
        quantization = {name: value for name, value in self.arguments.items() if _reaches(name, Reach.QUANTIZATION)}
        return self._with_adapters(self._every_step() | quantization, [*self.adapters_below, str(self.adapter)])

    def merged_arguments(self, folder: Path) -> dict[str, Any]:
        """Return what loads the model in `folder` that the adapter was merged into."""
        return self._every_step() | {"model_name_or_path": str(folder)}

    def export_arguments(self, output: Path) -> dict[str, Any]:
        """Return what `llamafactory-cli export` merges the adapter with: the base as its checkpoint is, for QLoRA too,
        since LLaMA-Factory does not merge into quantized weights."""
        merged = self._with_adapters(self._every_step(), [*self.adapters_below, str(self.adapter)])
        return merged | {
            "infer_dtype": "auto",
            "export_dir": str(output),
            "export_size": 5,
            # The host's memory: merging needs no speed, and a chip may be full.
            "export_device": "cpu",
            "export_legacy_format": False,
        }

    def _every_step(self) -> dict[str, Any]:
        arguments = {
            name: value
            for name, value in self.arguments.items()
            if _reaches(name, Reach.EVERY_STEP) and name != "adapter_name_or_path"
        }
        # Without mixed precision LLaMA-Factory trains on the checkpoint's own dtype; auto loads the same.
        return arguments | {"infer_dtype": {"fp32": "auto", "fp16": "float16", "bf16": "bfloat16"}[self.precision]}

    @staticmethod
    def _with_adapters(arguments: dict[str, Any], adapters: Sequence[str]) -> dict[str, Any]:
        adapted = {"adapter_name_or_path": ",".join(adapters), "finetuning_type": "lora"}
        return arguments | (adapted if adapters else {})


def _reaches(name: str, reach: Reach) -> bool:
    return REACH.get(name) is reach
