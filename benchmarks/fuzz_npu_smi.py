"""What the parsers of npu-smi's output make of a million damaged outputs.

    python -m benchmarks.fuzz_npu_smi [--inputs 1000000] [--seed 0]

An input's seed is `--seed` plus its number, so that `--seed N --inputs 1` repeats one. Ends with 1 when a parser raised
or a reading has something that its text has not; tests/devices/npu_smi/mutate.py says what is tried and what must hold.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.devices.npu_smi.mutate import an_input, violations

AT_ONCE = 2000
"""Inputs that a process takes in one go."""


def attempt(first: int, end: int) -> tuple[int, list[tuple[int, str]]]:
    """How many readings the inputs of these seeds have, and each violation with its seed."""
    found: list[tuple[int, str]] = []
    readings = 0
    for seed in range(first, end):
        count, problems = violations(an_input(seed))
        readings += count
        found += zip(repeat(seed), problems)
    return readings, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    end = options.seed + options.inputs
    firsts = range(options.seed, end, AT_ONCE)
    found: list[tuple[int, str]] = []
    readings, started = 0, time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        for count, problems in pool.map(attempt, firsts, [min(first + AT_ONCE, end) for first in firsts]):
            readings += count
            found += problems
            for seed, problem in problems:
                print(f"--seed {seed} --inputs 1: {problem}", flush=True)
    seconds = time.monotonic() - started
    print(f"{options.inputs} inputs, {readings} readings, {len(found)} violations, {seconds:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
