"""Merge an adapter into its base: by LLaMA-Factory's export, in a child process, in place only when it is whole."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.base.files import sync_folder, sync_tree, write_atomically
from harness.base.locks import flock_at_once
from harness.base.paths import absolute, obstacle
from harness.base.yaml_text import to_yaml
from harness.devices import cpu
from harness.devices.request import DeviceRequest
from harness.models.checkpoint import DamagedError, dtype_of, is_model, missing_shards, shapes_of, weights_bytes
from harness.processes.child import Child, Ended
from harness.processes.environment import worker_environment
from harness.processes.jobs import MergeJob
from harness.runs.events import EventReader
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import Outcome
from harness.serving import finished_run

YAML = "merge.yaml"
"""Inside of what was merged: `llamafactory-cli export merge.yaml` makes it again."""
_MADE = RunFolder.merged.name
_IN_WORKSHOP = {YAML, _MADE, TargetFolder.events.name, TargetFolder.job.name}


@dataclass(frozen=True)
class Merge:
    """A merge that nothing known speaks against."""

    arguments: dict[str, Any]
    """Of Trained.export_arguments."""
    output: Path
    log: Path
    environment: dict[str, str]
    removed: tuple[Path, ...] = ()
    """What merges to the same place that were killed had left; as large as a model each."""

    def run(self) -> Ended:
        """Merge, and return how the worker ended. Raises UserError, OSError."""
        return merge(self.arguments, self.output, self.log, self.environment)


def prepare(path: Path, output: Path | None = None) -> Merge:
    """Decide how the adapter of the run in the folder `path` is merged: into its folder, or to `output`.

    Makes room first: what merges that were killed had left there is removed. Raises UserError, OSError."""
    run = finished_run.load(path)
    finished_run.require_adapter(run)
    folder = run.folder
    if not run.trained.has_adapter:
        raise UserError(
            f"{folder.path}: was fine-tuned in full, so there is nothing to merge; the model is {folder.adapter}"
        )
    target = folder.merged if output is None else absolute(output)
    removed = remove_leftovers(target)
    _require_place(target, run.trained.base)
    return Merge(
        arguments=run.trained.export_arguments(target),
        output=target,
        log=folder.log("merge"),
        environment=worker_environment(run.config, cpu.find(DeviceRequest()), Path(run.trained.base).is_dir()),
        removed=tuple(removed),
    )


def merge(
    arguments: dict[str, Any], output: Path, log: Path, environment: dict[str, str], held: Sequence[int] = ()
) -> Ended:
    """Run LLaMA-Factory's export with `arguments` (of Trained.export_arguments) and put what it made at `output`.

    `environment` is the worker's whole one, `held` the file descriptors that it inherits. Nothing is at `output` unless
    the merge was completed; what is there already is never touched. Raises UserError where something is there or the
    disk has no room, and OSError."""
    remove_leftovers(output)
    _require_place(output, str(arguments["model_name_or_path"]))
    arguments = {**arguments, "infer_dtype": _dtype(arguments), "export_dir": str(output)}
    if arguments.get("export_device") == "cpu":
        # No chip is needed, and one may be full of a run beside this one.
        environment = environment | cpu.find(DeviceRequest()).environment()
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside `output`, so that the move is one within a file system.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name, _locked(Path(name)):
        workshop = TargetFolder(Path(name))
        made, exported = workshop.path / _MADE, workshop.path / YAML
        write_atomically(exported, to_yaml(arguments | {"export_dir": str(made)}))
        command = MergeJob(arguments=exported, events=workshop.events).write(workshop.job)
        ended = Child(command, log, environment, held).follow(EventReader(workshop.events), lambda event: None)
        if ended.outcome is not Outcome.COMPLETED:
            return ended
        # LLaMA-Factory only warns where it cannot save the tokenizer.
        if not is_model(made) or not (made / "tokenizer_config.json").is_file():
            left = ", ".join(sorted(file.name for file in made.iterdir()))
            return replace(ended, outcome=Outcome.FAILED, reason=f"the export left no whole model: there is {left}")
        write_atomically(made / YAML, to_yaml(arguments))
        sync_tree(made)
        try:
            made.rename(output)
            sync_folder(output.parent)
        except OSError as error:
            # Somebody else was faster: rename(2) replaces no folder with something in it, and no file.
            if output.exists():
                raise UserError(_taken(output)) from error
            raise
    return ended


def remove_leftovers(output: Path) -> list[Path]:
    """Remove what merges to `output` that were killed have left beside it, and return its folders.

    A merge that is under way holds a lock on its folder, which is left alone, and so is what cannot be removed."""
    # As mkdtemp names them.
    name = re.compile(rf"\.{re.escape(output.name)}\.[a-z0-9_]{{8}}")
    removed = []
    for folder in sorted(output.parent.iterdir()) if output.parent.is_dir() else ():
        if name.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            with suppress(OSError), _locked(folder) as is_locked:
                # A folder of the user's own may have such a name.
                if is_locked and {file.name for file in folder.iterdir()} <= _IN_WORKSHOP:
                    shutil.rmtree(folder)
                    removed.append(folder)
    return removed


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process got the lock on a folder, which ends with the process, however that ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield flock_at_once(descriptor)
    finally:
        os.close(descriptor)


def is_whole(output: Path) -> bool:
    """Return whether a merged model is there that can be loaded, by its files' names, sizes and headers."""
    try:
        return is_model(output) and not missing_shards(output) and bool(shapes_of(output))
    except (DamagedError, OSError):
        return False


def size_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _require_place(output: Path, base: str) -> None:
    """Raises UserError where `output` is there already, or its disk too small for a model of the size of `base`."""
    if output.exists():
        raise UserError(_taken(output))
    if reason := obstacle(output):
        raise UserError(f"{output}: {reason}; give a folder that can be written with --output")
    if model := next((folder for folder in output.parents if is_model(folder)), None):
        raise UserError(f"{output}: lies inside of a model, {model}; give a folder of its own with --output")
    parent = next(folder for folder in output.parents if folder.exists())
    free, needed = shutil.disk_usage(parent).free, weights_bytes(Path(base))
    if free < 1.05 * needed:
        raise UserError(
            f"{output}: the merged model takes {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
            "give a folder on a larger disk with --output"
        )


def _taken(output: Path) -> str:
    return f"{output}: is there already, and nothing is overwritten; remove it, or give another folder with --output"


def _dtype(arguments: dict[str, Any]) -> str:
    """Return that of the base's checkpoint.

    `auto` keeps it too, except that LLaMA-Factory makes bf16 of an fp32 base where it sees an accelerator
    (export_model in train/tuner.py), so that the same YAML would mean two things."""
    asked = str(arguments["infer_dtype"])
    return (dtype_of(Path(arguments["model_name_or_path"])) or asked) if asked == "auto" else asked
