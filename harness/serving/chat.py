"""Talk to what a run trained: LLaMA-Factory's chat, API server or web page on base, adapter or merged model.

The process of the harness becomes LLaMA-Factory's, so that the terminal, Ctrl-C and the exit status are the program's
own, and no process waits for another.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from harness.base.errors import UserError
from harness.base.paths import absolute
from harness.base.ports import require_free
from harness.devices import device as devices
from harness.devices.device import AbsentError, Device, DeviceError, DeviceRequest
from harness.models.checkpoint import is_model
from harness.plan import device as planned
from harness.processes.environment import worker_environment
from harness.processes.jobs import ChatJob
from harness.runs.folder import RunFolder
from harness.serving import finished_run
from harness.serving.finished_run import FinishedRun

Target = Literal["base", "adapter", "merged"]
Program = Literal["chat", "api", "webchat"]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ModelProgram:
    """A program of LLaMA-Factory's on a model, ready to be started."""

    job: ChatJob
    environment: dict[str, str]
    """The process's whole one."""
    folder: Path
    """Where it runs; webchat leaves files in it."""
    notes: tuple[str, ...] = ()
    """For the user, before it starts."""

    @property
    def plain_command(self) -> str:
        """The same without the harness, for a shell."""
        return shlex.join(["llamafactory-cli", self.job.program, *self.job.flags])

    def become(self) -> NoReturn:
        """Turn this process into the program, whose job is in a file of no name. Raises OSError."""
        sys.stdout.flush()
        sys.stderr.flush()
        with tempfile.TemporaryFile() as file:
            file.write(self.job.model_dump_json().encode())
            file.seek(0)
            os.set_inheritable(file.fileno(), True)
            os.chdir(self.folder)
            command = self.job.command(f"/dev/fd/{file.fileno()}")
            os.execve(command[0], command, self.environment)


def prepare(
    program: Program, folder: Path, target: Target, merged: Path | None = None, generation: dict[str, Any] | None = None
) -> ModelProgram:
    """Decide how `program` is started on the `target` of the run in `folder`. Raises UserError.

    `merged`: where the merged model is, unless in the run's folder. `generation`: LLaMA-Factory's arguments of it."""
    run = finished_run.load(folder)
    arguments = _model(run, target, merged) | (generation or {})
    device, notes = _device(run)
    offline = Path(arguments["model_name_or_path"]).is_dir()
    environment = worker_environment(run.config, device, offline)
    # Its log goes to stdout, between question and answer.
    environment.setdefault("LLAMAFACTORY_VERBOSITY", "WARNING")
    # With =, so that a value may begin with a dash.
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    job = ChatJob(device=device.torch_device, program=program, flags=flags)
    return ModelProgram(job, environment, Path.cwd(), notes)


def serve(folder: Path, target: Target, merged: Path | None, host: str, port: int) -> ModelProgram:
    """Prepare LLaMA-Factory's API server, which gives the run's name as the model's. Raises UserError."""
    require_free(host, port)
    program = prepare("api", folder, target, merged)
    named = {"API_HOST": host, "API_PORT": str(port), "API_MODEL_NAME": absolute(folder).name}
    own = {name: os.environ[name] for name in ("API_KEY", "API_MODEL_NAME") if name in os.environ}
    notes = [f"serving at http://{host}:{port}/v1 as soon as the model is loaded; Ctrl-C ends it"]
    if host not in _LOOPBACK and "API_KEY" not in own:
        notes.insert(0, f"whoever reaches {host}:{port} may use it; set API_KEY to ask for a key")
    return replace(program, environment=program.environment | named | own, notes=(*program.notes, *notes))


def webchat(folder: Path, target: Target, merged: Path | None, host: str, port: int) -> ModelProgram:
    """Prepare LLaMA-Factory's web page to chat on. Raises UserError."""
    require_free(host, port)
    program = prepare("webchat", folder, target, merged)
    named = {"GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    notes = [f"chatting at http://{host}:{port} as soon as the model is loaded; Ctrl-C ends it"]
    if host not in _LOOPBACK:
        notes.insert(0, f"whoever reaches {host}:{port} may use it, and the page asks nobody for a key")
    # It leaves a folder llamaboard_cache wherever it is started.
    logs = RunFolder(absolute(folder)).logs
    return replace(program, environment=program.environment | named, folder=logs, notes=(*program.notes, *notes))


def _device(run: FinishedRun) -> tuple[Device, tuple[str, ...]]:
    """The run's device, or another one of this machine where that one cannot be used, which is noted."""
    try:
        return planned.choose(run.config, run.device), ()
    except DeviceError as error:
        chips = run.config.device.chips
        named = run.device if chips is None else f"{run.device} with chips {chips}"
        why = "is not here" if isinstance(error, AbsentError) else f"cannot be used ({error})"
    try:
        device = devices.choose("auto", DeviceRequest())
    except DeviceError as error:
        raise UserError(f"{run.name}: its device, {named}, {why}, and the one that is here: {error}") from None
    return device, (f"the run's device, {named}, {why}; {device.product} takes its place",)


def _model(run: FinishedRun, target: Target, merged: Path | None) -> dict[str, Any]:
    if target == "merged":
        return run.trained.merged_arguments(_merged(run, merged))
    if merged is not None:
        raise UserError(f"--merged {merged}: is for --target merged, not --target {target}; leave one of them out")
    if target == "base":
        finished_run.require_base(run)
        return run.trained.base_arguments()
    finished_run.require_adapter(run)
    return run.trained.adapter_arguments()


def _merged(run: FinishedRun, given: Path | None) -> Path:
    folder = run.folder.merged if given is None else absolute(given)
    path = run.folder.path
    if not run.trained.has_adapter:
        raise UserError(f"{path}: was fine-tuned in full, so there is nothing to merge; use --target adapter")
    if not is_model(folder):
        output = "" if given is None else f" --output {shlex.quote(str(given))}"
        raise UserError(
            f"{folder}: there is no merged model yet; make it: harness merge {shlex.quote(str(path))}{output}"
        )
    return folder
