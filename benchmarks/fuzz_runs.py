"""How thousands of damaged records and run folders are read: each is named or counts, never a traceback.

    python -m benchmarks.fuzz_runs [--inputs 2000] [--seed 0] [--figures 50]

An input's seed is `--seed` plus its number, so that `--seed N --inputs 1` repeats one; of `--figures` inputs one has
its figures drawn, which takes seconds. Ends with 1 when anything gave a traceback; tests/runs/mutated_runs.py says what
is damaged and what must hold.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from harness.runs.folder import SweepFolder
from tests.runs.mutated_runs import a_sweep, mutate, violations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=int, default=50)
    options = parser.parse_args()
    started, count = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        whole = a_sweep(Path(folder, "whole", "made"))
        for seed in range(options.seed, options.seed + options.inputs):
            sweep = SweepFolder(Path(folder, "damaged", "made"))
            shutil.copytree(whole.path, sweep.path)
            done = mutate(seed, sweep)
            for problem in violations(sweep, Path(folder, "report"), draws=seed % options.figures == 0):
                count += 1
                print(f"--seed {seed} --inputs 1: {problem}\n    {done}", flush=True)
            shutil.rmtree(sweep.path)
    print(f"{options.inputs} inputs, {count} violations, {time.monotonic() - started:.0f} s")
    return 1 if count else 0


if __name__ == "__main__":
    raise SystemExit(main())
