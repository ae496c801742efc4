"""What the harness costs the training it watches: the same train.yaml, plain and through the harness, in turn.

    .venv/bin/python benchmarks/overhead.py [--pairs 5]

Both sides run in the same environment on the same rows. Plain is `llamafactory-cli train train.yaml` (with the import
repairs of harness/compat.py, without which it does not start beside a CPU build of torch); the harness samples every
second, tracks with SwanLab and reports events. Compared is `train_runtime` of LLaMA-Factory's own
train_results.json, pair by pair, so that a machine whose speed drifts does not decide.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

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
            [sys.executable, "-m", "harness.compat", "train", str(home / "train.yaml")],
            cwd=home,
            env=environment,
            check=True,
            stdout=log,
            stderr=log,
        )
    return home / "adapter"


def train_seconds(adapter: Path) -> float:
    return float(json.loads((adapter / "train_results.json").read_text())["train_runtime"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    ratios, whole = [], []
    print("pair  plain training s  harness training s  ratio  |  plain process s  harness process s")
    for number in range(1, pairs + 1):
        home = Path(tempfile.mkdtemp(prefix="overhead-"))
        for side in ("plan", "plain", "harness"):
            (home / side).mkdir()
        planned = harness(home / "plan", "dry_run=true")
        measured: dict[str, tuple[float, float]] = {}
        # Whoever comes second finds a warmer machine: take turns.
        for side in ("plain", "harness") if number % 2 else ("harness", "plain"):
            started = time.monotonic()
            folder = plain(planned, home / side) if side == "plain" else harness(home / side) / "adapter"
            measured[side] = train_seconds(folder), time.monotonic() - started
        ratios.append(measured["harness"][0] / measured["plain"][0])
        whole.append(measured["harness"][1] - measured["plain"][1])
        print(
            f"{number:4}  {measured['plain'][0]:16.2f}  {measured['harness'][0]:18.2f}  {ratios[-1]:5.3f}"
            f"  |  {measured['plain'][1]:15.1f}  {measured['harness'][1]:17.1f}",
            flush=True,
        )
        shutil.rmtree(home)
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"\ntraining time, harness / plain: median {middle:.3f}, {low:.3f} to {high:.3f}")
    print(f"whole process, harness - plain: median {statistics.median(whole):.1f} s")


if __name__ == "__main__":
    main()
