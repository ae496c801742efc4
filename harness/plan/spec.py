"""RunSpec: all that decides one run, as plain data that travels as JSON to a worker, a queue or another machine."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.base.errors import UserError, first_problem
from harness.base.files import content
from harness.base.paths import absolute
from harness.base.redaction import redact, redacted, restored
from harness.config.schema import Config, arm_of
from harness.devices.request import TorchDevice
from harness.plan import identity
from harness.runs.folder import RunFolder, SweepFolder, TargetFolder
from harness.runs.record import IdentityParts, RowsDrawn


class DeviceSpec(BaseModel):
    """What a run's result may owe to its device. Which chips they are is decided where it runs."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["cpu", "cuda", "ascend"]
    torch_device: TorchDevice
    product: str | None = None
    """The name of the chip or of the processor; None: the run was planned on a machine that has none of this kind."""
    chips: int
    """How many; 0 on a CPU."""
    supports_bf16: bool | None = None
    """None: not known."""
    stand_in: str | None = None
    """What stands in for the hardware, in words; the training is done on the CPU then."""


class RunSpec(BaseModel):
    """One run. Its identity, and with it the name of its folder, follows from `parts` alone."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    schema_version: Literal[1] = 1
    config: Config
    overrides: tuple[str, ...] = ()
    """The command line's, that compose this run."""
    number: int = 0
    """Its place in the order of the runs of its command, from 0."""
    of_sweep: bool = False
    """Whether that command was for a sweep; else the run stands by itself."""
    started_in: Path
    """The folder that relative paths of the configuration start from."""
    device: DeviceSpec
    precision: Literal["fp32", "fp16", "bf16"]
    model_path: str
    """A folder or a hub id, as LLaMA-Factory takes it."""
    train_names: tuple[str, ...]
    """What the rows are registered as in dataset_info.json."""
    validation_names: tuple[str, ...]
    drawn: RowsDrawn | None = None
    """None: an older version planned the run."""
    parts: IdentityParts
    former_weights: str | None = None
    """What the version before would have put in place of `parts.model`; None: the same."""

    @property
    def arm(self) -> str:
        return arm_of(self.config)

    @property
    def has_local_model(self) -> bool:
        """Whether `model_path` is a folder; else a worker asks a hub for it."""
        return Path(self.model_path).is_dir()

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.config.seed}"

    @property
    def of_arm(self) -> str:
        """What all runs share that differ in their seeds alone."""
        return f"{self.arm} {self.parts.model_dump_json(exclude={'seed'})}"

    @property
    def position(self) -> int | None:
        """Its place in the order of its sweep's command, from 1; None: it stands by itself."""
        return self.number + 1 if self.of_sweep else None

    @property
    def identity(self) -> str:
        return identity.of_run(self.parts)

    @property
    def sweep_folder(self) -> SweepFolder:
        return SweepFolder(absolute(self.started_in / self.config.output / self.config.sweep))

    @property
    def folder(self) -> RunFolder:
        name = f"{self.name}-{self.identity}"
        if self.is_helper:
            return self.sweep_folder.helper(name, self.config.launch.node_rank)
        return self.sweep_folder.run(name)

    def former(self) -> RunSpec | None:
        """The same run as the version before would have named it; None: under the same name."""
        if self.former_weights is None:
            return None
        parts = self.parts.model_copy(update={"model": self.former_weights})
        return self.model_copy(update={"parts": parts, "former_weights": None})

    @property
    def base_folder(self) -> TargetFolder:
        """Where the base is scored as the training finds it, once for all arms and seeds that share it."""
        return self.sweep_folder.base(identity.of_base(self.parts))

    @property
    def is_helper(self) -> bool:
        """Whether this machine only lends its chips to a run of node 0."""
        return self.config.launch.node_rank > 0

    @property
    def announced(self) -> str:
        """`NUMBER:NAME`, by which the machines that train a run together know that they mean the same."""
        return f"{self.number}:{self.config.sweep}/{self.name}/{identity.of_settings(self.parts)}"

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
        resolved = redacted(plain)
        assert isinstance(resolved, dict)
        return resolved

    def to_json(self) -> str:
        """The spec as JSON, the values of secrets replaced by their names."""
        return json.dumps(redacted(self.model_dump(mode="json")), indent=2, ensure_ascii=False) + "\n"


def read_spec(file: Path) -> RunSpec:
    """Return the spec in a file, named secrets filled in from this environment. Raises UserError."""
    try:
        return RunSpec.model_validate(restored(json.loads(content(file))))
    except OSError as error:
        problem = error.strerror
    except ValidationError as error:
        problem = first_problem(error)
    except ValueError as error:
        problem = f"is no JSON: {error}"
    raise UserError(f"--spec {file}: {problem}; a run keeps its own as {RunFolder.spec}")
