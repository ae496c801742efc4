from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from tests.devices.stand_ins import StandInNvml
from tests.doctor.machines import Sandbox


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Without an accelerator, whatever the machine has on which the tests run."""

    def no_library() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_library)
    return Sandbox(tmp_path / "machine", monkeypatch)


@pytest.fixture
def nvml(machine: Sandbox, monkeypatch: pytest.MonkeyPatch) -> StandInNvml:
    """A driver for CUDA up to 12.4 and no GPU yet."""
    stand_in = StandInNvml()
    stand_in.install(monkeypatch)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "550.54")
    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion", lambda: 12040)
    return stand_in
