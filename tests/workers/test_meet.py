"""What a node is told that cannot ask node 0; how nodes meet is in tests/launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.processes.jobs import MeetJob, Met
from harness.workers import meet


@pytest.mark.parametrize("earlier", [None, Met(node_0_is_at=3)])
def test_an_address_that_is_none_is_told_in_place_of_any_earlier_answer(tmp_path: Path, earlier: Met | None) -> None:
    answer = tmp_path / "answer.json"
    if earlier is not None:
        answer.write_text(earlier.model_dump_json())
    meet.main(MeetJob(address="no such address", port=29500, run="0:a/b/c", patience_seconds=60, answer=answer))
    met = Met.model_validate_json(answer.read_bytes())
    assert met.node_0_is_at is None
    assert (met.problem or "").startswith("launch.master_addr=no such address: ")
