"""Talk to what a run trained: LLaMA-Factory's chat, API server or web page on base, adapter or merged model.

The process of the harness becomes LLaMA-Factory's, so that the terminal, Ctrl-C and the exit status are the program's
own, and no process waits for another.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from harness.base.errors import UserError
from harness.base.ports import require_free
from harness.devices.device import Device
from harness.execution import session as children
from harness.models.checkpoint import is_model
from harness.serving import finished_run as run_folder
from harness.serving.device import choose_for
from harness.serving.finished_run import FinishedRun
from harness.trainer.arguments import inference_arguments

Target = Literal["base", "adapter", "merged"]
Program = Literal["chat", "api", "webchat"]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Talk:
    """A program of LLaMA-Factory's on a model, ready to be started."""

    program: Program
    arguments: dict[str, Any]
    """LLaMA-Factory's."""
    environment: dict[str, str]
    device: Device
    folder: Path
    """Where it runs; webchat leaves files in it."""
    notes: tuple[str, ...] = ()
    """For the user, before it starts."""

    @property
    def plain_command(self) -> str:
        """The same without the harness."""
        return shlex.join(["llamafactory-cli", self.program, *_flags(self.arguments)])

    @property
    def command(self) -> list[str]:
        module = ("-m", "harness.workers.chat")
        return [sys.executable, *module, self.device.torch_device, self.program, *_flags(self.arguments)]

    def become(self) -> NoReturn:
        """Turn this process into the program."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(self.folder)
        os.execve(self.command[0], self.command, self.environment)


def prepare(
    program: Program, folder: Path, target: Target, merged: Path | None = None, generation: dict[str, Any] | None = None
) -> Talk:
    """Decide how `program` is started on the `target` of the run in `folder`. Raises UserError.

    `merged`: where the merged model is, unless in the run's folder. `generation`: LLaMA-Factory's arguments of it."""
    run = run_folder.load(folder)
    arguments = _model(run, target, merged) | (generation or {})
    here = choose_for(run)
    path = Path(arguments["model_name_or_path"])
    environment = children.environment(run.config, here.device, offline=path.is_dir())
    # Its log goes to stdout, between question and answer.
    environment.setdefault("LLAMAFACTORY_VERBOSITY", "WARNING")
    notes = () if here.note is None else (here.note,)
    return Talk(program, arguments, environment, here.device, Path.cwd(), notes)


def serve(folder: Path, target: Target, merged: Path | None, host: str, port: int) -> Talk:
    """LLaMA-Factory's API server, which gives the run's name as the model's. Raises UserError."""
    require_free(host, port)
    talk = prepare("api", folder, target, merged)
    named = {"API_HOST": host, "API_PORT": str(port), "API_MODEL_NAME": folder.resolve().name}
    own = {name: os.environ[name] for name in ("API_KEY", "API_MODEL_NAME") if name in os.environ}
    notes = [f"serving at http://{host}:{port}/v1 as soon as the model is loaded; Ctrl-C ends it"]
    if host not in _LOOPBACK and "API_KEY" not in own:
        notes.insert(0, f"whoever reaches {host}:{port} may use it; set API_KEY to ask for a key")
    return replace(talk, environment=talk.environment | named | own, notes=(*talk.notes, *notes))


def webchat(folder: Path, target: Target, merged: Path | None, host: str, port: int) -> Talk:
    """LLaMA-Factory's web page to chat on. Raises UserError."""
    require_free(host, port)
    talk = prepare("webchat", folder, target, merged)
    named = {"GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    note = f"chatting at http://{host}:{port} as soon as the model is loaded; Ctrl-C ends it"
    # It leaves a folder llamaboard_cache wherever it is started.
    leavings = folder.resolve() / "logs"
    return replace(talk, environment=talk.environment | named, folder=leavings, notes=(*talk.notes, note))


def _model(run: FinishedRun, target: Target, merged: Path | None) -> dict[str, Any]:
    if target == "merged":
        return inference_arguments(run.config, str(_merged(run, merged)), run.precision, None)
    if merged is not None:
        raise UserError([f"--merged {merged}: is for --target merged, not --target {target}; leave one of them out"])
    if target == "base":
        run_folder.require_base(run)
        return inference_arguments(run.config, run.model_path, run.precision, None)
    run_folder.require_adapter(run)
    return inference_arguments(run.config, run.model_path, run.precision, run.adapter)


def _merged(run: FinishedRun, given: Path | None) -> Path:
    folder = run.merged if given is None else given.resolve()
    if not run.has_adapter:
        raise UserError([f"{run.folder}: was fine-tuned in full, so there is nothing to merge; use --target adapter"])
    if not is_model(folder):
        output = "" if given is None else f" --output {shlex.quote(str(given))}"
        raise UserError(
            [f"{folder}: there is no merged model yet; make it: harness merge {shlex.quote(str(run.folder))}{output}"]
        )
    return folder


def _flags(arguments: dict[str, Any]) -> list[str]:
    # With =, so that a value may begin with a dash.
    return [f"--{name}={value}" for name, value in arguments.items()]
