"""Reads the rows of a dataset_dir as LLaMA-Factory's workflow does, followed by the account of a training."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
from llamafactory.data.template import TEMPLATES
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

from harness.workers.adapter_check import IGNORED
from harness.workers.row_account import RowAccount
from harness.workers.shared_rows import SharedRows

CUTOFF = 4096
ROWS = [{"instruction": f"ask {n}", "input": "", "output": "say " + "x" * n} for n in range(10)]
PACKING = {"one by one": {}, "packed": {"packing": True}, "packed apart": {"packing": True, "neat_packing": True}}


class Read(Protocol):
    def __call__(
        self, folder: Path, drawn: int | None = None, shared: SharedRows | None = None, **given: Any
    ) -> tuple[RowAccount, dict[str, Any]]:
        """`given`: arguments of the training."""


def written(folder: Path, rows: list[dict[str, Any]], **described: Any) -> Path:
    """A dataset_dir of these rows."""
    folder.mkdir(exist_ok=True)
    (folder / "train.json").write_text(json.dumps(rows))
    (folder / "dataset_info.json").write_text(json.dumps({"train": {"file_name": "train.json", **described}}))
    return folder


def leave_out_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have LLaMA-Factory lose it while it tokenizes."""
    supervised: Any = importlib.import_module("llamafactory.data.processor.supervised").SupervisedDatasetProcessor
    preprocess = supervised.preprocess_dataset

    def but_the_first(self: Any, examples: dict[str, list[Any]]) -> Any:
        return {name: values[1:] for name, values in preprocess(self, examples).items()}

    monkeypatch.setattr(supervised, "preprocess_dataset", but_the_first)


@contextmanager
def reader(checkpoint: Path) -> Iterator[Read]:
    loader: Any = importlib.import_module("llamafactory.data.loader")
    own = loader.split_dataset, loader._get_preprocessed_dataset
    # LLaMA-Factory writes `default_system` and its like into the templates that all share.
    templates = copy.deepcopy(TEMPLATES)

    def read_rows(
        folder: Path, drawn: int | None = None, shared: SharedRows | None = None, **given: Any
    ) -> tuple[RowAccount, dict[str, Any]]:
        loader.split_dataset, loader._get_preprocessed_dataset = own
        TEMPLATES.update(copy.deepcopy(templates))
        arguments = {
            "model_name_or_path": str(checkpoint),
            "template": "qwen3_nothink",
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "dataset": "train",
            "dataset_dir": str(folder),
            "output_dir": str(folder / "trained"),
            "cutoff_len": CUTOFF,
            "use_cpu": True,
            "report_to": "none",
            "overwrite_cache": True,
            **given,
        }
        account = RowAccount(arguments["cutoff_len"], drawn, None, shared)
        account.watch()
        model_args, data_args, training_args, _, _ = get_train_args(arguments)
        tokenizer = load_tokenizer(model_args)["tokenizer"]
        template = get_template_and_fix_tokenizer(tokenizer, data_args)
        rows = get_dataset(template, model_args, data_args, training_args, stage="sft", tokenizer=tokenizer)
        collate = SFTDataCollatorWith4DAttentionMask(
            template=template,
            tokenizer=tokenizer,
            pad_to_multiple_of=8,
            label_pad_token_id=IGNORED,
            neat_packing=data_args.neat_packing,
            attn_implementation="eager",
            compute_dtype=torch.float32,
        )
        return account, {**rows, "collate": collate}

    yield read_rows
    TEMPLATES.update(templates)
    loader.split_dataset, loader._get_preprocessed_dataset = own
