"""On what a run runs: versions, hardware, the harness's own commit, and the state in which it finds the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from harness.base import paths
from harness.config.schema import Config
from harness.devices import cgroup, host_state
from harness.devices.device import Device
from harness.devices.reading import Reading
from harness.devices.told import ChipSettings, Told
from harness.plan.spec import DeviceSpec
from harness.processes.environment import deciding, worker_environment
from harness.runs.record import ChipBefore, Environment, MachineBefore

DECISIVE = (
    "torch",
    "torch-npu",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "llamafactory",
    "evalscope",
    "numpy",
)
"""Libraries whose version can change a result."""
OTHERS = (
    # What computes, or quantizes, in their place where it is installed.
    *("triton", "triton-ascend", "flash-attn", "xformers", "liger-kernel", "unsloth", "unsloth-zoo", "deepspeed"),
    *("torchao", "apex", "transformer-engine", "mindspeed", "hqq", "eetq", "optimum", "auto-gptq", "gptqmodel"),
    *("kernels", "causal-conv1d", "flash-linear-attention", "te", "hccl", "intel-extension-for-pytorch"),
    # What reads models, rows and words.
    *("tokenizers", "safetensors", "sentencepiece", "tiktoken", "datasets", "pyarrow", "torchvision", "torchaudio"),
    *("pillow", "av", "jinja2", "modelscope", "huggingface-hub", "pydantic"),
    # What runs and tells.
    *("swanlab", "hydra-core", "pandas", "scipy", "psutil", "nvidia-ml-py"),
)
"""Libraries whose version can change how fast or in how much memory a run computes, or how it is told; no part of its
identity. So can NVIDIA's packages of CUDA's libraries, whose names tell the CUDA that they are for."""


def versions(packages: tuple[str, ...] = DECISIVE) -> dict[str, str]:
    """Return the installed versions, without importing; packages that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class Look:
    """What the machine tells as a run starts: taken at once, but for what the chips' driver says of itself.

    That is asked for in a thread, beside the start of the run's first worker, since npu-smi takes seconds for it."""

    def __init__(self, config: Config, device: Device, baselines: Sequence[Reading]) -> None:
        """Look for a quarter of a second. `baselines`: what the sampler read before."""
        self.variables = deciding(worker_environment(config, device, offline=False))
        self._device = device
        self._baselines = baselines
        self._told = Told()
        self._asking = threading.Thread(target=self._ask, name="driver", daemon=True)
        self._asking.start()
        self._host = host_state.look()

    @property
    def told(self) -> Told:
        """What the driver has said so far."""
        return self._told

    def before(self) -> MachineBefore:
        """Return the machine as the run found it."""
        chips = [self._chip(chip) for chip in self._device.chips]
        return MachineBefore(chips=chips, **asdict(self._host))

    def _chip(self, chip: int) -> ChipBefore:
        found = [reading for reading in self._baselines if reading.chip == chip]
        settings = asdict(self._told.chips.get(chip, ChipSettings()))
        if not found:
            return ChipBefore(chip=chip, **settings)
        reading = found[-1]
        return ChipBefore(
            chip=chip,
            used_mib=reading.device_used_mib,
            utilization_percent=reading.utilization_percent,
            temperature_celsius=reading.temperature_celsius,
            power_watts=reading.power_watts,
            other_processes=reading.other_processes,
            **settings,
        )

    def _ask(self) -> None:
        if self._device.tell is not None:
            with suppress(Exception):  # Whatever stands in its way costs these figures, never the run.
                self._told = self._device.tell()


def describe(device: DeviceSpec, look: Look | None = None) -> Environment:
    """Return what this machine is, for the record of a run on `device`. `look` None: the run did not come so far."""
    told = look.told if look else Told()
    limit_bytes = cgroup.memory_limit_bytes()
    return Environment(
        versions={"python": platform.python_version(), **versions(DECISIVE + OTHERS), **_cuda_libraries()},
        platform=platform.platform(),
        device=device.product or device.kind,
        device_count=max(1, device.chips),
        cpu_count=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        machine_cpu_count=os.cpu_count(),
        host_memory_mib=psutil.virtual_memory().total / 2**20,
        git_commit=_git_commit(),
        host=_host(),
        driver=told.driver,
        runtimes=told.runtimes,
        variables=look.variables if look else {},
        cpu_quota=cgroup.cpu_quota(),
        memory_limit_mib=None if limit_bytes is None else limit_bytes / 2**20,
    )


def _cuda_libraries(folders: Sequence[str] | None = None) -> dict[str, str]:
    """Versions of NVIDIA's packages below `folders`, by default those that Python imports from."""
    # The names of the installers' folders have them; to read each package's metadata takes a third of a second.
    found = (place for folder in folders or sys.path for place in Path(folder or ".").glob("nvidia_*.dist-info"))
    named = (place.stem.partition("-") for place in sorted(found, reverse=True))
    return {name.replace("_", "-"): number for name, _, number in named if number}


def _host(root: Path = Path("/")) -> str:
    """A hash of the machine's name and id; in a container, of the container's."""
    machine_id = ""
    with suppress(OSError):
        machine_id = (root / "etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    return hashlib.sha256(f"{platform.node()}\n{machine_id}".encode()).hexdigest()[:8]


@cache
def _git_commit() -> str | None:
    """The commit of a checkout that the package runs from; None for an installed wheel."""
    if not (paths.PACKAGE.parent / ".git").exists():
        return None
    git = ["git", "-C", str(paths.PACKAGE.parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "harness", "conf", "sweeps"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
