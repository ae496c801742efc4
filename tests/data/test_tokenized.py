"""Rows that one run tokenizes for all of a sweep: made once, damage seen, gone once nobody needs them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.data import tokenized
from harness.data.tokenized import made_once, remove_unheld

KEY = "0f"
FORK: Any = multiprocessing.get_context("fork")


def make(rows: Path) -> None:
    rows.mkdir(parents=True)
    (rows / "data.arrow").write_bytes(b"rows" * 100)
    (rows / "state.json").write_text("{}")


def no_make(rows: Path) -> None:
    raise AssertionError("they are there")


def silent(text: str) -> None:
    raise AssertionError(text)


def content(held: tokenized.Held) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in held.rows.iterdir()}


def test_of_several_at_once_one_makes_them_and_the_others_wait_and_are_told(tmp_path: Path) -> None:
    others_wait = threading.Semaphore(0)
    made, told = [], []

    def make_while_others_wait(rows: Path) -> None:
        for _ in range(3):
            assert others_wait.acquire(timeout=60)
        made.append(rows)
        make(rows)

    def note(text: str) -> None:
        told.append(text)
        others_wait.release()

    with ThreadPoolExecutor(4) as pool:
        held = list(pool.map(lambda _: made_once(tmp_path, KEY, make_while_others_wait, note), range(4)))
    assert made == [tmp_path / KEY / "rows"]
    assert told == [f"another process makes {tmp_path / KEY}; waiting"] * 3
    assert all(content(each) == content(held[0]) for each in held)


def test_rows_of_another_key_are_not_waited_for(tmp_path: Path) -> None:
    def make_with_another(rows: Path) -> None:
        made_once(tmp_path, "1f", make, silent)
        make(rows)

    made_once(tmp_path, KEY, make_with_another, silent)
    assert {path.name for path in tmp_path.glob("*/")} == {KEY, "1f"}


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a file without content": lambda kept: (kept / "rows" / "data.arrow").write_bytes(b""),
    "half a file": lambda kept: os.truncate(kept / "rows" / "data.arrow", 200),
    "another byte": lambda kept: (kept / "rows" / "data.arrow").write_bytes(b"rows" * 99 + b"rowz"),
    "a lost file": lambda kept: (kept / "rows" / "state.json").unlink(),
    "a file too many": lambda kept: (kept / "rows" / "more.arrow").touch(),
    "a file of another name": lambda kept: (kept / "rows" / "state.json").rename(kept / "rows" / "sate.json"),
    "no word of its end": lambda kept: (kept / "complete").unlink(),
    "half a word of its end": lambda kept: os.truncate(kept / "complete", 30),
    "an empty word of its end": lambda kept: os.truncate(kept / "complete", 0),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_rows_are_named_and_made_again(damage: Callable[[Path], object], tmp_path: Path) -> None:
    whole = content(made_once(tmp_path, KEY, make, silent))
    assert content(made_once(tmp_path, KEY, no_make, silent)) == whole
    damage(tmp_path / KEY)
    told: list[str] = []
    assert content(made_once(tmp_path, KEY, make, told.append)) == whole
    assert told == [f"{tmp_path / KEY}: damaged, or half written; these rows are tokenized again"]
    assert content(made_once(tmp_path, KEY, no_make, silent)) == whole


def test_whoever_is_killed_while_he_makes_them_leaves_none(tmp_path: Path) -> None:
    def make_and_be_killed(rows: Path) -> None:
        make(rows)
        os.kill(os.getpid(), signal.SIGKILL)

    killed = FORK.Process(target=made_once, args=(tmp_path, KEY, make_and_be_killed, silent))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    told: list[str] = []
    made_once(tmp_path, KEY, make, told.append)
    assert told == [f"{tmp_path / KEY}: damaged, or half written; these rows are tokenized again"]


def test_what_cannot_be_made_is_tried_again_by_the_next(tmp_path: Path) -> None:
    def fail(rows: Path) -> None:
        make(rows)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        made_once(tmp_path, KEY, fail, silent)
    told: list[str] = []
    assert content(made_once(tmp_path, KEY, make, told.append))
    assert len(told) == 1


def test_rows_are_taken_away_once_nobody_holds_them(tmp_path: Path) -> None:
    held = [made_once(tmp_path, KEY, make, silent) for _ in range(2)]
    made_once(tmp_path, "1f", make, silent).lock.close()
    remove_unheld(tmp_path)
    assert [path.name for path in tmp_path.glob("*/")] == [KEY]
    held[0].lock.close()
    remove_unheld(tmp_path)
    assert content(held[1])
    held[1].lock.close()
    remove_unheld(tmp_path)
    assert list(tmp_path.glob("*/")) == []
    remove_unheld(tmp_path / "never made")


def test_a_process_that_is_killed_holds_them_no_more(tmp_path: Path) -> None:
    mine, theirs = FORK.Pipe()

    def hold() -> None:
        held = made_once(tmp_path, KEY, make, silent)
        theirs.send(str(held.rows))
        signal.pause()

    holder = FORK.Process(target=hold)
    holder.start()
    assert mine.poll(60)
    remove_unheld(tmp_path)
    assert (tmp_path / KEY / "rows" / "data.arrow").exists()
    holder.kill()
    holder.join()
    remove_unheld(tmp_path)
    assert not (tmp_path / KEY).exists()


def test_rows_that_are_being_made_are_not_taken_away(tmp_path: Path) -> None:
    def make_and_have_others_remove(rows: Path) -> None:
        make(rows)
        remove_unheld(tmp_path)

    assert content(made_once(tmp_path, KEY, make_and_have_others_remove, silent))


def test_what_a_killed_maker_left_is_taken_away_too(tmp_path: Path) -> None:
    make(tmp_path / KEY / "rows")
    remove_unheld(tmp_path)
    assert not (tmp_path / KEY).exists()
