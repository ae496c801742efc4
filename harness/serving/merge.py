"""Merge an adapter into its base: by LLaMA-Factory's export, in a child process, in place only when it is whole."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.base.errors import UserError
from harness.devices import cpu
from harness.devices.selection import Wish
from harness.execution.session import environment
from harness.models.checkpoint import dtype_of, is_model, weights_bytes
from harness.processes.child import Child, Ended
from harness.runs.events import EventReader
from harness.runs.record import Outcome, write_atomically
from harness.serving import finished_run as run_folder
from harness.trainer.arguments import export_arguments

YAML = "merge.yaml"
"""Inside of what was merged: `llamafactory-cli export merge.yaml` makes it again."""


@dataclass(frozen=True)
class Merge:
    """A merge that nothing known speaks against."""

    arguments: dict[str, Any]
    """Of export_arguments."""
    output: Path
    log: Path
    environment: dict[str, str]

    def run(self) -> Ended:
        """Raises UserError, OSError."""
        return merge(self.arguments, self.output, self.log, self.environment)


def prepare(folder: Path, output: Path | None = None) -> Merge:
    """Decide how the adapter of the run in `folder` is merged: into its folder, or to `output`. Raises UserError."""
    run = run_folder.load(folder)
    run_folder.require_adapter(run)
    if not run.has_adapter:
        raise UserError(
            [f"{run.folder}: was fine-tuned in full, so there is nothing to merge; the model is {run.adapter}"]
        )
    target = run.merged if output is None else output.resolve()
    _require_place(target, run.model_path)
    return Merge(
        arguments=export_arguments(run.config, run.model_path, run.adapter, target),
        output=target,
        log=run.folder / "logs" / "merge.log",
        environment=environment(run.config, cpu.find(Wish()), offline=run.base_is_local),
    )


def merge(arguments: dict[str, Any], output: Path, log: Path, environment: dict[str, str]) -> Ended:
    """Run LLaMA-Factory's export with `arguments` (of export_arguments) and put what it made at `output`.

    `environment` is the child's whole one. Nothing is at `output` unless the merge was completed; what is there already
    is never touched. Raises UserError where something is there or the disk has no room, and OSError."""
    _require_place(output, str(arguments["model_name_or_path"]))
    arguments = {**arguments, "infer_dtype": _dtype(arguments), "export_dir": str(output)}
    if arguments.get("export_device") == "cpu":
        # No chip is needed, and one may be full of a run beside this one.
        environment = environment | cpu.find(Wish()).environment()
    output.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, so that the move is one within a file system.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        workshop = Path(temporary)
        made, events = workshop / "merged", workshop / "events.jsonl"
        write_atomically(workshop / YAML, _text(arguments | {"export_dir": str(made)}))
        command = [sys.executable, "-m", "harness.workers.merge", str(workshop / YAML), str(events)]
        ended = Child(command, log, environment).follow(EventReader(events), lambda event: None)
        if ended.outcome is not Outcome.COMPLETED:
            return ended
        if not _is_whole(made):
            # LLaMA-Factory only warns where it cannot save the tokenizer.
            left = ", ".join(sorted(file.name for file in made.iterdir()))
            return replace(ended, outcome=Outcome.FAILED, reason=f"the export left no whole model: there is {left}")
        write_atomically(made / YAML, _text(arguments))
        _move(made, output)
    return ended


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _require_place(output: Path, base: str) -> None:
    """Raises UserError where `output` is there already, or its disk too small for a model of the size of `base`."""
    if output.exists():
        raise UserError([_taken(output)])
    if model := next((folder for folder in output.parents if is_model(folder)), None):
        raise UserError([f"{output}: lies inside of a model, {model}; give a folder of its own with --output"])
    there = next(folder for folder in output.parents if folder.exists())
    free, needed = shutil.disk_usage(there).free, weights_bytes(Path(base))
    if free < 1.05 * needed:
        raise UserError(
            [
                f"{output}: the merged model takes {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
                "give a folder on a larger disk with --output"
            ]
        )


def _taken(output: Path) -> str:
    return f"{output}: is there already, and nothing is overwritten; remove it, or give another folder with --output"


def _dtype(arguments: dict[str, Any]) -> str:
    """That of the base's checkpoint. `auto` keeps it too, except that LLaMA-Factory makes bf16 of an fp32 base where
    it sees an accelerator (export_model in train/tuner.py), so that the same YAML would mean two things."""
    asked = str(arguments["infer_dtype"])
    return (dtype_of(Path(arguments["model_name_or_path"])) or asked) if asked == "auto" else asked


def _is_whole(folder: Path) -> bool:
    return is_model(folder) and (folder / "tokenizer_config.json").is_file()


def _move(made: Path, output: Path) -> None:
    try:
        made.rename(output)
    except OSError as error:
        # Somebody else was faster: rename(2) replaces no folder with something in it, and no file.
        if output.exists():
            raise UserError([_taken(output)]) from error
        raise


def _text(arguments: dict[str, Any]) -> str:
    return yaml.safe_dump(arguments, sort_keys=False, allow_unicode=True)
