"""What reaches the user as a message instead of a traceback, with what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Mistakes that the user can mend, all at once. Each names the key, what is wrong and what would be right."""

    def __init__(self, mistakes: Sequence[str] | str) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """Return `did you mean X? `, with a blank at its end, for the nearest of `names`; an empty text if none is near."""
    close = difflib.get_close_matches(wrong, list(names), n=1)
    return f"did you mean {close[0]}? " if close else ""


def first_problem(error: ValidationError) -> str:
    """Return where data is not what it should be, and what is wrong with it there."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
