"""Where memory, time and energy went, what was proved, and who was compared with whom: said beside the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.document import Number, Table
from harness.report.render import render
from harness.runs.events import RowsTokenized, RowsTrained
from harness.runs.record import MachineBefore, RowsDrawn
from tests.builders import RunBuilder, questions
from tests.report.pages import document_of, page
from tests.report.scenes import run, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def pair(folder: Path, seeds: int = 2, **both: object) -> None:
    for seed in range(seeds):
        for arm in ("lora", "qlora"):
            write(run(folder, arm, seed), **both)


def table(folder: Path, key: str) -> Table:
    (found,) = [table for table in document_of(folder).tables() if table.key == key]
    return found


def figures(row: object) -> list[float]:
    assert isinstance(row, list)
    return [cell.values[0] for cell in row if isinstance(cell, Number)]


def test_parts_of_the_memory_add_up_to_its_peak(folder: Path) -> None:
    pair(folder)
    parts = table(folder, "memory-parts")
    assert parts.headers[3:] == [
        *("Weights", "Adapter", "Gradients", "Optimizer", "Activations and logits"),
        *("Allocator's slack", "Driver and libraries", "Unexplained"),
    ]
    for row in parts.rows:
        peak, *rest = figures(row)
        assert sum(rest) == pytest.approx(peak, abs=0.5)
        assert len(rest) > 4


def test_a_part_that_was_not_measured_is_a_dash_and_its_memory_is_named_unexplained(folder: Path) -> None:
    for arm in ("lora", "qlora"):
        write(run(folder, arm, 0), first_step=None)
    (lora, _) = table(folder, "memory-parts").rows
    assert lora[5:7] == [None, None], "gradients and optimizer"
    assert isinstance(lora[-1], Number)


@pytest.mark.parametrize("anew", [("lora",), ("lora", "qlora")])
def test_a_run_that_was_scored_anew_has_no_time_of_its_own_and_is_compared_all_the_same(
    anew: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    """Its first scoring was killed, so that it has no end."""
    for seed in range(2):
        for arm in ("lora", "qlora"):
            write(run(folder, arm, seed), **{"wall_seconds": None} if arm in anew else {})
    report = render([folder], tmp_path / "report").path.read_text()
    assert "one side alone recorded it" not in report
    (lora, qlora) = table(folder, "time-parts").rows
    assert (lora[1] is None, qlora[1] is None) == (True, "qlora" in anew)


def test_memory_by_phase_names_quantity_and_sensor(folder: Path) -> None:
    pair(folder)
    text = page(folder)
    assert "| Arm | Quantity (MiB) | Sensor | load | train | validate | save | evaluate |" in text
    assert "| lora | reserved by the allocator | torch | " in text


def test_time_parts_add_up_to_the_whole_run(folder: Path) -> None:
    pair(folder)
    for row in table(folder, "time-parts").rows:
        whole, *parts = figures(row)
        assert sum(parts) == pytest.approx(whole)
    text = page(folder)
    assert "| Whole run, as lived (s) | lora | 0, 1 | 60.0, 60.0 | 60.0 |" in text
    assert "- Left out of seconds a step as warm-up: the first 3 steps of a run, " in text
    assert "- qlora and lora: their runs took turns, seed by seed." in text


def test_energy_above_idle_stands_before_that_of_the_whole_run(folder: Path) -> None:
    pair(folder)
    keys = [str(row[0]) for row in table(folder, "energy").rows]
    assert keys[:2] == ["Energy above idle (Wh)"] * 2
    assert keys[2:] == ["Energy of the whole run (Wh)"] * 2
    assert "| Arm | Mean power (W) | Idle power (W) |" in page(folder)


def test_evidence_has_what_no_configuration_tells_for_sure(folder: Path) -> None:
    write(run(folder, "lora", 0, attention="eager", norm_dtype="bfloat16", recomputed=False))
    write(run(folder, "qlora", 0))
    lora, qlora = ([str(cell) for cell in row] for row in table(folder, "evidence").rows)
    assert lora[1:2] + lora[3:10] == [
        *("0 of 28", "bfloat16", "eager", "bfloat16", "float32", "float32", "on", "no"),
    ]
    assert qlora[1] == "28 of 28"
    assert qlora[8:10] == ["on", "yes"]


def test_what_was_trained_on_has_its_padding_its_order_and_the_adapters_check(folder: Path) -> None:
    trained = RowsTrained(digest="abcdef0123456789", rows=100, tokens=900, padding_tokens=100)
    for arm in ("lora", "qlora"):
        write(run(folder, arm, 0), trained=trained)
    row = [str(cell) for cell in table(folder, "trained").rows[0]]
    assert row[3:6] == ["10.0%", "abcdef01", "0.6000 trained, 0.6000 loaded"]
    assert "rows in training order (hash)" in page(folder).split("and equal: ")[1].splitlines()[0]


def test_what_became_of_the_rows_adds_up(folder: Path) -> None:
    drawn = RowsDrawn(in_files=200, set_aside=20, to_train=150, to_validate=10)
    rows = RowsTokenized(rows=100, at_cutoff=3, cutoff_tokens=512, held_out=25, validation=25)
    trained = RowsTrained(digest="abcdef0123456789", rows=200, tokens=900, padding_tokens=100)
    write(run(folder, "lora", 0), drawn=drawn, rows=rows, trained=trained)
    packed = rows.model_copy(update={"sequences": 10})
    write(run(folder, "qlora", 0), drawn=drawn, rows=packed, trained=trained.model_copy(update={"rows": 15}))
    lora, qlora = ([str(cell) for cell in row] for row in table(folder, "rows").rows)
    assert lora[1:] == ["200", "45", "30", "25", "100", "not packed", "3 at 512 tokens", "2.00", "25"]
    assert qlora[5:9] == ["100", "10", "3 at 512 tokens", "1.50"]
    assert 200 - 45 - 30 - 25 == 100


def test_another_order_of_rows_is_a_difference(folder: Path) -> None:
    write(run(folder, "lora", 0))
    write(run(folder, "qlora", 0, order_digest="another"))
    assert "| qlora | lora | rows in training order (hash) | another |" in page(folder)


def test_runs_stand_in_the_order_of_their_start_with_the_machine_as_they_found_it(folder: Path) -> None:
    for position, (arm, seed) in enumerate([("lora", 0), ("qlora", 0), ("qlora", 1), ("lora", 1)], 1):
        made = run(folder, arm, seed, position=position, device="cpu")
        before = MachineBefore(cpu_busy_percent=12.4, cpu_temperature_celsius=50.0 + position)
        write(made, before=before)
    rows = [[str(cell) for cell in row[:4]] for row in table(folder, "runs").rows]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[2] for row in rows] == ["lora", "qlora", "qlora", "lora"]
    assert rows[0][1] == "2030-01-01 00:00:00"
    assert "| 51 | 12 | 1 | lora-seed0" in page(folder)


def test_the_parts_of_the_variance_of_accuracy_are_said(folder: Path) -> None:
    pair(folder, seeds=3)
    assert "- The difference of qlora and lora varies by " in page(folder)


def test_verdicts_have_their_p_values_margins_their_keys_and_tests_their_number(folder: Path) -> None:
    pair(folder, seeds=3)
    text = page(folder)
    assert "Three tests of primary metrics were made" in text
    assert "| Accuracy | 2 points | comparison.margin_points |" in text
    assert "| Time, speed, energy | 0.95 to 1.05 times | comparison.margin_time_ratios |" in text
    for row in table(folder, "verdicts").rows:
        assert len(figures(list(row))) == 5


def test_seeds_that_move_both_arms_alike_are_told_by_their_correlation(folder: Path) -> None:
    for seed, loss in enumerate((0.6, 0.7, 0.8)):
        for arm in ("lora", "qlora"):
            RunBuilder(
                folder, arm, seed, quantized=arm == "qlora", validation_loss=loss + 0.01 * (arm == "qlora")
            ).write()
    (row,) = [row for row in table(folder, "accuracy-differences").rows if str(row[0]).startswith("Validation")]
    assert isinstance(row[-1], Number)
    assert row[-1].text == "1.00"


def test_accuracy_alone_of_its_section_has_a_word(folder: Path) -> None:
    for seed in range(3):
        for arm in ("lora", "qlora"):
            answers = questions(200, 0.7, seed)
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=answers, merged_answers=answers).write()
    words = {str(row[0]): row[8] for row in table(folder, "accuracy-differences").rows}
    assert words.pop("Accuracy (%)")
    assert set(words.values()) == {""}
