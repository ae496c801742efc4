"""`python -m harness.workers.train RUN_FOLDER DEVICE`: train what train.yaml says and report to events.jsonl.

DEVICE is what torch calls it: cpu, cuda or npu.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from harness.runs.events import Phase, PhaseStarted, report
from harness.workers import compat
from harness.workers import lifecycle as in_child


def main(folder: Path, device: str) -> None:
    in_child.die_with_parent()
    events = folder / "events.jsonl"
    # Of several processes the first reports; what goes wrong each says itself.
    first = os.environ.get("RANK", "0") == "0"
    if first:
        report(events, PhaseStarted(phase=Phase.LOAD))
    with in_child.failures_reported(events):
        arguments: dict[str, Any] = yaml.safe_load((folder / "train.yaml").read_text(encoding="utf-8"))
        with in_child.collector_paused():
            compat.prepare_imports()
            from harness.workers import proof

            proof.require(device)
            proof.prove(arguments, device)
            compat.patch_bitsandbytes()
            from llamafactory.train.tuner import run_exp

            from harness.workers.reporter import Reporter

        reporter = Reporter(events, None if arguments["packing"] else arguments["cutoff_len"]) if first else None
        run_exp(arguments, callbacks=[reporter] if reporter else [])
        if reporter is not None:
            reporter.end_phase(time.time())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
