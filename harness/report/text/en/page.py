"""What the HTML page says beside the document, in English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class PageTexts:
    """Controls of the page and of its browser of questions."""

    CONTENTS = "Contents"
    NUMBER_HEADER = "Row"
    """Of a table's first column that has no title, where a reader can sort by it."""
    BROWSER: Mapping[str, str] = {
        "search": "Search",
        "first": "Arm",
        "second": "against",
        "kind": "Show",
        "more": "Show more",
    }
    BROWSER_KINDS: Mapping[str, str] = {
        "all": "all questions",
        "flips": "those that flip: right by one of the two alone",
        "first": "right by the first alone",
        "second": "right by the second alone",
        "both": "right by both",
        "neither": "right by neither",
    }
    BROWSER_HEADERS: Sequence[str] = ("Run (arm, seed)", "Outcome", "Taken as the answer", "Generated")
    BROWSER_FOUND = "{found} of {all} questions"
    BROWSER_EXPECTED = "Expected: {}"
    RIGHT_WRONG: Mapping[bool, str] = {True: "right", False: "wrong"}
    BROWSER_OTHERS = "Not here, since they were asked other questions or their answers cannot be read: {runs}."
    BROWSER_CUT = "Answers are shown up to {characters:,} characters; the whole is in each run's {file}."
    BROWSER_FIRST_RUNS = "Of {all:,} runs the first {shown:,} are here; the others' answers are in their folders."
