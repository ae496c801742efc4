"""The files that a run starts from; with them its training can be repeated by hand."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from harness.base.files import write_atomically
from harness.base.redaction import redact, redacted
from harness.base.yaml_text import to_yaml
from harness.data import prepare
from harness.launch import torchrun
from harness.plan.spec import RunSpec
from harness.processes.jobs import TrainJob
from harness.runs.folder import RunFolder
from harness.trainer import named_files
from harness.trainer.arguments import training_arguments
from harness.trainer.trained import Trained


def train_arguments(spec: RunSpec) -> dict[str, Any]:
    """Return what train.yaml holds: LLaMA-Factory's own arguments."""
    return training_arguments(
        spec.config,
        given=named_files.located(spec.config.llamafactory, spec.started_in),
        train_names=list(spec.train_names),
        validation_names=list(spec.validation_names),
        dataset_dir=spec.folder.dataset,
        output_dir=spec.folder.adapter,
        model_path=spec.model_path,
        precision=spec.precision,
        on_cpu=spec.device.torch_device == "cpu",
        processes=torchrun.world_size(spec.config.launch, spec.device.chips),
    )


def trained(spec: RunSpec) -> Trained:
    """Return what the run's training leaves for its later steps."""
    return Trained(train_arguments(spec), spec.folder.adapter)


def write_config(folder: RunFolder, resolved: dict[str, Any]) -> None:
    """Write a run's resolved configuration. Raises OSError."""
    write_atomically(folder.config, to_yaml(resolved))


def _read(spec: RunSpec, parts: Sequence[prepare.Part]) -> int | None:
    """How many rows LLaMA-Factory makes of these; None: it draws from each by chance."""
    if len(parts) > 1 and spec.config.llamafactory.get("mix_strategy", "concat") != "concat":
        return None
    return sum(min(len(part.rows), spec.config.dataset.max_samples or len(part.rows)) for part in parts)


def write(spec: RunSpec, rows: prepare.Rows, environment: dict[str, str]) -> list[str]:
    """Write what a run starts from into its folder, and return the command that trains it. Raises OSError.

    `environment`: what the harness adds to that of the command."""
    folder = spec.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    write_atomically(folder.spec, spec.to_json())
    prepare.write(rows, folder.dataset)
    write_config(folder, spec.resolved())
    write_atomically(folder.train, to_yaml(redacted(train_arguments(spec))))
    device = spec.device.torch_device
    job = TrainJob(
        arguments=folder.train,
        events=folder.events,
        device=device,
        rows=_read(spec, rows.train_parts),
        validation_rows=_read(spec, rows.validation_parts),
        check=folder.check,
        tokenized=spec.sweep_folder.tokenized if spec.of_sweep else None,
        cache=folder.cache,
    )
    command = torchrun.command(spec.config.launch, spec.device.chips, spec.announced, job, folder)
    write_atomically(folder.command, _script(spec, environment, command))
    folder.command.chmod(folder.command.stat().st_mode | 0o111)
    return command


def _script(spec: RunSpec, environment: dict[str, str], command: Sequence[str]) -> str:
    exports = "".join(f"export {name}={_quoted(value)}\n" for name, value in sorted(environment.items()))
    plain = _quoted(str(spec.folder.train)).replace("\n", "\n# ")  # A comment ends at a line break, quoted or not.
    return (
        "#!/bin/sh\n"
        "# The training as the harness ran it.\n"
        f"cd {_quoted(str(spec.started_in))}\n{exports}{' '.join(map(_quoted, command))}\n\n"
        "# The same training without the harness, in the same environment:\n"
        f"# llamafactory-cli train {plain}\n"
        "# Where torchvision or torchaudio do not fit torch, llamafactory-cli itself does not start; then:\n"
        f"# python -m harness.workers.compat train {plain}\n"
    )


def _quoted(text: str) -> str:
    # Redacted first: quotes would stand between the letters of a secret that has quotes in it.
    return shlex.quote(redact(text))
