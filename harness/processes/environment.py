"""What a worker sees of the environment."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping

from harness.base import redaction
from harness.config.schema import Config
from harness.devices.device import Device

_DECIDING = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|DNNL|ONEDNN|TBB|ATEN|MALLOC|MIMALLOC|TCMALLOC"
    r"|CUDA|CUBLAS|CUBLASLT|CUDNN|NVIDIA|NCCL|TORCH|TORCHINDUCTOR|PYTORCH|TRITON|BNB|BITSANDBYTES|XFORMERS"
    r"|FLASH_ATTENTION|ASCEND|ACL|ATB|HCCL|NPU)_\w+"
    r"|LD_PRELOAD|GLIBC_TUNABLES|JE_MALLOC_CONF|_RJEM_MALLOC_CONF|TOKENIZERS_PARALLELISM|PYTHONHASHSEED"
    r"|TASK_QUEUE_ENABLE|CPU_AFFINITY_CONF|COMBINED_ENABLE|INF_NAN_MODE_ENABLE|LCCL_DETERMINISTIC"
)
"""Names of variables that decide threads, kernels or allocation: of OpenMP, the BLAS libraries, CUDA, torch, CANN and
torch-npu, bitsandbytes and malloc."""
_PLACE = re.compile(r"\w*_(HOME|PATH|DIR|ROOT|FOLDER|FILE|IP|ADDR|ADDRESS|HOST|IFNAME|COMM_ID)")
"""Names of variables that say where something lies or listens, which decides nothing and names the machine."""
_FOLDERS = re.compile(r"(?<![^\s:;,=])~?/(?:[^/\s:;,]*/)+")
_SHORTEST = 3
"""Of a home folder or a host's name: a shorter one stands in other words too."""
_ADDRESS = re.compile(r"\b[0-9]{1,3}(\.[0-9]{1,3}){3}\b")


def worker_environment(config: Config, device: Device, offline: bool) -> dict[str, str]:
    """Return the whole environment of a worker on `device`: this process's own without its secrets, and what is added.

    `offline`: the worker needs no hub, which a machine without network would wait for."""
    hub = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {}
    return redaction.for_child(os.environ) | added_settings(config, device) | hub


def added_settings(config: Config, device: Device) -> dict[str, str]:
    """Return what the harness adds to a worker's environment; command.sh repeats it."""
    settings = {"TOKENIZERS_PARALLELISM": "false", **device.environment()}
    if config.model.hub == "modelscope":
        settings["USE_MODELSCOPE_HUB"] = "1"
    if config.device.threads is not None:
        settings["OMP_NUM_THREADS"] = str(config.device.threads)
    return settings


def deciding(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a worker's environment that decide threads, kernels and allocation, as they may be told.

    Without secrets, and without what names the machine: of a path its last part, of an address nothing."""
    return {
        name: _told(value)
        for name, value in sorted(environment.items())
        if _DECIDING.fullmatch(name) and not _PLACE.fullmatch(name)
    }


def _told(value: str) -> str:
    value = redaction.redact(value)
    for own, instead in ((os.environ.get("HOME", ""), "~"), (platform.node(), "[host]")):
        value = value.replace(own, instead) if len(own) >= _SHORTEST else value
    return _ADDRESS.sub("[address]", _FOLDERS.sub("", value))
