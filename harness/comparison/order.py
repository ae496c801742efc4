"""In which order the runs of two arms were made, and whether they had the machine to themselves.

A machine that grows warm, or that somebody else uses, changes time. Where it did so for one arm more than for the
other, no statistics can tell the arm from the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from harness.comparison.pooling import started
from harness.comparison.runs import Run
from harness.runs.record import Record

SHARED_CPU = 0.1
"""The share of the processors open to a run that others may take before its times count as shared."""


class Order(StrEnum):
    """How the runs of two arms followed each other."""

    SEPARATED = "separated"
    """All of one arm came before all of the other."""
    INTERLEAVED = "interleaved"
    BLOCKS = "blocks"
    """Interleaved, and the two runs of a seed came one after the other, as far as these two arms go."""
    UNKNOWN = "unknown"
    """Adopted runs, or several that started at one moment."""


def order_of(pairs: Sequence[tuple[Run, Run]]) -> Order:
    """Return the order of at least one pair of runs, one pair a seed."""
    runs = [run for pair in pairs for run in pair]
    # When an adopted run started is worked out of the times of its files.
    if any(run.record.adopted for run in runs) or len({started(run.record) for run in runs}) < len(runs):
        return Order.UNKNOWN
    first = [started(run.record) for run, _ in pairs]
    second = [started(run.record) for _, run in pairs]
    if max(first) < min(second) or max(second) < min(first):
        return Order.SEPARATED
    starts = sorted((moment, seed) for side in (first, second) for seed, moment in enumerate(side))
    seeds = [seed for _, seed in starts]
    return Order.BLOCKS if seeds[::2] == seeds[1::2] else Order.INTERLEAVED


def was_shared(record: Record) -> bool:
    """Return whether others used the run's chips, or too much of its processors; False if nobody looked.

    On a machine with more processors than are open to the run, others are taken to be on those first."""
    before = record.before.chips if record.before is not None else []
    if any(chip.other_processes for chip in before):
        return True
    sharing, own = record.sharing, record.environment.cpu_count or 1
    if sharing is None:
        return False
    spare = max(0, (record.environment.machine_cpu_count or own) - own)
    taken = (sharing.others_cpu_percent or 0.0) / 100 - spare
    return bool(sharing.others_on_chips) or taken > SHARED_CPU * own
