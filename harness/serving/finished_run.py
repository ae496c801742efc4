"""A finished run, read from its folder: all that is needed to use what it trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.base import yaml_text
from harness.base.errors import UserError
from harness.base.files import content
from harness.base.paths import absolute
from harness.base.redaction import restored
from harness.config.schema import Config
from harness.models import fingerprint
from harness.models.checkpoint import ADAPTER_CONFIG, DamagedError, adapter_problem, is_model
from harness.runs import store
from harness.runs.folder import RunFolder, SweepFolder
from harness.runs.record import Outcome, Record
from harness.trainer.trained import Trained

_WHERE = f"a run's folder is outputs/SWEEP/RUN, with {RunFolder.record} in it"


@dataclass(frozen=True)
class FinishedRun:
    """A completed run whose adapter or model can be put to use."""

    folder: RunFolder
    config: Config
    device: str
    """What it was trained on: cpu, cuda or ascend."""
    trained: Trained
    base_weights: str | None = None
    """Hash of the weights that it started from, as models.fingerprint makes it; None: not known."""

    @property
    def name(self) -> str:
        return self.folder.name


def load(path: Path) -> FinishedRun:
    """Return the completed run of a folder, of this version or an earlier one. Raises UserError where it is none."""
    folder = RunFolder(absolute(path))
    record = _completed_record(folder)
    if record.adopted is not None:
        raise UserError(
            f"{folder.path}: is adopted; what it trained is in {record.adopted.folder}: use LLaMA-Factory's own "
            f"llamafactory-cli chat, with --adapter_name_or_path {record.adopted.folder}"
        )
    assert record.device is not None
    arguments = _training_arguments(folder)
    # By pydantic, not OmegaConf: what is recorded is resolved, and a `${` in it is text. That it fits was seen before.
    config = TypeAdapter(Config).validate_python(restored(record.config))
    return FinishedRun(
        folder=folder,
        config=config,
        device=record.device,
        trained=Trained(arguments, folder.adapter),
        base_weights=record.base_weights,
    )


def require_base(run: FinishedRun) -> None:
    """Raises UserError where the base was a folder, and is gone or holds another model."""
    base = Path(run.trained.base)
    if base.is_absolute() and not is_model(base):
        raise UserError(
            f"{run.trained.base}: the base of {run.name} is no longer there; put the model back, or link to it there"
        )
    if run.base_weights is not None and base.is_dir() and fingerprint.of_weights(base) != run.base_weights:
        raise UserError(
            f"{run.trained.base}: holds other weights than {run.name} was trained on, so it belongs to another base; "
            "put those back, or run it again"
        )


def require_adapter(run: FinishedRun) -> None:
    """Raises UserError where what the run trained is gone, or belongs to another base."""
    adapter = run.trained.adapter
    if not run.trained.has_adapter:
        if not is_model(adapter):
            raise UserError(f"{adapter}: there is no model in it, though the run was completed; run it again")
        return
    require_base(run)
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise UserError(f"{adapter}: there is no {ADAPTER_CONFIG}, though the run was completed; run it again")
    try:
        problem = adapter_problem(adapter, run.trained.base)
    except DamagedError as error:
        raise UserError(str(error)) from error
    if problem is not None:
        raise UserError(problem)


def _completed_record(folder: RunFolder) -> Record:
    path = folder.path
    if not path.is_dir():
        raise UserError(f"{path}: {'is a file' if path.exists() else 'no such folder'}; {_WHERE}")
    try:
        record = store.load(folder)
    except store.DamagedRecordError as error:
        raise UserError(f"{error}; run it again, the damaged record is kept beside the new one") from error
    if record is not None and record.status is Outcome.COMPLETED:
        return record
    if record is not None:
        reason = f": {record.reason}" if record.reason else ""
        raise UserError(f"{path}: the run is not completed but {record.status}{reason}; run it again: {record.command}")
    if folder.train.is_file():
        raise UserError(
            f"{path}: the run is not completed: there is no {RunFolder.record}, so it is still running, was killed or "
            "was only planned; wait for it, or give the same `harness run` or `harness sweep` again"
        )
    runs = [run.name for run in SweepFolder(path).runs() if run.record.exists()]
    choice = f"; the runs in it are {', '.join(runs)}" if runs else ""
    raise UserError(f"{path}: is no run: there is no {RunFolder.record}; {_WHERE}{choice}")


def _training_arguments(folder: RunFolder) -> dict[str, Any]:
    try:
        arguments = yaml_text.load(content(folder.train))
    except (OSError, yaml_text.UnreadableError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{folder.train}: cannot be read: {why}; run it again") from error
    if not isinstance(arguments, dict) or not isinstance(arguments.get("model_name_or_path"), str):
        raise UserError(f"{folder.train}: names no model_name_or_path; run it again")
    return arguments
