"""JSON lines: what a killed process or a full disk leaves costs one line, and is counted."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from harness.base.json_lines import LineReader, append

ROOT = Path(__file__).parents[2]


class Item(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    number: int
    text: str = ""


def reader(path: Path) -> LineReader[Item]:
    return LineReader(path, Item)


# A limit on the file's size cuts a line short as a disk does that fills up.
FILL_UP = """
import resource, signal, sys
from pathlib import Path
from harness.base.json_lines import append
from tests.base.test_json_lines import Item
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
append(path, [Item(number=1)])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
for number in (2, 3):
    try:
        append(path, [Item(number=number, text="longer than ten bytes")])
    except OSError as error:
        print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""

APPEND = """
import sys
from pathlib import Path
from harness.base.json_lines import append
from tests.base.test_json_lines import Item
for number in range(int(sys.argv[3])):
    append(Path(sys.argv[1]), [Item(number=number, text=sys.argv[2] * 20_000)])
    print(number, flush=True)
"""


def appending(path: Path, text: str, lines: int) -> subprocess.Popen[str]:
    """A process that says the number of each line when it was appended."""
    command = [sys.executable, "-c", APPEND, str(path), text, str(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_disk_that_fills_up_in_a_line_spoils_only_that_line_also_for_another_process(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "items.jsonl"
    process = subprocess.run(
        [sys.executable, "-c", FILL_UP, str(path)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert process.stdout.splitlines() == ["no room for the whole line", "File too large"]
    append(path, [Item(number=4)])
    lines = reader(path)
    assert [item.number for item in lines.all()] == [1, 4]
    assert lines.skipped == 1


def test_a_process_that_is_killed_as_it_appends_costs_no_line_but_the_one_it_was_at(tmp_path: Path) -> None:
    # The kernel may end a write of several pages in the midst where its process is killed.
    path = tmp_path / "items.jsonl"
    for _ in range(3):
        with appending(path, "x", lines=1_000_000) as process:
            assert process.stdout is not None
            for _ in range(20):
                process.stdout.readline()
            process.kill()
    lines = reader(path)
    numbers = [item.number for item in lines.all()]
    assert lines.skipped <= 3
    assert [numbers.count(number) for number in range(20)] == [3] * 20


def test_two_processes_that_append_at_once_keep_each_other_s_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    with appending(path, "a", lines=500) as first, appending(path, "b", lines=500) as second:
        for process in (first, second):
            process.communicate()
    lines = reader(path)
    items = lines.all()
    assert lines.skipped == 0
    for letter in "ab":
        own = [item for item in items if item.text[0] == letter]
        assert [item.number for item in own] == list(range(500))
        assert {item.text for item in own} == {letter * 20_000}


def test_a_line_that_another_left_unfinished_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"number": 1}\n{"numb')
    append(path, [Item(number=2), Item(number=3)])
    lines = reader(path)
    assert [item.number for item in lines.new()] == [1, 2, 3]
    assert lines.skipped == 1


def test_what_grows_is_read_as_it_grows_and_never_twice(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    lines = reader(path)
    assert list(lines.new()) == []
    append(path, [Item(number=1)])
    assert [item.number for item in lines.new()] == [1]
    with path.open("ab") as file:
        file.write(b'{"num')
        file.flush()
        assert list(lines.new()) == []
        file.write(b'ber": 2}\n{"number": 3}\n')
    assert [item.number for item in lines.new()] == [2, 3]
    assert list(lines.new()) == []
    assert lines.skipped == 0


@pytest.mark.parametrize(("rest", "numbers", "skipped"), [(b'{"number"', [1], 1), (b'{"number": 2}', [1, 2], 0)])
def test_the_last_line_of_a_file_that_grows_no_more_counts_without_its_end(
    rest: bytes, numbers: list[int], skipped: int, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"number": 1}\n' + rest)
    lines = reader(path)
    assert [item.number for item in lines.all()] == numbers
    assert lines.skipped == skipped
    assert lines.all() == []


def test_garbage_is_counted_and_empty_lines_are_not(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'\n  \n{"number": 1}\nno json\n{"number": "x"}\n\xff\xfe\n[]\n\x00\x00\n{"number": 2}\n')
    lines = reader(path)
    assert [item.number for item in lines.new()] == [1, 2]
    assert lines.skipped == 5


def test_text_with_line_breaks_of_every_kind_stays_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    text = "a\nb\r\nc\x0bd\x0ce\x1cf\x85g\u2028h\u2029i"
    append(path, [Item(number=1, text=text), Item(number=2)])
    assert [item.text for item in reader(path).all()] == [text, ""]


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        append(Path("/dev/full"), [Item(number=1)])
