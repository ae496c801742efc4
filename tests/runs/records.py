"""The smallest record there is, for tests of how one is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.runs.record import Environment, Outcome, Record


def a_record(status: Outcome = Outcome.COMPLETED, **more: Any) -> Record:
    return Record(
        status=status,
        sweep="s",
        arm="lora",
        seed=0,
        baseline="lora",
        identity="abc",
        device="cpu",
        command="harness run",
        config={},
        environment=Environment(
            versions={}, platform="p", device="d", device_count=0, cpu_count=1, host_memory_mib=1.0
        ),
        started_at=datetime.now(UTC),
        wall_seconds=1.0,
        **more,
    )
