"""The verbs. Each imports what it needs when it is called, so that --help answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from harness.serving.talk import Talk

app = typer.Typer(
    name="harness",
    help="What QLoRA costs and saves against LoRA on your model, your data and your device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}


@app.command(context_settings=_HYDRA)
def run(context: typer.Context) -> None:
    """One run: harness run [KEY=VALUE ...], e.g. harness run method=qlora training.max_steps=50

    Hydra's own flags (--cfg job, --info, --multirun) work too; `python -m harness --help` lists groups and keys."""
    from harness.execution.sweep import main

    main(context.args)


_SWEEPS = (
    "A file in ./sweeps, or one of the package's own: quickstart, memory_probe; the tutorials qwen2_math, "
    "qwen3_psychology, qwen3_vl_tools, qwen2_5_identity, qwen1_5_zero0."
)


@app.command(context_settings=_HYDRA)
def sweep(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=_SWEEPS)],
) -> None:
    """All runs of a comparison, then its report: harness sweep NAME [KEY=VALUE ...]

    dry_run=true writes what would be trained and trains nothing. Completed runs are not run again."""
    from harness.execution.sweep import main

    main(["--multirun", f"sweeps={name}", *context.args])


@app.command()
def report(
    sweeps: Annotated[list[Path], typer.Argument(metavar="SWEEP_DIR...", help="outputs/NAME, one or several.")],
    output: Annotated[Path | None, typer.Option(help="Default: reports/NAME of the first.")] = None,
) -> None:
    """Render a comparison again, from the records alone."""
    from harness.report.render import render

    missing = [folder for folder in sweeps if not folder.is_dir()]
    if missing:
        for folder in missing:
            typer.echo(f"error: {folder}: no such folder; a sweep's folder is outputs/NAME", err=True)
        raise typer.Exit(2)
    rendered = render(sweeps, output or Path("reports") / sweeps[0].resolve().name)
    for sentence in rendered.said:
        typer.echo(sentence)
    typer.echo(f"report: {rendered.path}")


@app.command()
def doctor(
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or ascend; default: whatever shows signs of being here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Read a failed run's log instead, and name the cause and the fix.")
    ] = None,
) -> None:
    """What on this machine keeps a run from working, and the fix for it. Exit status 1 when something failed."""
    from rich.console import Console

    if log is None:
        from harness.doctor.checks import examine
        from harness.doctor.finding import State
        from harness.doctor.table import render

        findings = examine(device)
        render(findings, Console(highlight=False))
        raise typer.Exit(int(any(finding.state is State.FAILED for finding in findings)))
    from harness.processes.symptoms import diagnoses

    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        typer.echo(f"error: {log}: {error.strerror}; a run's logs are in outputs/SWEEP/RUN/logs", err=True)
        raise typer.Exit(2) from None
    found = diagnoses(text)
    for one in found:
        typer.echo(f"{one.line}\n  cause: {one.cause}\n  fix:   {one.fix}")
    if not found:
        typer.echo(f"{log}: none of the symptoms that are known; its last lines are the best hint")
    raise typer.Exit(int(bool(found)))


_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a completed run: outputs/SWEEP/RUN.")]
_Target = Annotated[
    Literal["base", "adapter", "merged"],
    typer.Option(help="The base as it was; with what was trained, quantized as it was trained; or merged before."),
]
_Merged = Annotated[Path | None, typer.Option(help="Where it was merged to. Default: RUN/merged.")]


@app.command()
def merge(
    run_folder: _Run,
    output: Annotated[Path | None, typer.Option(help="A folder that is not there yet. Default: RUN/merged.")] = None,
) -> None:
    """Merge a run's adapter into its base: one model that needs no PEFT. For QLoRA too, into the unquantized base."""
    with _mistakes_told():
        import signal

        from harness.serving.merge import prepare, size_bytes

        # Whoever ends it, it clears away what is half made.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        prepared = prepare(run_folder, output)
        typer.echo(f"merging with {prepared.arguments['model_name_or_path']}; log: {prepared.log}", err=True)
        ended = prepared.run()
    if ended.reason is not None:
        typer.echo(f"error: the merge failed: {ended.reason}", err=True)
        if ended.diagnosis is not None:
            typer.echo(f"  cause: {ended.diagnosis.cause}\n  fix:   {ended.diagnosis.fix}", err=True)
        typer.echo(f"  log:   {prepared.log}", err=True)
        raise typer.Exit(1)
    typer.echo(f"merged: {prepared.output} ({size_bytes(prepared.output) / 2**20:.1f} MiB)")


@app.command()
def chat(
    run_folder: _Run,
    target: _Target = "adapter",
    merged: _Merged = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the likeliest token.")] = 0.95,
) -> None:
    """Talk to what a run trained, in the terminal: with LLaMA-Factory's chat, the run's template and quantization."""
    with _mistakes_told():
        from harness.serving import talk

        generation = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        prepared = talk.prepare("chat", run_folder, target, merged, generation)
        _become(prepared)


@app.command()
def serve(
    run_folder: _Run,
    target: _Target = "adapter",
    merged: _Merged = None,
    host: Annotated[str, typer.Option(envvar="API_HOST", help="0.0.0.0: every address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="API_PORT", min=1, max=65535)] = 8000,
) -> None:
    """Serve what a run trained, to clients of OpenAI's API: with LLaMA-Factory's server. API_KEY asks for a key."""
    with _mistakes_told():
        from harness.serving import talk

        _become(talk.serve(run_folder, target, merged, host, port))


@app.command()
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
    with _mistakes_told():
        from harness.serving import talk

        _become(talk.webchat(run_folder, target, merged, host, port))


def _become(talk: Talk) -> NoReturn:
    for note in talk.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"the same without the harness: {talk.plain_command}", err=True)
    talk.become()


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """What the user can mend becomes a message and exit status 2; Ctrl-C becomes 130."""
    from harness.base.errors import UserError

    try:
        yield
    except UserError as error:
        for mistake in error.mistakes:
            typer.echo(f"error: {mistake}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {where}{error.strerror}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A training file of LLaMA-Factory's: YAML or JSON.")],
) -> None:
    """A training file of LLaMA-Factory's as a command of this harness, with what cannot be carried over and why."""
    with _mistakes_told():
        from harness.cli.import_file import import_verb

        import_verb(file)


@app.command(context_settings=_HYDRA)
def data(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="A folder that holds no dataset yet; LLaMA-Factory's dataset_dir.")],
) -> None:
    """The rows of a run or a sweep, without training: harness data [NAME] [KEY=VALUE ...] --output DIR"""
    with _mistakes_told():
        from harness.cli.data_step import write_data

        write_data(context.args, output)


@app.command()
def watch(
    sweep_dir: Annotated[Path, typer.Argument(help="outputs/NAME; default: the sweep that was tracked last.")] = Path(
        "outputs"
    ),
    port: Annotated[int, typer.Option(help="Of the local dashboard.")] = 5092,
) -> None:
    """Open SwanLab's local dashboard on the runs of a sweep."""
    import shutil
    import subprocess
    import sys

    logs = sorted(
        [*sweep_dir.glob("swanlog"), *sweep_dir.glob("*/swanlog")],
        key=lambda folder: folder.stat().st_mtime,
        reverse=True,
    )
    if not logs:
        typer.echo(f"error: {sweep_dir}: no SwanLab files here; run a sweep with tracking=local first", err=True)
        raise typer.Exit(2)
    swanlab = shutil.which("swanlab", path=str(Path(sys.executable).parent)) or "swanlab"
    try:
        raise typer.Exit(subprocess.call([swanlab, "watch", str(logs[0]), "--port", str(port)]))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
