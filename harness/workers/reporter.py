"""A transformers callback that reports phases, steps, losses, peaks and evidence to events.jsonl."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pyarrow import compute
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.runs import events as told
from harness.runs.events import Phase
from harness.workers import evidence
from harness.workers.peaks import PeakMeter


class Reporter(TrainerCallback):
    """Reports a training, from its first process alone."""

    def __init__(self, events: Path, cutoff_tokens: int | None) -> None:
        """`events` is appended to. `cutoff_tokens` is None where the rows are packed."""
        self._events = events
        self._cutoff_tokens = cutoff_tokens
        self._phase = Phase.LOAD
        self._meter = PeakMeter()
        self._training_started = 0.0
        self._phase_started = 0.0
        self._validation_seconds = 0.0
        self._ended = False
        self._validated_step: int | None = None
        self._dtype_meter: evidence.ComputeDtypeMeter | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        train_dataloader: Any,
        **_: Any,
    ) -> None:
        self._report(evidence.collect(model))
        self._dtype_meter = evidence.ComputeDtypeMeter(model)
        if self._cutoff_tokens is not None:
            self._report(_tokenized(train_dataloader.dataset, self._cutoff_tokens))
        self._report(told.TrainingStarted(total_steps=state.max_steps))
        self._enter(Phase.TRAIN)
        self._training_started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._dtype_meter is not None:
            dtype = self._dtype_meter.finish()
            self._dtype_meter = None
            if dtype is not None:
                self._report(told.ComputeDtypeMeasured(dtype=dtype))
        self._report(told.TrainingStep(step=state.global_step, tokens=int(state.num_input_tokens_seen)))
        if control.should_evaluate:
            self._enter(Phase.VALIDATE)
        elif control.should_save:
            self._enter(Phase.SAVE)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs:
            loss, rate, norm = logs["loss"], logs["learning_rate"], logs.get("grad_norm")
            step = state.global_step
            self._report(told.TrainingLoss(step=step, loss=loss, learning_rate=rate, gradient_norm=norm))

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        # LLaMA-Factory evaluates once more after the training, often at a step that was evaluated just before.
        if self._validated_step != state.global_step:
            self._report(told.ValidationLoss(step=state.global_step, loss=metrics["eval_loss"]))
            self._validated_step = state.global_step
        if self._ended:
            self._enter(Phase.SAVE)
            return
        self._validation_seconds += time.perf_counter() - self._phase_started
        self._enter(Phase.SAVE if control.should_save else Phase.TRAIN)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # The evaluation after the training announces itself with its first batch only.
        if self._ended and self._phase is Phase.SAVE:
            self._enter(Phase.VALIDATE)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._enter(Phase.TRAIN)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._report(
            told.TrainingFinished(
                train_seconds=time.perf_counter() - self._training_started - self._validation_seconds,
                validation_seconds=self._validation_seconds,
                steps=state.global_step,
                tokens=int(state.num_input_tokens_seen),
            )
        )
        self._ended = True
        self._enter(Phase.SAVE)

    def end_phase(self, now: float) -> None:
        """Report the peaks of the phase that is under way."""
        self._report(self._meter.read(self._phase).model_copy(update={"time": now}))

    def _report(self, event: told.Event) -> None:
        told.report(self._events, event)

    def _enter(self, phase: Phase) -> None:
        now = time.time()
        self.end_phase(now)
        self._report(told.PhaseStarted(phase=phase, time=now))
        self._phase = phase
        self._phase_started = time.perf_counter()
        self._meter.restart()


def _tokenized(dataset: Any, cutoff_tokens: int) -> told.RowsTokenized:
    lengths = compute.list_value_length(dataset.with_format("arrow")[:]["input_ids"])
    at_cutoff = compute.sum(compute.greater_equal(lengths, cutoff_tokens)).as_py()
    return told.RowsTokenized(rows=len(lengths), at_cutoff=at_cutoff or 0, cutoff_tokens=cutoff_tokens)
