"""What every worker does first and last: die with its parent, read its job, and say why it failed."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from harness.base.garbage import uncollected
from harness.processes.jobs import Job
from harness.processes.start import PARENT
from harness.runs.events import Failure, FailureCause, report

AnyJob = TypeVar("AnyJob", bound=Job)
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15

# What torch (CUDA, NPU, CPU), bitsandbytes and Python say when memory runs out.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "NPUWorkspaceAllocator tried to allocate",
)


def begin(job: type[AnyJob]) -> AnyJob:
    """Do what every worker does before it imports anything large, and return its job.

    The job's file is the command's one argument, any path that can be read. Raises OSError and ValidationError."""
    die_with_parent()
    return job.model_validate_json(Path(sys.argv[1]).read_bytes())


def die_with_parent() -> None:
    """Have Linux kill this process when its parent dies, so that no training outlives the run that pays for it.

    The parent says in HARNESS_PARENT who it is. Without, a person started this process and nothing is done."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    # It may have died before that. Who adopts its children may be process 1 or any other, and so may a parent be.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def be_parent() -> None:
    """Have the workers that this process starts by other means than the harness's die with it."""
    os.environ[PARENT] = str(os.getpid())


def be_named(name: str) -> None:
    """Be shown by that name in top and ps (15 bytes of it), where a fork has that of its server."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


class UnsupportedError(Exception):
    """The device cannot do what the run asks of it; the message says what went wrong and what to do instead."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception, or one that it came from, says that memory ran out."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words.lower() in text for words in _OUT_OF_MEMORY):
        return True
    earlier = error.__cause__ or error.__context__
    return earlier is not None and is_out_of_memory(earlier)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Import without the garbage collector: what imports create lives as long as the process.

    Looking through it again and again took 2 of the 10 seconds that torch, transformers and LLaMA-Factory need."""
    with uncollected():
        yield
        gc.freeze()


@contextmanager
def failures_reported(events: Path) -> Iterator[None]:
    """Turn any exception into a Failure event, its traceback on stderr, and exit status 1."""
    try:
        yield
    except Exception as error:
        rank = os.environ.get("RANK")
        who = "" if rank is None else f"rank {rank}: "
        cause = FailureCause.OUT_OF_MEMORY if is_out_of_memory(error) else FailureCause.ERROR
        if isinstance(error, UnsupportedError):
            cause = FailureCause.UNSUPPORTED
        report(events, Failure(error=f"{who}{type(error).__name__}: {error}", cause=cause))
        traceback.print_exc()
        raise SystemExit(1) from None
