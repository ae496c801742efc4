"""How thousands of commands end that nobody means: with a message, never with a traceback.

    python -m benchmarks.fuzz_commands [--inputs 2000] [--seed 0]

An input's seed is `--seed` plus its number, so that `--seed N --inputs 1` repeats one. Ends with 1 when a command gave
a traceback, hung or passed on what steers a terminal; tests/cli/mutated_commands.py says what is tried and what must
hold.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

# No forecasts, which take seconds each, and no accelerator.
os.environ |= {"HARNESS_FORECAST": "false", "CUDA_VISIBLE_DEVICES": ""}

from tests.cli.mutated_commands import an_attempt, violations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started, count = time.monotonic(), 0
    for seed in range(options.seed, options.seed + options.inputs):
        attempt = an_attempt(seed)
        with tempfile.TemporaryDirectory() as folder:
            for problem in violations(attempt, Path(folder)):
                count += 1
                print(f"--seed {seed} --inputs 1: {problem}\n    harness {' '.join(attempt.words)[:300]!r}", flush=True)
                for name, content in attempt.files.items():
                    if options.inputs == 1:
                        print(f"{name}:\n{content.decode(errors='backslashreplace')}")
    print(f"{options.inputs} commands, {count} violations, {time.monotonic() - started:.0f} s")
    return 1 if count else 0


if __name__ == "__main__":
    raise SystemExit(main())
