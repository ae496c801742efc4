"""What reading NPUs costs the work beside it, and how long a memory peak must last to be seen.

    .venv/bin/python benchmarks/sampling.py [--rounds 4]

npu-smi is a stand-in that takes 1.2 s, as users report of the real one. The work is matrix products on every core: the
worst case for whoever reads beside it, since on an NPU host most cores are idle. It is done without and with a sampler,
in turn, by one run and by eight at once, each with a sampler of its own as eight harness runs have.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT)  # in place of this folder, whose statistics.py would hide Python's own

import statistics  # noqa: E402

from harness.devices.ascend.device import find  # noqa: E402
from harness.devices.request import DeviceRequest  # noqa: E402
from harness.devices.sampler import Sampler  # noqa: E402
from harness.runs.measurements import read_readings  # noqa: E402
from tests.devices.ascend import tables  # noqa: E402
from tests.devices.ascend.stand_in import StandInNpuSmi  # noqa: E402

CALL_SECONDS = 1.2
INTERVALS_SECONDS = (3.0, 1.0)
"""The default of device=ascend, and that of other devices."""
CHIPS = 8
WORK = """
import sys, time, numpy
steps = int(sys.argv[1])
matrix = numpy.random.default_rng(0).random((512, 512), dtype=numpy.float32)
started = time.perf_counter()
for _ in range(steps):
    matrix @ matrix
print(time.perf_counter() - started)
"""
PEAKS_SECONDS = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Round:
    seconds: float
    """Of the work, the mean over the runs."""
    calls: int
    readings: int
    gaps: int


def work(steps: int) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(steps)], stdout=subprocess.PIPE, text=True, env=environment
    )


def one_run(chip: int, interval_seconds: float, steps: int, folder: Path) -> None:
    """What `--one-run` does: the work with a sampler beside it, as a run of the harness has it."""
    sampler = Sampler(find(DeviceRequest([chip])).sensors(interval_seconds), interval_seconds, folder / f"{chip}.jsonl")
    sampler.start()
    child = work(steps)
    sampler.watch(child.pid)
    seconds = float(child.communicate()[0])
    sampled = sampler.stop()
    print(json.dumps({"seconds": seconds, "readings": sampled.readings, "gaps": sampled.gaps}))


def measure(stand_in: StandInNpuSmi, runs: int, interval_seconds: float | None, steps: int) -> Round:
    before = len(stand_in.calls())
    with tempfile.TemporaryDirectory() as folder:
        if interval_seconds is None:
            children = [work(steps) for _ in range(runs)]
            seconds = [float(child.communicate()[0]) for child in children]
            return Round(statistics.mean(seconds), 0, 0, 0)
        command = [sys.executable, __file__, "--one-run", str(interval_seconds), str(steps), folder]
        children = [
            subprocess.Popen([*command, str(chip)], stdout=subprocess.PIPE, text=True, env=stand_in.environment())
            for chip in range(runs)
        ]
        results = [json.loads(child.communicate()[0]) for child in children]
    return Round(
        statistics.mean(result["seconds"] for result in results),
        len(stand_in.calls()) - before,
        sum(result["readings"] for result in results),
        sum(result["gaps"] for result in results),
    )


def cost(stand_in: StandInNpuSmi, rounds: int, seconds: float) -> None:
    print("| runs at once | interval (s) | time of the work, with / without: median (range) | npu-smi calls a minute |")
    print("|---:|---:|---|---:|")
    cores = len(os.sched_getaffinity(0))
    alone = measure(stand_in, 1, None, 500).seconds / 500
    for runs in (1, CHIPS):
        steps = max(1, int(seconds / alone / max(1, runs / cores)))
        for interval in INTERVALS_SECONDS:
            ratios, minutes, calls = [], 0.0, 0
            for number in range(rounds):
                done = {}
                # Whoever comes second finds a warmer machine: take turns.
                for side in (None, interval) if number % 2 else (interval, None):
                    started = time.monotonic()
                    done[side] = measure(stand_in, runs, side, steps)
                    if side is not None:
                        minutes += (time.monotonic() - started) / 60
                ratios.append(done[interval].seconds / done[None].seconds)
                calls += done[interval].calls
            spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            print(f"| {runs} | {interval:g} | {spread} | {calls / minutes:.0f} |", flush=True)


def visibility(stand_in: StandInNpuSmi, seconds: float) -> None:
    print(f"\n| interval (s) | {' | '.join(f'{peak:g} s' for peak in PEAKS_SECONDS)} |")
    print(f"|---:|{'---:|' * len(PEAKS_SECONDS)}")
    os.environ["PATH"] = stand_in.environment()["PATH"]
    for interval in INTERVALS_SECONDS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "readings.jsonl"
            sampler = Sampler(find(DeviceRequest([0])).sensors(interval), interval, path)
            sampler.start()
            time.sleep(seconds)
            sampler.stop()
            moments = sorted(reading.time for reading in read_readings(path) if reading.sensor == "npu-smi")
        cells = []
        for peak in PEAKS_SECONDS:
            starts = [moments[0] + 0.01 * tick for tick in range(int(100 * (moments[-1] - moments[0] - peak)))]
            seen = sum(any(start <= moment <= start + peak for moment in moments) for start in starts)
            cells.append(f"{100 * seen / len(starts):.0f}%")
        print(f"| {interval:g} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--one-run"]:
        interval, steps, folder, chip = sys.argv[2:]
        one_run(int(chip), float(interval), int(steps), Path(folder))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0, help="of work a round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stand_in = StandInNpuSmi(Path(folder))
        cards = [tables.Card(npu) for npu in range(CHIPS)]
        stand_in.show(tables.hbm_table(cards), tables.mapping(cards))
        stand_in.behave("slow", seconds=CALL_SECONDS)
        cost(stand_in, arguments.rounds, arguments.seconds)
        visibility(stand_in, 4 * arguments.seconds)


if __name__ == "__main__":
    main()
