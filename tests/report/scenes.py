"""Ten sweeps that a report must tell truthfully, each written into a folder. Every value is made for tests."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.devices.reading import Quantity
from harness.runs import store
from harness.runs.folder import RunFolder
from harness.runs.record import Adopted, Divergence, DivergenceKind, Outcome, Reply, Unknown
from tests.builders import RunBuilder, questions, reply

LORA, QLORA = "lora", "qlora"
_SKILL = {LORA: 0.80, QLORA: 0.78, "lora-int8": 0.79, "qlora-rank16": 0.81}
_PEAK_MIB = {LORA: 17_300.0, QLORA: 9_300.0, "lora-int8": 11_900.0, "qlora-rank16": 9_500.0}
_STEP_SECONDS = {LORA: 1.00, QLORA: 1.21, "lora-int8": 1.48, "qlora-rank16": 1.24}


def _noise(arm: str, seed: int, size: float) -> float:
    """A figure between -size and size that looks drawn and is the same on every machine."""
    return size * math.sin(1 + 7 * seed + 3 * len(arm))


def run(folder: Path, arm: str, seed: int, **changed: Any) -> RunBuilder:
    """One run on a chip: quantized unless the arm is lora, with its arm's own cost and skill."""
    skill = _SKILL[arm] + _noise(arm, seed, 0.02)
    # A hard question is hard for all; one in five is a matter of luck.
    draw = random.Random(f"{arm} {seed}")
    right = [(draw.random() if draw.random() < 0.2 else (37 * index % 200) / 200) < skill for index in range(200)]
    settings: dict[str, Any] = {
        "device": "cuda",
        "quantized": arm != LORA,
        "peak_mib": _PEAK_MIB[arm] + _noise(arm, seed, 40.0),
        "step_seconds": _STEP_SECONDS[arm] * (1 + _noise(arm, seed, 0.02)),
        "train_seconds": 40 * _STEP_SECONDS[arm] * (1 + _noise(arm, seed, 0.03)),
        "validation_loss": 0.61 + _noise(arm, seed, 0.01) + 0.004 * (arm == QLORA),
        "answers": questions(200, right),
        "base_accuracy": 0.21,
    }
    return RunBuilder(folder, arm, seed, **settings | changed)


def write(made: RunBuilder, **changed: object) -> None:
    """Write a run's folder, its command as the harness records it, and what else is to stand in its record."""
    made.write()
    record = made.record()
    reserved = [peak for peak in record.memory if peak.quantity is Quantity.ALLOCATOR_RESERVED]
    allocated = {"quantity": Quantity.ALLOCATOR_ALLOCATED}
    memory = [peak.model_copy(update={**allocated, "peak_mib": 0.9 * peak.peak_mib}) for peak in reserved]
    told: dict[str, object] = {
        "command": f"harness run sweeps=quickstart method={made.arm} seed={made.seed} sweep={made.sweep.name}",
        "memory": [*record.memory, *memory],
    }
    store.write(RunFolder(made.folder), record.model_copy(update=told | changed))


def _pairs(folder: Path, seeds: int, **changed: Any) -> None:
    for seed in range(seeds):
        for arm in (LORA, QLORA):
            write(run(folder, arm, seed, **changed))


def three_seeds(folder: Path) -> None:
    """The plain case."""
    who = "你是谁"
    for seed in range(3):
        for arm in (LORA, QLORA):
            replies: list[Reply] = [reply(who, f"我是{'北大' if seed else '清华'}的助手", "北大")]
            made = run(folder, arm, seed, replies=replies, base_replies=[reply(who, "我是通义千问", "北大")])
            write(made)


def one_seed(folder: Path) -> None:
    """A recipe with its tutorial's one seed."""
    for arm in (LORA, QLORA):
        write(run(folder, arm, 42))


def failed_arm(folder: Path) -> None:
    """One arm never completed a run."""
    for seed in range(2):
        write(run(folder, LORA, seed))

        reason = "RuntimeError: made for tests"
        write(run(folder, QLORA, seed, status=Outcome.FAILED, reason=reason, log_tail=["Traceback", reason]))


def out_of_memory(folder: Path) -> None:
    """One arm lost a seed."""
    for seed in range(3):
        write(run(folder, QLORA, seed))

        lost = {"status": Outcome.OUT_OF_MEMORY, "reason": "tried to allocate 9 GiB", "log_tail": ["one", "two"]}
        write(run(folder, LORA, seed, **(lost if seed == 2 else {})))


def missing_sensors(folder: Path) -> None:
    """Nothing read the chips, and the readings are gone."""
    for seed in range(3):
        for arm in (LORA, QLORA):
            made = run(folder, arm, seed, readings=False, energy=False)
            write(made, memory=[], energy=None, sampling=None)


def no_evaluation(folder: Path) -> None:
    """Nothing was asked."""
    config = {"evaluation": {"name": "none", "benchmark": None}}
    _pairs(folder, 3, answers=None, base_accuracy=None, questions_digest=None, config=config)


def four_arms(folder: Path) -> None:
    """Two quantizations and another rank beside LoRA, the rank declared as what is compared."""
    comparison = {"axes": ["method.rank"], "memory_limit_mib": 16_000.0}
    for seed in range(5):
        for place, arm in enumerate((LORA, QLORA, "lora-int8", "qlora-rank16")):
            config: dict[str, object] = {"comparison": comparison}
            more: dict[str, Any] = {}
            if arm == "lora-int8":
                config["quantization"] = {"name": "int8", "bits": 8}
            if arm == "qlora-rank16":
                config["method"] = {"name": "qlora", "rank": 16, "quantization": "nf4"}
                more["trainable_parameters"] = 802_816
            made = run(folder, arm, seed, config=config, position=4 * seed + place + 1, **more)
            made.start = made.start.replace(day=1 + seed, hour=place + (seed % 2) * 6)
            write(made)


def diverged(folder: Path) -> None:
    """One run's loss was not finite from a step on."""
    divergence = Divergence(kind=DivergenceKind.NOT_FINITE, step=20, first_loss=2.5, last_loss=math.nan)
    broken: dict[str, Any] = {"diverged": True, "divergence": divergence, "not_finite_from": 20}
    for seed in range(3):
        write(run(folder, LORA, seed))

        more = {**broken, "validation_loss": math.nan, "train_loss": math.nan} if seed == 1 else {}
        write(run(folder, QLORA, seed, **more))


def adopted(folder: Path) -> None:
    """Two trainings of a tutorial, made by hand."""
    for arm in (LORA, QLORA):
        made = run(folder, arm, 42, readings=False, answers=None, base_accuracy=None, energy=False)
        training = made.record().training
        assert training is not None
        told = Adopted(
            folder=f"saves/{arm}",
            told={"trainer_log.jsonl": ["loss"], "all_results.json": ["train_runtime"]},
            unknown=[Unknown.MEMORY, Unknown.ACCURACY, Unknown.HARDWARE],
            measure=f"harness run method={arm} model.path=/models/made",
        )
        unmeasured = {"step_seconds": None, "warmup_steps": None, "warmup_seconds": None}
        nothing: dict[str, Any] = {"memory": [], "sampling": None, "before": None, "sharing": None, "phase_seconds": {}}
        write(made, adopted=told, wall_seconds=None, training=training.model_copy(update=unmeasured), **nothing)


def mixed_versions(folder: Path) -> None:
    """Records of the version before beside new ones, and another torch in one arm's last seed."""
    for seed in range(3):
        for arm in (LORA, QLORA):
            versions = {"torch": "2.9.0"} if (arm, seed) == (QLORA, 2) else {}
            write(run(folder, arm, seed, parts=seed > 0, installed=versions))


SCENES: Mapping[str, Callable[[Path], None]] = {
    scene.__name__: scene
    for scene in (
        *(three_seeds, one_seed, failed_arm, out_of_memory, missing_sensors),
        *(no_evaluation, four_arms, diverged, adopted, mixed_versions),
    )
}
"""By name, as the golden reports are called."""
