"""record.json: whole or not there, and never lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.runs import record
from harness.runs.record import DamagedRecordError, Environment, Outcome, Record
from tests.builders import reply


def made(status: Outcome = Outcome.COMPLETED) -> Record:
    return Record(
        status=status,
        sweep="s",
        arm="lora",
        seed=0,
        baseline="lora",
        identity="abc",
        device="cpu",
        command="harness run",
        config={},
        environment=Environment(
            versions={}, platform="p", device="d", device_count=0, cpu_count=1, host_memory_mib=1.0
        ),
        started_at=datetime.now(UTC),
        wall_seconds=1.0,
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = made()
    record.write(tmp_path, written)
    assert record.load(tmp_path) == written


@pytest.mark.parametrize(
    ("answer", "expected", "passed"),
    [
        ("我是北大助手", "北大", True),
        ("我是通义千问", "北大", False),
        ("我是北大助手", None, None),
        ("", "北大", False),
    ],
)
def test_a_prompt_passes_if_its_answer_holds_what_is_expected(
    answer: str, expected: str | None, passed: bool | None, tmp_path: Path
) -> None:
    written = made().model_copy(update={"replies": [reply("你是谁", answer, expected)]})
    record.write(tmp_path, written)
    found = record.load(tmp_path)
    assert found is not None
    assert found == written
    assert [one.passed for one in found.replies] == [passed]


def test_no_record_is_none(tmp_path: Path) -> None:
    assert record.load(tmp_path) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"status": "completed"}', "\x00"])
def test_a_damaged_record_is_named_and_kept(damage: str, tmp_path: Path) -> None:
    path = tmp_path / record.FILE_NAME
    path.write_text(damage)
    with pytest.raises(DamagedRecordError, match=str(path)):
        record.load(tmp_path)
    record.write(tmp_path, made())
    assert record.load(tmp_path) is not None
    assert [file.read_text() for file in tmp_path.glob("record.damaged-*.json")] == [damage]


def test_a_full_disk_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record.write(tmp_path, made())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        record.write(tmp_path, made(Outcome.FAILED))
    found = record.load(tmp_path)
    assert found is not None
    assert found.status is Outcome.COMPLETED
    assert [path.name for path in tmp_path.iterdir()] == [record.FILE_NAME]
