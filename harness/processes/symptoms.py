"""What the last words of a failed run mean.

The last exception of a log decides, with what was its direct cause and what was said after it; of several ranks' the
one of the first that failed with a known cause; and without an exception, every line. An exception that only tells of
another process (a broken collective, a rendezvous) decides where there is no other that is known or that a rank did not
catch; a lost connection (EOFError, a tracker's server) where there is no other. Where the last is unknown, the known
one tells that was being handled when it was raised. What is logged as less than an error, a tip, a list, a row of data
and the command that was given decide nothing; nor does a line that no traceback led to, where the words are spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.devices.npu_smi import parse_error
from harness.processes.known_symptoms import SLOW, SYMPTOMS, Symptom
from harness.processes.passages import Kind, Passage, chain, is_answered, is_tip, lines_of, passages
from harness.runs.record import Diagnosis

_SHOWN_CHARACTERS = 300
_FROM_THE_DRIVER = re.compile(r"(?i:\b(dcmi|npu)\b.*\bret is -[0-9]|There is no NPU card)")
"""The lines of a log that may be npu-smi's: what else it complains of (an unknown query, a command that is not there)
stops no training, and its words stand in other libraries' messages too."""
_AS_ABOVE = "error is reported as above"
"""What torch-npu raises once the driver has said why."""
_DRIVER_SOURCE = "vllm-ascend#632 and #2698; HAMi#1696; hicann/driver"
_ADVICE = re.compile(
    r"\b(if|in case|whenever|when (you|it)|to (avoid|prevent|fix)|tips?|hint|suggest\w*|e\.g\.|for example)(?![\w'])"
    r"|如果|若(?!干)|遇到|避免|防止|例如|建议",
    re.IGNORECASE,
)
"""Before a symptom's words in a line: they are spoken of, and did not happen."""
_SPOKEN_BEFORE = re.compile(
    r"\b(common\w*|typical\w*|frequent\w*|faq|troubleshooting|causes?|means?|why|how to|such as|like|usually|often"
    r"|sometimes|may|might|should|(can|could|would)(?! ?n[o']t))\b|常见|可能|解决|排查|比如",
    re.IGNORECASE,
)
"""The same, in a line that no traceback led to."""
_CHINESE_BEFORE = re.compile(r"[㐀-鿿][^:：]*$")
"""Chinese words that lead to English ones without a colon: a sentence, not the head of what a library prints."""
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|/\S+")
"""A file's or a value's, in whatever language."""


class Told(Diagnosis):
    """What a line means, and who says so."""

    source: str
    decisive: bool = True
    """It is of what decides; else it only stands in the log."""


@dataclass(frozen=True)
class _Line:
    text: str
    raised: bool = False
    """Of an exception, below its traceback."""


def diagnoses(text: str) -> list[Told]:
    """Return every known symptom in a log, each once, the most decisive first."""
    lines = lines_of(text)
    log = passages(lines)
    found = list(_decisive(log))
    causes = {diagnosis.cause for diagnosis in found}
    said = _lines(passage for passage in log if passage.kind not in (Kind.NOTE, Kind.ASIDE))
    found += [_only_said(told) for told in _explain(said, SYMPTOMS) if told.cause not in causes]
    slow = [_Line(line.strip()) for line in lines if _in(line)]
    return [*found, *(_only_said(told) for symptom in SLOW if (told := _tell(symptom, slow)))]


def diagnose(text: str) -> Diagnosis | None:
    """Return the most decisive known reason why the run of a log ended; None where there is none."""
    told = next(_decisive(passages(lines_of(text))), None)
    return None if told is None else Diagnosis.model_validate(told.model_dump(include=set(Diagnosis.model_fields)))


def unknown_exception(text: str) -> str | None:
    """Return the exception that ended the run of a log; None where there is none, or where its cause is known."""
    log = passages(lines_of(text))
    if next(_decisive(log), None) is not None:
        return None
    exceptions = _of(Kind.EXCEPTION, log)
    decider = _decider(exceptions) or next(reversed(_of(Kind.CONSEQUENCE, log)), None)
    return None if decider is None else decider.message[:_SHOWN_CHARACTERS]


def _only_said(told: Told) -> Told:
    return told.model_copy(update={"decisive": False})


def _of(kind: Kind, log: Sequence[Passage]) -> list[Passage]:
    return [passage for passage in log if passage.kind is kind]


def _decisive(log: Sequence[Passage]) -> Iterator[Told]:
    decider = _decider(_of(Kind.EXCEPTION, log))
    if decider is None:
        yield from _explain(_lines(passage for passage in log if passage.kind is not Kind.NOTE), SYMPTOMS)
        return
    begin = 0 if _AS_ABOVE in decider.message else next(i for i, passage in enumerate(log) if passage is decider)
    said = _lines(_with_causes(decider, log))
    after = _lines(_of(Kind.PLAIN, log[begin:]))
    others = _tells_of_another(decider)
    told = [*_driver_errors([*said, *after])]
    for symptom in SYMPTOMS:
        if one := _tell(symptom, said if symptom.elsewhere and not others else [*said, *after]):
            told.append(one)
    handled = (list(_explain(_lines([passage]), SYMPTOMS)) for passage in chain(decider))
    yield from told or next((known for known in handled if known), [])


def _decider(exceptions: Sequence[Passage]) -> Passage | None:
    """The exception that decides."""
    if not exceptions:
        return None
    last = exceptions[-1]
    of_another = _tells_of_another(last)
    own = [exception for exception in exceptions if not _tells_of_another(exception)]
    uncaught = list({exception.rank: exception for exception in own if exception.rank}.values())
    if uncaught and (of_another or last.rank or not _is_known(last)):
        first = uncaught[0] if of_another or last.rank else last
        return next((exception for exception in uncaught if _is_known(exception)), first)
    return next((exception for exception in reversed(own) if _is_known(exception)), last) if of_another else last


def _is_known(exception: Passage) -> bool:
    return any(_explain(_lines(chain(exception)), SYMPTOMS))


def _tells_of_another(exception: Passage) -> bool:
    lines = _lines([exception])
    known = [symptom.elsewhere for symptom in SYMPTOMS if _tell(symptom, lines)]
    return bool(known) and all(known)


def _with_causes(decider: Passage, log: Sequence[Passage]) -> list[Passage]:
    """An exception, as often as it was printed, and its direct causes."""
    told: list[Passage] = []
    for passage in log:
        if passage is decider or (passage.kind is Kind.EXCEPTION and passage.message.endswith(decider.message)):
            link: Passage | None = passage
            while link is not None:
                told.append(link)
                link = link.cause
    return told


def _lines(log: Iterable[Passage]) -> list[_Line]:
    """The lines that may tell something."""
    return [
        _Line(line, passage.raised and place == 0)
        for passage in log
        for place, line in enumerate(passage.lines)
        if _in(line) or _FROM_THE_DRIVER.search(line)
    ]


def _explain(lines: Sequence[_Line], symptoms: Sequence[Symptom]) -> Iterator[Told]:
    yield from _driver_errors(lines)
    for symptom in symptoms:
        if told := _tell(symptom, lines):
            yield told


def _driver_errors(lines: Sequence[_Line]) -> Iterator[Told]:
    of_the_driver = [line.text for line in lines if _FROM_THE_DRIVER.search(line.text) and not is_tip(line.text)]
    if error := parse_error("\n".join(of_the_driver)):
        yield Told(line=error.message[:_SHOWN_CHARACTERS], cause=error.cause, fix=error.fix, source=_DRIVER_SOURCE)


def _tell(symptom: Symptom, lines: Sequence[_Line]) -> Told | None:
    for line in lines:
        if not any(one is symptom for one in _in(line.text)):
            continue
        found = re.search(symptom.pattern if line.raised else symptom.printed or symptom.pattern, line.text)
        if found and not _is_spoken_of(line, found):
            shown = line.text if found.end() <= _SHOWN_CHARACTERS else line.text[found.start() :]
            return Told(
                line=shown[:_SHOWN_CHARACTERS],
                cause=symptom.cause,
                fix=symptom.fix,
                source=symptom.source,
                transient=symptom.transient,
            )
    return None


@lru_cache(2**17)
def _in(line: str) -> tuple[Symptom, ...]:
    """The symptoms whose words stand in a line: what takes time, and is asked for more than once."""
    return tuple(symptom for symptom in (*SYMPTOMS, *SLOW) if re.search(symptom.pattern, line))


def _is_spoken_of(line: _Line, found: re.Match[str]) -> bool:
    """Whether a symptom's words stand in a piece of advice or in other prose."""
    before, after = _NAME.sub("", line.text[: found.start()]), _NAME.sub("", line.text[found.end() :])
    if is_tip(line.text) or _ADVICE.search(before):
        return True
    if line.raised:
        return False
    chinese = found[0].isascii() and _CHINESE_BEFORE.search(before)
    return bool(chinese or _SPOKEN_BEFORE.search(before)) or is_answered(after)
