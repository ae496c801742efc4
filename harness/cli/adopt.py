"""`harness adopt`: what LLaMA-Factory has trained without the harness, as runs and a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.base.errors import UserError
from harness.base.paths import NAME_RULE, absolute, is_name

_WORDS = {
    "memory": "its memory",
    "accuracy": "its accuracy",
    "quantization": "whether its base was quantized (give --train FILE)",
    "seed": "its seed (taken for 42)",
    "train_seconds": "how long it trained without validation",
    "tokens": "how many tokens it trained on",
    "device": "on what it trained",
    "hardware": "on which machine and chip",
    "rows": "what was in its rows",
    "versions": "which versions trained it",
    "started_at": "when it started, but for the time of its files",
}

if TYPE_CHECKING:
    from harness.adoption.adopt import AdoptedRun, Request
    from harness.adoption.measuring import Measuring
    from harness.adoption.output_folder import TrainingFile


def adopt(
    folders: Annotated[
        list[str], typer.Argument(metavar="[ARM=]DIR...", help="output_dir of a training, as saves/qwen/lora.")
    ],
    train: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What llamafactory-cli was given, where it lies neither here nor in DIR."),
    ] = None,
    sweep: Annotated[str, typer.Option(help="The comparison that they belong to.")] = "adopted",
    output: Annotated[Path, typer.Option(help="Where the sweep's folder is made.")] = Path("outputs"),
    reports: Annotated[Path, typer.Option(help="Where the report's folder is made.")] = Path("reports"),
    language: Annotated[str, typer.Option(help="Of the report's words.")] = "en",
) -> None:
    """Make runs of trainings that LLaMA-Factory did without the harness, and a report of what their files tell.

    Nothing in DIR is moved, changed or copied. What was not measured is said, with the command that measures it."""
    from harness.adoption.adopt import Request
    from harness.adoption.adopt import adopt as adopt_folders
    from harness.report.render import render
    from harness.report.text import text_in
    from harness.runs.folder import SweepFolder

    text_in(language)
    if not is_name(sweep):
        raise UserError(f"--sweep {sweep}: {NAME_RULE}")
    named = [arm_and_folder(text) for text in folders]
    requests = [Request(absolute(folder), arm) for arm, folder in named]
    if twice := [path for path, times in Counter(request.folder for request in requests).items() if times > 1]:
        raise UserError([f"{path}: is given twice" for path in twice])
    adoption = adopt_folders(requests, _training_files(train or (), requests), SweepFolder(absolute(output / sweep)))
    for adopted in adoption.runs:
        for line in _told(adopted):
            typer.echo(line)
    rendered = render([output / sweep], reports / sweep, language=language)
    for sentence in rendered.verdict:
        typer.echo(sentence)
    for line in _to_do(adoption.measuring):
        typer.echo(line)
    typer.echo(f"report: {rendered.path}")


def _told(adopted: AdoptedRun) -> Iterator[str]:
    origin = adopted.record.adopted
    assert origin is not None
    how = "adopted" if adopted.is_new else "adopted before, nothing has changed"
    yield f"{adopted.run.name}: {how}: {adopted.record.status}, from {', '.join(origin.told)}"
    if adopted.record.reason is not None:
        yield f"  {adopted.record.reason}"
    yield f"  not known: {', '.join(_WORDS[what] for what in origin.unknown)}"
    yield from (f"  left out: {line}" for line in origin.disbelieved)
    if adopted.earlier is not None:
        yield f"  what was adopted of it before: {adopted.earlier}"


def _to_do(measuring: Measuring) -> Iterator[str]:
    """What the command that the report names cannot say."""
    if measuring.commands:
        yield "with evaluation=gsm8k evaluation.path=FILE at its end, or another benchmark, it measures accuracy too"
    else:
        yield "no command that would measure it can be made of what is known"
    yield from (f"  {line}" for line in measuring.to_give)


def arm_and_folder(text: str) -> tuple[str | None, Path]:
    """Return what `ARM=DIR` names, or `DIR` without an arm: a folder may have an equals sign of its own."""
    arm, equals, folder = text.partition("=")
    return (arm, Path(folder)) if equals and not Path(text).exists() else (None, Path(text))


def _training_files(given: Sequence[Path], requests: Sequence[Request]) -> list[TrainingFile]:
    """The files that the user names, and those in the folders and here which can be read. Raises UserError."""
    from harness.adoption.output_folder import TrainingFile
    from harness.cli.importing import load

    files = [TrainingFile(absolute(path), *load(path), is_given=True) for path in given]
    for folder in dict.fromkeys((*(request.folder for request in requests), Path.cwd())):
        for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))) if folder.is_dir() else ():
            try:
                files.append(TrainingFile(absolute(path), *load(path), is_given=False))
            except UserError:  # Whatever it is, it has trained nothing.
                continue
    return files
