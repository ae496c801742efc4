"""Rich's console for text from anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.base.numbers import whole_number
from harness.base.text import shortened, visible

_MOST = 9_999
"""Columns or lines of a terminal."""


class Terminal(Console):
    """Shows visible text alone, long messages shortened.

    Falls silent where nobody reads any more or the disk is full, which must cost no run."""

    def __init__(self, **options: Any) -> None:
        # Rich takes a size of any number of digits for one.
        sizes = {name: whole_number(os.environ.get(name, "")) for name in ("COLUMNS", "LINES")}
        odd = {name for name, size in sizes.items() if size is None or size > _MOST}
        # A path may have what rich takes for an emoji's name.
        super().__init__(
            emoji=False, _environ={name: value for name, value in os.environ.items() if name not in odd}, **options
        )

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def render_str(self, text: str, **options: Any) -> Text:
        # Before it is measured, and before rich takes some control characters away unsaid.
        return super().render_str(visible(shortened(text)), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_text = segment.control is None and not segment.text.isprintable()
            yield Segment(visible(segment.text), segment.style) if is_text else segment

    def on_broken_pipe(self) -> None:
        # Rich's own ends the process.
        self.quiet = True
        with suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), self.file.fileno())
