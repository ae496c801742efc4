"""Trains what a train.yaml says and reports to events.jsonl."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from harness.base.files import remove
from harness.processes.jobs import TrainJob
from harness.runs.events import LibrariesImported, Phase, PhaseStarted, report
from harness.trainer.trained import Trained
from harness.workers import compat, lifecycle


def main(job: TrainJob) -> None:
    """Train in this process, which may be one of several. Ends with status 1 after a failure that it reports."""
    # Of several processes the first reports; what goes wrong each says itself.
    first = os.environ.get("RANK", "0") == "0"
    if first:
        report(job.events, PhaseStarted(phase=Phase.LOAD))
    with lifecycle.failures_reported(job.events):
        arguments: dict[str, Any] = yaml.safe_load(job.arguments.read_text(encoding="utf-8"))
        with lifecycle.collector_paused(), compat.compiled_at_first_call():
            compat.prepare_imports()
            from harness.workers import proof

            proof.require(job.device)
            proof.prove(arguments, job.device)
            compat.patch_bitsandbytes()
            compat.patch_dora()
            compat.patch_merging()
            compat.patch_loss_sum()
            compat.patch_token_count()
            from llamafactory.train.tuner import run_exp

            from harness.workers import adapter_check
            from harness.workers.adapter_check import Folders
            from harness.workers.peaks import resident_mib
            from harness.workers.reporter import Reporter
            from harness.workers.row_account import RowAccount
            from harness.workers.shared_rows import SharedRows

        if first:
            report(job.events, LibrariesImported(resident_mib=resident_mib()))
        # Else transformers reports, for a loss that is NaN or infinite, the mean of those before. Not in train.yaml,
        # since it decides nothing of what is trained.
        arguments["logging_nan_inf_filter"] = False
        shared = SharedRows(job.tokenized) if job.tokenized is not None else None
        account = RowAccount(arguments["cutoff_len"], job.rows, job.validation_rows, shared)
        account.watch()
        reporter = Reporter(job.events, account) if first else None
        with _cached_in(job.cache):
            run_exp(arguments, callbacks=[reporter] if reporter else [])
        if reporter is not None:
            reporter.end_phase(time.time())
            if reporter.lost is not None:
                raise reporter.lost
            if job.check is not None:
                trained = Trained(arguments, Path(arguments["output_dir"]))
                folders = Folders(trained.adapter, Path(trained.base))
                adapter_check.write(job.check, folders, reporter.checked_rows)


@contextmanager
def _cached_in(folder: Path | None) -> Iterator[None]:
    """Have datasets keep what it reads in `folder`, which the first process of a machine takes away in the end: under
    the names of a run's own files no other run would find it."""
    if folder is None:
        yield
        return
    importlib.import_module("datasets").config.HF_DATASETS_CACHE = folder
    try:
        yield
    finally:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            with suppress(OSError):  # A network file system keeps what is open.
                remove(folder)


if __name__ == "__main__":
    main(lifecycle.begin(TrainJob))
