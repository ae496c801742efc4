"""The folder that runs share, and what may be wrong with it: it costs the sharing or a reading, and nothing else."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from subprocess import run

import pytest

from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.reading import SensorError
from tests.devices.ascend.clock import Clock, StandInDriver

INTERVAL = 1.0
NOBODY = 65534


@pytest.fixture
def driver(clock: Clock) -> StandInDriver:
    return StandInDriver(clock)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"asked": 999.9, "moment": 1700000000, "readings": [{"npu',
        b'{"asked": 999.9}',
        b"[" * 100_000,
        b'{"asked": 999.9, "moment": 0, "not_before": 1e300}',
        b'{"asked": 999.9, "moment": 0, "not_before": NaN}',
        b'{"asked": NaN, "moment": 0, "not_before": 0}',
    ],
    ids=["empty", "no text", "cut off", "half of it", "deep", "a pause for ever", "no number", "asked never"],
)
def test_an_answer_that_cannot_be_read_is_as_none(driver: StandInDriver, tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "npu-smi.json").write_bytes(rubbish)
    assert SharedDriver(driver, INTERVAL, tmp_path).read().readings
    assert SharedDriver(driver, INTERVAL, tmp_path).read().asked == driver.asked[0], "it was written anew"
    assert len(driver.asked) == 1


def test_an_answer_from_before_a_reboot_is_as_none(driver: StandInDriver, clock: Clock, tmp_path: Path) -> None:
    driver.error = "driver upgraded"
    with pytest.raises(SensorError):
        SharedDriver(driver, INTERVAL, tmp_path).read()
    driver.error = None
    clock.now = 20.0
    assert SharedDriver(driver, INTERVAL, tmp_path).read().asked == 20.0


def test_the_folder_of_another_user_is_refused_with_the_fix(
    driver: StandInDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(SensorError, match=r"belongs to another user: remove it or set TMPDIR"):
        SharedDriver(driver, INTERVAL, tmp_path).read()
    assert driver.asked == []


def test_a_link_in_place_of_the_folder_is_refused(driver: StandInDriver, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "node").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SensorError, match="remove it or set TMPDIR"):
        SharedDriver(driver, INTERVAL, tmp_path / "node").read()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_nobody_else_can_enter_is_made(driver: StandInDriver, tmp_path: Path) -> None:
    SharedDriver(driver, INTERVAL).read()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", ["file/node", "file", "gone/node"])
def test_where_no_folder_can_be_made_reading_is_a_sensor_error(
    driver: StandInDriver, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SensorError, match=f"{folder}: "):
        SharedDriver(driver, INTERVAL, tmp_path / folder).read()


def test_where_nothing_can_be_written_everybody_asks_and_is_answered(driver: StandInDriver, tmp_path: Path) -> None:
    (tmp_path / "npu-smi.json").mkdir()
    for _ in range(2):
        assert SharedDriver(driver, INTERVAL, tmp_path).read().readings
    assert len(driver.asked) == 2
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "npu-smi.json"}


def test_a_folder_that_turned_read_only_costs_the_sharing_only(
    driver: StandInDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for change in ("write_text", "write_bytes", "unlink", "replace"):
        monkeypatch.setattr(Path, change, refuse)
    for _ in range(2):
        assert SharedDriver(driver, INTERVAL, tmp_path).read().readings
    assert len(driver.asked) == 2


def test_a_file_system_without_locks_is_a_sensor_error_with_the_fix(
    driver: StandInDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(SensorError, match=r"Function not implemented.*TMPDIR"):
        SharedDriver(driver, INTERVAL, tmp_path).read()
    assert driver.asked == []


def test_without_the_right_to_write_there_is_a_sensor_error(tmp_path: Path) -> None:
    """In a process of its own, which gives up the rights that root has."""
    code = """
import os, sys
from pathlib import Path
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.ascend.query import NpuSmiQuery
from harness.devices.reading import SensorError
folder = Path(sys.argv[1])
folder.chmod(0o555)
if os.getuid() == 0:
    os.chroot(folder.parent)
    folder = Path("/", folder.name)
    os.chown(folder, 65534, 65534)
    os.setuid(65534)
try:
    SharedDriver(NpuSmiQuery(), 1.0, folder).read()
except SensorError as error:
    print(error)
"""
    (tmp_path / "node").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "node")]
    told = run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert "node: Permission denied; set TMPDIR" in told.stdout
