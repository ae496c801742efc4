"""What a display hears, in a process whose streams a test has chosen: `show(NAME)`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from harness.cli.display import LiveDisplay, make_display
from harness.execution.observer import RunLabel, RunStarted
from harness.runs.events import (
    EvaluationProgress,
    Phase,
    PhaseStarted,
    RowsTokenized,
    TrainingLoss,
    TrainingStarted,
    TrainingStep,
    ValidationLoss,
)
from harness.runs.record import Diagnosis, Divergence, DivergenceKind, Environment, Outcome, Record, Score

NAN = float("nan")


class Clock:
    """Time that passes when the scenario says so."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def started(number: int, name: str) -> RunStarted:
    return RunStarted(RunLabel(name, number), "a processor [of sorts]", "fp32", Path("outputs/quickstart") / name)


def record(outcome: Outcome = Outcome.COMPLETED, wall_seconds: float = 100.0, **values: object) -> Record:
    environment = Environment(
        versions={}, platform="", device="a processor", device_count=0, cpu_count=2, host_memory_mib=1.0
    )
    return Record(
        status=outcome,
        sweep="quickstart",
        arm="lora",
        seed=0,
        baseline="lora",
        identity="0a1b2c",
        device="cpu",
        command="harness run",
        config={},
        environment=environment,
        started_at=datetime(2030, 1, 1, tzinfo=UTC),
        wall_seconds=wall_seconds,
        **values,  # type: ignore[arg-type]
    )


def a_sweep() -> None:
    """Three runs: one whose rows are cut off and whose loss is lost, one that fails, one that was skipped."""
    display = make_display(3)
    display.note("SwanLab: a note")
    display.run_started(started(1, "lora-seed0"))
    display.event(PhaseStarted(phase=Phase.LOAD))
    display.event(RowsTokenized(rows=10, at_cutoff=9, cutoff_tokens=64))
    display.event(PhaseStarted(phase=Phase.TRAIN))
    display.event(TrainingStarted(total_steps=20))
    for step in range(1, 21):
        display.event(TrainingStep(step=step, tokens=100 * step))
        if step % 10 == 0:
            display.event(TrainingLoss(step=step, loss=0.5 if step == 10 else NAN, learning_rate=1e-4))
            display.event(ValidationLoss(step=step, loss=0.6 if step == 10 else NAN))
    display.event(PhaseStarted(phase=Phase.EVALUATE))
    display.event(EvaluationProgress(done=32, total=40))
    divergence = Divergence(kind=DivergenceKind.NOT_FINITE, step=20, first_loss=0.5, last_loss=NAN)
    score = Score(benchmark="arithmetic", accuracy=0.5, correct=20, questions=40, seconds=3, generated_tokens=9)
    first = record(diverged=True, divergence=divergence, score=score)
    display.run_finished(first)
    display.run_started(started(2, "qlora-seed0"))
    display.event(PhaseStarted(phase=Phase.LOAD))
    known = Diagnosis(line="no room", cause="the chip is full", fix="a smaller training.batch_size")
    second = record(Outcome.OUT_OF_MEMORY, reason="no room", diagnosis=known, log_tail=["RuntimeError: no room"])
    display.run_finished(second)
    display.skipped(RunLabel("lora-seed1", 3), "completed before, not run again")
    display.target_answered("base", score, [])
    display.sweep_finished([first, second], ["It cannot be told from noise."], Path("reports/quickstart/report.md"))


def no_lower_loss() -> None:
    display = make_display(1)
    display.run_started(started(1, "lora-seed0"))
    display.run_finished(
        record(divergence=Divergence(kind=DivergenceKind.NOT_LOWER, step=20, first_loss=3.1, last_loss=3.25))
    )
    display.close()


def a_first_step() -> None:
    """The clock stands still and nothing is drawn by itself in the time that this takes."""
    display = LiveDisplay(1)
    display.run_started(started(1, "lora-seed0"))
    display.event(TrainingStarted(total_steps=20))
    display.event(TrainingStep(step=1, tokens=1))
    sys.stdout.flush()
    import os

    os._exit(0)


def an_hour_of_training_then_questions() -> None:
    """3,600 steps of a second each, an hour of validation, then questions of two targets, 4 s and 1 s each."""
    clock = Clock()
    display = LiveDisplay(4, clock)
    display.run_started(started(2, "lora-seed0"))
    display.event(TrainingStarted(total_steps=4000))
    for step in range(1, 3601):
        clock.seconds += 1
        display.event(TrainingStep(step=step, tokens=step))
    draw(display)
    clock.seconds += 3600
    for seconds in (4, 1):
        display.event(PhaseStarted(phase=Phase.EVALUATE))
        display.event(EvaluationProgress(done=0, total=200))
        for done in range(1, 101):
            clock.seconds += seconds
            display.event(EvaluationProgress(done=done, total=200))
            if done == 1:
                draw(display)
        draw(display)
    display.close()


def slow_steps() -> None:
    """A minute each."""
    clock = Clock()
    display = LiveDisplay(1, clock)
    display.run_started(started(1, "lora-seed0"))
    display.event(TrainingStarted(total_steps=100))
    for step in range(1, 41):
        clock.seconds += 60
        display.event(TrainingStep(step=step, tokens=step))
    draw(display)
    display.close()


def several_runs() -> None:
    """Each takes 100 s, but for one that fails at once."""
    clock = Clock()
    display = LiveDisplay(5, clock)
    for number in (1, 2, 3):
        display.run_started(started(number, f"lora-seed{number}"))
        if number == 3:
            clock.seconds += 40
            draw(display)
        fails = number == 1
        display.run_finished(record(Outcome.FAILED if fails else Outcome.COMPLETED, 1.0 if fails else 100.0))
    display.close()


def draw(display: LiveDisplay) -> None:
    """Draw the view now; it draws itself four times a second, which a test does not wait for."""
    assert display._view is not None
    display._view.refresh()


def show(name: str) -> None:
    globals()[name]()
