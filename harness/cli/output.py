"""What verbs print: shown, never obeyed, whatever log, row, model or file's name it came from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from harness.base.text import visible


class VisibleStream:
    """A text stream to which everything is written as `visible` text."""

    def __init__(self, stream: IO[str]) -> None:
        self.rich_proxied_file = stream
        """What rich writes its own colours to; a Terminal has made its text visible before."""

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(visible(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def visible_output() -> Iterator[None]:
    """Have all that is printed to stdout and stderr in the body made visible."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(VisibleStream, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
