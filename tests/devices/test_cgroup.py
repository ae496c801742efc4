from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.devices.cgroup import cpu_quota, memory_left_bytes, memory_limit_bytes

GIB = 2**30
NO_LIMIT = 9223372036854771712
"""As version 1 shows it."""


def machine(root: Path, group: str, files: Mapping[str, object]) -> Path:
    """`files`: below /sys/fs/cgroup. `group`: what /proc says of it."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def test_the_limits_of_a_group_of_version_2_are_read(tmp_path: Path) -> None:
    files = {"runs/one/cpu.max": "150000 100000", "runs/one/memory.max": 6 * GIB}
    root = machine(tmp_path, "0::/runs/one\n", files)
    assert (cpu_quota(root), memory_limit_bytes(root)) == (1.5, 6 * GIB)


def test_the_limits_of_groups_of_version_1_are_read_each_where_its_controller_is(tmp_path: Path) -> None:
    files = {
        "cpu/runs/cpu.cfs_quota_us": 250_000,
        "cpu/runs/cpu.cfs_period_us": 100_000,
        "memory/else/memory.limit_in_bytes": 4 * GIB,
    }
    root = machine(tmp_path, "4:memory:/else\n2:cpu,cpuacct:/runs\n0::/\n", files)
    assert (cpu_quota(root), memory_limit_bytes(root)) == (2.5, 4 * GIB)


def test_a_group_has_no_more_than_the_one_above_it(tmp_path: Path) -> None:
    files = {
        "runs/one/cpu.max": "max 100000",
        "runs/cpu.max": "50000 100000",
        "runs/one/memory.max": 6 * GIB,
        "runs/memory.max": 2 * GIB,
    }
    root = machine(tmp_path, "0::/runs/one\n", files)
    assert (cpu_quota(root), memory_limit_bytes(root)) == (0.5, 2 * GIB)


@pytest.mark.parametrize("group", ["", "0::/\n", "0::/docker/4711\n4:memory:/docker/4711\n"])
def test_in_a_container_the_mount_is_its_own_group_whatever_proc_calls_it(tmp_path: Path, group: str) -> None:
    root = machine(tmp_path, group, {"cpu.max": "200000 100000", "memory/memory.limit_in_bytes": GIB})
    assert (cpu_quota(root), memory_limit_bytes(root)) == (2.0, GIB)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cpu.max": "max 100000", "memory.max": "max"},
        {
            "cpu/cpu.cfs_quota_us": -1,
            "cpu/cpu.cfs_period_us": 100_000,
            "memory/memory.limit_in_bytes": NO_LIMIT,
        },
        {"cpu.max": "", "memory.max": "half a", "cpu/cpu.cfs_quota_us": 5, "cpu/cpu.cfs_period_us": "x"},
    ],
    ids=["no file", "no limit in version 2", "no limit in version 1", "nonsense"],
)
def test_no_limit_is_none_and_not_a_number(tmp_path: Path, files: dict[str, object]) -> None:
    root = machine(tmp_path, "0::/\n", files)
    assert (cpu_quota(root), memory_limit_bytes(root), memory_left_bytes(root)) == (None, None, None)


def test_a_machine_without_proc_tells_no_limit(tmp_path: Path) -> None:
    assert (cpu_quota(tmp_path), memory_limit_bytes(tmp_path), memory_left_bytes(tmp_path)) == (None, None, None)


def test_files_that_may_not_be_read_tell_no_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", {})
    for name in ("cpu.max", "memory.max"):
        (root / "sys/fs/cgroup" / name).mkdir(parents=True)  # root may read any file, and no folder.
    assert (cpu_quota(root), memory_limit_bytes(root)) == (None, None)


def test_what_is_left_is_the_least_that_a_group_leaves_with_its_cache_counted_as_free(tmp_path: Path) -> None:
    files = {
        "runs/memory.max": 6 * GIB,
        "runs/memory.current": 4 * GIB,
        "runs/memory.stat": f"anon 1\ninactive_file {GIB}",
        "memory.max": 100 * GIB,
        "memory.current": 5 * GIB,
        "memory.stat": "anon 1",
    }
    assert memory_left_bytes(machine(tmp_path, "0::/runs\n", files)) == 3 * GIB
