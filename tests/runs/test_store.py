"""What is in a run's folder is read, written and put aside, and never lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.devices.reading import Reading
from harness.runs import store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.measurements import energy, read
from harness.runs.record import Divergence, DivergenceKind, Outcome
from harness.runs.store import DamagedRecordError, load, locked, put_aside, write
from tests.builders import RunBuilder, questions
from tests.devices.stand_ins import child
from tests.runs.records import a_record

HOLD = """
import sys
from pathlib import Path
from harness.runs.store import locked
with locked(Path(sys.argv[1]), lambda: print("waits", flush=True)):
    print("has it", flush=True)
    input()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = SweepFolder(tmp_path / "sweep").run("lora-seed0-abc")
    folder.path.mkdir(parents=True)
    return folder


def test_what_is_written_is_read_again(folder: RunFolder) -> None:
    record = a_record()
    write(folder, record)
    assert load(folder) == record


def test_no_record_is_none(folder: RunFolder) -> None:
    assert load(folder) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"status": "completed"}', "\x00"])
def test_a_damaged_record_is_named_and_kept(damage: str, folder: RunFolder) -> None:
    folder.record.write_text(damage)
    with pytest.raises(DamagedRecordError, match=str(folder.record)):
        load(folder)
    write(folder, a_record())
    assert load(folder) is not None
    assert [file.read_text() for file in folder.path.glob("record.damaged-*.json")] == [damage]


@pytest.mark.parametrize("stands_in", ["folder", "link to itself"])
def test_what_is_no_file_in_place_of_a_record_is_damage_and_is_kept(stands_in: str, folder: RunFolder) -> None:
    if stands_in == "folder":
        folder.record.mkdir()
    else:
        folder.record.symlink_to(folder.record.name)
    with pytest.raises(DamagedRecordError, match=str(folder.record)):
        load(folder)
    write(folder, a_record())
    assert load(folder) is not None
    assert len(list(folder.path.glob("record.damaged-*.json"))) == 1


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ('"wall_seconds": 1e400', "wall_seconds"),
        ('"wall_seconds": 1e308', "wall_seconds"),
        ('"wall_seconds": "nan"', "wall_seconds"),
        (r'"base_folder": "\u0000"', "base_folder"),
        ('"config": {"seed": ' + "9" * 5000 + "}", "the file"),
        ('"config": {"seed": ' + "9" * 4000 + "}", "config.seed"),
        ('"config": {"llamafactory": {"a": [1, ' + "9" * 40 + "]}}", "config.llamafactory.a.1"),
        ('"config": {"training": "short"}', "config.training"),
        ('"config": {"device": {"chips": "a"}}', "config.device.chips"),
        ('"config": {"device": {"chips": [null]}}', "config.device.chips"),
        ('"config": {"comparison": {"margin_points": "wide"}}', "config.comparison.margin_points"),
        ('"schema_version": 2', "was written by a later version of the harness"),
    ],
)
def test_what_no_run_leaves_is_damage_that_is_named(told: str, named: str, folder: RunFolder) -> None:
    key = told.partition(":")[0]
    lines = a_record().model_dump_json(indent=2).splitlines()
    (line,) = [line for line in lines if line.startswith(f"  {key}:")]
    folder.record.write_text("\n".join(lines).replace(line, f"  {told},"))
    with pytest.raises(DamagedRecordError, match=f"{folder.record}: {named}[: ]"):
        load(folder)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ({"score": {"correct": 100}}, "score: accuracy .* is not that of 100 of 60 questions"),
        ({"score": {"accuracy": 0.99}}, "score: accuracy 0.99 is not that of .* of 60 questions"),
        ({"base_score": {"questions": 0, "correct": 0}}, "base_score: accuracy "),
        ({"score": {"accuracy": -0.7, "correct": -42}}, "score: accuracy "),
        ({"training": {"tokens": -1}}, "training: steps, tokens or seconds are below 0"),
        ({"training": {"train_seconds": -1.5}}, "training: steps, tokens or seconds are below 0"),
        ({"memory": {0: {"peak_mib": -1.0}}}, "memory: "),
    ],
)
def test_figures_that_contradict_each_other_are_damage(damage: dict[str, Any], named: str, tmp_path: Path) -> None:
    built = RunBuilder(tmp_path, answers=questions(60, 0.7), base_accuracy=0.5).write()
    record = json.loads((built / "record.json").read_text())
    for part, values in damage.items():
        for key, value in values.items():
            if isinstance(value, dict):
                record[part][key] |= value
            else:
                record[part][key] = value
    (built / "record.json").write_text(json.dumps(record))
    with pytest.raises(DamagedRecordError, match=f"record.json: {named}"):
        load(RunFolder(built))


def test_a_machine_without_a_processor_is_damage(folder: RunFolder) -> None:
    folder.record.write_text(a_record().model_dump_json().replace('"cpu_count":1', '"cpu_count":false'))
    with pytest.raises(DamagedRecordError, match=f"{folder.record}: environment.cpu_count: "):
        load(folder)


def test_a_text_may_hold_any_number_and_a_loss_be_one(folder: RunFolder) -> None:
    divergence = Divergence(kind=DivergenceKind.NOT_FINITE, step=1, first_loss=1e300, last_loss=float("inf"))
    record = a_record(reason=f"nan, inf, 1e400 and {'9' * 5000}", divergence=divergence)
    write(folder, record)
    assert load(folder) == record


class FullDisk:
    """Has room for what is reserved, as long as that is reserved, and for nothing else."""

    def __init__(self, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        fsync = os.fsync

        def fail_where_reserved(descriptor: int) -> None:
            if folder.reserve.exists() or not self.was_reserved:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        self.was_reserved = folder.reserve.exists()
        monkeypatch.setattr(os, "fsync", fail_where_reserved)


def test_a_disk_that_fills_up_takes_the_record_that_room_was_kept_for(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reserve(folder)
    assert folder.reserve.stat().st_blocks * 512 >= 256 * 2**10
    FullDisk(folder, monkeypatch)
    write(folder, a_record(Outcome.FAILED))
    found = load(folder)
    assert found is not None
    assert found.status is Outcome.FAILED
    assert list(folder.path.iterdir()) == [folder.record]


def test_without_room_kept_a_full_disk_is_an_os_error_that_names_the_record(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(folder, monkeypatch)
    with pytest.raises(OSError, match="No space left") as raised:
        write(folder, a_record())
    assert raised.value.filename == str(folder.record)
    assert list(folder.path.iterdir()) == []


def test_a_disk_that_is_full_already_takes_a_record_and_starts_no_run(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate = os.posix_fallocate

    def nearly_full(descriptor: int, start: int, size: int) -> None:
        if size > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(descriptor, start, size)

    monkeypatch.setattr(os, "posix_fallocate", nearly_full)
    with pytest.raises(OSError, match=f"No space left on device: '{folder.path}'"):
        store.reserve(folder)
    FullDisk(folder, monkeypatch)
    write(folder, a_record(Outcome.FAILED))
    assert load(folder) is not None


def test_a_file_system_that_can_keep_no_room_is_no_obstacle(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    store.reserve(folder)
    write(folder, a_record())
    assert list(folder.path.iterdir()) == [folder.record]


def test_records_that_are_damaged_within_one_second_are_kept_each(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        ticks: Iterator[int] = iter(range(1, 9))

        @classmethod
        def now(cls, tz: object = None) -> Clock:
            return cls(2026, 1, 1, 0, 0, 0, next(cls.ticks), tzinfo=UTC)

    monkeypatch.setattr(store, "datetime", Clock)
    for damage in ("{1", "{2", "{3"):
        folder.record.write_text(damage)
        write(folder, a_record())
    assert sorted(file.read_text() for file in folder.path.glob("record.damaged-*.json")) == ["{1", "{2", "{3"]


def test_a_full_disk_leaves_the_old_record(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, a_record())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(folder, a_record(Outcome.FAILED))
    found = load(folder)
    assert found is not None
    assert found.status is Outcome.COMPLETED
    assert list(folder.path.iterdir()) == [folder.record]


def reading(second: float) -> str:
    return Reading(time=second, sensor="nvml", chip=0, power_watts=200).model_dump_json() + "\n"


def test_readings_of_an_attempt_that_left_nothing_else_are_put_aside_and_never_joined(folder: RunFolder) -> None:
    folder.readings.write_text("".join(map(reading, range(3))))
    aside = put_aside(folder)
    assert aside is not None
    assert not folder.path.exists()
    assert [file.name for file in aside.iterdir()] == ["readings.jsonl"]
    folder.path.mkdir()
    folder.readings.write_text("".join(reading(36_000 + second) for second in range(61)))
    spent = energy(read(folder).readings, 1.0)
    assert spent is not None
    assert spent.watt_hours == pytest.approx(200 * 60 / 3600)
    assert spent.covered_seconds == 60


@pytest.mark.parametrize(
    "name",
    ["record.json", "events.jsonl", "readings.jsonl", "logs", "adapter", "evaluation", "something of another version"],
)
def test_whatever_an_attempt_left_is_put_aside_whole(name: str, folder: RunFolder) -> None:
    for left in (folder.config, folder.spec, folder.path / name):
        left.write_text(left.name)
    aside = put_aside(folder)
    assert aside is not None
    assert aside.parent == folder.sweep.earlier
    assert aside.name.startswith(f"{folder.name}-")
    assert {file.name: file.read_text() for file in aside.iterdir()} == {
        left: left for left in ("config.yaml", "spec.json", name)
    }


def test_what_a_dry_run_planned_is_not_put_aside(folder: RunFolder) -> None:
    for file in (folder.config, folder.train, folder.command, folder.spec, folder.job("train")):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    folder.dataset.mkdir()
    assert put_aside(folder) is None
    assert folder.config.exists()
    assert not folder.sweep.earlier.exists()


def test_a_run_that_is_not_there_is_not_put_aside(tmp_path: Path) -> None:
    assert put_aside(SweepFolder(tmp_path).run("lora-seed0-abc")) is None


def test_attempts_that_are_put_aside_one_after_the_other_are_kept_each(folder: RunFolder) -> None:
    for attempt in ("first", "second"):
        folder.path.mkdir(exist_ok=True)
        folder.events.write_text(attempt)
        put_aside(folder)
    assert sorted(aside.joinpath("events.jsonl").read_text() for aside in folder.sweep.earlier.iterdir()) == [
        "first",
        "second",
    ]


def test_a_lock_that_nobody_has_is_had_without_a_word(tmp_path: Path) -> None:
    def waiting() -> None:
        raise AssertionError("it waits for nobody")

    for _ in range(2):
        with locked(tmp_path / "lock", waiting):
            pass


def test_who_waits_for_a_lock_of_another_process_says_so_once_and_gets_it_in_the_end(tmp_path: Path) -> None:
    heard: list[str] = []
    waits = threading.Event()

    def take() -> None:
        with locked(tmp_path / "lock", lambda: (heard.append("waits"), waits.set())[0]):
            heard.append("has it")

    with child(sys.executable, "-c", HOLD, str(tmp_path / "lock")) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "has it\n"
        taker = threading.Thread(target=take)
        taker.start()
        waits.wait()
        assert heard == ["waits"]
        holder.stdin.write("\n")
        holder.stdin.flush()
        taker.join()
    assert heard == ["waits", "has it"]


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    with child(sys.executable, "-c", HOLD, str(tmp_path / "lock")) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        holder.wait()
    next_one = subprocess.run(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], input="\n", capture_output=True, text=True, check=True
    )
    assert next_one.stdout == "has it\n"


def test_a_block_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in the block"), locked(tmp_path / "lock", lambda: None):
        raise ValueError("in the block")
    with locked(tmp_path / "lock", lambda: pytest.fail("nobody has it")):
        pass


def test_where_no_lock_can_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "lock", lambda: None):
        pass
