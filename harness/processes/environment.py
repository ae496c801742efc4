"""What a worker sees of the environment."""

from __future__ import annotations

import os

from harness.base import redaction
from harness.config.schema import Config
from harness.devices.device import Device


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
