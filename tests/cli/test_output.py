"""What verbs print is shown and not obeyed, on a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from harness.base.errors import UserError
from harness.base.text import LONGEST
from harness.cli import app
from harness.cli.exits import exits
from harness.cli.terminal import Terminal
from tests.cli.terminal import ROOT, on_terminal

HIDDEN = "\x1b]0;title\x07\x1b[2J\x9b\u202e\u200b\ufeff"
SHOWN = r"\u001b]0;title\u0007\u001b[2J\u009b\u202e\u200b\ufeff"


def printed(body: Callable[[], object]) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors), suppress(SystemExit), exits():
        body()
    return out.getvalue(), errors.getvalue()


def test_what_a_verb_prints_is_made_visible() -> None:
    def body() -> None:
        print(HIDDEN)
        print(HIDDEN, file=sys.stderr)
        sys.stdout.writelines([HIDDEN])

    assert printed(body) == (f"{SHOWN}\n{SHOWN}", f"{SHOWN}\n")


def test_so_is_a_mistake_and_a_long_one_is_cut() -> None:
    def body() -> None:
        raise UserError([f"{HIDDEN}: is wrong", "key: " + "x" * 2**20 + "; give less"])

    out, errors = printed(body)
    first, second = errors.splitlines()
    assert (out, first) == ("", f"error: {SHOWN}: is wrong")
    assert second.startswith("error: key: xxx")
    assert second.endswith("xxx; give less")
    assert len(second) < LONGEST + 100


def test_the_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr
    printed(lambda: None)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("words", [[f"--{HIDDEN}"], ["report", f"--{HIDDEN}"], [HIDDEN], ["watch", "--port", HIDDEN]])
def test_so_is_a_word_that_no_verb_knows(words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert not set(HIDDEN[:1] + "\x07\x9b\u202e\u200b\ufeff") & set(done.output)


def test_a_path_that_is_no_text_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import app; app()", "report", os.fsdecode(b"bad\xff\x1b[2J")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(rb"error: bad\udcff\u001b[2J: no such folder")


def on_console(body: Callable[[Terminal], object]) -> str:
    file = io.StringIO()
    body(Terminal(file=file, force_terminal=True, color_system="standard", width=200, highlight=False))
    return file.getvalue()


def a_table(console: Terminal) -> None:
    table = Table("arm")
    table.add_row(f"[bold]a {HIDDEN}")
    console.print(table)


@pytest.mark.parametrize(
    "body",
    [
        lambda console: console.print(f"[red]a[/] {HIDDEN}"),
        lambda console: console.print(Text(f"a {HIDDEN}", "bold")),
        a_table,
    ],
    ids=["text", "styled", "table"],
)
def test_a_terminal_gets_the_consoles_own_colours_and_no_others(body: Callable[[Terminal], object]) -> None:
    shown = on_console(body)
    for own in ("\x1b[31m", "\x1b[1m", "\x1b[0m"):
        shown = shown.replace(own, "")
    assert not set("\x1b\x07\x9b\u202e\u200b\ufeff") & set(shown)
    assert r"\u001b[2J\u009b\u202e\u200b\ufeff" in shown


def test_a_long_line_of_a_terminal_is_cut() -> None:
    shown = on_console(lambda console: console.print("x" * 2**20, soft_wrap=True))
    assert len(shown) < LONGEST + 100


def test_a_live_view_still_moves_the_cursor() -> None:
    def body(console: Terminal) -> None:
        with Progress(console=console) as progress:
            progress.add_task("step", total=1)

    assert "\x1b[2K" in on_console(body)


VERB = """
from harness.cli.exits import exits
from harness.cli.terminal import Terminal
with exits():
    print({0!r})
    Terminal().print("[bold]head[/]", {0!r})
"""


def test_a_real_terminal_is_steered_by_nothing_that_is_printed() -> None:
    screen, status = on_terminal(VERB.format(HIDDEN))
    assert status == 0
    assert str(screen).splitlines() == [SHOWN, f"head {SHOWN}"]
