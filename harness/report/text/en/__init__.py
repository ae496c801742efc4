"""What a report says, in English.

Titles and names are fixed texts or have holes for `str.format`; sentences that take more are methods, a whole sentence
each. None of it is Markdown."""

from __future__ import annotations

from harness.report.text.en.sections import SectionTexts


class English(SectionTexts):
    """Every sentence and title of a report, of its figures and of its verdict."""

    language = "en"
    """As HTML names it."""


TEXT = English()
