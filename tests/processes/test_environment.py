"""What a worker sees of the environment, and what command.sh repeats of it."""

from __future__ import annotations

import pytest

from harness.config.schema import Config
from harness.devices import cpu
from harness.devices.request import DeviceRequest
from harness.processes.environment import added_settings, deciding, worker_environment


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


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OMP_NUM_THREADS", "2", "2"),
        ("OMP_PLACES", "{0:4}:2:4", "{0:4}:2:4"),
        ("GOMP_CPU_AFFINITY", "0 3 1-2 4-15:2", "0 3 1-2 4-15:2"),
        ("CUBLAS_WORKSPACE_CONFIG", ":4096:8", ":4096:8"),
        ("NVIDIA_TF32_OVERRIDE", "0", "0"),
        ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", "expandable_segments:True"),
        ("PYTORCH_NPU_ALLOC_CONF", "max_split_size_mb:256", "max_split_size_mb:256"),
        ("ASCEND_LAUNCH_BLOCKING", "1", "1"),
        ("HCCL_DETERMINISTIC", "true", "true"),
        ("NCCL_P2P_DISABLE", "1", "1"),
        ("MALLOC_ARENA_MAX", "", ""),
        ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", "glibc.malloc.tcache_count=0"),
        ("LD_PRELOAD", "/opt/x/libjemalloc.so.2:/home/somebody/lib/libgomp.so.1", "libjemalloc.so.2:libgomp.so.1"),
        ("MKL_DEBUG_CPU_TYPE", "~/somebody/5", "5"),
        ("NCCL_NET", "Socket,10.0.5.216:29500", "Socket,[address]:29500"),
    ],
)
def test_what_decides_threads_kernels_and_allocation_is_told_without_naming_the_machine(
    name: str, value: str, told: str
) -> None:
    assert deciding({name: value}) == {name: told}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "USER", "HOSTNAME", "LANG", "LD_LIBRARY_PATH", "HF_HOME", "HF_TOKEN", "COMPUTE", "XOMP_X"),
        *("CUDA_HOME", "CUDA_CACHE_PATH", "TORCH_HOME", "ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_TOOLKIT_HOME"),
        *("HCCL_IF_IP", "NCCL_SOCKET_IFNAME", "NCCL_COMM_ID"),
    ],
)
def test_what_says_only_where_something_lies_or_listens_is_not_told(name: str) -> None:
    assert deciding({name: "anything"}) == {}


def test_secrets_the_home_folder_and_the_hosts_name_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "sw-never-0815")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr("platform.node", lambda: "node17.example")
    told = deciding({"NCCL_HOSTID": "a-node17.example", "TORCH_LOGS": "sw-never-0815,/home/somebody", "OMP_X": "1"})
    assert told == {"NCCL_HOSTID": "a-[host]", "OMP_X": "1", "TORCH_LOGS": "[SWANLAB_API_KEY],~"}


def test_what_a_worker_gets_is_told_and_not_what_this_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("MKL_SECRET_SAUCE", "never")
    config = Config()
    config.device.threads = 3
    told = deciding(worker_environment(config, cpu.find(DeviceRequest()), offline=False))
    assert (
        told.items() >= {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}.items()
    )
    assert "MKL_SECRET_SAUCE" not in told
