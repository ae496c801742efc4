"""How every verb ends: with a message and an exit status where the user can mend it, never with a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from harness.base.errors import UserError

FAILED = 1
"""A run, a merge or a check went wrong; the command itself was right."""
MISTAKE = 2
INTERRUPTED = 130


class Verbs(TyperGroup):
    """The group of all verbs, so that none of them can forget how to end."""

    def invoke(self, ctx: Any) -> Any:
        with exits():
            return super().invoke(ctx)


@contextmanager
def exits() -> Iterator[None]:
    """Turn UserError and OSError into messages and exit status 2, Ctrl-C into 130. Raises SystemExit."""
    try:
        yield
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
    else:
        return
    for mistake in mistakes:
        print(f"error: {mistake}", file=sys.stderr)
    sys.exit(MISTAKE)
