"""`python -m harness.workers.fetch_dataset HUB REPOSITORY FILE`: a dataset's file from a hub, or from its cache.

A process of its own, since modelscope imports torch. Prints the path, or the error behind `error: `; progress goes to
stderr, as the hubs do it.
"""

from __future__ import annotations

import contextlib
import sys


def fetch(hub: str, repository: str, file: str) -> str:
    """The file's path on this machine. Raises what the hub raises."""
    if hub == "modelscope":
        from modelscope.hub import file_download

        return str(file_download.dataset_file_download(repository, file))
    import huggingface_hub

    return str(huggingface_hub.hf_hub_download(repository, file, repo_type="dataset"))


def main(hub: str, repository: str, file: str) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            path = fetch(hub, repository, file)
    except Exception as error:
        print(f"error: {(str(error).splitlines() or [type(error).__name__])[0][:200]}")
        raise SystemExit(1) from None
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
