"""A report's words in English."""

from __future__ import annotations

from harness.report.text import Text
from harness.report.text.en import figures, report, titles, verdict

TEXT = Text("en", titles, verdict, report, figures)
