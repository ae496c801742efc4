from __future__ import annotations

from pathlib import Path

import pytest

from tests.devices.stand_ins import StandInNvml, a_gpu


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> StandInNvml:
    """Two GPUs that tell everything."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stand_in = StandInNvml(*(a_gpu(index) for index in range(2)))
    stand_in.install(monkeypatch)
    return stand_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.jsonl"
