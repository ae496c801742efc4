"""What every child process does first and last: die with its parent, and say why it failed."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.runs.events import Failure, FailureCause, report

_PR_SET_PDEATHSIG = 1

# What torch (CUDA, NPU, CPU), bitsandbytes and Python say when memory runs out.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "NPUWorkspaceAllocator tried to allocate",
)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that no training outlives the run that pays for it."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


class UnsupportedError(Exception):
    """The device cannot do what the run asks of it; the message says what went wrong and what to do instead."""


def cause_of(error: BaseException) -> FailureCause:
    if isinstance(error, UnsupportedError):
        return FailureCause.UNSUPPORTED
    return FailureCause.OUT_OF_MEMORY if is_out_of_memory(error) else FailureCause.ERROR


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it came from, says that memory ran out."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words.lower() in text for words in _OUT_OF_MEMORY):
        return True
    earlier = error.__cause__ or error.__context__
    return earlier is not None and is_out_of_memory(earlier)


@contextmanager
def collector_paused() -> Iterator[None]:
    """For imports. What they create lives as long as the process; looking for garbage among it again and again took 2
    of the 10 seconds that torch, transformers and LLaMA-Factory need."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@contextmanager
def failures_reported(events: Path) -> Iterator[None]:
    """Turn any exception into a Failure event, its traceback on stderr, and exit status 1."""
    try:
        yield
    except Exception as error:
        rank = os.environ.get("RANK")
        who = "" if rank is None else f"rank {rank}: "
        report(events, Failure(error=f"{who}{type(error).__name__}: {error}", cause=cause_of(error)))
        traceback.print_exc()
        raise SystemExit(1) from None
