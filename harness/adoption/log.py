"""What a training logged: trainer_state.json, trainer_log.jsonl and its results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.base import json_text
from harness.base.decoding import has_lone_surrogates
from harness.base.errors import first_problem
from harness.base.files import content
from harness.devices.reading import Quantity
from harness.runs.events import Phase, TrainingLoss, ValidationLoss
from harness.runs.record import MemoryPeak

STATE = "trainer_state.json"
LOG = "trainer_log.jsonl"
RESULTS = ("all_results.json", "train_results.json")
_ELAPSED = re.compile(r"(?:(\d{1,4}) days?, )?(\d{1,6}):(\d\d):(\d\d)")
_GIB = 1024
_Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
_Amount: TypeAlias = Annotated[float, Field(ge=0, lt=2**32)]
"""Seconds or GiB; the first are a time of the calendar's, counted back from a file's."""


class Theirs(BaseModel):
    """What is read of a file of somebody else's, under the names there; a value of another type is a damage."""

    model_config = ConfigDict(strict=True)


_File = TypeVar("_File", bound=Theirs)


class _Entry(Theirs):
    """What a log says of a step: transformers' own, or LLaMA-Factory's, which has other names for two of them."""

    step: _Count = Field(validation_alias=AliasChoices("step", "current_steps"))
    total_steps: int | None = None
    loss: float | None = None
    learning_rate: float | None = Field(None, validation_alias=AliasChoices("learning_rate", "lr"))
    grad_norm: float | None = None
    eval_loss: float | None = None
    eval_runtimes: list[_Amount] | None = None
    """Seconds of a validation, of each dataset by itself; LLaMA-Factory's log has none of them. None: it was none."""
    elapsed_time: str | None = None
    vram_allocated: _Amount = 0
    vram_reserved: _Amount = 0

    @model_validator(mode="before")
    @classmethod
    def _by_dataset(cls, entry: Any) -> Any:
        validated = {name: entry[name] for name in entry if name.startswith("eval_")} if isinstance(entry, dict) else {}
        runtimes = [value for name, value in validated.items() if name.endswith("_runtime")]
        return entry | {"eval_runtimes": runtimes} if validated else entry

    @model_validator(mode="after")
    def _is_whole(self) -> _Entry:
        if self.loss is not None and self.learning_rate is None:
            raise ValueError("it has a loss, and no learning rate")
        return self


class _State(Theirs):
    log_history: list[_Entry] = []
    global_step: _Count = 0
    max_steps: int | None = None
    stateful_callbacks: dict[str, Any] = {}
    num_input_tokens_seen: _Count | None = None


class _Results(Theirs):
    train_runtime: _Amount | None = None
    eval_loss: float | None = None


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
    state = of_file(folder / STATE, _State)
    results = [found for name in RESULTS if (found := of_file(folder / name, _Results)) is not None]
    if not lines and state is None and not results:
        return None
    state, total_steps = state or _State(), lines[-1].total_steps if lines else None
    in_state, in_log = _by_step(state.log_history), _by_step(lines)
    # By their text: NaN equals NaN.
    outdated = any(repr(in_state[step]) != repr(in_log[step]) for step in in_state.keys() & in_log.keys()) or (
        None not in (total_steps, state.max_steps) and total_steps != state.max_steps
    )
    if outdated:
        state, results = _State(), []
    history = state.log_history
    entries = history or lines
    seconds = {entry.step: _seconds(entry.elapsed_time) for entry in lines}
    losses = [
        TrainingLoss(
            time=seconds.get(entry.step) or 0,
            step=entry.step,
            loss=entry.loss,
            learning_rate=entry.learning_rate,
            gradient_norm=entry.grad_norm,
        )
        for entry in entries
        if entry.loss is not None and entry.learning_rate is not None
    ]
    validation = [
        ValidationLoss(time=seconds.get(entry.step) or 0, step=entry.step, loss=entry.eval_loss)
        for entry in entries
        if entry.eval_loss is not None
    ]
    runtimes = [entry.eval_runtimes for entry in history if entry.eval_runtimes is not None]
    return Log(
        losses=losses,
        validation=validation,
        step=state.global_step or max((entry.step for entry in entries), default=0),
        total_steps=state.max_steps or total_steps,
        ended_early="EarlyStoppingCallback" in state.stateful_callbacks,
        elapsed_seconds=max((value for value in seconds.values() if value is not None), default=None),
        loop_seconds=next((found.train_runtime for found in results if found.train_runtime is not None), None),
        validation_seconds=sum(map(sum, runtimes)) if history and all(runtimes) else None,
        final_validation_loss=next((found.eval_loss for found in results if found.eval_loss is not None), None),
        tokens=state.num_input_tokens_seen or None,
        peaks=_peaks(lines),
        unread_lines=unread,
        outdated=outdated,
    )


def of_file(path: Path, kind: type[_File]) -> _File | None:
    """Return what a JSON file holds; None: there is no such file. Raises ValueError with its name and what is wrong."""
    try:
        found = json_text.load(content(path))
        if has_lone_surrogates(found):
            raise ValueError("it holds half a character (a lone surrogate, as \\ud83d)")
        return kind.model_validate(found)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: cannot be read: {first_problem(error)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None


def _lines(path: Path) -> tuple[list[_Entry], int]:
    """The lines of the last training that wrote there, and how many cannot be read.

    One that was resumed goes back to its checkpoint; what was logged behind that was trained again."""
    kept: list[_Entry] = []
    unread = 0
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            entry = _Entry.model_validate(json_text.load(line))
        except ValueError:
            unread += 1
            continue
        if kept and entry.step < kept[-1].step:
            kept = [earlier for earlier in kept if earlier.step < entry.step]
        kept.append(entry)
    return kept, unread


def _by_step(entries: Iterable[_Entry]) -> dict[int, float]:
    return {entry.step: entry.loss for entry in entries if entry.loss is not None}


def _seconds(elapsed: str | None) -> int | None:
    found = _ELAPSED.fullmatch(elapsed or "")
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _peaks(lines: Sequence[_Entry]) -> list[MemoryPeak]:
    """What RECORD_VRAM=1 logs, in GiB to the hundredth: the peaks of torch's allocator on the first process's chip."""
    highest = {
        Quantity.ALLOCATOR_ALLOCATED: max((line.vram_allocated for line in lines), default=0),
        Quantity.ALLOCATOR_RESERVED: max((line.vram_reserved for line in lines), default=0),
    }
    return [
        MemoryPeak(phase=Phase.TRAIN, quantity=quantity, sensor="llamafactory", peak_mib=gib * _GIB)
        for quantity, gib in highest.items()
        if gib > 0
    ]
