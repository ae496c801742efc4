"""What a report says, in Chinese (simplified), as engineers who fine-tune models write it."""

from __future__ import annotations

from harness.report.text.en import English
from harness.report.text.zh.sections import SectionTexts


class Chinese(SectionTexts, English):
    """Every sentence and title of a report, of its figures and of its verdict."""

    language = "zh-CN"


TEXT = Chinese()
