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

from harness.base.text import shortened, visible


class Terminal(Console):
    """Shows visible text alone, long messages shortened.

    Falls silent where nobody reads any more or the disk is full, which must cost no run."""

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
