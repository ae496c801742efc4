"""How busy a sweep keeps a machine's chips, how often it asks their driver, and whether a chip was two runs' at once.

    python -m benchmarks.chips [--launcher joblib|ray|slurm] [--chips 8] [--runs 24] [--steps 2]

A sweep of two arms and several seeds is started by each launcher, one after another: real trainings of a few steps on
the CPU, on chips by stand-in. What is said comes from the records that it leaves and from the stand-in's log of its
calls. A chip counts as occupied while it is leased, from the first lease of the sweep to the last one: then no run
waits any more. Exits with 1 where a chip had two runs at once, or a run did not complete.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.runs import store
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome, Record
from tests.conftest import command, environment
from tests.devices.ascend.stand_in import Call, StandInNpuSmi
from tests.launchers import slurm
from tests.launchers.launched import TINY_RUN, NotStartedError, ray_nodes

LAUNCHERS = ("joblib", "ray", "slurm")
SWEEP = "chips"


@dataclass(frozen=True)
class Span:
    """A chip's time with one run. Seconds since the epoch."""

    chip: str
    run: str
    since: float
    until: float


@dataclass(frozen=True)
class Occupancy:
    """What became of the chips while runs were left to start. Shares are of the chips' time, 0 to 1."""

    seconds: float
    """From the first lease to the last."""
    leased: float
    not_yet: float
    """Before a chip's first run."""
    between: float
    """Between two runs, and after a chip's last."""


@dataclass(frozen=True)
class Asked:
    """The stand-in's calls that were one interval's reading, and those of another kind by their arguments."""

    readings: Sequence[float]
    """When they began, ascending; seconds."""
    others: Counter[str]

    def an_interval(self, interval_seconds: float) -> float:
        """Return how many readings there were for each interval that began between the first and the last."""
        return len(self.readings) / ((self.readings[-1] - self.readings[0]) / interval_seconds + 1)


def spans(records: Iterable[Record]) -> list[Span]:
    """Return when which chip was leased to which run, chip by chip. Raises ValueError for a record without a lease."""
    found = []
    for record in records:
        run = f"{record.arm}-seed{record.seed}"
        if record.lease is None:
            raise ValueError(f"{run}: its record tells of no lease")
        since, until = record.lease.since.timestamp(), record.lease.until.timestamp()
        found += [Span(f"{record.environment.host} {chip}", run, since, until) for chip in record.lease.chips]
    return sorted(found, key=lambda span: (span.chip, span.since))


def at_once(ordered: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Return the runs that had one chip at the same time, of spans in the order of `spans`."""
    return [pair for pair in pairwise(ordered) if pair[0].chip == pair[1].chip and pair[1].since < pair[0].until]


def pauses(ordered: Sequence[Span]) -> list[float]:
    """Return the seconds between a run's end and the next lease of its chip, of spans in the order of `spans`."""
    return [later.since - former.until for former, later in pairwise(ordered) if former.chip == later.chip]


def occupancy(ordered: Sequence[Span], chips: int) -> Occupancy:
    """Return what became of `chips` chips up to the last lease, of spans in the order of `spans`."""
    began, ended = min(span.since for span in ordered), max(span.since for span in ordered)
    whole = chips * (ended - began)
    first: dict[str, float] = {}
    for span in ordered:
        first.setdefault(span.chip, span.since)
    leased = sum(min(span.until, ended) - span.since for span in ordered)
    not_yet = sum(since - began for since in first.values()) + (chips - len(first)) * (ended - began)
    return Occupancy(ended - began, leased / whole, not_yet / whole, (whole - leased - not_yet) / whole)


def asked(calls: Sequence[Call]) -> Asked:
    """Sort a log: `info` is a reading unless the look-up of chips' numbers, under the same lock, comes next."""
    readings, others = [], Counter[str]()
    for call, after in zip(calls, [*calls[1:], None], strict=True):
        if call.arguments == ["info"] and (after is None or after.arguments != ["info", "-m"]):
            readings.append(call.started)
        else:
            words = [word for word in call.arguments if not word.isdecimal()]
            others[" ".join(word for word in words if word != "-i")] += 1
    return Asked(readings, others)


@contextmanager
def launcher_started(launcher: str, chips: int, home: Path, env: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment in which a sweep finds the launcher's scheduler. Raises NotStartedError."""
    if launcher == "ray":
        with ray_nodes(env, ",".join(map(str, range(chips)))) as address:
            yield env | {"RAY_ADDRESS": address}
    elif launcher == "slurm":
        (home / "slurm").mkdir()
        with slurm.started(home / "slurm", chips) as cluster:
            yield env | {"SLURM_CONF": str(cluster.conf)}
    else:
        yield env


def measure(launcher: str, chips: int, runs: int, steps: int, home: Path) -> bool:
    """Run a sweep and print what it left; whether that is without fault. Raises NotStartedError."""
    npu_smi = StandInNpuSmi(home / "npu-smi")
    npu_smi.follow(chips)
    (home / "tmp").mkdir()
    places = {"TMPDIR": str(home / "tmp"), "HARNESS_LEASES": str(home / "leases"), "HARNESS_FORECAST": "false"}
    env = npu_smi.environment(environment(home / "cache")) | places
    seeds = ",".join(map(str, range(runs // 2)))
    points = (f"launcher={launcher}", f"sweep={SWEEP}", "method=lora,qlora", f"seed={seeds}")
    points = (*points, *TINY_RUN, f"training.max_steps={steps}")
    began = time.monotonic()
    with launcher_started(launcher, chips, home, env) as launched, (home / "log").open("wb") as log:
        subprocess.run(command("run", "--multirun", *points), cwd=home, env=launched, stdout=log, stderr=log)
    seconds = time.monotonic() - began
    found = [store.load(RunFolder(file.parent)) for file in home.glob(f"outputs/{SWEEP}/*/record.json")]
    records = [record for record in found if record is not None and record.status is Outcome.COMPLETED]
    print(f"{launcher}: {len(records)} of {runs} runs completed on {chips} chips in {seconds:.0f} s", flush=True)
    if len(records) < runs:
        print((home / "log").read_text(errors="replace")[-4000:])
        return False
    ordered = spans(records)
    say_occupancy(ordered, chips)
    say_calls(asked(npu_smi.calls()), {record.sampling.interval_seconds for record in records if record.sampling})
    faults = at_once(ordered)
    for one, other in faults:
        print(f"  {one.chip}: {other.run} began {one.until - other.since:.2f} s before {one.run} had ended")
    print(f"  chips that two runs had at once: {len(faults)}, of {len(ordered)} leases", flush=True)
    return not faults


def say_occupancy(ordered: Sequence[Span], chips: int) -> None:
    found, waits = occupancy(ordered, chips), pauses(ordered)
    print(
        f"  leased {found.leased:.1%} of the {found.seconds:.0f} s in which runs were left to start; "
        f"before a chip's first run {found.not_yet:.1%}, between runs {found.between:.1%}"
    )
    took, pause = statistics.median(span.until - span.since for span in ordered), statistics.median(waits)
    print(
        f"  medians: a run has its chip for {took:.1f} s; from its end to the next lease {pause:.2f} s "
        f"({min(waits):.2f} to {max(waits):.2f})"
    )


def say_calls(found: Asked, intervals: set[float]) -> None:
    (interval_seconds,) = intervals
    apart = [later - former for former, later in pairwise(found.readings)]
    others = ", ".join(f"{count} `npu-smi {words}`" for words, count in found.others.most_common())
    print(
        f"  npu-smi: {len(found.readings)} readings, {found.an_interval(interval_seconds):.2f} an interval of "
        f"{interval_seconds:g} s, at least {min(apart):.2f} s apart (the stand-in takes its time to start)\n"
        f"  once a minute or once a run: {others}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", choices=LAUNCHERS)
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument(
        "--runs", type=int, default=24, help="of both arms together: an even number above that of chips"
    )
    parser.add_argument("--steps", type=int, default=2, help="of a training")
    given = parser.parse_args()
    if given.runs % 2 or given.runs <= given.chips:
        parser.error(f"--runs={given.runs}: two arms have an even number, and none waits for {given.chips} chips")
    is_right = True
    for launcher in [given.launcher] if given.launcher else LAUNCHERS:
        with tempfile.TemporaryDirectory(prefix="chips-") as home:
            try:
                is_right &= measure(launcher, given.chips, given.runs, given.steps, Path(home))
            except NotStartedError as why:
                print(f"{launcher}: not measured: {why}")
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
