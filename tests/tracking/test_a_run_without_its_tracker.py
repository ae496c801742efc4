"""A run whose tracker dies is the run that it would have been, and tells what SwanLab lacks."""

from __future__ import annotations

import signal
from pathlib import Path

from harness.runs.events import read_losses
from harness.runs.record import Outcome
from tests.conftest import Harness
from tests.running import SHORT, family, only_record, started, training_has_begun, wait_until

RUN = (*(option for option in SHORT if not option.startswith("tracking")), "training.max_steps=60")


def losses(home: Path) -> list[tuple[int, float]]:
    (events,) = home.glob("outputs/*/*/events.jsonl")
    return [(loss.step, loss.loss) for loss in read_losses(events)]


def test_a_run_whose_tracker_is_killed_completes_with_the_same_losses(
    tmp_path: Path, cache: Path, harness: Harness
) -> None:
    with_it, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_it, without):
        folder.mkdir()
    with started(with_it, cache, "run", *RUN) as process:
        wait_until(training_has_begun(with_it))
        (tracker,) = [child for child in family(process) if "harness.workers.track" in child.cmdline()]
        tracker.send_signal(signal.SIGKILL)
        _, told = process.communicate()
    assert process.returncode == 0, told
    warnings = [line for line in told.splitlines() if "SwanLab" in line]
    assert warnings[0] == "warning: lora-seed0: SwanLab's process was killed by SIGKILL"
    assert told.count("warning: ") == 1
    assert "  cause: the process that talks to SwanLab was killed" in told
    assert "  fix:   " in told
    record = only_record(with_it)
    assert record.status is Outcome.COMPLETED
    assert record.tracking is not None
    assert record.tracking.problem == "SwanLab's process was killed by SIGKILL"
    assert record.tracking.missing_losses
    done = harness("run", *RUN, "tracking=disabled", cwd=without)
    assert done.returncode == 0, done.stderr
    assert losses(with_it) == losses(without)
    assert only_record(without).identity == record.identity
