"""What the harness costs the training it watches: the same train.yaml, plain and through the harness, in turn.

    .venv/bin/python benchmarks/overhead.py [--rounds 8]

All sides run in the same environment on the same rows. Plain is `llamafactory-cli train train.yaml` (with the import
repairs of harness/workers/compat.py, without which it does not start beside a CPU build of torch); the harness samples
every second, and every half second, tracks with SwanLab and reports events. Compared is `train_runtime` of
LLaMA-Factory's own train_results.json, round by round, so that a machine whose speed drifts does not decide. Where its
own noise is larger than the cost, the processor time that the watching processes take while the steps run says more:
that is first.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this folder, whose statistics.py would hide Python's own

import statistics

import psutil
import yaml
from scipy import stats

INTERVALS_SECONDS = (1.0, 0.5)
"""The default, and the quickstart's."""
SETTINGS = ("evaluation=none", "device=cpu", "dataset.train_samples=3200", "method=qlora")


def harness(home: Path, *more: str) -> Path:
    """Run the harness in `home`; returns the run's folder."""
    subprocess.run([sys.executable, "-m", "harness", *SETTINGS, *more], cwd=home, check=True, stdout=subprocess.DEVNULL)
    (train_yaml,) = home.glob("outputs/single/*/train.yaml")
    return train_yaml.parent


def plain(planned: Path, home: Path) -> Path:
    """Train what the harness planned, without it; returns the output folder."""
    arguments = yaml.safe_load((planned / "train.yaml").read_text()) | {"output_dir": str(home / "adapter")}
    (home / "train.yaml").write_text(yaml.safe_dump(arguments))
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
    environment["HF_HUB_OFFLINE"] = "1"
    with (home / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "harness.workers.compat", "train", str(home / "train.yaml")],
            cwd=home,
            env=environment,
            check=True,
            stdout=log,
            stderr=log,
        )
    return home / "adapter"


def train_seconds(adapter: Path) -> float:
    return float(json.loads((adapter / "train_results.json").read_text())["train_runtime"])


def shares(home: Path) -> None:
    """Processor time of each process of a harness run between its first and its last reported step."""
    command = [sys.executable, "-m", "harness", *SETTINGS]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        moments = [_processor_seconds(run.pid) for line in run.stdout if " step " in line]
    (began, first), (ended, last) = moments[0], moments[-1]
    print("percent of one core while the steps run: ", end="")
    print(", ".join(f"{who} {100 * (last[who] - first[who]) / (ended - began):.1f}" for who in sorted(first)))


def _processor_seconds(pid: int) -> tuple[float, dict[str, float]]:
    harness = psutil.Process(pid)
    seconds = {}
    for process in [harness, *harness.children(recursive=True)]:
        who = next((word for word in process.cmdline() if word.startswith("harness.")), "harness")
        times = process.cpu_times()
        seconds[who] = times.user + times.system
    return time.monotonic(), seconds


def _interval(values: list[float]) -> tuple[float, float]:
    """Student's t, 95%."""
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) - half, statistics.mean(values) + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        shares(Path(folder))
    sides = ("plain", *(f"every {interval} s" for interval in INTERVALS_SECONDS))
    training: dict[str, list[float]] = {side: [] for side in sides}
    whole: dict[str, list[float]] = {side: [] for side in sides}
    print("training seconds\nround  " + "".join(f"{side:>14}" for side in sides))
    for number in range(rounds):
        home = Path(tempfile.mkdtemp(prefix="overhead-"))
        for folder in ("plan", *sides):
            (home / folder).mkdir()
        planned = harness(home / "plan", "dry_run=true")
        # Whoever comes later finds a warmer machine: take turns.
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            started = time.monotonic()
            if side == "plain":
                adapter = plain(planned, home / side)
            else:
                adapter = harness(home / side, f"device.interval_seconds={side.split()[1]}") / "adapter"
            whole[side].append(time.monotonic() - started)
            training[side].append(train_seconds(adapter))
        print(f"{number + 1:5}  " + "".join(f"{training[side][-1]:14.2f}" for side in sides), flush=True)
        shutil.rmtree(home)
    for side in sides[1:]:
        ratios = [watched / plain for watched, plain in zip(training[side], training["plain"], strict=True)]
        low, high = (math.exp(bound) for bound in _interval([math.log(ratio) for ratio in ratios]))
        more = [watched - plain for watched, plain in zip(whole[side], whole["plain"], strict=True)]
        print(
            f"{side}: training time, harness / plain: median {statistics.median(ratios):.3f}, geometric mean "
            f"{statistics.geometric_mean(ratios):.3f} (95% interval {low:.3f} to {high:.3f}); "
            f"whole process, harness - plain: median {statistics.median(more):.1f} s"
        )


if __name__ == "__main__":
    main()
