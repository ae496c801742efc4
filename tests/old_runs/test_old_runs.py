"""Runs of the version before: read, reported, pooled with new ones. What they lack is not recorded, never a guess."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pandas
import pytest

import harness
from harness.comparison.fairness import Fact
from harness.comparison.findings import Findings, find
from harness.comparison.runs import load_sweep
from harness.report.render import render
from harness.runs.folder import RunFolder
from harness.runs.record import Outcome, Record
from tests.builders import RunBuilder

OLD = Path(__file__).parent / "sweeps" / "old"
LORA = "lora [evaluation.name=arithmetic, training.batch_size=16]"
QLORA = "qlora [evaluation.name=arithmetic]"


@pytest.fixture(scope="module")
def findings() -> Findings:
    return find(load_sweep(OLD))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    text = render([OLD], tmp_path_factory.mktemp("report")).path.read_text(encoding="utf-8")
    return text.replace("\\", "")


def test_every_outcome_is_read(findings: Findings) -> None:
    sweep = findings.sweep
    assert {run.record.status for run in sweep.runs} == {
        Outcome.COMPLETED,
        Outcome.OUT_OF_MEMORY,
        Outcome.FAILED,
        Outcome.INTERRUPTED,
    }
    assert len(sweep.runs) == 8
    assert [path.name for path in sweep.unfinished] == ["lora-seed5-1e35e29952"]
    assert [path.name for path in sweep.planned] == ["lora-seed6-0275c2ce61"]
    assert len(sweep.damaged) == 1
    assert "lora-seed8-5d0c8e7f1a" in sweep.damaged[0]


def test_the_arms_are_those_of_the_version_before(findings: Findings) -> None:
    assert [(arm.label, len(arm.completed), len(arm.runs)) for arm in findings.arms] == [
        (LORA, 2, 2),
        ("lora [evaluation.name=arithmetic, training.batch_size=2048]", 0, 1),
        ("lora [evaluation.name=none, training.batch_size=16]", 1, 1),
        (QLORA, 2, 2),
        ("qlora [evaluation.name=none]", 0, 2),
    ]


def test_rows_and_columns_of_load_runs_are_those_of_the_version_before() -> None:
    before = pandas.read_csv(OLD.parent.parent / "runs.csv")
    runs = harness.load_runs(OLD)
    assert list(runs.columns)[: len(before.columns)] == list(before.columns)
    runs = runs[before.columns].assign(folder=runs["folder"].map(lambda folder: Path(folder).name))
    # That version had them in the order of their arms' first starts, which are drawn by now.
    before, runs = (rows.sort_values("folder", ignore_index=True) for rows in (before, runs))
    for column in before.columns:
        read, expected = runs[column].astype(object), before[column].astype(object)
        pandas.testing.assert_series_equal(
            read.where(read.notna(), None), expected.where(expected.notna(), None), check_exact=False, rtol=1e-9
        )


def test_few_questions_and_what_nobody_recorded_get_no_verdict(report: str) -> None:
    for words in (
        f"{QLORA} against {LORA}, over seeds 0, 1.",
        f"**No verdict**: accuracy (+7.5 points on {LORA}'s 7.5%, without an interval). 20 questions are fewer than",
        f"**Equivalent**: memory (1.000 times {LORA}'s 603 MiB, 95% interval 0.976 to 1.025; margin 0.98 to 1.02 times"
        "; peak private host memory, psutil). They are apart by less than the margin, at 5% for each side.",
        "**Not measured**: time, in any seed that both arms completed.",
        "**No verdict**: qlora [evaluation.name=none] cannot be compared with lora [evaluation.name=none, ",
        "qlora [evaluation.name=none] has no completed run (1 failed, 1 interrupted).",
        "> Measured on a CPU: this is the memory of processes on a host, and no statement on accelerators.",
        "> Two seeds an arm are a pilot",
    ):
        assert words in report


def test_what_the_version_before_derived_from_the_configuration_is_not_called_measured(report: str) -> None:
    record = json.loads((OLD / "lora-seed0-0749523d38" / "record.json").read_text())
    assert record["evidence"]["compute_dtype"] == "float32"
    (row,) = [line for line in report.splitlines() if line.startswith(f"| {LORA} | 0 of 29")]
    assert set(row.split(" | ")[3:8]) == {"not recorded"}
    nothing = " | ".join(["not recorded"] * 4)
    assert f"| {LORA} | {nothing} | 1,600 | not packed | " in report
    trained = next(line for line in report.split("| Arm | Steps |")[1].splitlines() if line.startswith(f"| {LORA} "))
    assert trained.split(" | ")[-1] == "not recorded |", "whether it diverged"


def test_what_was_not_recorded_is_neither_called_equal_nor_different(findings: Findings, report: str) -> None:
    assert findings.leading is not None
    fairness = findings.leading.fairness
    assert fairness.causes == ()
    assert {Fact.ROWS, Fact.PRECISION, Fact.COMPUTE_DTYPE, Fact.HOST, Fact.ROW_ORDER} <= set(fairness.not_recorded)
    # The weights were hashed, and the answers tell their questions.
    assert {Fact.WEIGHTS, Fact.QUESTIONS, Fact.TOKENS, Fact.LINEAR_MODULES} <= set(fairness.equal)
    (line,) = [line for line in report.splitlines() if line.startswith("Not recorded by both")]
    assert "alone: rows, precision, compute dtype (measured), attention kernel, " in line


def as_of_today(folder: Path, seed: int, rows: str = "1f3a5b7c9d", **changed: object) -> None:
    """What this version would have left of the old sweep's lora run, with another seed."""
    old = Record.model_validate_json((OLD / "lora-seed0-0749523d38" / "record.json").read_bytes())
    config = old.config | {"seed": seed}
    others = ("python", "swanlab", "hydra-core", "datasets", "pandas")
    versions = {name: version for name, version in old.environment.versions.items() if name not in others}
    evaluation = {
        key: value for key, value in config["evaluation"].items() if key not in ("name", "path", "targets", "prompts")
    }
    parts = RunBuilder(folder, "lora", seed, rows_digest=rows, config=config, precision="fp32").identity_parts()
    parts = parts.model_copy(
        update={"template": "qwen3_nothink", "versions": versions, "evaluation": evaluation} | changed
    )
    record = old.model_copy(
        update={
            "seed": seed,
            "identity": f"{seed:010x}",
            "identity_parts": parts,
            "config": config,
            "diverged": False,
            "started_at": old.started_at + timedelta(days=1),
        }
    )
    run = RunFolder(folder / f"lora-seed{seed}-{record.identity}")
    run.path.mkdir()
    run.record.write_text(record.model_dump_json())


def of_lora(folder: Path) -> list[tuple[str, list[int]]]:
    arms = find(load_sweep(folder)).arms
    return sorted((arm.label, arm.seeds) for arm in arms if arm.label.startswith("lora"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("lora-seed0-0749523d38", "lora-seed1-33f0d9d25a"):
        shutil.copytree(OLD / name, tmp_path / "old" / name)
    return tmp_path / "old"


def test_a_sweep_that_the_version_before_began_goes_on_in_one_arm(folder: Path) -> None:
    as_of_today(folder, 2)
    assert of_lora(folder) == [("lora", [0, 1, 2])]


def test_what_speaks_against_it_keeps_an_old_run_and_a_new_one_apart(folder: Path) -> None:
    as_of_today(folder, 2, template="another")
    assert of_lora(folder) == [("lora [template=another]", [2]), ("lora [template=qwen3_nothink]", [0, 1])]


def test_the_same_seed_with_another_identity_is_another_run_also_where_nothing_says_why(folder: Path) -> None:
    as_of_today(folder, 1)
    assert sorted(seeds for _, seeds in of_lora(folder)) == [[0, 1], [1]]
    assert load_sweep(folder).superseded == []


def test_nothing_of_the_machine_is_in_the_fixture() -> None:
    of_a_machine = {"/tmp/", "/Users/", f"{Path.home()}/"} - {"/home/user/"}  # where the fixture pretends to be
    for path in OLD.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not any(part in text for part in of_a_machine), path
