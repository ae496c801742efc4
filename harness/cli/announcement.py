"""What is said of a sweep before it starts, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.comparison.estimates import FEWEST_QUESTIONS
from harness.comparison.findings import FOR_A_VERDICT
from harness.comparison.foresight import ASSUMED_ANSWERS, ASSUMED_MEMORY_SD, ASSUMED_TIME_SD, Assumption, Foresight
from harness.comparison.needs import POWER
from harness.execution.outlook import Outlook

_LISTED = 10
"""So many seeds are named one by one."""
_ASSUMED = {
    Assumption.ANSWERS: f"accuracy varies by {100 * ASSUMED_ANSWERS.seeds**0.5:.0f} points from seed to seed and "
    f"{100 * ASSUMED_ANSWERS.residual:.0f} of 100 answers differ",
    Assumption.TIME: f"time varies by {ASSUMED_TIME_SD:.0%} from run to run",
    Assumption.MEMORY: f"memory varies by {ASSUMED_MEMORY_SD:.0%}",
}
_TOLD = {Assumption.ANSWERS: "accuracy", Assumption.TIME: "time", Assumption.MEMORY: "memory"}


def announcement(outlook: Outlook) -> Iterator[str]:
    """Yield the lines, the sweep's size first."""
    arms = f"{_count(len(outlook.arms), 'arm')} ({', '.join(dict.fromkeys(outlook.arms))})"
    seeds = f"{_count(len(outlook.seeds), 'seed')} ({_listed(outlook.seeds)})"
    done = f"; {outlook.completed} of {outlook.runs} are completed and are not run again" if outlook.completed else ""
    yield f"{outlook.sweep}: {arms}, {seeds}, {_count(outlook.runs, 'run')}{done}"
    foresight = outlook.foresight
    if foresight is None:
        yield "nothing is compared: there is one arm"
        return
    yield _margins(outlook)
    wanted = f"{FOR_A_VERDICT} seeds: seed={','.join(map(str, outlook.for_a_verdict or ()))}"
    if not foresight.sees_methods:
        yield f"one seed tells of these adapters alone and allows no verdict on the methods, which takes {wanted}"
        return
    yield from _visible(foresight, outlook.is_scored)
    if outlook.for_a_verdict is not None:
        yield f"a verdict takes {wanted}; what is completed by then is not run again"


def _margins(outlook: Outlook) -> str:
    margins = outlook.margins
    time, memory = (f"{low:g} to {high:g}" for low, high in (margins.time_ratios, margins.memory_ratios))
    looks = f"; {outlook.looks} looks at the results are announced" if outlook.looks > 1 else ""
    return (
        f"margins: {margins.points:g} points of accuracy, {time} of the time, {memory} of the memory, "
        f"{margins.nats:g} nats of a loss{looks}"
    )


def _visible(foresight: Foresight, is_scored: bool) -> Iterator[str]:
    ratios = {"time": foresight.time_ratio, "memory": foresight.memory_ratio}
    seen = [_accuracy(foresight, is_scored)]
    seen += [f"{ratio:.2f} times the {what}" for what, ratio in ratios.items() if ratio is not None]
    yield f"the smallest difference that it can see, in {POWER:.0%} of such sweeps: {'; '.join(seen)}"
    counted = [what for what in Assumption if what is not Assumption.ANSWERS or foresight.accuracy_points is not None]
    if assumed := [what for what in counted if what in foresight.assumptions]:
        yield f"assumed for that: {'; '.join(_ASSUMED[what] for what in assumed)}"
    if told := [_TOLD[what] for what in counted if what not in assumed]:
        yield f"taken from what is completed of it: how {', '.join(told)} varies"


def _accuracy(foresight: Foresight, is_scored: bool) -> str:
    if not is_scored:
        return "none of accuracy, since nothing is scored"
    if foresight.questions is None:
        return "unknown of accuracy, as is the number of questions"
    if foresight.accuracy_points is None:
        return f"none of accuracy, which takes {FEWEST_QUESTIONS} questions"
    if foresight.accuracy_points >= 100:
        return f"none of accuracy ({foresight.questions:,} questions)"
    return f"{foresight.accuracy_points:.1f} points of accuracy ({foresight.questions:,} questions)"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _listed(seeds: Sequence[int]) -> str:
    if len(seeds) > _LISTED:
        return f"{seeds[0]}, {seeds[1]}, ... {seeds[-1]}"
    return ", ".join(map(str, seeds))
