"""A sample of what `python -m benchmarks.fuzz_npu_smi` tries a million times."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.devices.npu_smi.examples import EXAMPLES
from tests.devices.npu_smi.mutate import ALPHABET, an_input, violations
from tests.devices.npu_smi.tables import render
from tests.devices.stand_ins import unhurried

A_PART = 500


@pytest.mark.parametrize("first", range(0, 8 * A_PART, A_PART))
def test_no_mutated_table_fails_a_parser_or_gives_a_number_that_is_not_in_it(first: int) -> None:
    outcomes = {seed: violations(an_input(seed)) for seed in range(first, first + A_PART)}
    assert {seed: found for seed, (_, found) in outcomes.items() if found} == {}
    assert sum(count for count, _ in outcomes.values()) > A_PART / 10, "mutated so much that nothing is read"


@given(text=st.text() | st.text(ALPHABET))
@example("| NPU | Process id | Process name |\n+-+\n| 0 | 1 | a |\n+-+")
@unhurried
def test_no_raw_text_does_either(text: str) -> None:
    assert violations(text)[1] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_number_from_elsewhere_would_be_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself, on tables whose values changed after they were read."""
    shown, layout = EXAMPLES[name]
    text = render(shown, layout)
    assert violations(text) == (len(shown), [])
    for field, value in {"power_watts": 1.5, "memory_used_mib": 77.0, "npu_id": 99, "health": "Critical"}.items():
        changed = [shown[0].model_copy(update={field: value}), *shown[1:]]
        with monkeypatch.context() as patch:
            patch.setattr("tests.devices.npu_smi.mutate.read_info", lambda _, table=changed: _Table(table))
            assert violations(text)[1]


class _Table:
    def __init__(self, readings: list[object]) -> None:
        self.readings = readings
        self.problems: list[str] = []
