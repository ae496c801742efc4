"""What a person sees on a real terminal, and what a pipe gets."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.cli.terminal import ROOT, Screen, in_pipe, on_terminal

SHOW = "import sys; from tests.cli.scenarios import show; show(sys.argv[1])"


def shown(scenario: str) -> Screen:
    screen, status = on_terminal(SHOW, scenario)
    assert status == 0, str(screen)
    return screen


def last_frame_with(screen: Screen, pattern: str) -> str:
    """The line that matches, in the last frame that has one."""
    for frame in reversed(screen.frames):
        for line in frame.splitlines():
            if re.search(pattern, line):
                return line
    raise AssertionError(f"{pattern} was never shown:\n{screen}")


PIPE_LINES = [
    "SwanLab: a note",
    "[1/3] lora-seed0 started on a processor [of sorts], fp32: outputs/quickstart/lora-seed0",
    "[1/3] lora-seed0 loading",
    "warning: lora-seed0: 9 of 10 rows reach training.cutoff_length=64 tokens and are cut there",
    "[1/3] lora-seed0 step 10/20 loss 0.5000",
    "[1/3] lora-seed0 step 10/20 validation loss 0.6000",
    "[1/3] lora-seed0 step 20/20 loss nan",
    "[1/3] lora-seed0 step 20/20 validation loss nan",
    "[1/3] lora-seed0 scoring",
    "[1/3] lora-seed0 completed, diverged, 20 of 40 right, 100 s",
    "warning: lora-seed0: diverged: its loss was nan at step 20",
    "[2/3] qlora-seed0 started on a processor [of sorts], fp32: outputs/quickstart/qlora-seed0",
    "[2/3] qlora-seed0 loading",
    "[2/3] qlora-seed0 out_of_memory, 100 s",
    "warning: qlora-seed0: no room",
    "  cause: the chip is full",
    "  fix:   a smaller training.batch_size",
    "  | RuntimeError: no room",
    "[3/3] lora-seed1 completed before, not run again",
    "[3/3] lora-seed1 base: 20 of 40 right",
    "It cannot be told from noise.",
    "report: reports/quickstart/report.md",
]


def test_a_pipe_gets_a_line_for_each_event_with_every_loss_and_warning() -> None:
    done = in_pipe(SHOW, "a_sweep")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    table = [line for line in done.stdout.splitlines() if line not in PIPE_LINES]
    assert [line for line in done.stdout.splitlines() if line in PIPE_LINES] == PIPE_LINES
    assert [line.split()[:4] for line in table[1:]] == [
        ["lora", "0", "completed,", "diverged"],
        ["lora", "0", "out_of_memory"],
    ]


def test_a_terminal_shows_in_the_end_all_that_a_pipe_gets_and_nothing_of_the_view() -> None:
    screen = shown("a_sweep")
    lines = str(screen).splitlines()
    assert [line for line in lines if line in PIPE_LINES] == PIPE_LINES
    assert lines == [line.rstrip() for line in in_pipe(SHOW, "a_sweep").stdout.splitlines()]


def test_a_terminal_shows_steps_and_questions_of_the_run_that_is_under_way() -> None:
    frames = shown("a_sweep").frames
    live = [frame for frame in frames if "run 1 of 3  lora-seed0" in frame]
    assert any(re.search(r"step .* 1/20 ", frame) for frame in live)
    assert any(re.search(r"evaluate", frame) and re.search(r"question .* 32/40 ", frame) for frame in live)


@pytest.mark.parametrize("fault", ["the reader is gone", "the disk is full"])
def test_output_that_nobody_gets_costs_no_run(fault: str) -> None:
    if fault == "the reader is gone":
        reading, output = os.pipe()
        os.close(reading)
    else:
        output = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-c", SHOW, "a_sweep"]
    done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    os.close(output)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if line.startswith("warning:")] == [
        line for line in PIPE_LINES if line.startswith("warning:")
    ]
    assert "Traceback" not in done.stderr


def test_a_run_whose_loss_ends_no_lower_than_it_began_is_called_diverged_with_both() -> None:
    warned = "warning: lora-seed0: diverged: its training loss ended at 3.2500, no lower than the 3.1000 that it began"
    assert warned in in_pipe(SHOW, "no_lower_loss").stdout
    assert warned in str(shown("no_lower_loss"))


def test_the_first_step_is_drawn_when_it_arrives() -> None:
    assert last_frame_with(shown("a_first_step"), r"step .* 1/20 ")


def test_the_time_left_is_that_of_the_phase_by_its_own_rate() -> None:
    screen = shown("an_hour_of_training_then_questions")
    frames = "\n".join(screen.frames)
    # 400 steps at 1 s; 199 questions at what nobody knows yet; 100 questions at 4 s, then at 1 s of another target.
    steps = re.findall(r"step +\S+ +3600/4000 +(\S+) left", frames)
    assert steps
    assert set(steps) == {"0:06:40"}
    assert set(re.findall(r"question +\S+ +100/200 +(\S+) left", frames)) == {"0:06:40", "0:01:40"}
    for left in re.findall(r"question +\S+ +1/200 (\S+) left", frames):
        assert left in ("-:--:--", "0:13:16", "0:03:19")


def test_steps_of_a_minute_have_a_time_left_too() -> None:
    assert "1:00:00 left" in last_frame_with(shown("slow_steps"), r"step .* 40/100 ")


def test_the_time_of_the_sweep_is_reckoned_by_the_runs_that_were_completed() -> None:
    # 60 s of the third, and two more of 100 s.
    assert "about 0:04:20 left in the sweep" in last_frame_with(shown("several_runs"), r"run 3 of 5 ")
