"""All that is decided of a run before anything starts: device, precision, rows, identity, folder."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.base.redaction import redact
from harness.compose.checks import device_of, resolve_precision
from harness.config.schema import Config, arm_of
from harness.data import prepare
from harness.devices.device import Device
from harness.launch import torchrun as launch
from harness.models import synthetic as random
from harness.plan import identity
from harness.runs.record import write_atomically
from harness.trainer.arguments import training_arguments


@dataclass(frozen=True)
class Plan:
    config: Config
    overrides: tuple[str, ...]
    """The command line's, that compose this run."""
    device: Device
    precision: str
    rows: prepare.Rows
    model_path: str
    identity: str
    base_identity: str
    settings: str
    """Hash of what must be the same on every machine that trains it."""
    sweep_folder: Path
    number: int = 0
    """Its place in its sweep."""

    @property
    def arm(self) -> str:
        return arm_of(self.config)

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.config.seed}"

    @property
    def folder(self) -> Path:
        if self.is_helper:
            # The nodes may share a disk, and the run is node 0's.
            return self.sweep_folder / "nodes" / f"{self.name}-{self.identity}-node{self.config.launch.node_rank}"
        return self.sweep_folder / f"{self.name}-{self.identity}"

    @property
    def is_helper(self) -> bool:
        """Whether this machine only lends its chips to a run of node 0."""
        return self.config.launch.node_rank > 0

    @property
    def announced(self) -> str:
        """By this the nodes of a run know that they mean the same one."""
        return f"{self.number}:{self.config.sweep}/{self.name}/{self.settings}"

    @property
    def base_folder(self) -> Path:
        return self.sweep_folder / f"base-{self.base_identity}"

    @property
    def command(self) -> str:
        """Repeats the run from the folder it was started in."""
        return redact(shlex.join(["harness", "run", *self.overrides]))

    def resolved(self) -> dict[str, Any]:
        """The configuration as config.yaml holds it: resolved, without what was not chosen, without secrets."""
        plain = asdict(self.config)
        shapes = plain["model"].pop("shapes")
        if self.config.model.path is None:
            plain["model"]["sizes"] = shapes[self.config.model.shape]
        plain["arm"] = self.arm
        resolved = yaml.safe_load(redact(yaml.safe_dump(plain)))
        assert isinstance(resolved, dict)
        return resolved


def make(config: Config, overrides: tuple[str, ...] = (), number: int = 0) -> Plan:
    """Decide on a run. Reads the data and hashes the model; writes nothing."""
    device = device_of(config)
    precision = resolve_precision(config, device)
    rows = prepare.draw(config.dataset, config.model.hub)
    digest = rows.digest()
    model = config.model
    if model.path is None:
        assert model.shape is not None
        shape = model.shapes[model.shape]
        model_path = str(random.path_of(model.shape, shape))
        weights = f"random {sorted(asdict(shape).items())}"
    else:
        local = Path(model.path).expanduser()
        model_path = str(local.resolve()) if local.is_dir() else model.path
        weights = identity.fingerprint(local) if local.is_dir() else model.path
    return Plan(
        config=config,
        overrides=overrides,
        device=device,
        precision=precision,
        rows=rows,
        model_path=model_path,
        identity=identity.of_run(config, device, precision, weights, digest),
        base_identity=identity.of_base(config, device, precision, weights),
        settings=identity.of_settings(config, digest),
        sweep_folder=(Path(config.output) / config.sweep).resolve(),
        number=number,
    )


def arguments(plan: Plan) -> dict[str, Any]:
    """What train.yaml holds."""
    on_cpu = plan.device.torch_device == "cpu"
    several = launch.world_size(plan.config.launch, plan.device) > 1
    made = training_arguments(plan.config, plan.rows, plan.model_path, plan.precision, on_cpu, plan.folder)
    # Processors talk by gloo; for accelerators LLaMA-Factory chooses nccl or hccl itself.
    return made | {"ddp_backend": "gloo"} if several and on_cpu else made


def write_config(folder: Path, resolved: dict[str, Any]) -> None:
    write_atomically(folder / "config.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))


def write(plan: Plan, command: list[str], environment: dict[str, str]) -> None:
    """Write config.yaml, train.yaml, command.sh and the rows; with them the training can be repeated by hand."""
    folder = plan.folder
    prepare.write(plan.rows, folder / "dataset")
    write_config(folder, plan.resolved())
    write_atomically(folder / "train.yaml", yaml.safe_dump(arguments(plan), sort_keys=False, allow_unicode=True))
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    script = (
        "#!/bin/sh\n"
        "# The training as the harness ran it.\n"
        f"cd {shlex.quote(str(Path.cwd()))}\n{exports}{shlex.join(command)}\n\n"
        "# The same training without the harness, in the same environment:\n"
        f"# llamafactory-cli train {shlex.quote(str(folder / 'train.yaml'))}\n"
        "# Where torchvision or torchaudio do not fit torch, llamafactory-cli itself does not start; then:\n"
        f"# python -m harness.workers.compat train {shlex.quote(str(folder / 'train.yaml'))}\n"
    )
    write_atomically(folder / "command.sh", redact(script))
    (folder / "command.sh").chmod(0o755)
