"""Which lines of a log belong together: the exceptions in it, what is only noted, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """What lines say of the failure."""

    EXCEPTION = auto()
    """That a process failed, unless it caught the exception."""
    CONSEQUENCE = auto()
    """That a process lost its connection to another, or to a tracker's server: it hides no exception before it."""
    PLAIN = auto()
    """Whatever they say: an error of the driver, a signal, a launcher's report, ordinary output."""
    ASIDE = auto()
    """Of something else: torch-npu's warnings with their error codes, a thread's exception, one in a destructor."""
    NOTE = auto()
    """Nothing: they were logged as less than an error, or are a tip, a list or a command, or a traceback's code."""


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
    raised: bool = False
    """The first line ended a traceback."""
    cause: Passage | None = None
    """The exception that was its direct cause."""
    context: Passage | None = None
    """The exception that was being handled when it was raised."""


_LINE_CHARACTERS = 10_000
"""The longest that is read of a line: some patterns need time that grows with its square."""
_NOISE = re.compile(
    # Colours; what torchrun --tee and srun --label put before a line; progress bars, which end without a line break.
    r"\x1b\[[0-9;?]*[A-Za-z]|^\[default\d+\]:|^\d{1,4}: |"
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
_ANSWERED = re.compile(
    r"\s*(?:(?:errors?|problems?|issues?)\b\s*)?(?:[?\uff1f]|[-=]+>|[→⇒|]|.*[㐀-鿿]"
    r"|\W*(?:(?:please|just|then|you|so|or|and|first|also)\s+)*(?:(?:can|could|may|might|should)(?! not|n't|'t)\b"
    r"|is (?:a|caused|common|due|often|usually|when)\b|(?:add|avoid|because|buy|caused|change|check|choose|clear"
    r"|close|consider|decrease|delete|disable|downgrade|due|enable|end|ensure|export|fewer|fix|free|happens?|if"
    r"|increase|indicates?|install|kill|larger|lengthen|less|limit|look|lower|make|means?|more|move|occurs?|often|pass"
    r"|raise|reboot|reduce|reinstall|remove|rerun|restart|retry|run|see|set|shorten|shorter|shrink|smaller|source"
    r"|suggests?|switch|try|turn|update|upgrade|use|usually|verify|when|whenever)\b))",
    re.IGNORECASE,
)
_LISTED = re.compile(
    r"\s*(?:[•·▪‣◦●○■□◆|#①-⑳]|[*+\u2013\u2014-]\s|\d{1,2}[.)、\uff0e](?!\d)|[(（]\d{1,2}[)）]|[a-z]\)\s"
    r"|[一二三四五六七八九十]{1,2}[、.\uff0e]|[QA]\d{0,2}[:：.]|[问答]\d{0,2}[:：])"
)
"""How an entry of a list, a table or a FAQ begins."""
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
TRACKERS = r"(?:swanlab|wandb|comet|neptune|clear\.?ml|mlflow)\b"
_OF_A_TRACKER = re.compile(rf"{TRACKERS}: ")
_CONSEQUENCE = re.compile(
    # A pipe's other end is bare in multiprocessing/connection.py; with a message it is a file that ended too early.
    r"(?:\w+\.)*(?:EOFError\s*$|EOFError:\s*$|(?:BrokenPipe|ConnectionReset|ConnectionAborted)Error\b)"
    r"|RuntimeError: (?:DataLoader worker \(pid\S* .*|Pin memory thread )exited unexpectedly"
    r"|RuntimeError: One of the subprocesses has abruptly died"
    rf"|(?i:(?:\w+\.)*\w*(?:Connect\w*|Retry|Timeout|SSL|HTTP\w*|Proxy|URL|Api|Comm)Error: .*{TRACKERS})"
    rf"|{TRACKERS}\.(?:\w+\.)*\w*(?:Api|Comm|Connection|Network|Timeout)Error\b"
)
_OF_A_CONNECTION = re.compile(
    r"(?:socket|ssl|_?queue|http\.client|urllib3|requests|httpx|httpcore|aiohttp)\.|(?:Connection\w*|Timeout|OS)Error\b"
)
"""What a consequence was raised from."""
_TRACEBACK = "Traceback (most recent call last):"
_CAUSED = "The above exception was the direct cause of the following exception"
_CONTEXT = "During handling of the above exception, another exception occurred"
_ELSEWHERE = re.compile(
    r"Exception ignored in|Exception in thread|Error in (?:sys\.excepthook|atexit)|.*\bNPU warning, error code is"
)
_OF_CANN = re.compile(r"\[Error\]|E[A-Z0-9]\d{4}\b")
_ROW_BEGINS = re.compile(r"(?:training|eval) example:\s*$")
_ROW_PART = re.compile(r"(?:chosen_|rejected_)?(input_ids|inputs|label_ids|labels):\s*$")
_OTHER_FAILURES = "Failures:"
"""In torchrun's report, of processes that it may have ended itself; what it saw first stands below `Root Cause`."""


def is_answered(words: str) -> bool:
    """Return whether these words, behind those of a failure, tell what it means or what helps, as in a FAQ."""
    return _ANSWERED.match(words) is not None


def chain(exception: Passage) -> list[Passage]:
    """Return an exception and those from which or while handling which it was raised, the last first."""
    told: list[Passage] = []
    link: Passage | None = exception
    while link is not None:
        told.append(link)
        link = link.cause or link.context
    return told


def is_tip(words: str) -> bool:
    """Return whether a line begins as a piece of advice."""
    return _TIP.match(words) is not None


def lines_of(text: str) -> list[str]:
    """Return a log's lines; of a very long one its two ends."""
    half = _LINE_CHARACTERS // 2
    return [
        line if len(line) <= _LINE_CHARACTERS else f"{line[:half]} ... {line[-half:]}" for line in text.splitlines()
    ]


def passages(lines: Sequence[str]) -> list[Passage]:
    """Return a log's passages in the order in which they begin; the lines of each rank are read by themselves."""
    found: list[Passage] = []
    readers: dict[str, _Reader] = {}
    for shown in _without_rows([_NOISE.sub("", line) for line in lines]):
        rank = _RANK.match(shown)
        words = shown[rank.end() :] if rank else shown
        time = _TIME.match(words)
        words = words[time.end() :] if time else words
        name = rank[0].strip() if rank else ""
        reader = readers.setdefault(name, _Reader(name))
        if begun := reader.read(shown.strip(), words):
            found.append(begun)
    return found


def _without_rows(lines: Sequence[str]) -> Iterator[str]:
    """All but the row that LLaMA-Factory prints before a training (data/processor): its words are of the data.

    What a model is to answer (labels) ends what it is given (inputs): the lines of these tell where those end."""
    place, inputs = 0, set[str]()
    within = False
    while place < len(lines):
        line = lines[place]
        place += 1
        part = _ROW_PART.match(line)
        within = within or bool(_ROW_BEGINS.match(line))
        if part is None:
            yield line
        elif part[1] == "inputs":
            end = _end_of_inputs(lines, place, within)
            inputs = {row.strip() for row in lines[place:end]}
            place = end
        elif part[1] == "labels":
            within = False
            place += 1
            while place < len(lines) and lines[place].strip() in inputs:
                place += 1


def _end_of_inputs(lines: Sequence[str], begin: int, within: bool) -> int:
    for place in range(begin, len(lines)):
        part = _ROW_PART.match(lines[place])
        if part and part[1] == "label_ids":
            return place
    # A row of pretraining has no labels: it ends where something is logged.
    logged = (i for i in range(begin, len(lines)) if lines[i].startswith(_TRACEBACK) or _TIME.match(lines[i]))
    logs = (i for i in range(begin, len(lines)) if _MINOR.match(lines[i]) or _MAJOR.match(lines[i]))
    return min(next(logged, len(lines)), next(logs, len(lines))) if within else begin


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
        self._cause: Passage | None = None
        self._context: Passage | None = None

    def read(self, shown: str, words: str) -> Passage | None:
        """Take a line; return the passage that begins with it, if one does."""
        if self._continues(words):
            if not self._in_code and words.strip():
                self._current.lines.append(shown)
            return None
        if words.startswith((_CAUSED, _CONTEXT)):
            caused = words.startswith(_CAUSED)
            self._cause, self._context = (self._exception, None) if caused else (None, self._exception)
            self._aside = self._current.kind is Kind.ASIDE
            self._in_code, self._current = False, Passage(Kind.NOTE, self._rank)
            return None
        ended_traceback, self._in_code = self._in_code, words.startswith(_TRACEBACK)
        kind = self._kind(words, ended_traceback)
        self._current = Passage(kind, self._rank, [shown], words.strip(), raised=ended_traceback)
        if kind in (Kind.EXCEPTION, Kind.CONSEQUENCE):
            self._current.cause, self._current.context = self._cause, self._context
            self._cause, self._context, self._exception = None, None, self._current
        if kind is Kind.CONSEQUENCE:
            for earlier in chain(self._current)[1:]:
                if not _OF_A_CONNECTION.match(earlier.message):
                    break
                earlier.kind = Kind.CONSEQUENCE
        return self._current

    def _kind(self, words: str, ended_traceback: bool) -> Kind:
        if words.startswith(_TRACEBACK) or words.strip() == _OTHER_FAILURES:
            return Kind.NOTE
        if _ELSEWHERE.match(words):
            self._aside = words.startswith(("Exception", "Error in"))
            return Kind.ASIDE
        exception = _EXCEPTION.match(words)
        if exception and not ended_traceback and is_answered(words[exception.end() :]):
            return Kind.NOTE
        if not exception:
            if _MINOR.match(words) or is_tip(words) or (not ended_traceback and _LISTED.match(words)):
                return Kind.NOTE
            if not ended_traceback:
                return Kind.PLAIN
        aside, self._aside = self._aside, False
        if _LAUNCHERS.match(words):
            return Kind.PLAIN
        if aside:
            return Kind.ASIDE
        return Kind.CONSEQUENCE if _CONSEQUENCE.match(words) else Kind.EXCEPTION

    def _continues(self, words: str) -> bool:
        if not words.strip():
            return True
        indented = words[0].isspace()
        if self._in_code:
            return indented or not words.strip("^~ ")
        match self._current.kind:
            case Kind.EXCEPTION | Kind.CONSEQUENCE:
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
        or any(pattern.match(words) for pattern in (_EXCEPTION, _ELSEWHERE, _MINOR, _MAJOR, _LISTED, _OF_A_TRACKER))
    )
