"""Who asks, when, and who reads along: several runs on one node, one after the other in one process."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices.ascend import shared_driver
from harness.devices.ascend.shared_driver import Answer, SharedDriver
from harness.devices.reading import SensorError
from tests.devices.ascend.clock import Clock, StandInDriver
from tests.devices.stand_ins import unhurried

INTERVAL = 1.0


def runs(count: int, driver: StandInDriver, folder: Path, interval: float = INTERVAL) -> list[SharedDriver]:
    return [SharedDriver(driver, interval, folder) for _ in range(count)]


@pytest.fixture
def driver(clock: Clock) -> StandInDriver:
    return StandInDriver(clock)


def test_one_asks_and_the_others_read_along(driver: StandInDriver, tmp_path: Path) -> None:
    answers = [run.read() for run in runs(8, driver, tmp_path)]
    assert len(driver.asked) == 1
    assert {answer.asked for answer in answers} == set(driver.asked)
    assert [chip.memory_used_mib for chip in answers[7].readings] == [3300]


@pytest.mark.parametrize(("interval", "waits_from"), [(1.0, 0.5), (3.0, 1.5), (60.0, 58.0)])
def test_nobody_is_given_an_answer_twice_and_the_driver_is_asked_once_an_interval_all_the_same(
    driver: StandInDriver, clock: Clock, tmp_path: Path, interval: float, waits_from: float
) -> None:
    first, second = runs(2, driver, tmp_path, interval)
    one = first.read()
    clock.now = one.asked + waits_from - 0.01
    assert first.read() is None
    assert clock.now == one.asked + waits_from - 0.01, "at once"
    clock.now = one.asked + waits_from
    other = first.read()
    assert other.asked == one.asked + interval, "it waited"
    assert second.read() == other
    assert second.read() is None
    assert driver.asked == [one.asked, other.asked]


def test_runs_of_different_intervals_ask_as_often_as_the_shortest(
    driver: StandInDriver, clock: Clock, tmp_path: Path
) -> None:
    nodes = [*runs(1, driver, tmp_path, 10 * INTERVAL), *runs(1, driver, tmp_path)]
    while len(driver.asked) < 20:
        for run in nodes:
            run.read()
        clock.now += 0.1 * INTERVAL
    assert [later - earlier for earlier, later in pairwise(driver.asked)] == pytest.approx([INTERVAL] * 19)


def test_an_answer_that_is_an_interval_old_is_not_given(driver: StandInDriver, clock: Clock, tmp_path: Path) -> None:
    first, second = runs(2, driver, tmp_path)
    first.read()
    clock.now = driver.asked[0] + INTERVAL
    assert second.read().asked == clock.now - driver.seconds


def test_the_moment_of_a_reading_lies_between_question_and_answer(driver: StandInDriver, tmp_path: Path) -> None:
    answer = runs(1, driver, tmp_path)[0].read()
    assert answer.moment == pytest.approx(1_700_000_000 + answer.asked + driver.seconds / 2)


@pytest.mark.parametrize("seconds", [0.3, 0.9, 3.0, 15.0])
def test_a_slow_driver_is_asked_for_at_most_half_of_the_time(
    driver: StandInDriver, clock: Clock, tmp_path: Path, seconds: float
) -> None:
    driver.seconds = seconds
    began = clock.now
    nodes = runs(3, driver, tmp_path)
    while clock.now < began + 100:
        for run in nodes:
            with suppress(SensorError):
                run.read()
        clock.now += 0.4
    assert len(driver.asked) * seconds <= (clock.now - began) / 2 + seconds
    assert len(driver.asked) >= 100 / (2 * seconds + INTERVAL) / 2, "it is asked again all the same"


def test_who_has_no_answer_because_the_driver_is_slow_is_told_so(
    driver: StandInDriver, clock: Clock, tmp_path: Path
) -> None:
    driver.seconds = 3 * INTERVAL
    (run,) = runs(1, driver, tmp_path)
    run.read()
    with pytest.raises(SensorError, match="takes longer than the interval and is asked less often"):
        run.read()


def test_the_pause_after_failures_grows_and_is_shared_and_ends_with_success(
    driver: StandInDriver, clock: Clock, tmp_path: Path
) -> None:
    driver.error = "the driver is away"
    nodes = runs(3, driver, tmp_path)
    began = clock.now
    while clock.now < began + 400:
        for run in nodes:
            with pytest.raises(SensorError, match="the driver is away"):
                run.read()
        clock.now += 0.5
    pauses = [later - earlier - driver.seconds for earlier, later in pairwise(driver.asked)]
    assert pauses[:10] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60], abs=0.5)
    driver.error = None
    clock.now += 60
    assert len({run.read().asked for run in nodes}) == 1
    driver.error = "away again"
    asked = len(driver.asked)
    clock.now += INTERVAL
    with pytest.raises(SensorError, match="away again"):
        nodes[0].read()
    clock.now += INTERVAL
    with pytest.raises(SensorError, match="away again"):
        nodes[1].read()
    assert len(driver.asked) == asked + 2, "the first pause is one interval again"


def test_a_run_that_begins_in_the_pause_is_told_why(driver: StandInDriver, clock: Clock, tmp_path: Path) -> None:
    driver.error = "dcmi module initialize failed"
    first, second = runs(2, driver, tmp_path)
    for run in (first, second):
        with pytest.raises(SensorError, match="dcmi module initialize failed"):
            run.read()
    assert len(driver.asked) == 1


def test_npu_smi_and_dcmi_are_not_asked_side_by_side(
    driver: StandInDriver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_driver, "TIMEOUT_SECONDS", 0.1)
    library = StandInDriver(clock, name="dcmi")

    def meanwhile() -> None:
        with pytest.raises(SensorError, match="has not ended yet"):
            SharedDriver(library, INTERVAL).read()

    driver.meanwhile = meanwhile
    SharedDriver(driver, INTERVAL).read()
    assert library.asked == []
    clock.now += INTERVAL
    assert SharedDriver(library, INTERVAL).read().asked == library.asked[0], "the one's answers are not the other's"


Step = tuple[int, float, float, bool]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3), st.floats(0, 2.5), st.sampled_from([0.1, 0.6, 1.7]), st.sampled_from([True] * 4 + [False])
    ),
    max_size=40,
)


@settings(unhurried, max_examples=40)
@given(steps=STEPS)
def test_whoever_reads_when_answers_are_new_and_young_and_questions_apart(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_driver, "time", clock)
        driver = StandInDriver(clock)
        nodes = runs(4, driver, tmp_path_factory.mktemp("node"))
        given_: list[list[Answer]] = [[], [], [], []]
        took: list[float] = []
        for index, pause, driver.seconds, works in steps:
            clock.now += pause
            driver.error = None if works else "away"
            began, asked = clock.now, len(driver.asked)
            try:
                answer = nodes[index].read()
            except SensorError:
                pass
            else:
                if answer is not None:
                    assert answer.asked > began - INTERVAL
                    assert all(answer.asked > earlier.asked for earlier in given_[index])
                    given_[index].append(answer)
            assert len(driver.asked) <= asked + 1
            took += [driver.seconds] * (len(driver.asked) - asked)
        for index in range(1, len(driver.asked)):
            apart = driver.asked[index] - driver.asked[index - 1]
            assert apart >= 0.999 * max(INTERVAL, 2 * min(took[index - 1], INTERVAL))
