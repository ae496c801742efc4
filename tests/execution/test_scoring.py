"""What a completed run lacks of what is asked for is asked later, and nothing else is done again.

Workers are stood in for; tests/execution/test_sweep.py has real ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.display import Display
from harness.config.schema import ADAPTER, BASE, MERGED
from harness.devices.reading import Quantity
from harness.evaluation import targets
from harness.execution import scoring
from harness.execution.run import Shared, run
from harness.execution.session import Session
from harness.plan.planner import Planner
from harness.plan.spec import RunSpec
from harness.processes.child import Ended
from harness.processes.jobs import EvaluationJob
from harness.runs import store
from harness.runs.events import AdapterChecked, Phase, PhasePeaks, PhaseStarted, report
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import Environment, MemoryPeak, Outcome, Record, Reply
from harness.workers.evaluate import score
from tests.builders import questions
from tests.planning import spec_of
from tests.running import TINY

ASKED = ("device=cpu", "method=qlora", "evaluation=arithmetic", "evaluation.limit=10", "dataset.train_samples=20")
ALL = "evaluation.targets=[base,adapter,merged]"
WHO = "evaluation.prompts=[{prompt: 你是谁, expected: 北大}]"
DONE = Ended(Outcome.COMPLETED, None, 1.0, [])
CHECKED = AdapterChecked(time=1.0, trained_loss=0.3, loaded_loss=0.3, noise=0.05)


class StandIn:
    """Answers each job as a worker would: writes what it asks for."""

    def __init__(self) -> None:
        self.jobs: list[EvaluationJob] = []
        self.merges: list[dict[str, Any]] = []
        self.ends = {"merging": DONE, "scoring": DONE}

    def run(self, command: list[str], log: Path, offline: bool, handle: object = None) -> Ended:
        job = EvaluationJob.model_validate_json(Path(command[-1]).read_bytes())
        self.jobs.append(job)
        if self.ends["scoring"] is not DONE:
            return self.ends["scoring"]
        report(job.events, PhaseStarted(phase=Phase.EVALUATE))
        report(job.events, PhasePeaks(phase=Phase.EVALUATE, resident_mib=100.0 * len(self.jobs)))
        if job.check is not None:
            report(job.events, CHECKED)
        if job.benchmark:
            marked = score(job.benchmark, questions(10, 0.5, seed=len(self.jobs)), 1.0)
            TargetFolder(job.output).score.write_text(marked.model_dump_json())
        replies = [
            Reply(prompt=one.prompt, expected=one.expected, answer="北大", generated_tokens=1, finished=True)
            for one in job.prompts
        ]
        if replies:
            lines = ",".join(reply.model_dump_json() for reply in replies)
            TargetFolder(job.output).replies.write_text(f"[{lines}]", encoding="utf-8")
        return DONE

    def merge(self, arguments: dict[str, Any], output: Path, log: Path, *_: object) -> Ended:
        self.merges.append(arguments)
        if self.ends["merging"] is DONE:
            shutil.copytree(TINY, output)
        return self.ends["merging"]

    def asked(self) -> list[tuple[str, str | None, list[str]]]:
        """Where, which benchmark and which prompts."""
        names = [job.output.name.split("-")[0] if "base" in job.output.name else job.output.name for job in self.jobs]
        return [
            (name, job.benchmark, [one.prompt for one in job.prompts])
            for name, job in zip(names, self.jobs, strict=True)
        ]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(Session, "run", lambda _, *arguments: stand_in.run(*arguments))
    monkeypatch.setattr(scoring, "merge", stand_in.merge)
    return stand_in


Start = Callable[..., Record]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`harness run` with the given overrides, on a run that was trained and scored already."""

    def again(*overrides: str) -> Record:
        spec = spec_of(*ASKED, f"output={tmp_path}", *overrides)
        if store.load(spec.folder) is None:
            trained(spec)
        result = run(spec, Shared(Display(1), Planner(tmp_path)))
        assert result is not None
        assert store.load(spec.folder) == result
        return result

    return again


def trained(spec: RunSpec) -> None:
    """A run with an adapter's score and without any other."""
    spec.folder.evaluation.path.mkdir(parents=True)
    is_scored = ADAPTER in spec.config.evaluation.targets
    marked = score("arithmetic", questions(10, 1.0), 1.0)
    if is_scored:
        spec.folder.evaluation.score.write_text(marked.model_dump_json())
    peak = MemoryPeak(phase=Phase.EVALUATE, quantity=Quantity.RESIDENT, sensor="linux", peak_mib=7.0)
    record = Record(
        status=Outcome.COMPLETED,
        sweep=spec.config.sweep,
        arm=spec.arm,
        seed=spec.config.seed,
        baseline="lora",
        identity=spec.identity,
        device="cpu",
        command=spec.command,
        config=spec.resolved(),
        environment=Environment(
            versions={}, platform="p", device="d", device_count=0, cpu_count=1, host_memory_mib=1.0
        ),
        started_at=datetime.now(UTC),
        wall_seconds=1.0,
        score=marked if is_scored else None,
        memory=[peak] if is_scored else [],
    )
    store.write(spec.folder, record)


def test_the_merged_model_is_scored_beside_the_adapter(workers: StandIn, start: Start, tmp_path: Path) -> None:
    before = start()
    after = start(ALL)
    assert workers.asked() == [("base", "arithmetic", []), ("evaluation-merged", "arithmetic", [])]
    (arguments,) = workers.merges
    assert "quantization_bit" not in arguments
    loaded = workers.jobs[-1].model_arguments
    assert loaded["model_name_or_path"] == arguments["export_dir"] == str(workers.jobs[-1].output.parent / "merged")
    assert not {"adapter_name_or_path", "quantization_bit"} & set(loaded)
    assert after.merged_score is not None
    assert after.merged_score != after.score
    # Each has the peaks of its own process.
    assert [peak.peak_mib for peak in after.memory] == [7.0]
    assert [peak.peak_mib for peak in after.merged_memory if peak.quantity is Quantity.RESIDENT] == [200.0]
    assert after.model_copy(update={"config": before.config, "command": before.command}) == before.model_copy(
        update={"merged_score": after.merged_score, "merged_memory": after.merged_memory}
    )
    # The record and config.yaml say how to get all of it again.
    assert ALL in after.command
    (written,) = tmp_path.glob("*/qlora-*/config.yaml")
    assert yaml.safe_load(written.read_text()) == after.config
    assert after.config["evaluation"]["targets"] == [BASE, ADAPTER, MERGED]


def test_what_is_there_is_not_asked_for_again(workers: StandIn, start: Start) -> None:
    first = start(ALL, WHO)
    asked = len(workers.jobs)
    assert start(ALL, WHO) == first
    assert start() == first
    assert (len(workers.jobs), len(workers.merges)) == (asked, 1)


def test_other_prompts_are_put_to_every_target_without_the_benchmark(workers: StandIn, start: Start) -> None:
    start(ALL)
    workers.jobs.clear()
    result = start(ALL, WHO)
    assert workers.asked() == [(name, None, ["你是谁"]) for name in ("evaluation", "base", "evaluation-merged")]
    assert [len(replies) for replies in (result.replies, result.base_replies, result.merged_replies)] == [1, 1, 1]
    assert result.score is not None
    assert result.score.correct == 10
    assert len(workers.merges) == 1
    # The peaks of the benchmark are not those of a prompt.
    assert [peak.peak_mib for peak in result.memory] == [7.0]
    assert [peak.peak_mib for peak in result.merged_memory if peak.quantity is Quantity.RESIDENT] == [200.0]


def test_another_expected_text_counts_without_asking_again(workers: StandIn, start: Start) -> None:
    assert [reply.passed for reply in start(WHO).replies] == [True]
    asked = len(workers.jobs)
    result = start("evaluation.prompts=[{prompt: 你是谁, expected: 清华}]")
    assert [reply.passed for reply in (*result.replies, *result.base_replies)] == [False, False]
    assert len(workers.jobs) == asked


def test_prompts_go_without_a_benchmark(workers: StandIn, start: Start) -> None:
    result = start("evaluation=none", ALL, WHO)
    assert {benchmark for _, benchmark, _ in workers.asked()} == {None}
    assert [reply.passed for reply in (*result.replies, *result.base_replies, *result.merged_replies)] == [True] * 3
    assert result.merged_score is None


def test_nothing_is_asked_where_there_is_nothing_to_ask(workers: StandIn, start: Start) -> None:
    start("evaluation=none", ALL)
    assert not workers.jobs
    assert not workers.merges


def test_the_base_is_asked_once_for_all_runs(workers: StandIn, start: Start) -> None:
    runs = [start(WHO, f"seed={seed}") for seed in range(3)]
    assert [name for name, *_ in workers.asked()].count("base") == 1
    assert len({run.base_folder for run in runs}) == 1
    assert all(run.base_score == runs[0].base_score and run.base_replies for run in runs)


def test_an_adapter_that_was_no_target_is_scored_later_with_its_peaks(workers: StandIn, start: Start) -> None:
    before = start("evaluation.targets=[base]")
    assert before.score is None
    result = start()
    assert result.score is not None
    assert [peak.peak_mib for peak in result.memory if peak.quantity is Quantity.RESIDENT] == [200.0]


def test_an_adapter_that_is_scored_later_is_held_to_the_trained_model_too(
    workers: StandIn, start: Start, tmp_path: Path
) -> None:
    start("evaluation.targets=[base]")
    (folder,) = {RunFolder(file.parent) for file in tmp_path.glob("*/qlora-*/record.json")}
    folder.check.write_text("what the training left")
    assert start(ALL).adapter_check == CHECKED
    # Neither the base nor the merged model is what was trained.
    assert [(job.output.name.split("-")[0], job.check) for job in workers.jobs] == [
        ("base", None),
        ("evaluation", folder.check),
        ("evaluation", None),
    ]


def test_a_run_that_an_earlier_version_trained_is_scored_without(workers: StandIn, start: Start) -> None:
    start("evaluation.targets=[base]")
    result = start()
    assert result.score is not None
    assert result.adapter_check is None
    assert not any(job.check for job in workers.jobs)


@pytest.mark.parametrize("stage", ["merging", "scoring"])
def test_a_merged_model_that_cannot_be_had_costs_no_run_and_is_tried_again(
    workers: StandIn, start: Start, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    workers.ends[stage] = Ended(Outcome.OUT_OF_MEMORY, "CUDA out of memory", 1.0, [])
    failed = start(ALL)
    assert failed.status is Outcome.COMPLETED
    assert failed.merged_score is None
    assert failed.unscored[MERGED].endswith("CUDA out of memory")
    assert "the adapter merged into the unquantized base could not be scored" in capsys.readouterr().err
    workers.ends[stage] = DONE
    result = start(ALL)
    assert result.merged_score is not None
    assert not result.unscored


def test_a_dry_run_of_a_completed_run_scores_nothing(workers: StandIn, start: Start) -> None:
    start(ALL, WHO, "dry_run=true")
    assert not workers.jobs


def test_a_node_that_lends_its_chips_scores_nothing() -> None:
    spec = spec_of(*ASKED, ALL)
    assert all(targets.is_asked(spec, target) for target in (BASE, ADAPTER, MERGED))
    launch = replace(spec.config.launch, node_rank=1)
    helper = spec.model_copy(update={"config": replace(spec.config, launch=launch)})
    assert not any(targets.is_asked(helper, target) for target in (BASE, ADAPTER, MERGED))


def damage_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CACHE_DAMAGES: list[Callable[[Path], object]] = [
    *[partial(Path.write_text, data=text) for text in ("", "{", "null", '{"correct": "many"}', "\0")],
    partial(Path.write_bytes, data=b"\xff"),
    damage_by_folder,
]


@pytest.mark.parametrize("damage", CACHE_DAMAGES)
@pytest.mark.parametrize("name", ["score.json", "prompts.json"])
def test_an_answer_that_is_damaged_is_named_kept_and_asked_for_again(
    workers: StandIn,
    start: Start,
    name: str,
    damage: Callable[[Path], object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forget_base(start(ALL, WHO), tmp_path)
    (file,) = tmp_path.glob(f"*/base-*/{name}")
    damage(file)
    workers.jobs.clear()
    again = start(ALL, WHO)
    assert [where for where, *_ in workers.asked()] == ["base"]
    assert again.base_score is not None
    assert again.base_replies
    assert f"warning: {file}: " in capsys.readouterr().err
    assert len(list(file.parent.glob(f"{file.stem}.damaged-*.json"))) == 1


def forget_base(record: Record, output: Path) -> None:
    """As if another run of the sweep had asked the base, and this one were still to."""
    (folder,) = {file.parent for file in output.glob("*/qlora-*/record.json")}
    store.write(RunFolder(folder), record.model_copy(update={"base_score": None, "base_replies": []}))


def test_a_file_in_the_place_of_the_bases_folder_is_kept_and_the_base_asked(
    workers: StandIn, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_base(start(ALL), tmp_path)
    (folder,) = tmp_path.glob("*/base-*")
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert start(ALL).base_score is not None
    assert f"{folder}: is no folder; kept as {folder.name}.damaged-" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["empty weights", "half of the weights", "no config", "a file"])
def test_a_merged_model_that_is_not_whole_is_named_kept_and_merged_again(
    workers: StandIn, start: Start, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    workers.ends["scoring"] = Ended(Outcome.FAILED, "cut short", 1.0, [])
    start(ALL)
    (merged,) = tmp_path.glob("*/qlora-*/merged")
    weights = merged / "model.safetensors"
    match damage:
        case "empty weights":
            weights.write_bytes(b"")
        case "half of the weights":
            os.truncate(weights, weights.stat().st_size // 2)
        case "no config":
            (merged / "config.json").unlink()
        case "a file":
            shutil.rmtree(merged)
            merged.touch()
    workers.ends["scoring"] = DONE
    assert start(ALL).merged_score is not None
    assert len(workers.merges) == 2
    assert f"{merged}: is no whole model; kept as merged.damaged-" in capsys.readouterr().err


def test_a_merged_model_that_is_whole_is_not_merged_again(workers: StandIn, start: Start) -> None:
    start()
    workers.ends["scoring"] = Ended(Outcome.FAILED, "cut short", 1.0, [])
    start(ALL)
    workers.ends["scoring"] = DONE
    start(ALL)
    assert len(workers.merges) == 1


def test_what_a_merge_that_was_killed_left_beside_a_run_is_removed_and_named(
    workers: StandIn, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    (run_folder,) = tmp_path.glob("*/qlora-*")
    leftover = run_folder / ".merged.abcd1234"
    (leftover / "merged").mkdir(parents=True)
    start(ALL)
    assert not leftover.exists()
    assert f"removed what a merge that was killed had left: {leftover}" in capsys.readouterr().out


def test_whatever_goes_wrong_while_a_target_is_asked_costs_its_score_alone(
    workers: StandIn, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    start()
    monkeypatch.setattr(scoring, "merge", break_down)
    record = start(ALL)
    assert record.status is Outcome.COMPLETED
    assert "nobody foresaw this" in record.unscored[MERGED]
