"""Does what `llamafactory-cli export` does. When it fails it leaves the reason in events.jsonl."""

from __future__ import annotations

from typing import Any

import yaml

from harness.processes.jobs import MergeJob
from harness.workers import compat, lifecycle


def main(job: MergeJob) -> None:
    """Merge an adapter into its base. Ends with status 1 after a failure that it reports."""
    with lifecycle.failures_reported(job.events):
        arguments: dict[str, Any] = yaml.safe_load(job.arguments.read_text(encoding="utf-8"))
        with lifecycle.collector_paused():
            compat.prepare_imports()
            compat.patch_merging()
            compat.patch_tied_embeddings()
            from llamafactory.train.tuner import export_model
        export_model(arguments)


if __name__ == "__main__":
    main(lifecycle.begin(MergeJob))
