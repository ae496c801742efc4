"""What a check found."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel


class State(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Runs work, or most do: something is slow, unusual, or in the way of a part."""
    FAILED = "failed"
    """A run on this device would fail."""


class Finding(BaseModel):
    """One line of the doctor's table."""

    check: str
    state: State
    message: str
    """What is there, and why that matters where it is not as it should be."""
    fix: str | None = None
    """What to type; never None where the state is not ok."""


def ok(check: str, message: str) -> Finding:
    """Return a finding that nothing is wrong with."""
    return Finding(check=check, state=State.OK, message=message)


def warning(check: str, message: str, fix: str) -> Finding:
    """Return a finding that is in the way of a part."""
    return Finding(check=check, state=State.WARNING, message=message, fix=fix)


def failed(check: str, message: str, fix: str) -> Finding:
    """Return a finding that a run would fail of."""
    return Finding(check=check, state=State.FAILED, message=message, fix=fix)
