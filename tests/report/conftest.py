"""What tests of the report share."""

from __future__ import annotations

import pytest

from harness.report import figures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report without its figures, which take most of its time, for tests that look at none."""
    monkeypatch.setattr(figures, "draw", lambda *_: figures.Drawn({}, "", False))
