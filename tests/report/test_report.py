"""The report: what it holds, and that nothing can spoil it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from harness.report.render import render
from harness.runs import store
from harness.runs.events import RowsTokenized
from harness.runs.folder import RunFolder
from harness.runs.forecasted import Band, Forecast, ForecastPhase, PhaseForecast
from harness.runs.record import Energy, Outcome
from tests.builders import RunBuilder, questions, reply
from tests.report.pages import page

HOSTILE = "<script>alert(1)</script> | `code` ``` # *bold* [link](x) 中文 \x1b[31mred " + "long " * 2000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def pair(folder: Path, seeds: int = 2, **both: object) -> None:
    for seed in range(seeds):
        for arm in ("lora", "qlora"):
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", **both).write()  # type: ignore[arg-type]


def rendered(folder: Path) -> tuple[str, Path]:
    path = render([folder], folder.parent / "report").path
    return path.read_text(encoding="utf-8"), path.parent


def test_a_report_holds_every_part_in_the_order_in_which_it_is_read(folder: Path) -> None:
    pair(folder, answers=questions(20, 0.6), base_accuracy=0.05)
    text, output = rendered(folder)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        *("In short", "Figures", "Accuracy", "Memory", "Time", "What proves the quantization"),
        *("What was compared, and what differs", "The arms, with every seed's value", "The runs in their order"),
        *("Method", "Hardware and versions", "Limits"),
    ]
    assert "| Accuracy of the base before training (%) | lora | - | 5.0 | - |" in text
    assert "28 of 28" in text
    assert "arm=qlora seed=1" in text
    assert {"intervals.png", "loss.png", "memory.png"} <= {path.name for path in (output / "figures").iterdir()}
    assert "](figures/loss.png)" in text.split("## Accuracy")[1].split("## Memory")[0]


def test_every_seeds_value_stands_there_and_no_plus_minus(folder: Path) -> None:
    for seed, loss in enumerate((0.61, 0.65, 0.6)):
        RunBuilder(folder, "lora", seed, validation_loss=loss).write()
    text = page(folder)
    assert "| Validation loss, last (nats/token) | lora | 0, 1, 2 | 0.6100, 0.6500, 0.6000 | 0.6200 |" in text
    assert "±" not in text


def test_of_more_than_ten_seeds_the_lowest_and_the_highest_stand_there(folder: Path) -> None:
    for seed in range(12):
        RunBuilder(folder, "lora", seed, peak_mib=400.0 + seed, readings=False).write()
    assert "| Peak private host memory (psutil, MiB) | lora | 12 seeds | 400 to 411 | 405 |" in page(folder)


def test_failed_runs_stand_there_with_reason_peak_and_last_lines(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(
        folder, "qlora", 0, status=Outcome.OUT_OF_MEMORY, reason="tried to allocate 9 GiB", log_tail=["one", "two"]
    ).write()
    text, _ = rendered(folder)
    assert "### out of memory: qlora, seed 0" in text
    assert "tried to allocate 9 GiB Its memory had reached" in text
    assert "```text\none\ntwo\n```" in text


def test_an_arm_that_ran_out_of_memory_says_what_would_have_fitted(folder: Path) -> None:
    peak = PhaseForecast(
        phase=ForecastPhase.TRAIN,
        peak_allocated_mib=30000,
        peak_reserved_mib=31000,
        peak_device_mib=31500,
        parts={},
    )
    forecast = Forecast(
        device="cuda",
        rows=4,
        tokens=2048,
        lengths="data",
        phases=[peak],
        band=Band(low_mib=30000, high_mib=33000),
        largest={2048: 2},
    )
    RunBuilder(folder, "lora", 0).write()
    full = RunBuilder(folder, "qlora", 0, status=Outcome.OUT_OF_MEMORY, reason="tried to allocate 9 GiB")
    full.write()
    store.write(RunFolder(full.folder), full.record().model_copy(update={"forecast": forecast}))
    text, _ = rendered(folder)
    assert (
        "qlora ran out of memory; 4 x 2,048 tokens were forecast to need 31,500 MiB. "
        "By the forecast a batch of 2 would have fitted." in text
    )


def test_nothing_completed_is_still_a_report(folder: Path) -> None:
    pair(folder, status=Outcome.FAILED, reason="made for tests")
    text, _ = rendered(folder)
    assert "**No verdict**: qlora cannot be compared with lora" in text
    assert "| Completed runs | lora | - | 0 of 2 | - |" in text
    assert "| Accuracy (%) | lora |" not in text
    assert "No run was completed: this report holds no result." in text


def test_an_empty_sweep_is_still_a_report(folder: Path) -> None:
    folder.mkdir()
    assert "No run has left a record" in rendered(folder)[0]


def test_a_damaged_record_is_told_and_left_alone(folder: Path) -> None:
    pair(folder)
    damaged = RunBuilder(folder, "lora", 9).write() / "record.json"
    damaged.write_text("{")
    text = page(folder)
    assert "A damaged record: " in text
    assert damaged.read_text() == "{"


def test_what_the_cutoff_took_stands_beside_the_figures_that_it_bears_on(folder: Path) -> None:
    cut = RowsTokenized(time=0.0, rows=1800, at_cutoff=312, cutoff_tokens=1024)
    for arm in ("lora", "qlora"):
        RunBuilder(folder, arm, 0, quantized=arm == "qlora", rows=cut).write()
    text = page(folder)
    assert "| 1,800 | not packed | 312 at 1,024 tokens |" in text
    RunBuilder(folder, "qlora", 0, quantized=True, rows=cut.model_copy(update={"rows": 1700})).write()
    text = page(folder)
    assert "| qlora | lora | training rows (counted) | 1,700 | 1,800 | answers, memory, time | 0 |" in text


def test_another_batch_size_is_called_another_cause(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "qlora", 0, quantized=True, config={"training": {"batch_size": 2}}).write()
    text = page(folder)
    assert "> qlora and lora differ in more than method and quantization" in text
    assert "training.batch_size (answers, memory, time)" in text
    assert "| qlora | lora | training.batch_size | 2 | 8 | answers, memory, time | 0 |" in text


def test_what_is_declared_is_told_and_spoils_nothing(folder: Path) -> None:
    comparison = {"comparison": {"axes": ["training.batch_size"]}}
    for seed in range(3):
        RunBuilder(folder, "lora", seed, peak_mib=400.0 + seed, config=comparison).write()
        config: dict[str, object] = {"training": {"batch_size": 2, "learning_rate": 1e-3}, **comparison}
        RunBuilder(folder, "qlora", seed, quantized=True, peak_mib=200.0 + seed, config=config).write()
    text = page(folder)
    assert "| training.batch_size | 2 | 8 | answers, memory, time (declared) |" in text
    assert "**Better**: memory" in text
    assert "differ in more than" not in text


def test_what_was_compared_and_equal_is_named_and_what_was_not_recorded(folder: Path) -> None:
    pair(folder)
    text = page(folder)
    assert "Compared between qlora and lora, and equal: weights of the base, rows, " in text
    assert "Not recorded by both, so not compared, or by the settings that lead to it alone: " in text
    assert "in no other key" not in text


def test_questions_that_do_not_match_are_not_paired(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, answers=questions(20, 0.6)).write()
    other = [one.model_copy(update={"question": "another"}) for one in questions(20, 0.6)]
    RunBuilder(folder, "qlora", 0, quantized=True, answers=other).write()
    text = page(folder)
    assert "was asked other questions" in text
    assert "Some questions" not in text


def test_hostile_output_is_shown_and_not_obeyed(folder: Path) -> None:
    answers = [one.model_copy(update={"answer": HOSTILE, "question": HOSTILE}) for one in questions(6, 0.5)]
    RunBuilder(folder, "lora", 0, answers=answers, log_tail=[HOSTILE]).write()
    RunBuilder(folder, "qlora", 0, quantized=True, answers=answers, status=Outcome.COMPLETED).write()
    RunBuilder(
        folder, "qlora", 1, quantized=True, status=Outcome.FAILED, reason=HOSTILE, log_tail=["```", HOSTILE]
    ).write()
    text, output = rendered(folder)
    html = (output / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text.split("```")[0]
    assert "<script>alert" not in html
    assert "\x1b" not in text
    assert "more characters" in text
    assert "中文" in html
    # A table's row keeps its cells, whatever stands in them.
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| lora | &lt;script")]
    assert len(rows) == 6
    assert all(row.count("|") == 4 for row in rows)


def test_nothing_hidden_passes_into_any_part_of_a_page_and_none_of_it_fills_it(folder: Path) -> None:
    hidden = "\x1b]0;x\x07\x9b\u202e\u200b\ufeff\u2066" + "long " * 2**18
    replies = [reply(hidden, hidden, expected=hidden)]
    answers = [
        one.model_copy(update=dict.fromkeys(("answer", "question", "expected"), hidden)) for one in questions(6, 0.5)
    ]
    for arm in ("lora", f"a {hidden[:20]}"):
        config: dict[str, object] = {"model": {"path": hidden}, "llamafactory": {"x": hidden}}
        RunBuilder(
            folder, arm, 0, answers=answers, replies=replies, config=config, platform=hidden, driver=hidden
        ).write()
    RunBuilder(
        folder, "lora", 1, status=Outcome.FAILED, reason=hidden, log_tail=[hidden], variables={hidden: hidden}
    ).write()
    text, output = rendered(folder)
    html = (output / "report.html").read_text(encoding="utf-8")
    for written in (text, html):
        assert not re.search("[\x1b\x07\x9b\u202e\u200b\ufeff\u2066]", written)
        assert len(re.sub(r"base64,[\w+/=]+", "", written)) < 400_000
        assert r"\u202e" in written.replace("\\\\", "\\")


def test_names_in_any_script_are_drawn_without_a_flood_of_warnings(folder: Path) -> None:
    for arm in ("lora", "量化"):
        RunBuilder(folder, arm, 0, quantized=arm != "lora").write()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rendered(folder)


@pytest.mark.parametrize("arms", [1, 2, 4])
@pytest.mark.parametrize("readings", [True, False])
def test_any_number_of_arms_is_drawn(folder: Path, arms: int, readings: bool) -> None:
    for number in range(arms):
        RunBuilder(folder, "lora" if not number else f"arm{number}", 0, readings=readings).write()
    text, output = rendered(folder)
    assert (output / "figures" / "memory.png").exists() is readings
    assert (output / "figures" / "intervals.png").exists() is (arms > 1)
    assert ("intervals.png" in text) is (arms > 1)


def test_a_report_replaces_its_own_files_and_no_others(folder: Path) -> None:
    pair(folder)
    _, output = rendered(folder)
    (output / "notes.md").write_text("mine")
    rendered(folder)
    assert (output / "notes.md").read_text() == "mine"


def test_a_report_on_some_runs_leaves_the_others_of_the_folder_out(folder: Path) -> None:
    chosen = RunBuilder(folder, "lora", 0).write()
    RunBuilder(folder, "qlora", 0, quantized=True).write()
    text = render([folder], folder.parent / "report", only=[chosen]).path.read_text()
    assert "qlora" not in text


def test_several_sweeps_make_one_report(folder: Path) -> None:
    other = folder.parent / "other"
    RunBuilder(folder, "lora", 0).write()
    RunBuilder(other, "qlora", 0, quantized=True).write()
    path = render([folder, other], folder.parent / "report").path
    text = path.read_text()
    assert text.startswith("# Comparison: made, other")
    assert "qlora against lora, seed 0 alone" in text
    assert "\nharness sweep" not in text, "no single command makes two sweeps"


def test_a_report_that_cannot_be_written_says_where(folder: Path) -> None:
    RunBuilder(folder, "lora", 0).write()
    file = folder.parent / "file"
    file.write_text("not a folder")
    with pytest.raises(OSError, match="file") as caught:
        render([folder], file / "report")
    assert caught.value.filename == str(file / "report")
    assert caught.value.strerror


def test_a_record_that_is_no_file_is_left_out_like_a_damaged_one(folder: Path) -> None:
    pair(folder)
    damaged = RunBuilder(folder, "lora", 9).write() / "record.json"
    damaged.unlink()
    damaged.mkdir()
    text = page(folder)
    assert "A damaged record: " in text


def test_what_is_missing_from_events_and_energy_is_told(folder: Path) -> None:
    pair(folder, seeds=1, device="cuda")
    run = RunFolder(RunBuilder(folder, "qlora", 0, quantized=True, device="cuda").folder)
    record = store.load(run)
    assert record is not None
    energy = Energy(watt_hours=1.2, mean_watts=210.0, covered_seconds=12.0)
    store.write(run, record.model_copy(update={"energy": energy, "unread_lines": 3}))
    text = page(folder)
    assert f"- {run.name}: its energy is that of 12 of 60 s; in the others power was not read." in text
    assert f"- {run.name}: damaged lines of its events and readings, which are in no figure: 3." in text


def test_the_terminal_has_the_first_screen_in_plain_lines(folder: Path) -> None:
    pair(folder, answers=questions(60, 0.6))
    rendering = render([folder], folder.parent / "report")
    text = rendering.path.read_text(encoding="utf-8").replace("\\", "").replace("**", "")
    assert rendering.verdict[0] == "Which arm for which purpose"
    verdicts = [line.strip() for line in rendering.verdict if line.startswith("  - ")]
    assert len(verdicts) >= 3
    assert all(line in text for line in verdicts)
    assert not any("|" in line or "**" in line for line in rendering.verdict)


def test_what_a_dry_run_planned_is_not_called_running(folder: Path) -> None:
    pair(folder)
    planned = folder / "lora-seed9-0123456789"
    planned.mkdir()
    (planned / "config.yaml").write_text("")
    assert f"- Planned by a dry run and never started: {planned}" in page(folder)
    (planned / "events.jsonl").write_text("")
    assert f"- A run without a record, still running or stopped with its parent: {planned}" in rendered(folder)[
        0
    ].replace("\\", "")


def test_a_compute_dtype_is_measured_or_not_recorded(folder: Path) -> None:
    RunBuilder(folder, "lora", 0, compute_dtype="float32").write()
    RunBuilder(folder, "qlora", 0, quantized=True, compute_dtype=None).write()
    text = page(folder)
    assert [line.split(" | ")[3] for line in text.splitlines() if " of 28 |" in line] == ["float32", "not recorded"]
