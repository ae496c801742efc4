"""Fetches a dataset's file from a hub, or from its cache: a process of its own, since modelscope imports torch."""

from __future__ import annotations

import contextlib
import sys

from harness.processes.jobs import FetchJob
from harness.workers import lifecycle


def fetch(job: FetchJob) -> str:
    """Return the file's path on this machine. Raises what the hub raises."""
    if job.hub == "modelscope":
        from modelscope.hub import file_download

        return str(file_download.dataset_file_download(job.repository, job.file))
    import huggingface_hub

    return str(huggingface_hub.hf_hub_download(job.repository, job.file, repo_type="dataset"))


def main(job: FetchJob) -> None:
    """Print the path, or the error behind `error: `; progress goes to stderr, where the hubs put it."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            path = fetch(job)
    except Exception as error:
        print(f"error: {(str(error).splitlines() or [type(error).__name__])[0][:200]}")
        raise SystemExit(1) from None
    print(path)


if __name__ == "__main__":
    main(lifecycle.begin(FetchJob))
