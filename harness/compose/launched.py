"""How a training was started: on which chips, by how many processes, on how many machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.trainer.fields import holds_secret

STARTERS = re.compile(r"python[\d.]*|torchrun|deepspeed|accelerate")
_LAUNCHERS = ("torchrun", "torch.distributed.run", "torch.distributed.launch", "deepspeed", "accelerate")
_WRAPPERS = ("nohup", "env", "exec", "sudo", "command", "stdbuf", "setsid", "time")
"""Programs that start another one and change nothing of it."""
_VISIBLE = {
    "ASCEND_RT_VISIBLE_DEVICES": "ascend",
    "ASCEND_VISIBLE_DEVICES": "ascend",
    "NPU_VISIBLE_DEVICES": "ascend",
    "CUDA_VISIBLE_DEVICES": "cuda",
}
_KEYS = {
    "processes": "device.chips",
    "machines": "launch.nnodes",
    "rank": "launch.node_rank",
    "port": "launch.master_port",
    "threads": "device.threads",
}
_OF_THE_CLI = {
    "NPROC_PER_NODE": "processes",
    "NNODES": "machines",
    "NODE_RANK": "rank",
    "MASTER_ADDR": "address",
    "MASTER_PORT": "port",
}
"""Variables that `llamafactory-cli train` alone reads, for torchrun."""
_OF_LAUNCHERS = {
    **dict.fromkeys(("nproc_per_node", "num_gpus"), "processes"),
    "num_processes": "all_processes",
    **dict.fromkeys(("nnodes", "num_nodes", "num_machines"), "machines"),
    **dict.fromkeys(("node_rank", "machine_rank"), "rank"),
    **dict.fromkeys(("master_addr", "main_process_ip"), "address"),
    **dict.fromkeys(("master_port", "main_process_port"), "port"),
}
_NEEDLESS = ("standalone", "use_env", "multi_gpu", "same_network", "m", "u")
"""Options of launchers that say what is so in the harness anyway."""
_ENGINES = {
    "USE_RAY": "the harness starts its processes itself",
    "USE_MCA": "Megatron's trainer knows none of the harness's callbacks",
    "USE_KT": "what KTransformers makes of a model, no later step could load",
    "USE_V1": "the harness trains with the trainer that LLaMA-Factory has without it",
    "USE_OPENMIND_HUB": "the harness asks Hugging Face and ModelScope; fetch the model, and give model.path=FOLDER",
}


@dataclass
class Launched:
    """What is said of it."""

    device: str | None = None
    """cuda, ascend or cpu; None: nothing."""
    chips: list[int] | None = None
    """Those that are left visible; None: nothing is said of them."""
    processes: int | None = None
    """On each machine; None: one a chip."""
    all_processes: int | None = None
    """On all machines together."""
    machines: int | None = None
    rank: int | None = None
    address: str | None = None
    port: int | None = None
    threads: int | None = None
    hub: str | None = None
    by_torchrun: bool = False
    """Whether torchrun starts them, or what does the same."""
    left_out: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def overrides(self, on_cpu: bool, by_torchrun: bool) -> list[str]:
        """Return them, for a training that is told to use the CPU, or that torchrun alone can start."""
        return list(self._overrides(on_cpu or self.device == "cpu", by_torchrun or self.by_torchrun))

    def _overrides(self, on_cpu: bool, by_torchrun: bool) -> Iterator[str]:
        if on_cpu or self.device is not None:
            yield f"device={'cpu' if on_cpu else self.device}"
        chips = [] if on_cpu else self._used()
        if chips:
            yield f"device.chips=[{','.join(map(str, chips))}]"
        if self.threads is not None:
            yield f"device.threads={self.threads}"
        if self.hub is not None:
            yield f"model.hub={self.hub}"
        if (self.machines or 1) > 1:
            yield from ("launch=nodes", f"launch.nnodes={self.machines}")
        elif by_torchrun or len(chips) > 1 or (self.processes or 1) > 1:
            yield "launch=cards"
        else:
            return
        if on_cpu and self.processes is not None:
            yield f"launch.nproc={self.processes}"
        named = {"node_rank": self.rank or None, "master_addr": self.address, "master_port": self.port}
        yield from (f"launch.{key}={value}" for key, value in named.items() if value is not None)

    def _used(self) -> list[int]:
        """The chips of this machine, one a process; none where nothing says more than the first."""
        if self.chips is None:
            return list(range(self.processes)) if self.processes is not None and self.processes > 1 else []
        return self.chips[: self.processes]


def is_enabled(value: str) -> bool:
    """Return whether a variable of the environment says yes, as LLaMA-Factory reads it (extras/misc.py)."""
    return value.lower() in ("true", "y", "1")


def launched(variables: Mapping[str, str], before: Sequence[str], by_cli: bool) -> Launched:
    """Return what a command's environment says, and the words before its training.

    `by_cli`: whether that is LLaMA-Factory's own command, which starts a process for each of several chips."""
    found = Launched()
    _environment(found, variables, by_cli)
    _launcher(found, before)
    if found.all_processes is not None:
        found.processes = found.all_processes // (found.machines or 1)
    chips, processes = found.chips, found.processes
    if chips is not None and (processes or 0) > len(chips):
        found.mistakes.append(f"{processes} processes on {len(chips)} visible chips: each needs one of its own")
    elif chips is None and processes is None and found.device != "cpu" and (by_cli or found.by_torchrun):
        found.left_out.append(
            "device.chips: no chip is named, and LLaMA-Factory takes all that are visible, the harness the first; for "
            "more give device.chips=[0,1] launch=cards"
        )
    return found


def _environment(found: Launched, variables: Mapping[str, str], by_cli: bool) -> None:
    keyless: list[str] = []
    secrets: list[str] = []
    for name, value in variables.items():
        enabled = is_enabled(value)
        if name in _VISIBLE:
            _visible(found, name, _VISIBLE[name], value)
        elif name == "FORCE_TORCHRUN" and by_cli:
            found.by_torchrun |= enabled
        elif name in _OF_THE_CLI and by_cli:
            _take(found, _OF_THE_CLI[name], name, value)
        elif name in ("FORCE_TORCHRUN", *_OF_THE_CLI):
            found.left_out.append(f"{name}: llamafactory-cli alone reads it, and the command is another")
        elif name == "OMP_NUM_THREADS":
            _take(found, "threads", name, value)
        elif name == "USE_MODELSCOPE_HUB":
            found.hub = "modelscope" if enabled else None
        elif name in _ENGINES and enabled:
            found.left_out.append(f"{name}: {_ENGINES[name]}")
        elif name in _ENGINES:
            continue
        elif holds_secret(name.lower()) or "SECRET" in name or "KEY" in name:
            secrets.append(name)
        else:
            keyless.append(name)
    if keyless:
        found.left_out.append(f"{', '.join(keyless)}: without a key of the harness; export before `harness run` too")
    if secrets:
        found.left_out.append(f"{', '.join(secrets)}: secret; export before `harness run`, and write into no file")


def _visible(found: Launched, name: str, device: str | None, value: str) -> None:
    ids = [part.strip() for part in value.split(",") if part.strip()]
    if device is not None and found.device not in (None, device):
        found.mistakes.append(f"{name}: chips of another kind are named too; leave one of the two out")
        return
    found.device = device or found.device
    if not ids or ids[0] == "-1":
        found.device = "cpu"
    elif all(part.isdigit() for part in ids):
        found.chips = [int(part) for part in ids]
    else:
        found.left_out.append(f"{name}={value}: names no numbers; give device.chips=[0,1], counted from 0")


def _take(found: Launched, what: str, name: str, value: str) -> None:
    if what == "address":
        found.address = value
    elif value.isdigit():
        setattr(found, what, int(value))
    else:
        key = _KEYS.get(what, "device.chips")
        found.left_out.append(f"{name}={value}: is no whole number; give {key}")


def _launcher(found: Launched, words: Sequence[str]) -> None:
    """Python, a launcher with its options, and whatever starts that."""
    launcher: str | None = None
    at = 0
    while at < len(words):
        word, name = words[at], PurePosixPath(words[at]).name
        at += 1
        if name in _LAUNCHERS:
            launcher, found.by_torchrun = name, True
        elif launcher and word.startswith("-"):
            option, equals, value = word.lstrip("-").partition("=")
            if not equals and at < len(words) and not words[at].startswith("-"):
                value, at = words[at], at + 1
            _option(found, launcher, option.replace("-", "_"), value)
        elif launcher is None and not word.startswith("-") and name not in _WRAPPERS and not STARTERS.fullmatch(name):
            found.left_out.append(f"{name}: starts the training; let it start `harness run` in its place")
            # What follows are options of its own, up to a launcher.
            at = next(
                (place for place in range(at, len(words)) if PurePosixPath(words[place]).name in _LAUNCHERS), len(words)
            )


def _option(found: Launched, launcher: str, option: str, value: str) -> None:
    shown = f"{launcher} --{option}"
    if option in _OF_LAUNCHERS:
        _take(found, _OF_LAUNCHERS[option], shown, value)
    elif option in ("gpu_ids", "include"):
        host, colon, ids = value.rpartition(":")
        if colon and host != "localhost":
            found.left_out.append(f"{shown}={value}: names machines; start `harness run` with launch=nodes on each")
        elif ids != "all":
            _visible(found, shown, None, ids)
    elif option == "rdzv_endpoint":
        found.address, _, port = value.partition(":")
        found.port = int(port) if port.isdigit() else None
    elif option == "cpu":
        found.device = "cpu"
    elif option not in _NEEDLESS:
        found.left_out.append(f"{shown}: the harness starts its processes itself, without it")
