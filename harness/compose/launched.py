"""How a training was started: on which chips, by how many processes, on how many machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from harness.base import yaml_text
from harness.base.numbers import whole_number
from harness.base.redaction import names_secret
from harness.compose.hydra_values import written
from harness.compose.shell_script import unknown

STARTERS = re.compile(r"python[\d.]*|torchrun|deepspeed|accelerate")
_LAUNCHERS = ("torchrun", "torch.distributed.run", "torch.distributed.launch", "deepspeed", "accelerate")
_WRAPPERS: Mapping[str, Sequence[str]] = {
    "env": ("-u", "--unset", "-C", "--chdir"),
    "sudo": ("-u", "--user", "-g", "--group", "-h", "-p", "-C", "-D", "-r", "-t", "-T", "-U"),
    "exec": ("-a",),
    "stdbuf": ("-i", "-o", "-e"),
    "nice": ("-n",),
    "time": ("-f", "-o"),
    **dict.fromkeys(("nohup", "command", "setsid", "bash", "sh", "zsh"), ()),
}
"""Programs that start another one and change nothing of it, and which options of theirs take a value."""
_VISIBLE = {
    "ASCEND_RT_VISIBLE_DEVICES": "ascend",
    "ASCEND_VISIBLE_DEVICES": "ascend",
    "NPU_VISIBLE_DEVICES": "ascend",
    "CUDA_VISIBLE_DEVICES": "cuda",
}
_KEYS = {
    "machines": "launch=nodes launch.nnodes=N",
    "rank": "launch.node_rank=N",
    "address": "launch.master_addr=ADDRESS",
    "port": "launch.master_port=N",
    "threads": "device.threads=N",
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
_NEEDLESS = (
    *("standalone", "use_env", "multi_gpu", "same_network", "m", "u", "module", "rdzv_backend", "rdzv_id"),
    *("compute_environment", "main_training_function", "debug", "role", "num_cpu_threads_per_process"),
)
"""Options of launchers that say what is so in the harness anyway."""
_SHARDING = ("zero_stage", "fsdp", "zero3", "offload", "deepspeed")
"""How options of accelerate's that part the model among the processes begin, with `use_` before some."""
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
    """huggingface, modelscope or openmind; None: nothing is said."""
    has_unknown_machines: bool = False
    """Whether their number is said, in a way that cannot be told."""
    by_torchrun: bool = False
    """Whether torchrun starts them, or what does the same."""
    left_out: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    @property
    def launch(self) -> str:
        """What starts several processes: `cards` of this machine, or `nodes`."""
        return "nodes" if (self.machines or 1) > 1 or self.has_unknown_machines else "cards"

    def overrides(self, on_cpu: bool, by_torchrun: bool) -> tuple[list[str], list[str]]:
        """Return them, for a training that is told to use the CPU, or that torchrun alone can start; and what of it
        they do not say, as `left_out`."""
        on_cpu, left_out = on_cpu or self.device == "cpu", list[str]()
        chips = [] if on_cpu else self._used()
        made: list[tuple[str, Any]] = []
        if on_cpu or self.device is not None:
            made.append(("device", "cpu" if on_cpu else self.device))
        elif chips:
            left_out.append(
                "device: nothing says what kind the chips are, and the harness takes the kind that is here; give "
                "device=cuda or device=ascend for one"
            )
        made += [("device.chips", chips)] if chips else []
        made += [("device.threads", self.threads)] if self.threads is not None else []
        made += [("model.hub", self.hub)] if self.hub == "modelscope" else []
        named = {"node_rank": self.rank or None, "master_addr": self.address, "master_port": self.port}
        joined = [(f"launch.{key}", value) for key, value in named.items() if value is not None]
        if self.machines is not None and self.machines > 1:
            made += [("launch", "nodes"), ("launch.nnodes", self.machines)]
        elif self.has_unknown_machines:
            pass  # The user gives launch=nodes, as `left_out` says.
        elif by_torchrun or self.by_torchrun or len(chips) > 1 or (self.processes or 1) > 1:
            made.append(("launch", "cards"))
        else:
            alone = "one process is started, which meets no other; give it with launch=cards or launch=nodes"
            left_out += [f"{key}={value}: {alone}" for key, value in joined]
            joined = []
        if made[-1:] and made[-1][0].startswith("launch") and on_cpu and self.processes is not None:
            made.append(("launch.nproc", self.processes))
        return [f"{key}={_written(value)}" for key, value in made + joined], left_out

    def _used(self) -> list[int]:
        """The chips of this machine, one a process; none where nothing says more than the first."""
        if self.chips is None:
            return list(range(self.processes)) if self.processes is not None and self.processes > 1 else []
        return self.chips[: self.processes]


def _written(value: Any) -> str:
    # Hydra takes an IPv4 address for a text without quotes too.
    return value if isinstance(value, str) and re.fullmatch(r"[\w-]+(\.[\w-]+){2,}", value) else written(value)


def is_enabled(value: str) -> bool:
    """Return whether a variable of the environment says yes, as LLaMA-Factory reads it (extras/misc.py)."""
    return value.lower() in ("true", "y", "1")


def launched(
    variables: Mapping[str, str],
    before: Sequence[str],
    by_cli: bool,
    read: Callable[[str], str | None] = lambda _: None,
) -> Launched:
    """Return what a command's environment says, and the words before its training.

    `by_cli`: whether that is LLaMA-Factory's own command, which starts a process for each of several chips.
    `read`: gives the text of a file that the words name; None: it is not here."""
    found = Launched()
    launcher, options, unset = _before(found, before)
    variables = {name: value for name, value in variables.items() if name not in unset}
    # Whether there are several machines decides what is advised for the others.
    _environment(found, dict(sorted(variables.items(), key=lambda item: item[0] != "NNODES")), by_cli)
    if launcher is not None:
        found.by_torchrun = True
        _options(found, launcher, options, read)
    if found.all_processes is not None:
        found.processes = found.all_processes // (found.machines or 1)
    chips, processes = found.chips, found.processes
    if chips is not None and (processes or 0) > len(chips):
        found.mistakes.append(f"{processes} processes on {len(chips)} visible chips: each needs one of its own")
    elif chips is None and processes is None and found.device != "cpu" and (by_cli or found.by_torchrun):
        found.left_out.append(
            "device.chips: no chip is named, and LLaMA-Factory takes all that are visible, the harness the first; for "
            f"more give device.chips=[0,1] launch={found.launch}"
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
        elif name == "USE_MODELSCOPE_HUB" and (why := unknown(value)):
            found.left_out.append(f"{name}={value}: {why}; give model.hub=modelscope where it is 1")
        elif name == "USE_MODELSCOPE_HUB":
            found.hub = "modelscope" if enabled else found.hub or "huggingface"
        elif name in _ENGINES and enabled:
            found.hub = "openmind" if name == "USE_OPENMIND_HUB" and found.hub != "modelscope" else found.hub
            found.left_out.append(f"{name}: {_ENGINES[name]}")
        elif name in _ENGINES:
            continue
        elif names_secret(name):
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
    elif None not in (chips := [whole_number(part) for part in ids]):
        found.chips = [chip for chip in chips if chip is not None]
    else:
        why = unknown(value) or "names no numbers"
        found.left_out.append(f"{name}={value}: {why}; give device.chips=[0,1], counted from 0")


def _take(found: Launched, what: str, name: str, value: str) -> None:
    why = unknown(value)
    if what == "address" and why is None:
        found.address = value
    elif (number := whole_number(value)) is not None:
        setattr(found, what, number)
    else:
        found.has_unknown_machines |= what == "machines"
        key = _KEYS.get(what, f"device.chips=[0,1] launch={found.launch}")
        found.left_out.append(f"{name}={value}: {why or 'is no whole number'}; give {key}")


def _before(found: Launched, words: Sequence[str]) -> tuple[str | None, dict[str, str], set[str]]:
    """Of Python, a launcher and whatever starts that: the launcher, its options, and which variables are unset."""
    launcher, options, unset = None, dict[str, str](), set[str]()
    wrapper: str | None = None
    at = 0
    while at < len(words):
        word, name = words[at], PurePosixPath(words[at]).name
        at += 1
        if name in _LAUNCHERS:
            launcher, wrapper = name, None
        elif launcher and word.startswith("-"):
            option, equals, value = word.lstrip("-").partition("=")
            if not equals and at < len(words) and not words[at].startswith("-"):
                value, at = words[at], at + 1
            options[option.replace("-", "_")] = value
        elif word.startswith("-"):
            at += _wrapped(found, wrapper, word, words[at : at + 1], unset)
        elif launcher is None and name in _WRAPPERS:
            wrapper = name
        elif launcher is None and not STARTERS.fullmatch(name):
            found.left_out.append(f"{name}: starts the training; let it start `harness run` in its place")
            # What follows are options of its own, up to a launcher.
            at = next(
                (place for place in range(at, len(words)) if PurePosixPath(words[place]).name in _LAUNCHERS), len(words)
            )
        else:
            wrapper = None
    return launcher, options, unset


def _wrapped(found: Launched, wrapper: str | None, word: str, following: Sequence[str], unset: set[str]) -> bool:
    """Tell an option of what starts another program. Return whether it takes the word that follows."""
    takes = _WRAPPERS.get(wrapper or "", ())
    option, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
    follows = option in takes and not equals
    value = following[0] if follows and following else value
    if wrapper in ("env", "sudo") and (option in takes or (wrapper == "env" and word in ("-", "-i"))):
        told = f"{wrapper} {option} {value}" if option in takes else f"{wrapper} {word}"
        found.left_out.append(f"{told}: start `harness run` so too")
    if wrapper == "env" and option in ("-u", "--unset"):
        unset.add(value)
    return follows and bool(following)


def _options(found: Launched, launcher: str, options: Mapping[str, str], read: Callable[[str], str | None]) -> None:
    configured: dict[str, str] = {}
    if launcher == "accelerate" and "config_file" in options:
        configured = _configuration(found, options["config_file"], read)
    given = {**configured, **{option: value for option, value in options.items() if option != "config_file"}}
    shardings: dict[str, list[str]] = {}
    for option, value in sorted(given.items(), key=lambda item: _OF_LAUNCHERS.get(item[0]) != "machines"):
        from_file = option in configured and option not in options
        shown = f"{options['config_file']}: {option}" if from_file else f"{launcher} --{option}"
        kind = value.lower() if option == "distributed_type" else option
        if launcher == "accelerate" and kind.removeprefix("use_").startswith(_SHARDING):
            shardings.setdefault(_sharded(found, kind, value), []).append(f"{shown}{'=' if value else ''}{value}")
        else:
            _option(found, option, value, shown)
    found.left_out += [f"{', '.join(shown)}: {instead}" for instead, shown in shardings.items()]


def _configuration(found: Launched, file: str, read: Callable[[str], str | None]) -> dict[str, str]:
    """What a configuration of accelerate's says, as its options; what it says no to is left away."""
    text = None if unknown(file) else read(file)
    try:
        content = None if text is None else yaml_text.load(text.encode())
    except yaml_text.UnreadableError:
        content = None
    if not isinstance(content, Mapping):
        what = unknown(file) or ("is not here" if text is None else "cannot be read as YAML")
        found.left_out.append(
            f"accelerate --config_file={file}: {what}; give what it says of chips and machines: device.chips=[0,1] "
            "launch=cards, or launch=nodes launch.nnodes=N launch.node_rank=N launch.master_addr=ADDRESS"
        )
        return {}
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= {name: value} if not isinstance(value, Mapping) else dict(value)
    said = {str(name): value for name, value in flat.items() if value not in (None, False, "", "no", "NO", [])}
    # What kind it is of, the other keys say; those for TPUs and for SageMaker say nothing of a GPU or an NPU.
    return {
        name: str(value) if not isinstance(value, list) else ",".join(map(str, value))
        for name, value in said.items()
        if not (name == "distributed_type" and str(value) not in ("FSDP", "DEEPSPEED"))
    }


def _option(found: Launched, option: str, value: str, shown: str) -> None:
    if option in _OF_LAUNCHERS:
        _take(found, _OF_LAUNCHERS[option], shown, value)
    elif option in ("gpu_ids", "include"):
        host, colon, ids = value.rpartition(":")
        if colon and host != "localhost":
            found.left_out.append(f"{shown}={value}: names machines; start `harness run` with launch=nodes on each")
        elif ids != "all":
            _visible(found, shown, None, ids)
    elif option == "hostfile":
        found.left_out.append(f"{shown}={value}: names machines; start `harness run` with launch=nodes on each")
    elif option == "rdzv_endpoint":
        _endpoint(found, value, shown)
    elif option in ("cpu", "use_cpu"):
        found.device = "cpu"
    elif option == "mixed_precision":
        why = "holds where the training says neither bf16 nor fp16"
        found.left_out.append(f"{shown}={value}: {why}; then give training.precision={value}")
    elif option not in _NEEDLESS:
        equals = "=" if value else ""
        found.left_out.append(f"{shown}{equals}{value}: the harness starts its processes itself, and has no key for it")


def _endpoint(found: Launched, value: str, shown: str) -> None:
    if why := unknown(value):
        found.left_out.append(f"{shown}={value}: {why}; give {_KEYS['address']} {_KEYS['port']}")
        return
    # An IPv6 address has colons of its own, and stands in brackets before a port.
    parts = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?", value)
    found.address = (parts[1] if parts else value).strip("[]")
    found.port = int(parts[2]) if parts and parts[2] else found.port


def _sharded(found: Launched, option: str, value: str) -> str:
    """What to give instead of an option of accelerate's that parts the model among the processes."""
    zero = f"+deepspeed=zero0 launch={found.launch}"
    if option == "zero_stage":
        return f"give {zero} llamafactory.deepspeed.zero_optimization.stage={value}"
    if option == "deepspeed_config_file":
        return f"write `deepspeed: {value}` into the training file, and import it again"
    if "fsdp" in option:
        return (
            "the harness trains a whole model on each chip, or parts it by DeepSpeed; "
            f"give {zero} llamafactory.deepspeed.zero_optimization.stage=3"
        )
    return f"DeepSpeed is configured by the training; give {zero}, and this under llamafactory.deepspeed"
