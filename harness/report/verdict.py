"""The outcome of a comparison for somebody who decides and reads no tables: which sentences, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from harness.comparison.differences import Comparison
from harness.comparison.findings import Findings
from harness.comparison.metrics import ACCURACY
from harness.report.text import Text


@dataclass(frozen=True)
class Verdict:
    """Sentences in the language of a report."""

    sentences: list[str]
    """Two: memory and time, then accuracy. Fewer where less was measured."""
    others: list[str]
    """One for each further arm, and one for each that was scored merged too."""
    caveats: list[str]
    """What a reader of the sentences alone would get wrong."""

    def all(self) -> list[str]:
        return [*self.sentences, *self.others, *self.caveats]


def verdict(findings: Findings, text: Text) -> Verdict:
    """Put the findings into sentences; each names the sensor of the memory that it speaks of."""
    caveats = _caveats(findings, text)
    if not findings.arms:
        return Verdict([text.NO_RECORD], [], caveats)
    useless = findings.useless_score
    merging = [] if useless else [text.merging(loss) for loss in findings.merging]
    first = findings.leading
    if first is None:
        return Verdict([text.alone(findings.arms[0])], merging, caveats)
    sentences = _sentences(first, text, with_score=useless is None)
    if useless:
        sentences.append(text.useless_score(useless))
    others = [
        " ".join(_sentences(comparison, text, with_score=useless is None))
        for comparison in findings.comparisons
        if comparison is not first
    ]
    return Verdict(sentences, others + merging, caveats)


def _sentences(comparison: Comparison, text: Text, with_score: bool) -> list[str]:
    if not comparison.differences:
        return [text.impossible(comparison)]
    accuracy = comparison.of(ACCURACY)
    cost = [text.cost(comparison)]
    return [*cost, text.accuracy(accuracy)] if accuracy and with_score else cost


def _caveats(findings: Findings, text: Text) -> list[str]:
    found = findings.caveats
    return [
        *map(text.unproven, found.unproven),
        *map(text.diverged_run, found.diverged),
        *(text.not_finite(arm, metric) for arm, metric in found.not_finite),
        *map(text.seeds_missing, found.seeds_missing),
        *map(text.confounded, found.confounded),
        *map(text.STAND_IN.format, found.stand_ins),
        *([text.CPU_ONLY] if found.cpu_only else []),
        *([text.FEW_SEEDS[found.few_seeds]] if found.few_seeds else []),
        *([text.baseline_absent(found.absent_baselines, findings.arms[0].label)] if found.absent_baselines else []),
    ]
