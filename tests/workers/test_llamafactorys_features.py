"""Whatever of LLaMA-Factory's switches is thrown, a training ends with the harness as it ends without it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from llamafactory.hparams import (
    DataArguments,
    FinetuningArguments,
    GeneratingArguments,
    ModelArguments,
    TrainingArguments,
)
from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback, TrainerControl, TrainerState

from harness.runs.events import Event, RowsTokenized, TrainingFinished, ValidationLoss, read
from harness.trainer.fields import FIELDS, LEFT_OUT, REFUSED
from harness.workers import compat
from harness.workers.reporter import Reporter
from harness.workers.row_account import RowAccount
from tests.workers.trainings import kept_as_they_are, only

CLASSES = (ModelArguments, DataArguments, FinetuningArguments, GeneratingArguments, TrainingArguments)
REPORTS_OTHERWISE = ("predict_with_generate", "eval_on_each_dataset", "load_best_model_at_end", "compute_accuracy")
TOGETHER = (
    (
        *("use_fast_tokenizer", "resize_vocab", "split_special_tokens", "low_cpu_mem_usage", "shift_attn"),
        *("use_reentrant_gc", "upcast_layernorm", "upcast_lmhead_output", "use_kv_cache", "use_v1_kernels"),
    ),
    (
        *("print_param_status", "image_do_pan_and_scan", "crop_to_patches", "use_audio_in_video", "train_on_prompt"),
        *("overwrite_cache", "ignore_pad_token_for_loss", "enable_thinking", "preserve_thinking"),
        *("data_shared_file_system", "create_new_adapter", "use_rslora", "use_dora", "galore_layerwise"),
    ),
    (
        "neat_packing",
        "pissa_init",
        "pissa_convert",
        "mask_history",
        "use_eaft_loss",
        "apollo_layerwise",
        "apollo_scale_front",
    ),
    (
        *("use_llama_pro", "use_muon", "use_dft_loss", "freeze_vision_tower", "freeze_multi_modal_projector"),
        *("freeze_language_model", "disable_shuffling", "plot_loss", "include_effective_tokens_per_second"),
    ),
    (
        *("do_sample", "skip_special_tokens", "average_tokens_across_devices", "gradient_checkpointing", "use_cache"),
        *("auto_find_batch_size", "logging_first_step", "log_on_each_node", "disable_tqdm", "prediction_loss_only"),
    ),
    (
        *("eval_on_start", "eval_do_concat_batches", "eval_use_gather_object", "batch_eval_metrics"),
        *("save_only_model", "save_on_each_node", "enable_jit_checkpoint", "hub_private_repo", "hub_always_push"),
    ),
    (
        *("greater_is_better", "ignore_data_skip", "restore_callback_states_from_checkpoint", "dataloader_drop_last"),
        *("dataloader_pin_memory", "remove_unused_columns", "ddp_find_unused_parameters", "ddp_broadcast_buffers"),
        *("ddp_static_graph", "skip_memory_metrics", "do_eval", "sortish_sampler"),
    ),
)
NEED_MORE = {
    "use_unsloth": "unsloth",
    "use_unsloth_gc": "a GPU",
    "enable_liger_kernel": "liger-kernel",
    "use_liger_kernel": "liger-kernel",
    "use_adam_mini": "adam-mini",
    "use_asft_loss": "another argument that names its reference model",
    "use_galore": "galore-torch, and full fine-tuning",
    "use_apollo": "apollo-torch, and full fine-tuning",
    "use_badam": "badam, and full fine-tuning",
    "tf32": "a GPU",
    "fp8": "transformer_engine",
    "fp8_enable_fsdp_float8_all_gather": "transformer_engine",
    "logging_nan_inf_filter": "nothing: the worker sets it itself",
    "dataloader_persistent_workers": "dataloader_num_workers",
    "pure_bf16": "a device with bf16",
    "fp16_full_eval": "training.precision",
    "bf16_full_eval": "training.precision",
    "torch_compile": "a compiler",
    "push_to_hub": "a hub",
    "full_determinism": "a process of its own: it changes torch for good",
    "streaming": "another argument: see tests/compose/test_points.py",
    "do_predict": "no validation while it trains",
    "enable_torch_profiler": "a process of its own",
    "profiler_record_shapes": "enable_torch_profiler",
    "profiler_profile_memory": "enable_torch_profiler",
    "profiler_with_stack": "enable_torch_profiler",
}


def booleans() -> dict[str, bool]:
    """Every argument that is true or false, and what it is by itself."""
    found = {}
    for arguments in CLASSES:
        for field in dataclasses.fields(arguments):
            if field.init and "bool" in str(field.type) and "dict" not in str(field.type):
                found[field.name] = field.default is True
    return found


def test_every_switch_of_the_installed_version_is_thrown_or_has_a_reason_not_to_be() -> None:
    thrown = {*REPORTS_OTHERWISE, *(name for names in TOGETHER for name in names)}
    classed = thrown | NEED_MORE.keys() | REFUSED.keys() | FIELDS.keys() | LEFT_OUT.keys()
    assert booleans().keys() - classed == set()
    assert thrown <= booleans().keys()
    assert not thrown & (REFUSED.keys() | NEED_MORE.keys())


class Stop(TrainerCallback):
    """Ends a training after a step that is not the last, as a callback of the user's may."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_training_stop = state.global_step >= self._step


@dataclass
class Ended:
    outcome: str
    log: Any
    files: list[str]
    events: list[Event]


class Trained:
    """Trains 6 rows for 2 steps by `run_exp`, LLaMA-Factory's own, validated and saved at each."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self._model = folder, model
        rows = [{"instruction": f"add {n} and 1", "input": "", "output": f"{n + 1}"} for n in range(6)]
        sets = {"train": rows, "validation": rows[:3], "another": [*rows[:1], *rows[4:]] * 2}
        for name, given in sets.items():
            (folder / f"{name}.json").write_text(json.dumps(given))
        info = {name: {"file_name": f"{name}.json"} for name in sets}
        (folder / "dataset_info.json").write_text(json.dumps(info))

    def __call__(self, watched: bool, name: str, callbacks: Sequence[TrainerCallback] = (), **given: Any) -> Ended:
        output = self.folder / name
        arguments = {
            "model_name_or_path": str(self._model),
            "template": "qwen3_nothink",
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "lora_rank": 4,
            "dataset": "train",
            "eval_dataset": "validation",
            "dataset_dir": str(self.folder),
            "output_dir": str(output),
            "cutoff_len": 64,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 2,
            "max_steps": 2,
            "logging_steps": 1,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "save_strategy": "steps",
            "save_steps": 1,
            "report_to": "none",
            "use_cpu": True,
            "max_new_tokens": 4,
            **given,
        }
        events = self.folder / f"{name}.jsonl"
        account = RowAccount(64, 6, None)
        if watched:
            account.watch()
        try:
            run_exp(arguments, callbacks=[*callbacks, *([Reporter(events, account)] if watched else [])])
            outcome = "completed"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        state = output / "trainer_state.json"
        history = json.loads(state.read_text())["log_history"] if state.exists() else None
        kept = ("loss", "eval_loss", "eval_accuracy", "grad_norm", "step")
        log = history and [{key: value for key, value in line.items() if key in kept} for line in history]
        files = sorted(str(path.relative_to(output)) for path in output.rglob("*")) if output.exists() else []
        return Ended(outcome, log, files, read(events) if watched else [])


@pytest.fixture
def trained(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    kept_as_they_are(monkeypatch)
    compat.patch_loss_sum()
    compat.patch_token_count()
    return Trained(tmp_path, checkpoint)


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_a_training_ends_with_the_harness_as_without_it(trained: Trained, names: tuple[str, ...]) -> None:
    by_itself = booleans()
    thrown = {name: not by_itself[name] for name in names}
    alone, watched = trained(False, "alone", **thrown), trained(True, "watched", **thrown)
    assert alone.outcome == "completed"
    assert (watched.outcome, watched.log, watched.files) == (alone.outcome, alone.log, alone.files)
    assert only(watched.events, TrainingFinished).steps == 2


@pytest.mark.parametrize("name", REPORTS_OTHERWISE)
def test_what_changes_llamafactorys_reports_changes_no_outcome(trained: Trained, name: str) -> None:
    thrown = {name: True, "eval_dataset": "validation,another"}
    alone, watched = trained(False, "alone", **thrown), trained(True, "watched", **thrown)
    assert alone.outcome == "completed"
    assert (watched.outcome, watched.log, watched.files) == (alone.outcome, alone.log, alone.files)
    assert only(watched.events, RowsTokenized).validation == 9
    losses = [event for event in watched.events if isinstance(event, ValidationLoss)]
    if name == "predict_with_generate":
        assert losses == []
        return
    assert [event.step for event in losses] == [1, 2]
    if name == "load_best_model_at_end":
        finished = only(watched.events, TrainingFinished)
        assert finished.kept_step == min(losses, key=lambda event: event.loss).step


def test_the_step_that_is_kept_is_one_that_was_saved(trained: Trained) -> None:
    """The best of all may be one that was not, which transformers then cannot load."""
    given = {"load_best_model_at_end": True, "greater_is_better": True, "max_steps": 4, "save_steps": 2}
    watched = trained(True, "watched", **given)
    assert watched.outcome == "completed"
    losses = {event.step: event.loss for event in watched.events if isinstance(event, ValidationLoss)}
    assert max(losses, key=losses.__getitem__) == 1
    state = json.loads((trained.folder / "watched" / "trainer_state.json").read_text())
    kept = state["best_model_checkpoint"]
    assert only(watched.events, TrainingFinished).kept_step == (kept and int(kept.rpartition("-")[2]))


@pytest.mark.parametrize(("keeps", "validated"), [(True, [2]), (False, [2, 3])])
def test_what_the_kept_weights_make_of_the_validation_rows_stands_at_their_step_alone(
    trained: Trained, keeps: bool, validated: list[int]
) -> None:
    """LLaMA-Factory evaluates once more after the last step, with the weights that it has loaded again."""
    given = {"load_best_model_at_end": keeps, "max_steps": 9, "eval_steps": 2, "save_steps": 2}
    watched = trained(True, "watched", [Stop(3)], **given)
    assert watched.outcome == "completed"
    assert [event.step for event in watched.events if isinstance(event, ValidationLoss)] == validated
    assert only(watched.events, TrainingFinished).kept_step == (2 if keeps else None)


def test_rows_that_are_read_as_they_come_are_validated_on(trained: Trained) -> None:
    streamed = {"streaming": True, "dataloader_num_workers": 1}
    alone, watched = trained(False, "alone", **streamed), trained(True, "watched", **streamed)
    assert (watched.outcome, watched.log) == (alone.outcome, alone.log)
    assert [event.step for event in watched.events if isinstance(event, ValidationLoss)] == [1, 2]


def test_the_validation_loss_of_several_sets_is_that_of_all_their_rows(trained: Trained) -> None:
    several = {"eval_dataset": "validation,another", "per_device_eval_batch_size": 1}
    together, each = (
        [event.loss for event in trained(True, name, **several, **more).events if isinstance(event, ValidationLoss)]
        for name, more in {"together": {}, "each": {"eval_on_each_dataset": True}}.items()
    )
    assert len(together) == len(each) == 2
    assert all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(together, each, strict=True))
