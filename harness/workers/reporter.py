"""A transformers callback that reports phases, steps, losses, peaks and evidence to events.jsonl."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sized
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.runs import events as told
from harness.runs.events import Phase
from harness.workers import adapter_check, evidence
from harness.workers.adapter_check import CheckedRow
from harness.workers.first_step import FirstStepMeter, holds_the_whole_model
from harness.workers.peaks import PeakMeter
from harness.workers.row_account import RowAccount, RowsLostError
from harness.workers.rows_trained import RowWatch


class Reporter(TrainerCallback):
    """Reports a training, from its first process alone."""

    def __init__(self, events: Path, account: RowAccount) -> None:
        """`events` is appended to. `account`: of the rows that the training is given."""
        self.checked_rows: list[CheckedRow] = []
        """In the end, what the trained model makes of a few of its rows; none where that cannot be told."""
        self.lost: RowsLostError | None = None
        """In the end, what is to be raised once the adapter is saved."""
        self._events = events
        self._account = account
        self._phase = Phase.LOAD
        self._meter = PeakMeter()
        self._training_started = 0.0
        self._phase_started = 0.0
        self._validation_seconds = 0.0
        self._ended = False
        self._kept_step: int | None = None
        self._validated_step: int | None = None
        self._losses: list[tuple[float, int]] = []
        """Of the sets that were validated on at this step, with their rows."""
        self._dtype_meter: evidence.ComputeDtypeMeter | None = None
        self._step_meter: FirstStepMeter | None = None
        self._rows: RowWatch | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        train_dataloader: Any,
        processing_class: Any = None,
        **_: Any,
    ) -> None:
        self._report(evidence.collect(model))
        self._dtype_meter = evidence.ComputeDtypeMeter(model)
        self._step_meter = FirstStepMeter(model)
        padding_token = getattr(processing_class, "pad_token_id", None)
        self._rows = RowWatch(train_dataloader, padding_token, adapter_check.ROWS)
        if tokenized := self._account.tokenized():
            self._report(tokenized)
        self._report(told.TrainingStarted(total_steps=state.max_steps))
        self._enter(Phase.TRAIN)
        self._training_started = time.perf_counter()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._batch_trained()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._step_meter is not None:
            self._step_meter.gradients_are_there()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, optimizer: Optimizer, **_: Any
    ) -> None:
        self._batch_trained()
        if self._dtype_meter is not None:
            dtype = self._dtype_meter.finish()
            self._dtype_meter = None
            if dtype is not None:
                self._report(told.ComputeDtypeMeasured(dtype=dtype))
        if self._step_meter is not None and (first_step := self._step_meter.read(optimizer)):
            self._step_meter = None
            self._report(first_step)
        self._report(told.TrainingStep(step=state.global_step, tokens=int(state.num_input_tokens_seen)))
        self._what_is_next(control)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._what_is_next(control)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" in logs:
            loss, rate, norm = logs["loss"], logs["learning_rate"], logs.get("grad_norm")
            step = state.global_step
            self._report(told.TrainingLoss(step=step, loss=loss, learning_rate=rate, gradient_norm=norm))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        eval_dataloader: Any,
        **_: Any,
    ) -> None:
        # With predict_with_generate there is none; with eval_on_each_dataset each has its own, eval_NAME_loss.
        for name, loss in metrics.items():
            # After the training they are of the step that is kept, and of that one they were reported.
            if name.startswith("eval_") and name.endswith("_loss") and self._kept_step is None:
                self._validated(state.global_step, loss, eval_dataloader.dataset)
        if self._ended:
            self._enter(Phase.SAVE)
            return
        self._validation_seconds += time.perf_counter() - self._phase_started
        self._enter(Phase.SAVE if control.should_save else Phase.TRAIN)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # One before the first step or after the last announces itself with its first batch only.
        if self._phase is not Phase.VALIDATE:
            self._enter(Phase.VALIDATE)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._enter(Phase.TRAIN)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        optimizer: Optimizer,
        **_: Any,
    ) -> None:
        self._kept_step = _kept_step(state) if args.load_best_model_at_end else None
        self._report(
            told.TrainingFinished(
                train_seconds=time.perf_counter() - self._training_started - self._validation_seconds,
                validation_seconds=self._validation_seconds,
                steps=state.global_step,
                tokens=int(state.num_input_tokens_seen),
                kept_step=self._kept_step,
            )
        )
        self._ended = True
        if self._step_meter is not None:
            self._report(self._step_meter.finish(optimizer))
        if self._rows is not None and (rows := self._rows.finish()):
            self._report(rows)
            batch, drops = args.per_device_train_batch_size, args.dataloader_drop_last
            self.lost = self._account.lost(rows.rows, state.epoch or 0, batch, args.world_size, drops)
        # What follows is the harness's own: it belongs to no phase.
        self.end_phase(time.time())
        self._try_rows(model)
        self._meter.forget()
        self._begin(Phase.SAVE, time.time())

    def end_phase(self, now: float) -> None:
        """Report the peaks of the phase that is under way."""
        self._report(self._meter.read(self._phase).model_copy(update={"time": now}))

    def _what_is_next(self, control: TrainerControl) -> None:
        if control.should_evaluate:
            self._enter(Phase.VALIDATE)
        elif control.should_save:
            self._enter(Phase.SAVE)

    def _batch_trained(self) -> None:
        if self._rows is not None:
            self._rows.batch_trained()

    def _validated(self, step: int, loss: float, dataset: Any) -> None:
        # LLaMA-Factory evaluates once more after the training, often at a step that was evaluated just before.
        if self._validated_step == step:
            return
        if self._account.validation_sets > 1 and not isinstance(dataset, Sized):
            return  # Of several sets that are read as they come, nobody knows how much each counts.
        self._losses.append((loss, len(dataset) if isinstance(dataset, Sized) else 1))
        if len(self._losses) < self._account.validation_sets:
            return
        together = sum(rows for _, rows in self._losses)
        mean = sum(loss * rows for loss, rows in self._losses) / together
        self._losses.clear()
        self._report(told.ValidationLoss(step=step, loss=mean))
        self._validated_step = step

    def _try_rows(self, model: nn.Module) -> None:
        # Not where a process has but a part of the weights: it could compute nothing by itself.
        if self._rows is None or not holds_the_whole_model():
            return
        try:
            self.checked_rows = adapter_check.try_rows(model, self._rows.kept)
        except Exception:
            # A model that takes more than token ids. The training is done, and none the worse for it.
            traceback.print_exc()
            print("the adapter will not be held to the trained model, for the reason above", file=sys.stderr)

    def _report(self, event: told.Event) -> None:
        told.report(self._events, event)

    def _enter(self, phase: Phase) -> None:
        now = time.time()
        self.end_phase(now)
        self._begin(phase, now)

    def _begin(self, phase: Phase, now: float) -> None:
        self._report(told.PhaseStarted(phase=phase, time=now))
        self._phase = phase
        self._phase_started = time.perf_counter()
        self._meter.restart()


def _kept_step(state: TrainerState) -> int | None:
    """The step whose weights transformers has loaded: the best of those that were saved."""
    _, _, step = (state.best_model_checkpoint or "").rpartition("checkpoint-")
    return int(step) if step.isdigit() else None
