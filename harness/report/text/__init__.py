"""What a report says in words, by language.

Another language is another module or package beside `en`: a class below English that says every text anew (the tests
hold it to that), and `TEXT`, an instance of it."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeAlias

from harness.base.errors import UserError
from harness.report.text.en import English

Text: TypeAlias = English


def languages() -> list[str]:
    """Return the languages that a report can be written in."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def text_in(language: str) -> Text:
    """Return what a report says in `language`. Raises UserError."""
    if language not in languages():
        raise UserError(f"language {language}: a report can be written in {', '.join(languages())}")
    text = importlib.import_module(f"{__name__}.{language}").TEXT
    assert isinstance(text, Text)
    return text
