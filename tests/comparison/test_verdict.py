"""What a manager reads first: the word before its numbers, named, true, and never more than the runs can carry."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.runs import load_runs
from harness.runs import looks
from harness.runs.folder import SweepFolder
from harness.runs.record import Adopted, Outcome, Unknown
from tests.builders import START, RunBuilder, questions
from tests.report.pages import opening, page
from tests.report.scenes import SCENES, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def pair(
    folder: Path,
    seeds: int = 5,
    right: tuple[float, float] | None = (0.7, 0.7),
    peaks: tuple[float, float] = (400.0, 300.0),
    steps: tuple[float, float] = (1.0, 1.3),
    count: int = 200,
    **both: Any,
) -> None:
    """Two arms, of which the second is quantized. `right`: their shares of right answers."""
    for seed in range(seeds):
        for place, arm in enumerate(("lora", "qlora")):
            answers = None
            if right is not None:
                shift = (seed + place) % 3
                share = right[place] + shift / count if 0 < right[place] < 1 else right[place]
                answers = questions(count, [(37 * index) % count < share * count for index in range(count)])
            settings: dict[str, Any] = {
                "quantized": arm == "qlora",
                "peak_mib": peaks[place] * (1 + 0.002 * ((seed + place) % 3)),
                "step_seconds": steps[place] * (1 + 0.01 * ((seed + place) % 2)),
                "train_seconds": 40 * steps[place],
                "answers": answers,
            }
            write(RunBuilder(folder, arm, seed, **settings | both))


def line(folder: Path, start: str) -> str:
    """The one line of the first screen that starts so."""
    (found,) = [line for line in opening(folder) if line.strip().startswith(start)]
    return found.strip()


def has(folder: Path, part: str) -> bool:
    return any(part in line for line in opening(folder))


# The order, and the words.


def test_the_first_screen_has_decision_verdict_needs_and_caveats_in_this_order(folder: Path) -> None:
    pair(folder, seeds=3)
    titles = [line for line in opening(folder) if not line.startswith(" ")]
    assert titles == [
        "Which arm for which purpose",
        "Verdict",
        "What would decide the rest",
        "What spoils the comparison",
    ]


def test_accuracy_comes_first_memory_second_and_time_third(folder: Path) -> None:
    pair(folder)
    said = [line.strip() for line in opening(folder) if line.strip().startswith("- ") and ": " in line]
    assert [words.split(": ")[1].split(" (")[0] for words in said[:3]] == ["accuracy", "memory", "time"]


def test_a_ratio_is_told_as_times_with_its_interval_and_its_margin(folder: Path) -> None:
    pair(folder)
    memory, time = line(folder, "- Better: memory"), line(folder, "- Worse: time")
    assert "0.75 times lora's 401 MiB, 95% interval 0.75 to 0.75; margin 0.98 to 1.02 times" in memory
    assert memory.endswith("peak private host memory, psutil).")
    assert "1.30 times lora's 1.00 s, 95% interval 1." in time
    assert "%" not in time.split("95% interval")[0]


def test_what_is_the_same_to_the_byte_is_exact_and_has_no_interval(folder: Path) -> None:
    for seed in range(5):
        for arm, peak in (("lora", 400.0), ("qlora", 300.0)):
            write(RunBuilder(folder, arm, seed, quantized=arm == "qlora", peak_mib=peak))
    said = line(folder, "- Better: memory")
    assert "0.75 times lora's 400 MiB, exact: every run of an arm came to the same" in said
    assert "interval" not in said


def test_a_difference_below_what_the_sensor_can_tell_is_none(folder: Path) -> None:
    for seed in range(5):
        for arm, peak in (("lora", 400.0), ("qlora", 400.002)):
            write(RunBuilder(folder, arm, seed, quantized=arm == "qlora", peak_mib=peak))
    assert "(no difference to lora's 400 MiB that the sensor could tell; margin" in line(folder, "- Equivalent: memory")


def test_equivalent_is_apart_by_less_than_the_margin(folder: Path) -> None:
    pair(folder, right=None, peaks=(400.0, 401.0))
    assert line(folder, "- Equivalent: memory").endswith("They are apart by less than the margin, at 5% for each side.")
    assert line(folder, "Least memory").startswith("Least memory: Any of lora, qlora.")


def test_a_difference_that_is_real_and_small_is_said_to_be_small(folder: Path) -> None:
    for seed in range(5):
        for arm, peak in (("lora", 400.0), ("qlora", 398.0)):
            write(RunBuilder(folder, arm, seed, quantized=arm == "qlora", peak_mib=peak + 0.02 * seed))
    assert line(folder, "- Better: memory").endswith("The difference is smaller than the margin.")


def test_undecided_says_what_is_ruled_out_and_a_second_reading(folder: Path) -> None:
    pair(folder, right=(0.70, 0.69))
    said = line(folder, "- Undecided: accuracy")
    assert "A loss of more than " in said
    assert "points is ruled out, one of 2 is not." in said
    assert "As a second reading: qlora is at least as good with a probability of " in said


def test_not_worse_says_by_how_much(folder: Path) -> None:
    for seed in range(5):
        for place, arm in enumerate(("lora", "qlora")):
            answers = questions(1000, 0.70 + 0.02 * place, seed=100 * place + seed)
            write(RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=answers))
    said = line(folder, "- Not worse by the margin: accuracy")
    assert "If it is worse, then by less than the margin, at 5%." in said


def test_what_the_correction_takes_back_is_said(folder: Path) -> None:
    SCENES["out_of_memory"](folder)
    said = line(folder, "- Undecided: time")
    low = float(said.split("95% interval ")[1].split(" to ")[0])
    assert low > 1
    assert "The interval alone would say more; corrected for three tests it is not enough." in said


# One seed, few questions, scores that tell nothing.


def test_one_seed_speaks_of_two_adapters_and_never_of_methods(folder: Path) -> None:
    pair(folder, seeds=1, right=(0.7, 0.8))
    assert has(folder, "seed 0 alone: this speaks of two adapters and never of two methods")
    assert "Of these two adapters: 21 questions were answered right by the first alone, 0 by the other alone" in line(
        folder, "- Undecided: accuracy"
    )
    assert "(exact McNemar test, p <0.001)" in line(folder, "- Undecided: accuracy")
    for metric in ("memory", "time"):
        assert "one seed; margin" in line(folder, f"- Undecided: {metric}")
    assert has(folder, "more seeds; with 5 an interval keeps what it promises.")
    assert has(folder, "harness sweep quickstart method=lora,qlora sweep=made seed=0,1,2,3,4")
    assert has(folder, "One seed an arm: it speaks of two adapters. A verdict on methods takes 5 seeds.")
    assert not any(has(folder, word) for word in ("Better", "Worse", "Equivalent", "Not worse"))


def test_few_seeds_are_a_pilot_and_five_are_none(folder: Path) -> None:
    pair(folder, seeds=3)
    assert has(folder, "Three seeds an arm are a pilot")
    pair(folder, seeds=5)
    assert not has(folder, "pilot")


def test_fewer_than_fifty_questions_get_no_word(folder: Path) -> None:
    pair(folder, count=20)
    assert "20 questions are fewer than the 50 that an interval needs." in line(folder, "- No verdict: accuracy")
    assert has(folder, "Accuracy of qlora: more questions: evaluation.limit=50 at least, or none.")
    assert line(folder, "harness sweep").endswith("seed=0,1,2,3,4 evaluation.limit=null")


@pytest.mark.parametrize(("share", "kind"), [(0.0, "most 0.0%"), (1.0, "least 100.0%")])
def test_scores_that_tell_nothing_are_judged_by_the_arms_alone(folder: Path, share: float, kind: str) -> None:
    pair(folder, right=(share, share), base_accuracy=0.5)
    assert has(folder, f"Every arm answered at {kind} of the questions right: the benchmark is too ")
    assert "At this score the benchmark tells nothing" in line(folder, "- No verdict: accuracy")


def test_a_merged_model_that_answers_makes_the_benchmark_tell(folder: Path) -> None:
    pair(folder, right=(0.0, 0.0), merged_answers=questions(200, 0.5))
    assert not has(folder, "the benchmark is too")


# What withholds a word, and what gives it back.


def test_arms_that_ran_one_after_the_other_get_no_word_on_time_and_a_command(folder: Path) -> None:
    for place, arm in enumerate(("lora", "qlora")):
        for seed in range(3):
            started = START + timedelta(minutes=10 * (3 * place + seed))
            write(RunBuilder(folder, arm, seed, quantized=place == 1, step_seconds=1.0 + place, started_at=started))
    said = line(folder, "- No verdict: time")
    assert "the arm cannot be told from the hour" in said
    assert has(folder, "Time of qlora: run the sweep again under another name: its arms then take turns.")
    assert line(folder, "harness sweep") == (
        "harness sweep quickstart method=lora,qlora sweep=made-again seed=0,1,2,3,4"
    )
    assert has(folder, "All runs of one of qlora and lora came before all of the other")


def test_a_shared_machine_takes_the_word_from_time_alone(folder: Path) -> None:
    pair(folder, others_cpu_percent=150.0)
    assert "Others used the machine while it was measured." in line(folder, "- No verdict: time")
    assert line(folder, "- Better: memory")
    assert has(folder, "Others used the machine during lora, seed 0; lora, seed 1; ")
    assert has(folder, "while nothing else uses the machine.")


def test_load_of_others_that_arms_did_not_share_is_to_be_kept_away_and_not_made_the_same(folder: Path) -> None:
    for seed in range(5):
        for arm in ("lora", "qlora"):
            others = 150.0 if arm == "qlora" else 1.0
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", others_cpu_percent=others).write()
    assert "processor time of others during the training" in line(folder, "- No verdict: time")
    assert has(folder, "Time of qlora: run the sweep again under another name, while nothing else uses the machine.")
    assert not has(folder, "give the arms the same")


def test_what_differs_takes_the_words_that_it_touches_and_is_named_with_its_classes(folder: Path) -> None:
    pair(folder)
    pair_of = {"quantized": True, "peak_mib": 300.0, "power_limit_watts": 400.0, "threads": 7}
    for path in folder.glob("qlora-*"):
        for file in sorted(path.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        path.rmdir()
    for seed in range(5):
        write(RunBuilder(folder, "qlora", seed, answers=questions(200, 0.7, seed), **pair_of))  # type: ignore[arg-type]
    assert "The arms differ in what this depends on: " in line(folder, "- No verdict: memory")
    assert has(
        folder, "qlora and lora differ in more than method and quantization, and in brackets what that touches: "
    )
    assert has(folder, "(answers, memory, time)")
    assert has(folder, "or declare in comparison.axes what is compared")


def test_a_base_that_was_not_quantized_is_named(folder: Path) -> None:
    pair(folder, quantized_modules=0)
    assert "No quantized layer was found" in line(folder, "- No verdict: memory")
    assert has(
        folder, "qlora asked for 4-bit weights, but no quantized layer was found in its loaded model (seeds 0, 1"
    )


# What would decide.


def test_undecided_says_what_would_decide_it_and_what_these_runs_could_see(folder: Path) -> None:
    pair(folder, right=(0.70, 0.69))
    said = line(folder, "- Accuracy of qlora:")
    assert "seeds" in said or "questions" in said
    assert "The smallest difference that these runs would show in 80 of 100 repetitions: " in said
    assert said.endswith("points.")
    assert has(folder, "The next report is look 2, and held against 0.83% in place of 5%")


def test_a_decided_comparison_needs_nothing(folder: Path) -> None:
    pair(folder, right=None)
    assert not has(folder, "What would decide the rest")


def test_a_look_that_was_not_announced_is_counted_with_its_correction(folder: Path) -> None:
    pair(folder)
    assert not has(folder, "This is look")
    looks.note(SweepFolder(folder), [path.name for path in folder.glob("*-seed[012]-*")])
    assert has(
        folder, "This is look 2 (of 1 announced) at qlora against lora: p-values are held against 0.83% in place"
    )


# Decisions.


def test_a_limit_chooses_what_fits_by_the_highest_of_all_runs(folder: Path) -> None:
    pair(folder, config={"comparison": {"memory_limit_mib": 350.0}})
    assert line(folder, "Fits in 350 MiB") == (
        "Fits in 350 MiB: qlora. Every run keeps to comparison.memory_limit_mib, by its highest memory. Peak private "
        "host memory: qlora 301 MiB, lora 402 MiB."
    )


def test_no_arm_that_fits_is_none(folder: Path) -> None:
    pair(folder, config={"comparison": {"memory_limit_mib": 100.0}})
    assert line(folder, "Fits in").startswith("Fits in 100 MiB: None. Of no arm every run keeps to ")


def test_a_choice_says_its_rule_with_its_numbers(folder: Path) -> None:
    pair(folder, right=(0.70, 0.69))
    assert line(folder, "Least memory") == (
        "Least memory: qlora. Shown to be better than lora. Peak private host memory: qlora 301 MiB, lora 401 MiB."
    )
    assert line(folder, "Fastest").startswith("Fastest: lora. qlora is shown to be worse. ")
    assert line(folder, "Most accurate").startswith("Most accurate: Undecided. ")


# What spoils.


def test_a_metric_that_one_arm_lacks_is_named_with_the_arm(folder: Path) -> None:
    for seed in range(5):
        write(RunBuilder(folder, "lora", seed, answers=questions(200, 0.7, seed)))
        write(RunBuilder(folder, "qlora", seed, quantized=True))
    assert line(folder, "- Not measured: accuracy")
    assert has(folder, "Measured in lora and not in qlora, so not compared: accuracy.")


def test_answers_that_evalscope_marks_otherwise_are_counted_in_each_arm(folder: Path) -> None:
    for arm in ("lora", "qlora"):
        for seed in range(5):
            answers = questions(200, 0.7, seed)
            unread = 4 if arm == "qlora" else 0
            for answer in answers:
                answer.evalscope_correct = answer.correct
            for answer in [answer for answer in answers if answer.correct][:unread]:
                answer.evalscope_correct = False
            RunBuilder(folder, arm=arm, seed=seed, answers=answers).write()
    right = int(load_runs(folder).query("arm == 'qlora'")["correct"].sum())
    told = f"It counts {right - 20} right; by the number that an answer gives, as here, {right} are."
    text = page(folder)
    assert f"- qlora: evalscope's own extraction marks 20 of 1,000 answers otherwise. {told}" in text
    assert "- lora: evalscope's own extraction" not in text


def test_cut_off_answers_are_counted(folder: Path) -> None:
    for seed in range(5):
        for arm in ("lora", "qlora"):
            answers = questions(200, 0.7, seed, cut_off=3 if arm == "qlora" else 0)
            write(RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=answers))
    assert has(folder, "qlora: 15 of 1,000 answers were cut off at evaluation.max_new_tokens")
    assert not has(folder, "lora: 0 of")


def test_a_seed_that_failed_in_one_arm_is_named_with_what_the_means_are_over(folder: Path) -> None:
    pair(folder, seeds=3)
    write(RunBuilder(folder, "lora", 3, status=Outcome.OUT_OF_MEMORY))
    write(RunBuilder(folder, "qlora", 3, quantized=True))
    assert has(folder, "lora lacks seed 3 (out of memory): its means are over seeds 0, 1, 2, and differences over the")


def test_a_cpu_makes_no_statement_on_accelerators(folder: Path) -> None:
    pair(folder)
    assert has(folder, "Measured on a CPU")


def test_on_an_accelerator_the_chips_own_memory_leads(folder: Path) -> None:
    pair(folder, device="cuda")
    assert "peak device memory above its level before the run, nvml" in line(folder, "- Better: memory")
    assert not has(folder, "Measured on a CPU")


def test_a_stand_in_is_named(folder: Path) -> None:
    for arm in ("lora", "qlora"):
        write(RunBuilder(folder, arm, 0, quantized=arm == "qlora"), stand_in="a fake npu-smi")
    assert has(folder, "No NPU was used. In its place: a fake npu-smi.")


def test_margins_that_changed_are_said(folder: Path) -> None:
    pair(folder, seeds=2)
    for arm in ("lora", "qlora"):
        config: dict[str, object] = {"comparison": {"margin_points": 5.0}}
        write(RunBuilder(folder, arm, 2, quantized=arm == "qlora", config=config))
    assert has(folder, "several sets of comparison keys; those of the newest run count")


def test_adopted_runs_say_what_nobody_measured_and_which_command_would(folder: Path) -> None:
    for arm in ("lora", "qlora"):
        adopted = Adopted(folder=f"saves/{arm}", told={}, unknown=[Unknown.MEMORY], measure=f"harness run method={arm}")
        write(RunBuilder(folder, arm, 0, quantized=arm == "qlora"), adopted=adopted, memory=[])
    assert has(folder, "not measured by the harness: lora, seed 0; qlora, seed 0. Their files do not tell: memory.")
    assert line(folder, "harness run method=qlora")
    assert not has(folder, "harness sweep")


def test_a_sweep_without_its_baseline_says_what_it_compares_with(folder: Path) -> None:
    for arm in ("qlora", "qlora-int8"):
        write(RunBuilder(folder, arm, 0, quantized=True))
    assert has(folder, "The sweep's baseline, lora, is not among the runs: the arms are compared with the first, qlora")


# Fewer than two arms with results, and more than two.


def test_an_arm_that_never_completed_is_said_to_be_missing(folder: Path) -> None:
    write(RunBuilder(folder, "lora", 0))
    write(RunBuilder(folder, "qlora", 0, quantized=True, status=Outcome.OUT_OF_MEMORY, reason="too large"))
    assert line(folder, "- No verdict") == (
        "- No verdict: qlora cannot be compared with lora: qlora has no completed run (1 out of memory)."
    )


def test_one_arm_alone_is_compared_with_nothing(folder: Path) -> None:
    write(RunBuilder(folder, "lora", 0))
    assert has(folder, "Only lora was run (1 completed), so there is nothing to compare it with.")


def test_no_record_is_said(folder: Path) -> None:
    folder.mkdir()
    assert has(folder, "No run has left a record, so there is nothing to compare.")


def test_every_arm_has_its_verdicts_up_to_a_number_that_one_reads(folder: Path) -> None:
    for place in range(8):
        arm = f"lora-{place}" if place else "lora"
        for seed in (0, 1):
            write(RunBuilder(folder, arm, seed, peak_mib=400.0 + 10 * place + seed, step_seconds=1.0 + 0.1 * place))
    said = opening(folder)
    assert sum(" against lora, over seeds 0, 1." in line for line in said) == 5
    assert "  The verdicts of 2 further arms are in tables/verdicts.csv." in said
    assert len(said) < 80


def test_several_better_arms_were_not_tested_against_each_other(folder: Path) -> None:
    for seed in range(5):
        for place, arm in enumerate(("lora", "qlora", "qlora-double")):
            write(RunBuilder(folder, arm, seed, quantized=place > 0, peak_mib=400.0 - 50 * place + 0.1 * seed))
    said = line(folder, "Least memory")
    assert said.startswith(
        "Least memory: qlora-double, qlora. Each is shown to be better than lora; they were not tested"
    )
