"""What the last words of a failed run mean.

The last exception of a log decides, with what was its direct cause and what was said after it; of several ranks' the
one of the first that failed; and without an exception, every line. An exception that only tells of another process (a
broken collective, a rendezvous) decides where there is no other that is known or that a rank did not catch. What is
logged as less than an error, a tip, and the command that was given decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.devices.npu_smi import parse_error
from harness.processes.known_symptoms import SLOW, SYMPTOMS, Symptom
from harness.processes.passages import Kind, Passage, is_tip, passages
from harness.runs.record import Diagnosis

_SHOWN_CHARACTERS = 300
_FROM_THE_DRIVER = re.compile(r"\b(dcmi|npu)\b.*\bret is -[0-9]|There is no NPU card", re.IGNORECASE)
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


class Told(Diagnosis):
    """What a line means, and who says so."""

    source: str
    decisive: bool = True
    """It is of what decides; else it only stands in the log."""


def diagnoses(text: str) -> list[Told]:
    """Return every known symptom in a log, each once, the most decisive first; none but SLOW where that is unknown."""
    log = passages(text)
    found = list(_decisive(log))
    if found:
        causes = {diagnosis.cause for diagnosis in found}
        lines = _lines(passage for passage in log if passage.kind in (Kind.EXCEPTION, Kind.PLAIN))
        found += [_only_said(told) for told in _explain(lines, SYMPTOMS) if told.cause not in causes]
    slow = [line.strip() for line in text.splitlines()]
    return [*found, *(_only_said(told) for symptom in SLOW if (told := _tell(symptom, slow)))]


def diagnose(text: str) -> Diagnosis | None:
    """Return the most decisive known reason why the run of a log ended; None where there is none."""
    told = next(_decisive(passages(text)), None)
    return None if told is None else Diagnosis(line=told.line, cause=told.cause, fix=told.fix)


def _only_said(told: Told) -> Told:
    return told.model_copy(update={"decisive": False})


def _decisive(log: Sequence[Passage]) -> Iterator[Told]:
    decider = _decider([passage for passage in log if passage.kind is Kind.EXCEPTION])
    if decider is None:
        yield from _explain(_lines(passage for passage in log if passage.kind is not Kind.NOTE), SYMPTOMS)
        return
    begin = 0 if _AS_ABOVE in decider.message else next(i for i, passage in enumerate(log) if passage is decider)
    said = _lines(_with_causes(decider, log))
    after = _lines(passage for passage in log[begin:] if passage.kind is Kind.PLAIN)
    yield from _driver_errors([*said, *after])
    others = _tells_of_another(decider)
    for symptom in SYMPTOMS:
        if told := _tell(symptom, said if symptom.elsewhere and not others else [*said, *after]):
            yield told


def _decider(exceptions: Sequence[Passage]) -> Passage | None:
    """The exception that decides."""
    if not exceptions:
        return None
    last = exceptions[-1]
    of_another = _tells_of_another(last)
    if not (of_another or last.rank):
        return last
    own = [exception for exception in exceptions if not _tells_of_another(exception)]
    if uncaught := {exception.rank: exception for exception in own if exception.rank}:
        return next(iter(uncaught.values()))
    known = (exception for exception in reversed(own) if any(_explain(exception.lines, SYMPTOMS)))
    return next(known, last) if of_another else last


def _tells_of_another(exception: Passage) -> bool:
    known = [symptom.elsewhere for symptom in SYMPTOMS if _tell(symptom, exception.lines)]
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


def _lines(log: Iterator[Passage] | Sequence[Passage]) -> list[str]:
    return [line for passage in log for line in passage.lines]


def _explain(lines: Sequence[str], symptoms: Sequence[Symptom]) -> Iterator[Told]:
    yield from _driver_errors(lines)
    for symptom in symptoms:
        if told := _tell(symptom, lines):
            yield told


def _driver_errors(lines: Sequence[str]) -> Iterator[Told]:
    of_the_driver = [line for line in lines if _FROM_THE_DRIVER.search(line) and not is_tip(line)]
    if error := parse_error("\n".join(of_the_driver)):
        yield Told(line=error.message[:_SHOWN_CHARACTERS], cause=error.cause, fix=error.fix, source=_DRIVER_SOURCE)


def _tell(symptom: Symptom, lines: Sequence[str]) -> Told | None:
    for line in lines:
        found = re.search(symptom.pattern, line)
        if found and not is_tip(line) and not _ADVICE.search(line, 0, found.start()):
            shown = line if found.end() <= _SHOWN_CHARACTERS else line[found.start() :]
            return Told(line=shown[:_SHOWN_CHARACTERS], cause=symptom.cause, fix=symptom.fix, source=symptom.source)
    return None
