"""What is said of a sweep before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.cli.announcement import announcement
from harness.comparison.foresight import Assumption, Foresight, foresee
from harness.comparison.margins import margins_of
from harness.config.schema import ComparisonConfig
from harness.execution.outlook import Outlook, enough

FIVE = Outlook(
    sweep="quickstart",
    arms=("lora", "qlora"),
    seeds=(0, 1, 2, 3, 4),
    runs=10,
    completed=0,
    is_scored=True,
    margins=margins_of(ComparisonConfig()),
    looks=1,
    foresight=foresee(5, 200),
    for_a_verdict=None,
)
ASSUMED = (
    "assumed for that: accuracy varies by 2 points from seed to seed and 4 of 100 answers differ; "
    "time varies by 3% from run to run; memory varies by 1%"
)


def said(**changed: object) -> list[str]:
    return list(announcement(replace(FIVE, **changed)))  # type: ignore[arg-type]


def seen(foresight: Foresight, **changed: object) -> str:
    (line,) = [line for line in said(foresight=foresight, **changed) if line.startswith("the smallest difference")]
    return line


def test_size_margins_and_the_smallest_difference_are_said() -> None:
    foresight = Foresight(5, 200, 5.71, 1.083, 1.024, tuple(Assumption))
    assert said(foresight=foresight) == [
        "quickstart: 2 arms (lora, qlora), 5 seeds (0, 1, 2, 3, 4), 10 runs",
        "margins: 2 points of accuracy, 0.95 to 1.05 of the time, 0.98 to 1.02 of the memory, 0.01 nats of a loss",
        "the smallest difference that it can see, in 80% of such sweeps: 5.7 points of accuracy (200 questions); "
        "1.08 times the time; 1.02 times the memory",
        ASSUMED,
    ]


def test_margins_and_looks_are_those_that_were_named() -> None:
    named = ComparisonConfig(margin_points=0.5, margin_time_ratios=[0.8, 1.25], margin_nats=0.002)
    (line,) = [line for line in said(margins=margins_of(named), looks=2) if line.startswith("margins")]
    assert line == (
        "margins: 0.5 points of accuracy, 0.8 to 1.25 of the time, 0.98 to 1.02 of the memory, 0.002 nats of a loss; "
        "2 looks at the results are announced"
    )


def test_completed_runs_are_counted() -> None:
    assert said(completed=3)[0].endswith("10 runs; 3 of 10 are completed and are not run again")


def test_one_seed_allows_no_verdict_on_methods_and_what_does_is_said() -> None:
    lines = said(seeds=(42,), runs=2, foresight=foresee(1, 200), for_a_verdict=enough([42]))
    assert lines[0] == "quickstart: 2 arms (lora, qlora), 1 seed (42), 2 runs"
    assert lines[2:] == [
        "one seed tells of these adapters alone and allows no verdict on the methods, which takes 5 seeds: "
        "seed=42,43,44,45,46"
    ]


def test_two_to_four_seeds_are_told_how_many_a_verdict_takes() -> None:
    lines = said(seeds=(0, 1, 2), runs=6, foresight=foresee(3, 200), for_a_verdict=enough([0, 1, 2]))
    assert lines[-1] == "a verdict takes 5 seeds: seed=0,1,2,3,4; what is completed by then is not run again"
    assert not [line for line in said() if "verdict" in line]


@pytest.mark.parametrize(
    ("foresight", "is_scored", "accuracy"),
    [
        (foresee(5, None), False, "none of accuracy, since nothing is scored; 1."),
        (foresee(5, None), True, "unknown of accuracy, as is the number of questions; 1."),
        (foresee(5, 49), True, "none of accuracy, which takes 50 questions; 1."),
        (foresee(2, 200, arms=4), True, "none of accuracy (200 questions); "),
    ],
)
def test_where_nothing_can_be_seen_of_accuracy_the_reason_is_said(
    foresight: Foresight, is_scored: bool, accuracy: str
) -> None:
    assert f"of such sweeps: {accuracy}" in seen(foresight, is_scored=is_scored)
    if foresight.accuracy_points is None:
        assert "answers differ" not in "\n".join(said(foresight=foresight, is_scored=is_scored))


def test_what_comes_from_completed_runs_is_not_called_assumed() -> None:
    partly = replace(foresee(5, 200), assumptions=(Assumption.TIME,))
    assert said(foresight=partly)[-2:] == [
        "assumed for that: time varies by 3% from run to run",
        "taken from what is completed of it: how accuracy, memory varies",
    ]
    assert said(foresight=replace(partly, assumptions=()))[-1] == (
        "taken from what is completed of it: how accuracy, time, memory varies"
    )


def test_one_arm_is_compared_with_nothing() -> None:
    assert said(arms=("lora",), runs=5, foresight=None) == [
        "quickstart: 1 arm (lora), 5 seeds (0, 1, 2, 3, 4), 5 runs",
        "nothing is compared: there is one arm",
    ]


def test_arms_of_one_name_and_many_seeds_are_counted() -> None:
    line = said(arms=("lora", "lora", "qlora"), seeds=tuple(range(12)), runs=1200)[0]
    assert line == "quickstart: 3 arms (lora, qlora), 12 seeds (0, 1, ... 11), 1,200 runs"
