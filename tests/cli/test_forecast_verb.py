"""`harness forecast` as a user calls it: real steps, followed without a model and without a card."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.cli.exits import MISTAKE
from harness.memory.ask import ask
from tests.conftest import Harness, call, environment

SMALL = ("model=random", "training.cutoff_length=64", "training.batch_size=2")
PHASE_KEYS = ["phase", "peak_allocated_mib", "peak_reserved_mib", "peak_device_mib", "parts"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forecast")


@pytest.fixture(scope="module")
def told(home: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    arguments = ("forecast", *SMALL, "method=lora,qlora", "--card", "24GiB", "--card", "1GiB", "--json", "memory.json")
    return call(*arguments, cwd=home, env=environment(cache) | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120"})


@pytest.fixture(scope="module")
def found(told: subprocess.CompletedProcess[str], home: Path) -> list[dict[str, Any]]:
    assert told.returncode == 0, told.stderr
    forecasts: list[dict[str, Any]] = json.loads((home / "memory.json").read_text())
    return forecasts


def test_the_file_has_every_figure_of_every_arm(found: list[dict[str, Any]]) -> None:
    for arm, name, first in zip(found, ("lora", "qlora"), ("load", "quantize"), strict=True):
        assert list(arm) == [
            *("arm", "device", "rows", "tokens", "lengths", *PHASE_KEYS[:4]),
            *("band", "parts", "phases", "fits", "merge_host_mib", "largest", "untraced"),
        ]
        assert (arm["arm"], arm["device"], arm["rows"], arm["tokens"], arm["lengths"]) == (
            name,
            "cuda",
            2,
            64,
            "cutoff",
        )
        assert [phase["phase"] for phase in arm["phases"]] == [first, "train", "validate", "save"]
        assert all(list(phase) == PHASE_KEYS for phase in arm["phases"])
        assert {key: arm[key] for key in PHASE_KEYS} in arm["phases"]
        assert arm["untraced"] == []


def test_the_parts_of_each_phase_add_up_to_the_drivers_view(found: list[dict[str, Any]]) -> None:
    for phase in (phase for arm in found for phase in arm["phases"]):
        # Each is rounded to a tenth.
        assert sum(phase["parts"].values()) == pytest.approx(
            phase["peak_device_mib"], abs=0.05 * (len(phase["parts"]) + 1)
        )
        assert phase["peak_allocated_mib"] <= phase["peak_reserved_mib"] <= phase["peak_device_mib"]
        assert phase["peak_device_mib"] - phase["peak_reserved_mib"] == pytest.approx(phase["parts"]["runtime_context"])


def test_the_peak_is_the_highest_phase_and_within_its_band(found: list[dict[str, Any]]) -> None:
    for arm in found:
        assert arm["peak_device_mib"] == max(phase["peak_device_mib"] for phase in arm["phases"])
        assert arm["band"]["low_mib"] < arm["peak_device_mib"] < arm["band"]["high_mib"]


def test_the_weights_are_those_of_the_shape(found: list[dict[str, Any]]) -> None:
    lora, qlora = (arm["parts"]["weights"] for arm in found)
    assert lora == pytest.approx(494_032_768 * 2 / 2**20, abs=0.1)
    packed = 24 * (2 * 896 * 896 + 2 * 896 * 128 + 3 * 896 * 4864)
    # 4 bits in place of 16, and a scale of 4 bytes for each 64.
    assert lora - qlora == pytest.approx(packed * (2 - 0.5 - 4 / 64) / 2**20, abs=0.2)


def test_what_fits_is_told_of_each_card(found: list[dict[str, Any]]) -> None:
    fits = {arm["arm"]: [(on["card"], on["memory_mib"], on["fits"]) for on in arm["fits"]] for arm in found}
    assert fits == {
        "lora": [("24GiB", 24576, "yes"), ("1GiB", 1024, "no")],
        # Without the driver's own it would fit.
        "qlora": [("24GiB", 24576, "yes"), ("1GiB", 1024, "tight")],
    }


def test_the_terminal_shows_the_table_and_one_reason(
    told: subprocess.CompletedProcess[str], found: list[dict[str, Any]]
) -> None:
    lines = [line.strip() for line in told.stdout.splitlines()]
    row = next(line for line in lines if line.startswith("peak, driver's view"))
    assert row.split()[-2:] == [f"{arm['peak_device_mib']:,.0f}" for arm in found]
    (why,) = [line for line in lines if "decide the peak" in line]
    assert why.startswith("weights decide the peak, ")
    assert why.endswith(" of weights and nothing else.")
    assert "Traceback" not in told.stderr


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.json"
    texts = [("How many?", "Two."), ("How many are there in all?", "There are twenty-three of them.")]
    file.write_text(json.dumps([{"instruction": asked, "input": "", "output": answer} for asked, answer in texts]))
    return file


def test_rows_as_they_are_take_what_the_longest_takes(rows: Path) -> None:
    words = ["model=tiny", "dataset=local", f"dataset.path={rows}", "training.cutoff_length=512", "method=lora"]
    (arm,) = ask(words, ["24GiB"], "data")
    # The second's 31 in the base's own chat template, filled up to a multiple of 8.
    assert (arm.forecast.lengths, arm.forecast.rows, arm.forecast.tokens) == ("data", 16, 32)


def test_a_model_that_cannot_be_built_is_one_message(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps({"model_type": "qwen22", "hidden_size": 64}))
    ran = harness("forecast", "model=local", "model.path=model", "model.template=qwen", "method=lora,qlora")
    assert ran.returncode == MISTAKE
    assert ran.stdout == ""
    assert ran.stderr == (
        f"error: lora, qlora: {file}: model_type qwen22: the installed transformers has no such architecture; did you "
        "mean qwen2? update it\n"
    )
