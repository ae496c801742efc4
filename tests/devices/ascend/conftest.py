from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.devices.ascend import device
from tests.devices.ascend.clock import Clock
from tests.devices.ascend.stand_in import StandInNpuSmi


@pytest.fixture(autouse=True)
def as_on_a_machine_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is known of chips, nothing is shared with other runs, and no scheduler gave any chips."""
    device._chips.cache_clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(device.VISIBLE, raising=False)


@pytest.fixture
def npu_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInNpuSmi]:
    """First on the PATH."""
    stand_in = StandInNpuSmi(tmp_path / "npu-smi")
    monkeypatch.setenv("PATH", stand_in.environment()["PATH"])
    yield stand_in
    stand_in.behave("show")  # What still hangs ends now.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of what all runs on a node share, which passes as the test wants."""
    clock = Clock()
    monkeypatch.setattr("harness.devices.ascend.shared_driver.time", clock)
    return clock
