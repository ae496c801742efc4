"""`harness doctor --log`: what it prints, for files of any encoding."""

from __future__ import annotations

import codecs
import gzip
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.base.errors import UserError
from harness.cli import app
from harness.cli.exits import FAILED
from harness.doctor import log as reading
from harness.doctor.log import read_log

LINE = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB"
LOG = f"  5%|▌         | 1/20 [00:01<00:19,  1.00s/it]\r 10%|█         | 2/20 [00:02<00:18,  1.00s/it]{LINE}\r\n"


@pytest.fixture
def _read_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log need not be as long as it takes to be too long."""
    monkeypatch.setattr(reading, "HEAD_BYTES", 10_000)
    monkeypatch.setattr(reading, "TAIL_BYTES", 30_000)
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 7_001)


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
    assert output.index("Too many") < output.index("also in the log:") < output.index("NPU out")


def test_below_an_exception_that_is_not_known_stands_what_is(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(f"Traceback (most recent call last):\n{LINE}\nonce more\nKeyError: 'q'\n")
    status, output = _doctor(log)
    assert status == FAILED
    first, also, line, cause, *_ = output.splitlines()
    assert (first, also) == (f"{log}: its last exception is KeyError: 'q': not known here", "also in the log:")
    assert (line, cause) == (LINE, "  cause:  the chip's memory is full")


def test_a_tip_is_no_cause(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(
        "INFO tips: CUDA out of memory needs a smaller batch\nTraceback (most recent call last):\nKeyError: 'q'\n"
    )
    assert _doctor(log) == (0, f"{log}: its last exception is KeyError: 'q': not known here\n")


def test_where_nothing_failed_nothing_is_told(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text("训练完成\n", encoding="utf-8")
    assert _doctor(log) == (0, f"{log}: none of the symptoms that are known; its last lines are the best hint\n")


def test_a_dash_is_standard_input() -> None:
    done = CliRunner().invoke(app, ["doctor", "--log", "-"], input=LOG)
    assert done.exit_code == FAILED
    assert done.stdout.startswith(f"{LINE}\n  cause:")


@pytest.mark.usefixtures("_read_little")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("place", ["begin", "end"])
def test_of_a_long_log_both_ends_are_read_and_the_rest_is_told(encoding: str, place: str, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    ordinary = "{'loss': 1.0, '步': 3}\n" * 200_000
    raised = f"Traceback (most recent call last):\n{LINE}\n"
    log.write_bytes((raised + ordinary if place == "begin" else ordinary + raised).encode(encoding))
    left_out = (log.stat().st_size - 40_000) / 2**20
    status, output = _doctor(log)
    assert status == FAILED
    assert output.startswith(f"{log}: too long, {left_out:.1f} MiB in its middle were not read\n{LINE}\n")


@pytest.mark.usefixtures("_read_little")
def test_of_a_pipe_too() -> None:
    ordinary = "{'loss': 1.0}\n" * 300_000
    done = CliRunner().invoke(app, ["doctor", "--log", "-"], input=f"{ordinary}{LINE}\n")
    left_out = (len(ordinary) + len(LINE) + 1 - 40_000) / 2**20
    assert done.stdout.startswith(f"standard input: too long, {left_out:.1f} MiB in its middle were not read\n{LINE}\n")


def test_of_an_endless_line_both_ends_are_read(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text("x" * 3_000_000 + f" {LINE}\n")
    assert _doctor(log)[0] == FAILED


@pytest.mark.parametrize("data", [b"", b"\n \n", codecs.BOM_UTF8, bytes(100)])
def test_an_empty_log_is_said_to_be_empty(data: bytes, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_bytes(data)
    with pytest.raises(UserError, match="empty; a run's logs are in"):
        read_log(log, "training.log")


BINARY = {
    "weights": struct.pack("<4096f", *(0.37 * number for number in range(4096))),
    "compressed": gzip.compress(bytes(number * number % 251 for number in range(40_000))),
    "an archive": b"PK\x03\x04" + bytes(range(256)) * 20,
}


@pytest.mark.parametrize("data", BINARY.values(), ids=BINARY.keys())
def test_what_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    log = tmp_path / "model.safetensors"
    log.write_bytes(data)
    with pytest.raises(UserError, match="no text but binary data"):
        read_log(log, log.name)


@pytest.mark.parametrize("words", ["训练失败\n", "\x1b[31mfailed\x1b[0m\r\n\b\a\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk"])
def test_a_text_in_any_encoding_is_no_binary_data(words: str, encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_bytes(f"{words}RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB\n".encode(encoding))
    status, output = _doctor(log)
    assert status == FAILED
    assert "the chip's memory is full" in output


def test_of_many_lines_both_ends_are_read(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text("1\n" * 60_000 + f"{LINE}\n")
    text, left_out_bytes = read_log(log, log.name)
    assert left_out_bytes == 2 * (60_001 - reading.HEAD_LINES - reading.TAIL_LINES)
    assert text.splitlines()[-1] == LINE
    assert len(text.splitlines()) == reading.HEAD_LINES + reading.TAIL_LINES
    log.write_text("1\n" * reading.TAIL_LINES)
    assert read_log(log, log.name) == ("1\n" * reading.TAIL_LINES, 0)
