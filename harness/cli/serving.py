"""`harness merge`, `chat`, `serve` and `webchat`: a finished run put to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from harness.cli.exits import FAILED

if TYPE_CHECKING:
    from harness.serving.chat import ModelProgram

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a completed run: outputs/SWEEP/RUN.")]
_Target = Annotated[
    Literal["base", "adapter", "merged"],
    typer.Option(help="The base as it was; with what was trained, quantized as it was trained; or merged before."),
]
_Merged = Annotated[Path | None, typer.Option(help="Where it was merged to. Default: RUN/merged.")]


def merge(
    run_folder: _Run,
    output: Annotated[Path | None, typer.Option(help="A folder that is not there yet. Default: RUN/merged.")] = None,
) -> None:
    """Merge a run's adapter into its base: one model that needs no PEFT. For QLoRA too, into the unquantized base."""
    import signal

    from harness.serving.merge import prepare, size_bytes

    # Whoever ends it, it clears away what is half made.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepared = prepare(run_folder, output)
    for leftover in prepared.removed:
        typer.echo(f"note: removed what a merge that was killed had left: {leftover}", err=True)
    typer.echo(f"merging with {prepared.arguments['model_name_or_path']}; log: {prepared.log}", err=True)
    ended = prepared.run()
    if ended.reason is not None:
        typer.echo(f"error: the merge failed: {ended.reason}", err=True)
        if ended.diagnosis is not None:
            typer.echo(f"  cause: {ended.diagnosis.cause}\n  fix:   {ended.diagnosis.fix}", err=True)
        typer.echo(f"  log:   {prepared.log}", err=True)
        raise typer.Exit(FAILED)
    typer.echo(f"merged: {prepared.output} ({size_bytes(prepared.output) / 2**20:.1f} MiB)")


def chat(
    run_folder: _Run,
    target: _Target = "adapter",
    merged: _Merged = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="The longest answer.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0, max=100, help="0: always the likeliest token.")] = 0.95,
) -> None:
    """Talk to what a run trained, in the terminal: with LLaMA-Factory's chat, the run's template and quantization."""
    from harness.serving.chat import prepare

    _become(prepare("chat", run_folder, target, merged, {"max_new_tokens": max_new_tokens, "temperature": temperature}))


def serve(
    run_folder: _Run,
    target: _Target = "adapter",
    merged: _Merged = None,
    host: Annotated[str, typer.Option(envvar="API_HOST", help="0.0.0.0: every address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="API_PORT", min=1, max=65535)] = 8000,
) -> None:
    """Serve what a run trained, to clients of OpenAI's API: with LLaMA-Factory's server. API_KEY asks for a key."""
    from harness.serving.chat import serve as prepare

    _become(prepare(run_folder, target, merged, host, port))


def webchat(
    run_folder: _Run,
    target: _Target = "adapter",
    merged: _Merged = None,
    host: Annotated[
        str, typer.Option(envvar="GRADIO_SERVER_NAME", help="0.0.0.0: every address of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="GRADIO_SERVER_PORT", min=1, max=65535)] = 7860,
) -> None:
    """Talk to what a run trained, in the browser: with LLaMA-Factory's page."""
    from harness.serving.chat import webchat as prepare

    _become(prepare(run_folder, target, merged, host, port))


def _become(program: ModelProgram) -> NoReturn:
    for note in program.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"the same without the harness: {program.plain_command}", err=True)
    program.become()
