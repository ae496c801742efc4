"""A real training of the shipped model, whose weights or data make its loss what no training should have."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from harness.base.paths import PACKAGE
from harness.processes.child import Child
from harness.processes.jobs import TrainJob
from harness.runs.events import (
    ComputeDtypeMeasured,
    EventReader,
    Evidence,
    FirstStep,
    LibrariesImported,
    Phase,
    PhasePeaks,
    RowsTrained,
    TrainingFinished,
    TrainingLoss,
    ValidationLoss,
    read,
)
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome


def test_a_training_whose_loss_is_no_number_says_so_at_every_step(tmp_path: Path) -> None:
    """And the file that llamafactory-cli would read says nothing of how losses are reported."""
    model = tmp_path / "model"
    shutil.copytree(PACKAGE / "models" / "tiny", model)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    run = RunFolder(tmp_path / "run")
    run.dataset.mkdir(parents=True)
    rows = [{"instruction": f"What is {n} + {n}?", "input": "", "output": f"#### {2 * n}"} for n in range(8)]
    (run.dataset / "rows.json").write_text(json.dumps(rows))
    (run.dataset / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}))
    arguments = {
        "model_name_or_path": str(model),
        "template": "qwen3_nothink",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": "rows",
        "eval_dataset": "rows",
        "dataset_dir": str(run.dataset),
        "cutoff_len": 64,
        "packing": False,
        "output_dir": str(run.adapter),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": 4,
        "max_steps": 3,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "bf16": True,
        "use_cpu": True,
        "include_num_input_tokens_seen": "non_padding",
    }
    run.train.write_text(yaml.safe_dump(arguments))
    job = TrainJob(arguments=run.train, events=run.events, device="cpu", check=run.check)
    command = job.write(run.job("train"))
    ended = Child(command, run.log("training"), os.environ | {"OMP_NUM_THREADS": "1"}).follow(
        EventReader(run.events), lambda event: None
    )
    assert ended.outcome is Outcome.COMPLETED, ended.log_tail
    events = read(run.events)
    losses = [event.loss for event in events if isinstance(event, TrainingLoss | ValidationLoss)]
    assert len(losses) == 4
    assert all(torch.tensor(losses).isnan())
    counts = Counter(type(event) for event in events)
    assert (counts[Evidence], counts[ComputeDtypeMeasured]) == (1, 1)
    (proof,) = [event for event in events if isinstance(event, Evidence)]
    assert (proof.attention, proof.norm_dtype, proof.adapter_dtype) == ("sdpa", "float32", "float32")
    assert [event.dtype for event in events if isinstance(event, ComputeDtypeMeasured)] == ["bfloat16"]
    assert "nan" not in run.train.read_text()
    # What has no loss is held against nothing when it is scored.
    assert not run.check.exists()
    (imported,) = [event for event in events if isinstance(event, LibrariesImported)]
    (loaded,) = [event for event in events if isinstance(event, PhasePeaks) and event.phase is Phase.LOAD]
    assert imported.resident_mib is not None
    assert loaded.resident_mib is not None
    assert 100 < imported.resident_mib <= loaded.resident_mib
    (trained,) = [event for event in events if isinstance(event, RowsTrained)]
    assert trained.rows == 12
    assert trained.tokens == next(event.tokens for event in events if isinstance(event, TrainingFinished)) > 0
    (first_step,) = [event for event in events if isinstance(event, FirstStep)]
    # LLaMA-Factory recomputes unless it is told otherwise.
    assert first_step.recomputed is True
