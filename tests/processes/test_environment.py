"""What a worker sees of the environment, and what command.sh repeats of it."""

from __future__ import annotations

import pytest

from harness.config.schema import Config
from harness.devices import cpu
from harness.devices.request import DeviceRequest
from harness.processes.environment import added_settings, worker_environment


def test_a_worker_sees_no_secret_but_the_hubs_and_all_that_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "never")
    monkeypatch.setenv("HF_TOKEN", "for the hub")
    monkeypatch.setenv("HF_ENDPOINT", "a mirror")
    device = cpu.find(DeviceRequest())
    config = Config()
    seen = worker_environment(config, device, offline=False)
    assert "SWANLAB_API_KEY" not in seen
    assert (seen["HF_TOKEN"], seen["HF_ENDPOINT"]) == ("for the hub", "a mirror")
    assert seen.items() >= added_settings(config, device).items() >= device.environment().items()


def test_a_worker_that_needs_no_hub_asks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    offline = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    for name in offline:
        monkeypatch.delenv(name, raising=False)
    device = cpu.find(DeviceRequest())
    assert worker_environment(Config(), device, offline=True).keys() >= offline
    assert not worker_environment(Config(), device, offline=False).keys() & offline


def test_the_hub_and_the_threads_are_those_of_the_configuration() -> None:
    device = cpu.find(DeviceRequest())
    assert not added_settings(Config(), device).keys() & {"USE_MODELSCOPE_HUB", "OMP_NUM_THREADS"}
    config = Config()
    config.model.hub, config.device.threads = "modelscope", 3
    chosen = added_settings(config, device)
    assert (chosen["USE_MODELSCOPE_HUB"], chosen["OMP_NUM_THREADS"]) == ("1", "3")
