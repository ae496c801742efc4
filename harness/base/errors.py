"""What reaches the user as a message instead of a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """Mistakes that the user can mend, all at once. Each names the key, what is wrong and what would be right."""

    def __init__(self, mistakes: Sequence[str] | str) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))
