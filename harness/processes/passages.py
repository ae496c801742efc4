"""Which lines of a log belong together: the exceptions in it, what is only noted, and the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """What lines say of the failure."""

    EXCEPTION = auto()
    """That a process failed, unless it caught the exception."""
    PLAIN = auto()
    """Whatever they say: an error of the driver, a signal, a launcher's report, ordinary output."""
    ASIDE = auto()
    """Of something else: torch-npu's warnings with their error codes, a thread's exception, one in a destructor."""
    NOTE = auto()
    """Nothing: they were logged as less than an error, or are a tip or a command, or a traceback's code."""


@dataclass
class Passage:
    """Lines of one process that belong together."""

    kind: Kind
    rank: str
    """`[rank1]:`, which torch puts before the lines of an exception that nobody caught; empty where nothing does."""
    lines: list[str] = field(default_factory=list)
    """As they are to be shown."""
    message: str = ""
    """The first, without what others put before it."""
    cause: Passage | None = None
    """The exception that was its direct cause."""


_NOISE = re.compile(
    # Colours; what torchrun --tee puts before a line; progress bars, which end without a line break.
    r"\x1b\[[0-9;?]*[A-Za-z]|^\[default\d+\]:|"
    r"^(?:[^:|%\[\]]{0,80}:?\s*(?:\d{1,3}%\|[^|]*\|[^\[\]]*|\d+ \w+ )\[[^\[\]]*\]\s?)+"
)
_RANK = re.compile(r"\[rank\s?\d+\]:?\s?|rank \d+: ")
_TIME = re.compile(
    r"\[?(?:\d{4}[-/]\d\d[-/]\d\d|\d\d/\d\d/\d{4}|(?=\d\d:\d\d:))"
    r"(?:[T -]?\d\d:\d\d:\d\d(?:[.,]\d+)*Z?(?:[+-]\d\d:?\d\d)?)?\]?\s?"
)
_LOGGER = r"(?:\([^)]*\) )?\W*(?:[\w.]+(?: - |: ))?"
_MINOR = re.compile(
    rf"{_LOGGER}(?:DEBUG|INFO|NOTICE|EVENT|TRACE|WARN|WARNING)\b|\[?[DIW]\d{{3,4}}\s|\[[DIW]\s"
    r"|\W*(?:\S+:\d+: )?\w*Warning: |\W*(?:info|warning|debug): |.*\bNCCL (?:INFO|WARN)\b|[+$#>] |\{'"
)
"""How a line begins that is logged as less than an error; `set -x`, prompts and comments; the trainer's figures."""
_TIP = re.compile(
    r"[^\w\s]*\s?(?:(?:tips?|hints?|notes?|notice|suggestions?|faq|solutions?|possible causes?|if|when|in case"
    r"|for example|to (?:avoid|fix|prevent|solve)|please|try|consider)(?![A-Za-z])"
    r"|提示|建议|注意|说明|如果|若(?!干)|当(?!前)|遇到|如遇|解决)",
    re.IGNORECASE,
)
_MAJOR = re.compile(rf"(?!\[ERROR\] \S+ \(PID:){_LOGGER}(?:ERROR|CRITICAL|FATAL)\b|\[?[EF]\d{{3,4}}\s|\[[EF]\s")
"""How a line begins that is logged as an error; torch-npu's `[ERROR] 2026-... (PID:1, ...` stands within a message."""
_EXCEPTION = re.compile(
    r"(?:\w+\.)*(?:\w+Error|\w*Exception|\w+Interrupt|\w+Exit|\w+Expired)(?:\(\w+\))?(?::|\s*$)"
    r"|terminate called after throwing an instance of"
)
_LAUNCHERS = re.compile(
    r"(?:\w+\.)*(?:ChildFailedError|CalledProcessError|Process(?:Raised|Exited)Exception|BrokenProcessPool"
    r"|SignalException|KeyboardInterrupt|SystemExit)\b"
)
"""Exceptions that tell of another process, or that somebody ended this one."""
_TRACEBACK = "Traceback (most recent call last):"
_CAUSED = "The above exception was the direct cause of the following exception"
_CONTEXT = "During handling of the above exception, another exception occurred"
_ELSEWHERE = re.compile(
    r"Exception ignored in|Exception in thread|Error in (?:sys\.excepthook|atexit)|.*\bNPU warning, error code is"
)
_OF_CANN = re.compile(r"\[Error\]|E[A-Z0-9]\d{4}\b")
_OTHER_FAILURES = "Failures:"
"""In torchrun's report, of processes that it may have ended itself; what it saw first stands below `Root Cause`."""


def is_tip(words: str) -> bool:
    """Return whether a line begins as a piece of advice."""
    return _TIP.match(words) is not None


def passages(text: str) -> list[Passage]:
    """Return a log's passages in the order in which they begin; the lines of each rank are read by themselves."""
    found: list[Passage] = []
    readers: dict[str, _Reader] = {}
    for line in text.splitlines():
        shown = _NOISE.sub("", line)
        rank = _RANK.match(shown)
        words = shown[rank.end() :] if rank else shown
        time = _TIME.match(words)
        words = words[time.end() :] if time else words
        name = rank[0].strip() if rank else ""
        reader = readers.setdefault(name, _Reader(name))
        if begun := reader.read(shown.strip(), words):
            found.append(begun)
    return found


class _Reader:
    """Reads one process's lines."""

    def __init__(self, rank: str) -> None:
        self._rank = rank
        self._current = Passage(Kind.PLAIN, rank)
        self._in_code = False
        """Among a traceback's lines of code."""
        self._aside = False
        """The next exception did not end the process."""
        self._exception: Passage | None = None
        self._caused: Passage | None = None

    def read(self, shown: str, words: str) -> Passage | None:
        """Take a line; return the passage that begins with it, if one does."""
        if self._continues(words):
            if not self._in_code and words.strip():
                self._current.lines.append(shown)
            return None
        if words.startswith((_CAUSED, _CONTEXT)):
            self._caused = self._exception if words.startswith(_CAUSED) else None
            self._aside = self._current.kind is Kind.ASIDE
            self._in_code, self._current = False, Passage(Kind.NOTE, self._rank)
            return None
        ended_traceback, self._in_code = self._in_code, words.startswith(_TRACEBACK)
        kind = self._kind(words, ended_traceback)
        self._current = Passage(kind, self._rank, [shown], words.strip())
        if kind is Kind.EXCEPTION:
            self._current.cause, self._caused, self._exception = self._caused, None, self._current
        return self._current

    def _kind(self, words: str, ended_traceback: bool) -> Kind:
        if words.startswith(_TRACEBACK) or words.strip() == _OTHER_FAILURES:
            return Kind.NOTE
        if _ELSEWHERE.match(words):
            self._aside = words.startswith(("Exception", "Error in"))
            return Kind.ASIDE
        if not _EXCEPTION.match(words):
            if _MINOR.match(words) or is_tip(words):
                return Kind.NOTE
            if not ended_traceback:
                return Kind.PLAIN
        aside, self._aside = self._aside, False
        if _LAUNCHERS.match(words):
            return Kind.PLAIN
        return Kind.ASIDE if aside else Kind.EXCEPTION

    def _continues(self, words: str) -> bool:
        if not words.strip():
            return True
        indented = words[0].isspace()
        if self._in_code:
            return indented or not words.strip("^~ ")
        match self._current.kind:
            case Kind.EXCEPTION:
                return indented or not _begins(words)
            case Kind.ASIDE:
                return indented or _OF_CANN.match(words) is not None
            case Kind.NOTE if self._current.message == _OTHER_FAILURES:
                return not words.startswith(("Root Cause", "=="))
            case Kind.NOTE:
                return indented
            case Kind.PLAIN:
                return False


def _begins(words: str) -> bool:
    """Whether a line cannot belong to the message of an exception."""
    return (
        words.startswith((_TRACEBACK, _CAUSED, _CONTEXT))
        # torch-npu says in the midst of a message how to find the operator.
        or (is_tip(words) and not words.startswith("Note: ASCEND_LAUNCH_BLOCKING"))
        or any(pattern.match(words) for pattern in (_EXCEPTION, _ELSEWHERE, _MINOR, _MAJOR))
    )
