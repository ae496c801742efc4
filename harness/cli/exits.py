"""How every verb ends: with a message and an exit status where the user can mend it, never with a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from harness.base.errors import UserError
from harness.base.text import shortened, visible
from harness.cli.output import visible_output

FAILED = 1
"""A run, a merge or a check went wrong; the command itself was right."""
MISTAKE = 2
INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__bases__[0]
"""Click's, or that of the copy which typer brings along."""


class Verbs(TyperGroup):
    """The group of all verbs, so that none of them can forget how to end."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _visible_usage():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _visible_usage(), exits():
            return super().invoke(ctx)


@contextmanager
def _visible_usage() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:  # Rich prints it, which passes on what it is given.
        error.message = visible(shortened(error.message))
        raise


@contextmanager
def exits() -> Iterator[None]:
    """Turn UserError and OSError into messages and exit status 2, Ctrl-C into 130. Raises SystemExit.

    All that is printed meanwhile is made visible."""
    with visible_output():
        try:
            yield
            return
        except UserError as error:
            mistakes = error.mistakes
        except BrokenPipeError:  # `harness ... | head`: nobody is left to read a message.
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            mistakes = [f"{where}{error.strerror or error}"]
        except KeyboardInterrupt:
            # A second Ctrl-C must not cut short what Python does on its way out.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.exit(INTERRUPTED)
        for mistake in mistakes:
            print(f"error: {shortened(mistake)}", file=sys.stderr)
        sys.exit(MISTAKE)
