"""The one atomic writer: whole or not there, as readable as the umask says, on the disk before it returns."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.files import content, remove, sync_tree, synced_sha256, write_atomically

ROOT = Path(__file__).parents[2]
WRITE_FOR_EVER = """
import sys
from itertools import cycle
from pathlib import Path
from harness.base.files import write_atomically
for letter in cycle("ab"):
    write_atomically(Path(sys.argv[1]), letter * 5_000_000)
    print(letter, flush=True)
"""


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("content", ["北大 ünï\n", b"\x00\xff\r\n", ""])
def test_what_is_written_is_read_again(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("what was there before, and is longer than what comes")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_it(mask: int, mode: int, tmp_path: Path) -> None:
    os.umask(mask)
    for _ in range(2):
        write_atomically(tmp_path / "file", "text")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_the_file_is_synced_before_its_name_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(path, "text")
    assert synced == [(False, False), (True, True)]


def test_a_folder_that_cannot_be_synced_still_gets_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_content_and_nothing_beside_it(
    fault: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(fault)):
        write_atomically(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_a_process_that_is_killed_leaves_one_content_or_the_other_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
    assert path.read_text() in {"a" * 5_000_000, "b" * 5_000_000}


def test_where_no_file_can_be_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "gone" / "file", "text")


@pytest.mark.parametrize("fault", ["full", "no folder"])
def test_an_error_names_the_file_that_was_to_be_written(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fault == "full":
        monkeypatch.setattr(os, "fsync", full)
    else:
        path = tmp_path / "gone" / "file"
    with pytest.raises(OSError, match=r"No space left|No such file") as raised:
        write_atomically(path, "text")
    assert raised.value.filename == str(path)


def test_a_tree_is_synced_file_by_file_and_each_folder_after_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    files = [tmp_path / "a", tmp_path / "inner" / "b"]
    for file in files:
        file.write_text("text")
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").readlink()))
    sync_tree(tmp_path)
    assert set(synced) == {tmp_path, tmp_path / "inner", *files}
    assert all(synced.index(path) < synced.index(path.parent) for path in synced if path != tmp_path)


def test_a_file_is_known_by_the_hash_that_any_other_program_makes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert synced_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_only_what_is_a_file_is_read_and_an_error_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert content(tmp_path / "file") == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "memory").symlink_to("/proc/self/mem")
    (tmp_path / "folder").mkdir()
    for name in ("folder", "pipe", "device", "memory", "nothing"):
        with pytest.raises(OSError, match=re.escape(str(tmp_path / name))):
            content(tmp_path / name)


def test_whatever_is_there_is_removed_and_nothing_that_it_links_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("folder", "file", "link", "dangling", "nothing"):
        remove(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "kept", tmp_path / "kept" / "file"]
