"""Disk, memory, limits, ports and SwanLab: what every machine is asked."""

from __future__ import annotations

import os
import re
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.doctor import limits, storage
from harness.doctor import listening as ports
from harness.doctor import swanlab as tracking
from harness.doctor.finding import State
from harness.doctor.machine import Disk
from tests.doctor.machines import GIB, Machine, only, troubles


def test_folders_on_one_disk_are_one_line_that_names_them(machine: Machine) -> None:
    finding = only(storage.disk(machine.surroundings()))
    assert finding.state is State.OK
    assert finding.message.startswith("50.0 GiB free for ")
    for named in (f"{machine.work} (runs", f"{machine.home / 'cache'} (random models)", "huggingface (models"):
        assert named in finding.message


def test_a_disk_that_is_nearly_full_is_a_warning(machine: Machine) -> None:
    nearly_full = machine.surroundings(disk=lambda folder: Disk(100 * GIB, 9 * GIB))
    finding = only(storage.disk(nearly_full))
    assert finding.state is State.WARNING
    assert "HARNESS_CACHE=" in (finding.fix or "")


def test_a_folder_that_cannot_be_written_to_is_a_failure(machine: Machine) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        machine.set("HARNESS_CACHE", folder)
        user = os.geteuid()
        if user == 0:  # Nothing is closed to root.
            os.seteuid(65534)
        try:
            found = troubles(storage.disk(machine.surroundings(working_folder=folder, home=folder)))
        finally:
            os.seteuid(user)
            folder.chmod(0o755)
    assert (only(found).state, only(found).message) == (State.FAILED, f"{folder} cannot be written to")


def test_memory_is_that_of_the_host_where_no_container_limits_it(machine: Machine) -> None:
    finding = only(storage.memory(machine.surroundings()))
    assert (finding.state, finding.message) == (State.OK, "32.0 GiB are available")


def test_little_memory_is_a_warning(machine: Machine) -> None:
    finding = only(storage.memory(machine.surroundings(available_memory_bytes=lambda: 3 * GIB)))
    assert finding.state is State.WARNING


@pytest.mark.parametrize(
    "files",
    [
        {"memory.max": 6 * GIB, "memory.current": 4 * GIB, "memory.stat": f"anon 1\ninactive_file {GIB}\n"},
        {
            "memory/memory.limit_in_bytes": 6 * GIB,
            "memory/memory.usage_in_bytes": 4 * GIB,
            "memory/memory.stat": f"cache 1\ntotal_inactive_file {GIB}\n",
        },
    ],
    ids=["version 2", "version 1"],
)
def test_a_container_has_what_its_limit_leaves(machine: Machine, files: dict[str, object]) -> None:
    for name, content in files.items():
        machine.put(f"sys/fs/cgroup/{name}", str(content))
    finding = only(storage.memory(machine.surroundings()))
    assert finding.state is State.WARNING
    assert finding.message.startswith("3.0 GiB are available to this container")


def test_a_container_without_a_limit_has_the_hosts_memory(machine: Machine) -> None:
    machine.put("sys/fs/cgroup/memory.max", "max\n")
    assert only(storage.memory(machine.surroundings())).message == "32.0 GiB are available"


def test_the_shared_memory_of_a_plain_container_is_too_small(machine: Machine) -> None:
    (machine.root / "dev" / "shm").mkdir()
    finding = only(storage.shared_memory(machine.surroundings(disk=lambda folder: Disk(64 * 2**20, 2**20))))
    assert finding.state is State.WARNING
    assert finding.message.startswith("64 MiB")
    assert "--shm-size" in (finding.fix or "")


def test_limits_are_one_line_where_they_are_high_enough(machine: Machine) -> None:
    finding = only(limits.limits(machine.surroundings(), accelerator=True))
    assert (finding.state, finding.message) == (
        State.OK,
        "20000 open files, 90000 processes, 8 MiB of locked memory",
    )


def test_unlimited_is_not_low(machine: Machine) -> None:
    unlimited = machine.surroundings(soft_limit=lambda kind: resource.RLIM_INFINITY)
    finding = only(limits.limits(unlimited, accelerator=True))
    assert (finding.state, finding.message) == (
        State.OK,
        "unlimited open files, unlimited processes, unlimited locked memory",
    )


def test_each_limit_that_is_low_is_a_warning_with_its_ulimit(machine: Machine) -> None:
    low = machine.surroundings(soft_limit=lambda kind: 64)
    assert [finding.state for finding in limits.limits(low, accelerator=True)] == [State.WARNING] * 3
    fixes = [(finding.fix or "")[:9] for finding in limits.limits(low, accelerator=False)]
    assert fixes == ["ulimit -n", "ulimit -u"]


def test_a_containers_limit_of_processes_counts_too(machine: Machine) -> None:
    machine.put("sys/fs/cgroup/pids.max", "100\n")
    finding = only(limits.limits(machine.surroundings(), accelerator=False))
    assert (finding.state, "--pids-limit" in (finding.fix or "")) == (State.WARNING, True)


@contextmanager
def _listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def _unused() -> int:
    with socket.socket() as attempt:
        attempt.bind(("", 0))
        return int(attempt.getsockname()[1])


def test_free_ports_are_one_line(machine: Machine) -> None:
    training, dashboard = _unused(), _unused()
    machine.set("MASTER_PORT", training)
    finding = only(ports.ports(machine.surroundings(dashboard_port=dashboard)))
    assert finding.state is State.OK
    assert str(training) in finding.message
    assert str(dashboard) in finding.message


def test_a_port_that_is_taken_is_named_with_who_holds_it_and_another_one(machine: Machine) -> None:
    with _listening() as taken:
        machine.set("MASTER_PORT", taken)
        finding = only(ports.ports(machine.surroundings(dashboard_port=_unused())))
    assert finding.state is State.WARNING
    assert finding.message.startswith(f"{taken} (torchrun")
    assert f"(pid {os.getpid()})" in finding.message
    assert re.fullmatch(r"end that process, or MASTER_PORT=\d+ before the command", finding.fix or "")
    assert f"={taken} " not in (finding.fix or "")


def test_a_taken_port_of_the_dashboard_is_told_with_the_option_of_harness_watch(machine: Machine) -> None:
    machine.set("MASTER_PORT", _unused())
    with _listening() as taken:
        finding = only(ports.ports(machine.surroundings(dashboard_port=taken)))
    assert "harness watch --port " in (finding.fix or "")


@pytest.fixture
def tracked(machine: Machine) -> Machine:
    machine.install("swanlab", "0.10.3")
    machine.install("swanboard", "0.1.10")
    return machine


def _log_in(folder: Path, host: str) -> None:
    (folder / ".swanlab").mkdir()
    (folder / ".swanlab" / ".netrc").write_text(f"machine {host}\n\tlogin https://swanlab.cn\n\tpassword key4711\n")


def test_without_the_dashboard_local_tracking_is_missing_something(machine: Machine) -> None:
    machine.install("swanlab", "0.10.3")
    finding = only(tracking.swanlab(machine.surroundings()))
    assert finding.state is State.WARNING
    assert "'swanlab[dashboard]'" in (finding.fix or "")


def test_no_account_is_needed(tracked: Machine) -> None:
    finding = only(tracking.swanlab(tracked.surroundings()))
    assert finding.state is State.OK
    assert "swanlab login" in finding.message


def test_an_account_whose_host_answers_is_well(tracked: Machine) -> None:
    with _listening() as port:
        _log_in(tracked.home, f"http://127.0.0.1:{port}")
        finding = only(tracking.swanlab(tracked.surroundings()))
    assert finding.state is State.OK
    assert f"http://127.0.0.1:{port} answers" in finding.message
    assert "key4711" not in finding.message


def test_an_account_whose_host_does_not_answer_is_a_warning(tracked: Machine) -> None:
    tracked.set("SWANLAB_API_KEY", "key4711")
    tracked.set("SWANLAB_API_HOST", f"http://127.0.0.1:{_unused()}")
    finding = only(tracking.swanlab(tracked.surroundings()))
    assert finding.state is State.WARNING
    assert (finding.fix or "").startswith("tracking=local")
    assert "key4711" not in finding.message


def test_the_account_of_the_working_folder_comes_before_that_of_the_user(tracked: Machine) -> None:
    with _listening() as port:
        _log_in(tracked.work, f"http://127.0.0.1:{port}")
        _log_in(tracked.home, f"http://127.0.0.1:{_unused()}")
        finding = only(tracking.swanlab(tracked.surroundings()))
    assert finding.state is State.OK
    assert str(tracked.work) in finding.message


def test_behind_a_proxy_it_is_the_proxy_that_has_to_answer(tracked: Machine) -> None:
    tracked.set("SWANLAB_API_KEY", "key4711")
    tracked.set("SWANLAB_API_HOST", "https://swanlab.invalid")
    with _listening() as port:
        tracked.set("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert only(tracking.swanlab(tracked.surroundings())).state is State.OK
        tracked.set("NO_PROXY", "swanlab.invalid")
        assert only(tracking.swanlab(tracked.surroundings())).state is State.WARNING


def test_a_netrc_that_cannot_be_read_is_no_account(tracked: Machine) -> None:
    (tracked.home / ".swanlab").mkdir()
    (tracked.home / ".swanlab" / ".netrc").write_text("machine only half")
    assert only(tracking.swanlab(tracked.surroundings())).state is State.OK
