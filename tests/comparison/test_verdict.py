"""What a manager reads: true, named, and never ranked inside the noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison.findings import find
from harness.comparison.runs import load_sweep
from harness.report.text import text_in
from harness.report.verdict import verdict
from harness.runs.record import Outcome
from tests.builders import RunBuilder, questions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def pair(folder: Path, seeds: int = 3, right: tuple[float, float] = (0.7, 0.7), **both: object) -> None:
    for seed in range(seeds):
        for arm, share, peak, seconds in (("lora", right[0], 400.0, 40.0), ("qlora", right[1], 300.0, 50.0)):
            RunBuilder(
                folder,
                arm,
                seed,
                quantized=arm == "qlora",
                peak_mib=peak + seed,
                train_seconds=seconds + seed % 2,
                answers=questions(200, share, seed=10 * seed + (arm == "qlora")) if share >= 0 else None,
                **both,  # type: ignore[arg-type]
            ).write()


def sentences(folder: Path) -> list[str]:
    return verdict(find(load_sweep(folder)), text_in("en")).all()


def test_memory_and_time_are_told_with_sensor_and_interval(folder: Path) -> None:
    pair(folder)
    first = sentences(folder)[0]
    assert "qlora peaked at 301 MiB of private host memory (psutil) against 401 MiB for lora" in first
    assert "-24.9%, 95% interval -24.9% to -24.9%" in first
    assert "qlora took 24.8% longer to train" in first


def test_what_the_noise_covers_is_not_ranked(folder: Path) -> None:
    pair(folder, right=(0.7, 0.7))
    assert "a difference that three seeds cannot tell from noise" in sentences(folder)[1]


def test_what_stands_out_of_the_noise_is_told(folder: Path) -> None:
    pair(folder, right=(0.95, 0.4))
    assert "a difference beyond the noise of seeds and questions" in sentences(folder)[1]


def test_one_seed_is_said_to_be_one_seed(folder: Path) -> None:
    pair(folder, seeds=1)
    said = " ".join(sentences(folder))
    assert "one seed, so no interval" in said
    assert "seeds were not varied" in said
    assert "One seed an arm" in said


def test_scores_near_zero_tell_nothing_about_the_arms(folder: Path) -> None:
    pair(folder, right=(0.0, 0.0), base_accuracy=0.0)
    said = sentences(folder)
    assert "Every arm and the base answered at most 0.0% of the questions right" in said[1]
    assert "tells nothing about the arms" in said[1]


def test_a_merged_model_that_answers_makes_the_benchmark_tell(folder: Path) -> None:
    pair(folder, seeds=1, right=(0.0, 0.0), base_accuracy=0.0, merged_answers=questions(200, 0.5))
    said = sentences(folder)
    assert not any("tells nothing" in sentence for sentence in said)
    (lora, qlora) = [sentence for sentence in said if "merged into the unquantized base" in sentence]
    assert lora.startswith("lora merged")
    assert qlora.startswith("qlora merged")
    assert "seeds were not varied" in qlora


def test_without_evaluation_only_memory_and_time_are_told(folder: Path) -> None:
    pair(folder, right=(-1, -1))
    said = " ".join(sentences(folder))
    assert "peaked at" in said
    assert "right" not in said


def test_a_cpu_makes_no_statement_on_accelerators(folder: Path) -> None:
    pair(folder)
    assert any("no statement on accelerators" in sentence for sentence in sentences(folder))


def test_on_an_accelerator_the_chips_own_memory_leads(folder: Path) -> None:
    pair(folder, device="cuda")
    said = sentences(folder)
    assert "device memory above its level before the run (nvml)" in said[0]
    assert not any("accelerators" in sentence for sentence in said)


def test_an_arm_that_never_completed_is_said_to_be_missing(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "qlora", 0, quantized=True, status=Outcome.OUT_OF_MEMORY, reason="too large").write()
    assert sentences(folder)[0] == "qlora cannot be compared with lora: qlora has no completed run (1 out_of_memory)."


def test_a_sweep_without_its_baseline_says_what_it_compares_with(folder: Path) -> None:
    for arm in ("qlora", "qlora-int8"):
        RunBuilder(folder, arm, 0, quantized=True).write()
    assert any("compared with the first, qlora" in sentence for sentence in sentences(folder))


def test_one_arm_alone_is_compared_with_nothing(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    assert "nothing to compare it with" in sentences(folder)[0]


def test_no_record_is_said(folder: Path) -> None:
    folder.mkdir()
    assert sentences(folder)[0] == "No run has left a record, so there is nothing to compare."


def test_every_further_arm_has_its_line(folder: Path) -> None:
    for arm in ("lora", "lora-int8", "lora-nf4"):
        for seed in (0, 1):
            RunBuilder(folder, arm, seed, quantized=arm != "lora", peak_mib=400 + len(arm) + seed).write()
    first, second, *_ = sentences(folder)
    assert first.startswith("lora-int8 peaked")
    assert second.startswith("lora-nf4 peaked")
