"""record.json and events.jsonl: what they hold comes back as it was, also what is no finite number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.runs.events import Event, TrainingFinished, TrainingLoss, ValidationLoss, read, report
from harness.runs.record import Divergence, DivergenceKind, Energy, Record, Reply, Training, passed
from tests.runs.records import a_record

NOT_FINITE = [math.nan, math.inf, -math.inf]


def strict(text: str) -> Any:
    """JSON as any other reader takes it: NaN and Infinity are none."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("loss", [*NOT_FINITE, 0.5])
def test_a_loss_of_any_kind_is_reported_and_read_again(loss: float, tmp_path: Path) -> None:
    events: list[Event] = [
        TrainingLoss(time=1, step=1, loss=loss, learning_rate=1e-4, gradient_norm=loss),
        ValidationLoss(time=2, step=1, loss=loss),
        TrainingFinished(time=3, train_seconds=1, validation_seconds=0, steps=1, tokens=1),
    ]
    path = tmp_path / "events.jsonl"
    for event in events:
        report(path, event)
    found = read(path)
    assert list(map(repr, found)) == list(map(repr, events))
    assert [strict(line)["kind"] for line in path.read_text().splitlines()] == [event.kind for event in events]


@pytest.mark.parametrize("loss", NOT_FINITE)
def test_a_record_keeps_losses_that_are_not_finite(loss: float) -> None:
    training = Training(
        train_seconds=1,
        validation_seconds=0,
        steps=1,
        tokens=1,
        tokens_per_second=1,
        train_loss=loss,
        validation_loss=loss,
        adapter_mib=None,
    )
    divergence = Divergence(kind=DivergenceKind.NOT_FINITE, step=1, first_loss=2.5, last_loss=loss)
    written = a_record(training=training, divergence=divergence, diverged=True).model_dump_json()
    strict(written)
    found = Record.model_validate_json(written)
    assert (repr(found.training), repr(found.divergence)) == (repr(training), repr(divergence))


def test_a_record_of_the_version_before_has_nothing_where_it_told_nothing() -> None:
    old = a_record(energy=Energy(watt_hours=1, mean_watts=2)).model_dump(mode="json")
    del old["energy"]["covered_seconds"]
    for name in ("identity_parts", "diverged", "divergence", "compute_dtype", "lease", "unread_lines"):
        del old[name]
    found = Record.model_validate_json(json.dumps(old))
    assert found.energy is not None
    assert found.energy.covered_seconds is None
    assert (found.identity_parts, found.diverged, found.compute_dtype, found.lease) == (None, None, None, None)


@pytest.mark.parametrize(
    ("answer", "expected", "outcome"),
    [
        ("我是北大助手", "北大", True),
        ("我是通义千问", "北大", False),
        ("我是北大助手", None, None),
        ("", "北大", False),
    ],
)
def test_a_prompt_passes_if_its_answer_holds_what_is_expected(
    answer: str, expected: str | None, outcome: bool | None
) -> None:
    reply = Reply(prompt="你是谁", expected=expected, answer=answer, generated_tokens=1, finished=True)
    written = a_record(replies=[reply]).model_dump_json()
    assert json.loads(written)["replies"][0]["passed"] is outcome
    assert Record.model_validate_json(written).replies == [reply]
    assert passed([reply]) == (None if outcome is None else (int(outcome), 1))
