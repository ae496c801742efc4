"""A run whose tracker dies goes on to its end, and tells what SwanLab lacks."""

from __future__ import annotations

import signal
from pathlib import Path

from harness.runs.record import Outcome
from tests.running import SHORT, family, only_record, started, training_has_begun, wait_until

RUN = (*(option for option in SHORT if not option.startswith("tracking")), "training.max_steps=60")


def test_a_run_whose_tracker_is_killed_completes_and_tells_what_swanlab_lacks(tmp_path: Path, cache: Path) -> None:
    with started(tmp_path, cache, "run", *RUN) as process:
        wait_until(training_has_begun(tmp_path))
        (tracker,) = [child for child in family(process) if "harness.workers.track" in child.cmdline()]
        tracker.send_signal(signal.SIGKILL)
        _, told = process.communicate()
    assert process.returncode == 0, told
    warnings = [line for line in told.splitlines() if "SwanLab" in line]
    assert warnings[0] == "warning: lora-seed0: SwanLab's process was killed by SIGKILL"
    assert told.count("warning: ") == 1
    assert "  cause: the process that talks to SwanLab was killed" in told
    assert "  fix:   " in told
    record = only_record(tmp_path)
    assert record.status is Outcome.COMPLETED
    assert record.tracking is not None
    assert record.tracking.problem == "SwanLab's process was killed by SIGKILL"
    assert record.tracking.missing_losses
    assert record.training is not None
    assert record.training.steps == 60
