"""`harness doctor --log`: what it prints, for files of any encoding."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.exits import FAILED

LINE = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB"
LOG = f"  5%|▌         | 1/20 [00:01<00:19,  1.00s/it]\r 10%|█         | 2/20 [00:02<00:18,  1.00s/it]{LINE}\r\n"


def _doctor(log: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", "--log", str(log)])
    return done.exit_code, done.stdout


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_log_of_any_encoding_is_told_with_line_cause_fix_and_source(encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_bytes(LOG.encode(encoding))
    status, output = _doctor(log)
    assert status == FAILED
    line, cause, fix, source = output.splitlines()
    assert line == LINE
    assert cause == "  cause:  the chip's memory is full"
    assert fix.startswith("  fix:    training.batch_size=1")
    assert source.startswith("  source: torch-npu's NPUCachingAllocator.cpp")


def test_what_did_not_end_the_run_stands_below(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(f"Traceback (most recent call last):\n{LINE}\nonce more\nOSError: [Errno 24] Too many open files\n")
    status, output = _doctor(log)
    assert status == FAILED
    assert (
        output.index("Too many") < output.index("in the log too, but not what ended the run:") < output.index("NPU out")
    )


def test_a_tip_is_no_cause(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(
        "INFO tips: CUDA out of memory needs a smaller batch\nTraceback (most recent call last):\nKeyError: 'q'\n"
    )
    assert _doctor(log) == (0, f"{log}: none of the symptoms that are known; its last lines are the best hint\n")
