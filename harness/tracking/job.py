"""What the tracking process is told when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel


class TrackingJob(BaseModel):
    mode: str
    project: str
    workspace: str | None
    experiment: str
    group: str
    tags: list[str]
    config: dict[str, Any]
    log_folder: Path
    run_folder: Path
    """Holds events.jsonl, readings.jsonl and, in the end, evaluation/score.json."""
