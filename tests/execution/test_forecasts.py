"""A sweep says what memory it will need before it starts, and reports it beside what it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.exits import MISTAKE
from harness.comparison.foretold import foretold
from harness.comparison.parts import MeasuredPart
from harness.runs.forecasted import ForecastPhase
from harness.runs.record import Record
from tests.conftest import FinishedSweep, call, environment
from tests.running import record_in

FORECAST = {"HARNESS_FORECAST": "true"}
TOO_LARGE = (
    *("model=random", "model.shape=qwen2_0_5b", "dataset.train_samples=8", "dataset.validation_samples=0"),
    *("training.batch_size=4000", "training.validation_steps=null", "evaluation=none", "tracking=disabled", "seed=0"),
)


@pytest.fixture(scope="module")
def records(sweep: FinishedSweep) -> dict[str, Record]:
    found = [record_in(file.parent) for file in sweep.folder.glob("*/record.json")]
    return {record.arm: record for record in found}


def test_a_sweep_says_in_a_line_what_each_arm_will_need(sweep: FinishedSweep) -> None:
    (line,) = [line for line in sweep.output.stdout.splitlines() if line.startswith("forecast of memory, in tensors: ")]
    assert "lora " in line
    assert "qlora " in line
    assert line.endswith(".")
    assert sweep.output.stdout.index(line) < sweep.output.stdout.index("loading")


def test_each_run_keeps_the_forecast_of_its_arm(records: dict[str, Record]) -> None:
    for record in records.values():
        assert record.forecast is not None
        assert record.forecast.lengths == "data"
        assert ForecastPhase.TRAIN in {phase.phase for phase in record.forecast.phases}
        assert ForecastPhase.EVALUATE in {phase.phase for phase in record.forecast.phases}
    assert records["lora"].forecast != records["qlora"].forecast


def test_what_is_counted_in_the_run_is_what_was_forecast(records: dict[str, Record]) -> None:
    for record in records.values():
        told = foretold(record)
        assert told is not None
        for part in (MeasuredPart.WEIGHTS, MeasuredPart.ADAPTER, MeasuredPart.OPTIMIZER):
            # Each of some hundred tensors takes whole blocks of 512 bytes.
            assert told.forecast_parts_mib[part] == pytest.approx(told.measured_parts_mib[part], abs=0.1)


def test_the_report_has_the_forecast_beside_what_was_measured(sweep: FinishedSweep) -> None:
    report = (sweep.report / "report.md").read_text()
    section = report.partition("### Forecast and measured memory")[2].partition("\n### ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows[2:]] == ["forecast", "resident on the host", "error"] * 2
    assert rows[2][0] == "| lora"
    assert all(row[2].endswith("%)") for row in rows[4::3])


def test_a_dry_run_shows_the_table(tmp_path: Path, cache: Path) -> None:
    arguments = ("sweep", "quickstart", "seed=0", "method=lora", "evaluation=none", "dry_run=true")
    done = call(*arguments, cwd=tmp_path, env=environment(cache) | FORECAST)
    assert done.returncode == 0, done.stderr
    assert "Memory at the peak, MiB, on " in done.stdout
    assert "allocated: train" in done.stdout


def test_what_will_not_fit_is_refused_on_wish_and_nothing_is_written(tmp_path: Path, cache: Path) -> None:
    arguments = ("sweep", "quickstart", *TOO_LARGE, "method=lora", "device.refuse_if_over=true")
    done = call(*arguments, cwd=tmp_path, env=environment(cache) | FORECAST)
    assert done.returncode == MISTAKE, done.stdout
    (mistake,) = done.stderr.strip().splitlines()
    assert mistake.startswith("error: training.batch_size=4000: lora will not fit: at 4000 x ")
    assert "; training.batch_size=" in mistake
    assert mistake.endswith(" fits")
    assert not (tmp_path / "outputs").exists()


def test_what_will_not_fit_is_a_warning_otherwise(tmp_path: Path, cache: Path) -> None:
    arguments = ("sweep", "quickstart", *TOO_LARGE, "method=qlora", "dry_run=true")
    done = call(*arguments, cwd=tmp_path, env=environment(cache) | FORECAST)
    assert done.returncode == 0, done.stderr
    assert "warning: training.batch_size=4000: qlora will not fit" in done.stderr
