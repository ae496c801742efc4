"""Before a sweep: is it fair, what can it see, what is there already."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.cli.display import make_display
from harness.comparison.foresight import Assumption, foresee
from harness.execution import hydra_app, outlook
from harness.execution import run as story
from harness.execution.build_record import Progress, build_record
from harness.execution.outlook import Outlook, enough
from harness.plan.spec import RunSpec
from harness.runs import looks
from harness.runs.folder import SweepFolder
from tests.builders import RunBuilder, questions
from tests.planning import spec_of, specs_of
from tests.running import SHORT, record_in
from tests.watching import Watching

QUICK = ("sweeps=quickstart", "device=cpu", "tracking=disabled")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        specs_of(*QUICK, "comparison.strict=true", *overrides)
    assert not list(Path.cwd().iterdir())
    return raised.value.mistakes


def of(*overrides: str) -> Outlook:
    return outlook.outlook(specs_of(*QUICK, *overrides), [])


# ---- Fair ----


def test_a_strict_sweep_that_is_fair_is_planned() -> None:
    assert len(specs_of(*QUICK, "comparison.strict=true", "seed=0,1")) == 4


def test_a_strict_sweep_whose_arms_differ_in_more_is_refused_before_anything_is_written() -> None:
    (mistake,) = refused("seed=0,1", "method=lora", "method.rank=4,8")
    assert mistake.startswith("method.rank: ")
    assert {"4 for lora", "8 for lora"} == set(mistake.removeprefix("method.rank: ").partition(",")[0].split(" and "))
    assert "comparison.axes=[method.rank]" in mistake
    assert "comparison.strict=false" in mistake


@pytest.mark.parametrize("axis", ["method.rank", "method"])
def test_what_is_declared_is_what_is_compared(axis: str) -> None:
    specs = specs_of(
        *QUICK,
        *("comparison.strict=true", "seed=0,1", "method=lora", "method.rank=4,8", f"comparison.axes=[{axis}]"),
    )
    assert len(specs) == 4
    assert outlook.warnings(specs) == []


def test_what_changes_no_result_but_time_or_how_it_is_seen_is_a_cause_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "method").mkdir(parents=True)
    (tmp_path / "conf" / "method" / "watched.yaml").write_text(
        "# @package _global_\nmethod: {name: watched, finetuning_type: lora}\n"
        "device: {interval_seconds: 7.0}\ntraining: {save_steps: 3}\n"
    )
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "own.yaml").write_text(
        "# @package _global_\nsweep: own\nhydra: {sweeper: {params: {method: 'lora,watched', seed: '0,1'}}}\n"
    )
    given = ("sweeps=own", "device=cpu", "tracking=disabled", "comparison.strict=true")
    with pytest.raises(UserError) as raised:
        specs_of(*given)
    assert [mistake.partition(",")[0] for mistake in raised.value.mistakes] == [
        "device.interval_seconds: 7.0 for watched and 1.0 for lora",
        "training.save_steps: 3 for watched and not set for lora",
    ]
    assert len(specs_of(*given, "comparison.axes=[sampling_interval,training.save_steps]")) == 4


def test_fewer_than_two_seeds_and_other_seeds_are_refused(tmp_path: Path) -> None:
    (one,) = refused("seed=7")
    assert one == (
        "seed: qlora and lora share 1, which tells nothing of methods; give two at least, for a verdict "
        "seed=7,8,9,10,11"
    )
    specs = specs_of(*QUICK, "seed=0,1,2")
    fewer = [spec for spec in specs if spec.name != "qlora-seed1"]
    assert outlook.refusals(fewer) == [
        "seed: 0,2 for qlora and 0,1,2 for lora; only seeds that both have are compared, so give both the same"
    ]
    assert outlook.warnings(fewer) == outlook.refusals(fewer)


def test_all_that_is_unfair_in_all_sweeps_is_told_at_once() -> None:
    told = refused("seed=0", "sweep=a,b", "method.rank=4,8", "method=lora")
    assert {mistake.partition(":")[0] for mistake in told} == {"method.rank", "seed"}


def test_an_arm_is_held_against_the_baseline_that_is_nearest_to_it() -> None:
    """Of three models each has a LoRA and a QLoRA of its own, as in qwen2_math."""
    specs = specs_of(*QUICK, "seed=0", "training.learning_rate=1e-3,1e-4,1e-5")
    paired = outlook.pairs(outlook.arms(specs))
    assert len(paired) == 3
    for pair in paired:
        assert (pair.arm.name, pair.baseline.name) == ("qlora", "lora")
        assert pair.arm.any.parts.training == pair.baseline.any.parts.training
    assert outlook.warnings(specs) == []


def test_a_typo_in_an_axis_is_a_mistake_like_any_other() -> None:
    with pytest.raises(UserError) as raised:
        specs_of(*QUICK[1:], "comparison.axes=[method.rnk]", "method.rank=0", multirun=False)
    assert [mistake.partition(";")[0] for mistake in raised.value.mistakes] == [
        "method.rank=0: must be greater than 0",
        "comparison.axes: method.rnk: no such key, nor a fact that is compared",
    ]
    specs_of(*QUICK[1:], "comparison.axes=[precision,host]", multirun=False)


# ---- What it can see ----


def test_the_size_and_what_it_can_see_are_the_sweeps_own() -> None:
    found = of(
        "seed=3,1", "comparison.margin_points=5", "comparison.looks=2", "quantization=none,nf4,int8", "method=lora"
    )
    assert (found.sweep, sorted(found.arms), found.seeds) == ("quickstart", ["lora", "lora-int8", "lora-nf4"], (3, 1))
    assert (found.arms[0], found.runs, found.completed) == ("lora", 6, 0)
    assert found.foresight == foresee(2, 200, arms=3, looks=2)
    assert (found.margins.points, found.looks, found.for_a_verdict) == (5.0, 2, (3, 1, 4, 5, 6))


def test_questions_are_as_many_as_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text('{"question": "q", "answer": "#### 1"}\n' * 70 + "\n")
    planned = specs_of(*QUICK, "seed=0")
    asked: list[tuple[dict[str, object], int | None]] = [
        ({"limit": 60}, 60),
        ({"limit": None}, 200),
        ({"benchmark": None}, None),
        ({"benchmark": "gsm8k", "limit": None}, None),
        ({"benchmark": "gsm8k", "limit": 90}, 90),
        ({"benchmark": "gsm8k", "limit": None, "path": str(file)}, 70),
        ({"benchmark": "gsm8k", "limit": 90, "path": "test.jsonl"}, 70),
        ({"benchmark": "gsm8k", "limit": 65, "path": str(file)}, 65),
        ({"benchmark": "gsm8k", "limit": 65, "path": "."}, 65),
    ]
    for changed, count in asked:
        specs = []
        for spec in planned:
            evaluation = replace(spec.config.evaluation, **changed)  # type: ignore[arg-type]
            specs.append(spec.model_copy(update={"config": replace(spec.config, evaluation=evaluation)}))
        found = outlook.outlook(specs, [])
        assert found.foresight is not None
        assert found.foresight.questions == count, changed
        assert found.is_scored == (changed.get("benchmark", "") is not None)


@pytest.mark.parametrize(
    ("seeds", "wanted"),
    [
        ([42], (42, 43, 44, 45, 46)),
        ([0, 1, 2], (0, 1, 2, 3, 4)),
        ([5, 0], (5, 0, 6, 7, 8)),
        ([], (0, 1, 2, 3, 4)),
        ([0, 1, 2, 3, 4, 5], (0, 1, 2, 3, 4, 5)),
    ],
)
def test_the_seeds_that_would_do_hold_those_that_are_there(seeds: list[int], wanted: tuple[int, ...]) -> None:
    assert enough(seeds) == wanted


def test_a_recipe_says_what_a_verdict_takes(tmp_path: Path) -> None:
    found = of("seed=42")
    assert found.foresight is not None
    assert not found.foresight.sees_methods
    assert found.for_a_verdict == (42, 43, 44, 45, 46)


def test_one_arm_has_nothing_to_see() -> None:
    found = of("method=lora")
    assert (found.foresight, found.for_a_verdict) == (None, None)


def test_runs_that_are_there_tell_how_much_differences_vary(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "quickstart"
    done = [
        RunBuilder(
            folder,
            arm=arm,
            seed=seed,
            quantized=arm == "qlora",
            peak_mib=400.0 + 7 * seed * (arm == "qlora"),
            answers=questions(200, 0.5, seed),
        ).write()
        for seed in range(3)
        for arm in ("lora", "qlora")
    ]
    specs = specs_of(*QUICK, "seed=0,1,2,3")
    found = outlook.outlook(specs, done)
    assert found.foresight is not None
    assert not {Assumption.ANSWERS, Assumption.MEMORY} & set(found.foresight.assumptions)
    assert found.foresight.memory_ratio != foresee(4, 200).memory_ratio
    # Two seeds tell next to nothing.
    assert outlook.outlook(specs, done[:4]).foresight == foresee(4, 200)


# ---- Said before anything starts; going on ----


def finish(spec: RunSpec, *_: object) -> None:
    """Stands for the training and its score."""


def start(*overrides: str) -> Watching:
    watching = Watching()
    assert hydra_app.main(["--multirun", *QUICK, *SHORT, *overrides], watching) == 0
    return watching


def test_more_seeds_go_on_from_what_is_there_and_the_report_is_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "_train_and_score", finish)
    first, more = start("seed=0,1"), start("seed=0,1,2,3")
    assert len(first.finished) == 4
    assert [record.seed for record in more.finished] == [2, 2, 3, 3]
    assert [label.number for label in more.skipped_runs] == [1, 2, 3, 4]
    assert [record.position for record in more.finished] == [5, 6, 7, 8]
    (announced,) = more.outlooks
    assert (announced.completed, announced.runs) == (4, 8)
    folder = SweepFolder(tmp_path / "outputs" / "quickstart")
    assert [len(look.completed) for look in looks.read(folder)] == [4, 8]
    table = (tmp_path / "reports" / "quickstart" / "runs.csv").read_text()
    assert table.count("outputs/quickstart/") == 8
    records = {run.name: record_in(run.path) for run in folder.runs()}
    assert sorted(record.position or 0 for record in records.values()) == list(range(1, 9))


def test_each_of_several_sweeps_is_announced_once_with_what_is_unfair_in_it() -> None:
    watching = start("seed=0", "sweep=a,b", "method=lora", "method.rank=4,8", "dry_run=true")
    assert [(found.sweep, found.runs) for found in watching.outlooks] == [("a", 2), ("b", 2)]
    for warning in watching.warnings:
        assert warning.startswith("lora and lora differ in method.rank (")
        assert "comparison.axes=[...] declares what is meant to be compared" in warning
    assert len(watching.warnings) == 2
    assert len(watching.planned_runs) == 4


def test_a_run_by_itself_and_a_helper_announce_nothing() -> None:
    watching = Watching()
    assert hydra_app.main([*QUICK[1:], *SHORT, "dry_run=true"], watching) == 0
    assert (watching.outlooks, watching.warnings, len(watching.planned_runs)) == ([], [], 1)
    nodes = ("launch=nodes", "launch.nnodes=2", "launch.node_rank=1", "launch.master_addr=127.0.0.1")
    assert start("seed=0", *nodes, "dry_run=true").outlooks == []


def test_a_run_by_itself_has_no_position() -> None:
    spec = spec_of("device=cpu")
    assert (spec.position, build_record(spec, Progress()).position) == (None, None)


def test_a_display_prints_it_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert hydra_app.main(["--multirun", *QUICK, "seed=42", "dry_run=true"], make_display) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "quickstart: 2 arms (lora, qlora), 1 seed (42), 2 runs"
    assert lines[1].startswith("margins: 2 points of accuracy, ")
    assert lines[2].endswith("allows no verdict on the methods, which takes 5 seeds: seed=42,43,44,45,46")
    assert lines[3].startswith("[1/2] ")


# ---- Tracked ----


def test_a_cloud_that_does_not_answer_is_told_before_a_sweep_that_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("SWANLAB_API_KEY", "key-made-for-tests")
    monkeypatch.setenv("SWANLAB_API_HOST", url)
    cloud = (*QUICK[:-1], "tracking=cloud", "seed=0,1")
    (warning,) = outlook.warnings(specs_of(*cloud))
    assert warning.startswith(f"tracking.mode=cloud: {url} does not answer; ")
    assert outlook.warnings(specs_of(*cloud, "dry_run=true")) == []
    assert outlook.warnings(specs_of(*QUICK, "seed=0,1")) == []
