"""`python -m harness.workers.merge MERGE.yaml EVENTS.jsonl`: what `llamafactory-cli export MERGE.yaml` does.

When it fails it leaves the reason in EVENTS.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from harness.workers import compat
from harness.workers import lifecycle as in_child


def main(file: Path, events: Path) -> None:
    in_child.die_with_parent()
    with in_child.failures_reported(events):
        arguments: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        with in_child.collector_paused():
            compat.prepare_imports()
            from llamafactory.train.tuner import export_model
        export_model(arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
