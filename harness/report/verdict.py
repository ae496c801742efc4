"""The first screen, for somebody who decides and reads no tables: decisions, verdicts, what would decide the rest, what
spoils the comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from harness.comparison.arms import Arm
from harness.comparison.differences import Comparison, PairedDifference
from harness.comparison.estimates import corrected_alpha
from harness.comparison.facts import OF_OTHERS
from harness.comparison.fairness import OtherCause
from harness.comparison.findings import FOR_A_VERDICT, Findings
from harness.comparison.judging import Judgement, Reason
from harness.comparison.metrics import ACCURACY, STEP_SECONDS, Aspect
from harness.comparison.needs import Needs, smallest_visible
from harness.comparison.runs import Run
from harness.report.commands import sweep_command
from harness.report.document import Block, Bullets, Choices, Code, Paragraph, Section, Warned, Words, plain
from harness.report.text import Text

MOST_ARMS = 5
"""Whose verdicts are sentences here; those of all are in a table."""
MOST_SEEDS = 20
"""Of a command that is told."""
MOST_OF_A_KIND = 3
"""Caveats of one kind; of further ones the number is said."""
_AGAIN = (Reason.SEPARATED, Reason.SHARED, Reason.UNFAIR)
"""What only new runs can mend."""

T = TypeVar("T")


def summary(findings: Findings, text: Text) -> Section:
    """Return the first screen."""
    sections = [
        _section("decision", _decision(findings, text), text),
        _section("verdict", list(_verdict(findings, text)), text),
        _section("needs", list(_needs(findings, text)), text),
        _section("spoils", list(map(Warned, _spoils(findings, text))), text),
    ]
    return Section("summary", text.HEADINGS["summary"], [section for section in sections if section.blocks])


def _section(key: str, blocks: Sequence[Block], text: Text) -> Section:
    return Section(key, text.HEADINGS[key], blocks)


def lines(section: Section, text: Text) -> Iterator[str]:
    """Yield the first screen as plain lines, for a terminal."""
    for block in section.blocks:
        match block:
            case Section():
                yield block.title
                yield from (f"  {line}" for line in lines(block, text))
            case Choices(_, rows):
                for purpose, arm, rule in rows:
                    yield text.CHOICE.format(purpose=purpose, arm=plain(arm), rule=plain(rule))
            case Paragraph(words) | Warned(words):
                yield plain(words)
            case Bullets(items):
                yield from (f"- {plain(item)}" for item in items)
            case Code(code):
                yield from (f"  {line}" for line in code)


def shown(findings: Findings) -> Sequence[Comparison]:
    """Return the comparisons that have their sentences on the first screen, those first that came to something."""
    return sorted(findings.comparisons, key=lambda comparison: not comparison.differences)[:MOST_ARMS]


def count_tests(findings: Findings) -> int:
    """Return for how many tests the p-values are corrected."""
    judgements = [judgement for each in findings.comparisons for judgement in each.judgements.values()]
    return sum(judgement.p_different is not None for judgement in judgements)


# Decisions and verdicts.


def _decision(findings: Findings, text: Text) -> list[Block]:
    baseline = findings.comparisons[0].baseline.label if findings.comparisons else None
    rows = [(text.purpose(choice), text.chosen(choice), text.rule(choice, baseline)) for choice in findings.choices]
    return [Choices(text.CHOICE_HEADERS, rows)] if rows else []


def _verdict(findings: Findings, text: Text) -> Iterator[Block]:
    if not findings.arms:
        yield Paragraph(text.NO_RECORD)
    elif not findings.comparisons:
        yield Paragraph(text.alone(findings.arms[0]))
    if findings.useless_score is not None:
        yield Paragraph(text.useless_score(findings.useless_score))
    tests = count_tests(findings)
    for comparison in shown(findings):
        if comparison.differences:
            yield Paragraph(text.compared_over(comparison))
            yield Bullets([_metric(comparison, aspect, findings, tests, text) for aspect in Aspect])
        else:
            yield Bullets([text.impossible(comparison)])
    if len(findings.comparisons) > MOST_ARMS:
        yield Paragraph(text.arms_left_out(len(findings.comparisons) - MOST_ARMS, "tables/verdicts.csv"))


def primary(comparison: Comparison, aspect: Aspect) -> tuple[PairedDifference, Judgement] | None:
    """Return the primary metric of an aspect with what can be said of it; None where the two do not share it."""
    paired = {
        Aspect.ANSWERS: lambda: comparison.of(ACCURACY),
        Aspect.MEMORY: lambda: comparison.leading_memory,
        Aspect.TIME: lambda: comparison.of(STEP_SECONDS),
    }[aspect]()
    judgement = None if paired is None else comparison.judgement(paired.metric)
    return None if paired is None or judgement is None else (paired, judgement)


def _metric(comparison: Comparison, aspect: Aspect, findings: Findings, tests: int, text: Text) -> Words:
    found = primary(comparison, aspect)
    if found is None:
        return text.not_measured(aspect)
    paired, judgement = found
    sensors = comparison.arm.sensors(paired.metric) | comparison.baseline.sensors(paired.metric)
    is_one_adapter = paired.metric is ACCURACY and judgement.reasons == (Reason.ONE_SEED,)
    flips = comparison.flips() if is_one_adapter else []
    return text.verdict(paired, judgement, findings.margins.of(paired.metric), sensors, flips, tests)


# What would decide the rest.


@dataclass
class _Repair:
    """What was withheld for one reason."""

    metrics: list[str] = field(default_factory=list)
    causes: list[OtherCause] = field(default_factory=list)


def _to_repair(judgement: Judgement) -> Iterator[tuple[Reason, list[OtherCause]]]:
    """Return each reason for which a verdict was withheld. Load that others put on the machine is no setting, and is
    repaired as a machine that was shared is."""
    settings = [cause for cause in judgement.causes if cause.fact not in OF_OTHERS]
    reasons = dict.fromkeys(judgement.reasons)
    if len(settings) < len(judgement.causes):
        reasons[Reason.SHARED] = None
    if not settings:
        reasons.pop(Reason.UNFAIR, None)
    for reason in reasons:
        yield reason, settings if reason is Reason.UNFAIR else []


def _needs(findings: Findings, text: Text) -> Iterator[Block]:
    tests = max(count_tests(findings), 1)
    told: list[Words] = []
    needed: list[Needs] = []
    repairs: dict[Reason, _Repair] = {}
    for comparison in shown(findings):
        for paired, judgement in filter(None, (primary(comparison, aspect) for aspect in Aspect)):
            if judgement.needs is not None and paired.estimate is not None:
                smallest = smallest_visible(paired.estimate, judgement.alpha / tests)
                told.append(text.needs(paired, judgement.needs, smallest))
                needed.append(judgement.needs)
            for reason, causes in _to_repair(judgement):
                repair = repairs.setdefault(reason, _Repair())
                repair.metrics.append(text.metric_of(paired))
                repair.causes += causes
    ways = (text.repair(reason, repair.metrics, repair.causes) for reason, repair in repairs.items())
    told += [way for way in ways if way is not None]
    if told:
        yield Bullets(told)
    command = _command(findings, repairs, needed)
    if command is not None:
        yield Code([command])
    if needed:
        following = max(findings.looks) + 1
        yield Paragraph(text.further_look(following, corrected_alpha(following, findings.settings.looks)))
    measuring = [run.record.adopted.measure for arm in findings.arms for run in arm.runs if run.record.adopted]
    if any(measuring):
        yield Paragraph(text.MEASURE_ADOPTED)
        commands = [line for measure in dict.fromkeys(measuring) if measure for line in measure.splitlines()]
        yield Code(list(dict.fromkeys(commands))[:MOST_ARMS])


def _command(findings: Findings, repairs: dict[Reason, _Repair], needed: Sequence[Needs]) -> str | None:
    """Return the command that mends what can be mended: the sweep anew, with more questions, or with more seeds."""
    runs = [run for arm in findings.arms for run in arm.runs]
    seeds = sorted({run.record.seed for run in runs})
    low = [needs.seeds_low for needs in needed if needs.seeds_low is not None and not needs.seeds_alone_cannot]
    more_questions = [needs.questions_low for needs in needed if needs.questions_low is not None]
    if any(reason in repairs for reason in _AGAIN):
        return sweep_command(runs, _to(seeds, FOR_A_VERDICT), again=True)
    if Reason.FEW_QUESTIONS in repairs:
        return sweep_command(runs, _to(seeds, FOR_A_VERDICT), again=True, more=["evaluation.limit=null"])
    if Reason.ONE_SEED in repairs or (low and max(low) <= MOST_SEEDS):
        wanted = _to(seeds, max(FOR_A_VERDICT, *low, 0))
        return sweep_command(runs, wanted) if len(wanted) > len(seeds) else None
    if more_questions and not low:
        limit = f"evaluation.limit={max(more_questions)}"
        return sweep_command(runs, _to(seeds, FOR_A_VERDICT), again=True, more=[limit])
    return None


def _to(seeds: Sequence[int], count: int) -> list[int]:
    """Return the seeds that are there and, up to `count`, those that follow them."""
    following = max(seeds, default=-1) + 1
    return [*seeds, *range(following, following + max(0, count - len(seeds)))]


# What spoils the comparison.


def _spoils(findings: Findings, text: Text) -> Iterator[Words]:
    found = findings.caveats
    yield from _few(found.unproven, text.unproven, text)
    yield from _few(found.confounded, text.confounded, text)
    yield from _few(found.separated, text.separated, text)
    if found.shared:
        yield text.shared(found.shared)
    yield from _few(found.diverged, text.diverged_run, text)
    yield from _few(found.seeds_missing, text.seeds_missing, text)
    yield from _few(found.not_finite, lambda pair: text.not_finite(*pair), text)
    yield from _few(lacking(findings.comparisons, text), str, text)
    yield from _few(found.cut_off, lambda counts: text.cut_off(*counts), text)
    if found.few_seeds:
        yield text.few_seeds(found.few_seeds)
    yield from _few(list(_looks(findings, text)), str, text)
    yield from _adopted([run for arm in findings.arms for run in arm.runs], text)
    yield from map(text.STAND_IN.format, found.stand_ins)
    if found.cpu_only:
        yield text.CPU_ONLY
    if found.absent_baselines:
        yield text.baseline_absent(found.absent_baselines, findings.arms[0].label)
    if found.other_margins:
        yield text.OTHER_MARGINS


def _few(found: Sequence[T], tell: Callable[[T], str], text: Text) -> Iterator[str]:
    yield from map(tell, found[:MOST_OF_A_KIND])
    if len(found) > MOST_OF_A_KIND:
        yield text.further(len(found) - MOST_OF_A_KIND)


def lacking(comparisons: Sequence[Comparison], text: Text, aspects: Sequence[Aspect] = tuple(Aspect)) -> list[str]:
    """Return, for each arm, which metrics of these aspects it lacks and the other has."""
    told = []
    for comparison in comparisons:
        found = [(arm, metric) for metric, arm in comparison.lacking() if metric.aspect in aspects]
        for label, pairs in groupby(sorted(found, key=lambda pair: pair[0].label), key=lambda pair: pair[0].label):
            metrics = [metric for _, metric in pairs]
            arm: Arm = comparison.arm if label == comparison.arm.label else comparison.baseline
            told.append(text.lacking(comparison, metrics, arm))
    return told


def _looks(findings: Findings, text: Text) -> Iterator[str]:
    for comparison, look, alpha in zip(findings.comparisons, findings.looks, findings.alphas, strict=True):
        if look > 1 or findings.settings.looks > 1:
            yield text.looked_before(comparison, look, findings.settings.looks, alpha)


def _adopted(runs: Sequence[Run], text: Text) -> Iterator[str]:
    adopted = [run for run in runs if run.record.adopted is not None]
    if adopted:
        yield text.adopted(adopted)
