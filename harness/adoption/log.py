"""What a training logged: trainer_state.json, trainer_log.jsonl and its results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base import json_text
from harness.devices.reading import Quantity
from harness.runs.events import Phase, TrainingLoss, ValidationLoss
from harness.runs.record import MemoryPeak

STATE = "trainer_state.json"
LOG = "trainer_log.jsonl"
RESULTS = ("all_results.json", "train_results.json")
_ELAPSED = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
_GIB = 1024


@dataclass(frozen=True)
class Log:
    """A training, as it was logged. Seconds are since its first step; None: not logged."""

    losses: list[TrainingLoss] = field(default_factory=list)
    """Their times are seconds since the first step; 0 where none was logged."""
    validation: list[ValidationLoss] = field(default_factory=list)
    step: int = 0
    """The last one."""
    total_steps: int | None = None
    ended_early: bool = False
    """Whether early stopping was asked for, which may end it before total_steps."""
    elapsed_seconds: int | None = None
    loop_seconds: float | None = None
    """Of the whole training loop; None: it left no results, so it did not come to its end."""
    validation_seconds: float | None = None
    final_validation_loss: float | None = None
    """Of the adapter that was saved, after the training."""
    tokens: int | None = None
    """As transformers counted them, padding included or not."""
    peaks: list[MemoryPeak] = field(default_factory=list)
    unread_lines: int = 0
    outdated: bool = False
    """Whether state and results are of an earlier training than the log, in the same folder."""

    @property
    def reached_its_end(self) -> bool:
        is_short = self.total_steps is not None and self.step < self.total_steps
        return self.loop_seconds is not None and (self.ended_early or not is_short)


def read(folder: Path) -> Log | None:
    """Return what a training's folder has logged; None: nothing. Raises ValueError with the damaged file's name."""
    lines, unread = _lines(folder / LOG)
    state = mapping(folder / STATE)
    results = {key: value for name in RESULTS for key, value in mapping(folder / name).items()}
    if not lines and not state and not results:
        return None
    history = [entry for entry in state.get("log_history", []) if isinstance(entry, dict) and "step" in entry]
    in_state, in_log = _by_step(history, "loss"), _by_step(lines, "loss")
    total_steps = lines[-1].get("total_steps") if lines else None
    # By their text: NaN equals NaN.
    outdated = any(repr(in_state[step]) != repr(in_log[step]) for step in in_state.keys() & in_log.keys()) or (
        None not in (total_steps, state.get("max_steps")) and total_steps != state["max_steps"]
    )
    if outdated:
        state, results, history = {}, {}, []
    entries = history or lines
    seconds = {entry["step"]: _seconds(entry.get("elapsed_time")) for entry in lines}
    losses = [
        TrainingLoss(
            time=seconds.get(entry["step"]) or 0,
            step=entry["step"],
            loss=entry["loss"],
            learning_rate=entry["learning_rate"] if "learning_rate" in entry else entry["lr"],
            gradient_norm=entry.get("grad_norm"),
        )
        for entry in entries
        if "loss" in entry
    ]
    validation = [
        ValidationLoss(time=seconds.get(entry["step"]) or 0, step=entry["step"], loss=entry["eval_loss"])
        for entry in entries
        if "eval_loss" in entry
    ]
    # The log of transformers alone says how long each validation took, of each dataset by itself.
    runtimes = [
        [value for key, value in entry.items() if key.startswith("eval_") and key.endswith("_runtime")]
        for entry in history
        if any(key.startswith("eval_") for key in entry)
    ]
    return Log(
        losses=losses,
        validation=validation,
        step=state.get("global_step") or max((entry["step"] for entry in entries), default=0),
        total_steps=state.get("max_steps") or total_steps,
        ended_early="EarlyStoppingCallback" in state.get("stateful_callbacks", {}),
        elapsed_seconds=max((value for value in seconds.values() if value is not None), default=None),
        loop_seconds=results.get("train_runtime"),
        validation_seconds=sum(sum(each) for each in runtimes) if history and all(runtimes) else None,
        final_validation_loss=results.get("eval_loss"),
        tokens=state.get("num_input_tokens_seen") or None,
        peaks=_peaks(lines),
        unread_lines=unread,
        outdated=outdated,
    )


def mapping(path: Path) -> dict[str, Any]:
    """Return a JSON file's mapping; an empty one where there is no such file. Raises ValueError."""
    try:
        content = json_text.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: cannot be read: it holds no mapping")
    return content


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of the last training that wrote there, and how many cannot be read.

    One that was resumed goes back to its checkpoint; what was logged behind that was trained again."""
    kept: list[dict[str, Any]] = []
    unread = 0
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            entry = json_text.load(line)
            entry["step"] = int(entry["current_steps"])
        except (ValueError, TypeError, KeyError):
            unread += 1
            continue
        if kept and entry["step"] < kept[-1]["step"]:
            kept = [earlier for earlier in kept if earlier["step"] < entry["step"]]
        kept.append(entry)
    return kept, unread


def _by_step(entries: Iterable[Mapping[str, Any]], key: str) -> dict[int, Any]:
    return {entry["step"]: entry[key] for entry in entries if key in entry}


def _seconds(elapsed: object) -> int | None:
    found = _ELAPSED.fullmatch(elapsed) if isinstance(elapsed, str) else None
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _peaks(lines: Iterable[Mapping[str, Any]]) -> list[MemoryPeak]:
    """What RECORD_VRAM=1 logs, in GiB to the hundredth: the peaks of torch's allocator on the first process's chip."""
    kinds = {"vram_allocated": Quantity.ALLOCATOR_ALLOCATED, "vram_reserved": Quantity.ALLOCATOR_RESERVED}
    highest = {kind: max((line.get(name, 0.0) for line in lines), default=0.0) for name, kind in kinds.items()}
    return [
        MemoryPeak(phase=Phase.TRAIN, quantity=quantity, sensor="llamafactory", peak_mib=gib * _GIB)
        for quantity, gib in highest.items()
        if gib > 0
    ]
