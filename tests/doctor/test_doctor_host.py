"""Disk, memory, limits, ports and SwanLab: what every machine is asked."""

from __future__ import annotations

import os
import re
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.doctor import host, swanlab
from harness.doctor.finding import State
from harness.tracking import account
from tests.doctor.machines import GIB, Sandbox, only, troubles


def test_folders_on_one_disk_are_one_line_that_names_them(machine: Sandbox) -> None:
    finding = only(host.disk(machine.current()))
    assert finding.state is State.OK
    assert finding.message.startswith("50.0 GiB free for ")
    for named in (f"{machine.work} (runs", f"{machine.home / 'cache'} (random models)", "huggingface (models"):
        assert named in finding.message


def test_a_disk_that_is_nearly_full_is_a_warning(machine: Sandbox) -> None:
    nearly_full = machine.current(disk_free_bytes=lambda folder: 9 * GIB)
    finding = only(host.disk(nearly_full))
    assert finding.state is State.WARNING
    assert "HARNESS_CACHE=" in (finding.fix or "")


def test_a_folder_that_cannot_be_written_to_is_a_failure(machine: Sandbox) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        machine.set("HARNESS_CACHE", folder)
        user = os.geteuid()
        if user == 0:  # Nothing is closed to root.
            os.seteuid(65534)
        try:
            found = troubles(host.disk(machine.current(working_folder=folder, home=folder)))
        finally:
            os.seteuid(user)
            folder.chmod(0o755)
    assert (only(found).state, only(found).message) == (State.FAILED, f"{folder} cannot be written to")


def test_memory_is_that_of_the_host_where_no_container_limits_it(machine: Sandbox) -> None:
    finding = only(host.memory(machine.current()))
    assert (finding.state, finding.message) == (State.OK, "32.0 GiB are available")


def test_little_memory_is_a_warning(machine: Sandbox) -> None:
    finding = only(host.memory(machine.current(available_memory_bytes=lambda: 3 * GIB)))
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
def test_a_container_has_what_its_limit_leaves(machine: Sandbox, files: dict[str, object]) -> None:
    for name, content in files.items():
        machine.put(f"sys/fs/cgroup/{name}", str(content))
    finding = only(host.memory(machine.current()))
    assert finding.state is State.WARNING
    assert finding.message.startswith("3.0 GiB are available to this container")


def test_a_container_without_a_limit_has_the_hosts_memory(machine: Sandbox) -> None:
    machine.put("sys/fs/cgroup/memory.max", "max\n")
    assert only(host.memory(machine.current())).message == "32.0 GiB are available"


def test_the_shared_memory_of_a_plain_container_is_too_small(machine: Sandbox) -> None:
    (machine.root / "dev" / "shm").mkdir()
    finding = only(host.shared_memory(machine.current(disk_total_bytes=lambda folder: 64 * 2**20)))
    assert finding.state is State.WARNING
    assert finding.message.startswith("64 MiB")
    assert "--shm-size" in (finding.fix or "")


def test_limits_are_one_line_where_they_are_high_enough(machine: Sandbox) -> None:
    finding = only(host.limits(machine.current(), accelerator=True))
    assert (finding.state, finding.message) == (
        State.OK,
        "20000 open files, 90000 processes, 8 MiB of locked memory",
    )


def test_unlimited_is_not_low(machine: Sandbox) -> None:
    unlimited = machine.current(soft_limit=lambda kind: resource.RLIM_INFINITY)
    finding = only(host.limits(unlimited, accelerator=True))
    assert (finding.state, finding.message) == (
        State.OK,
        "unlimited open files, unlimited processes, unlimited locked memory",
    )


def test_each_limit_that_is_low_is_a_warning_with_its_ulimit(machine: Sandbox) -> None:
    low = machine.current(soft_limit=lambda kind: 64)
    assert [finding.state for finding in host.limits(low, accelerator=True)] == [State.WARNING] * 3
    fixes = [(finding.fix or "")[:9] for finding in host.limits(low, accelerator=False)]
    assert fixes == ["ulimit -n", "ulimit -u"]


def test_a_containers_limit_of_processes_counts_too(machine: Sandbox) -> None:
    machine.put("sys/fs/cgroup/pids.max", "100\n")
    finding = only(host.limits(machine.current(), accelerator=False))
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


def test_free_ports_are_one_line(machine: Sandbox) -> None:
    training, dashboard = _unused(), _unused()
    machine.set("MASTER_PORT", training)
    finding = only(host.ports(machine.current(dashboard_port=dashboard)))
    assert finding.state is State.OK
    assert str(training) in finding.message
    assert str(dashboard) in finding.message


def test_a_port_that_is_taken_is_named_with_who_holds_it_and_another_one(machine: Sandbox) -> None:
    with _listening() as taken:
        machine.set("MASTER_PORT", taken)
        finding = only(host.ports(machine.current(dashboard_port=_unused())))
    assert finding.state is State.WARNING
    assert finding.message.startswith(f"{taken} (torchrun")
    assert f"(pid {os.getpid()})" in finding.message
    assert re.fullmatch(r"end that process, or MASTER_PORT=\d+ before the command", finding.fix or "")
    assert f"={taken} " not in (finding.fix or "")


def test_a_taken_port_of_the_dashboard_is_told_with_the_option_of_harness_watch(machine: Sandbox) -> None:
    machine.set("MASTER_PORT", _unused())
    with _listening() as taken:
        finding = only(host.ports(machine.current(dashboard_port=taken)))
    assert "harness watch --port " in (finding.fix or "")


@pytest.fixture
def tracked(machine: Sandbox) -> Sandbox:
    machine.install("swanlab", "0.10.3")
    machine.install("swanboard", "0.1.10")
    return machine


def _log_in(folder: Path, host: str) -> None:
    (folder / ".swanlab").mkdir()
    (folder / ".swanlab" / ".netrc").write_text(f"machine {host}\n\tlogin https://swanlab.cn\n\tpassword key4711\n")


def test_without_the_dashboard_local_tracking_is_missing_something(machine: Sandbox) -> None:
    machine.install("swanlab", "0.10.3")
    finding = only(swanlab.swanlab(machine.current()))
    assert finding.state is State.WARNING
    assert "'swanlab[dashboard]'" in (finding.fix or "")


def test_no_account_is_needed(tracked: Sandbox) -> None:
    finding = only(swanlab.swanlab(tracked.current()))
    assert finding.state is State.OK
    assert "swanlab login" in finding.message


class _Answers(BaseHTTPRequestHandler):
    """Says `not found` to whatever is asked, of a server or of a proxy."""

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_error(404)

    def log_message(self, format: str, *_: object) -> None:
        pass


@contextmanager
def _answering() -> Iterator[tuple[int, list[str]]]:
    """A port where HTTP is spoken, and what was asked for there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.asked = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, server.asked  # type: ignore[attr-defined]
        server.shutdown()


def test_an_account_whose_host_answers_is_well(tracked: Sandbox) -> None:
    with _answering() as (port, _):
        _log_in(tracked.home, f"http://127.0.0.1:{port}")
        finding = only(swanlab.swanlab(tracked.current()))
    assert finding.state is State.OK
    assert f"http://127.0.0.1:{port} answers" in finding.message
    assert "key4711" not in finding.message


def test_an_account_whose_host_does_not_answer_is_a_warning(tracked: Sandbox) -> None:
    tracked.set("SWANLAB_API_KEY", "key4711")
    tracked.set("SWANLAB_API_HOST", f"http://127.0.0.1:{_unused()}")
    finding = only(swanlab.swanlab(tracked.current()))
    assert finding.state is State.WARNING
    assert (finding.fix or "").startswith("tracking=local")
    assert "key4711" not in finding.message


def test_a_host_that_takes_the_call_and_stays_silent_does_not_answer(
    tracked: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "PATIENCE_SECONDS", 0.5)
    tracked.set("SWANLAB_API_KEY", "key4711")
    with _listening() as port:
        tracked.set("SWANLAB_API_HOST", f"http://127.0.0.1:{port}")
        assert only(swanlab.swanlab(tracked.current())).state is State.WARNING


def test_a_name_server_that_hangs_keeps_nobody(tracked: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(account, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait())
    tracked.set("SWANLAB_API_KEY", "key4711")
    assert only(swanlab.swanlab(tracked.current())).state is State.WARNING
    ended.set()


def test_the_account_of_the_working_folder_comes_before_that_of_the_user(tracked: Sandbox) -> None:
    with _answering() as (port, _):
        _log_in(tracked.work, f"http://127.0.0.1:{port}")
        _log_in(tracked.home, f"http://127.0.0.1:{_unused()}")
        finding = only(swanlab.swanlab(tracked.current()))
    assert finding.state is State.OK
    assert str(tracked.work) in finding.message


def test_a_stored_key_is_not_taken_for_that_of_another_server(tracked: Sandbox) -> None:
    _log_in(tracked.home, "https://api.swanlab.cn")
    tracked.set("SWANLAB_API_HOST", "10.0.0.1:8000")
    finding = only(swanlab.swanlab(tracked.current()))
    assert finding.state is State.WARNING
    assert (finding.fix or "").startswith("swanlab login --host https://10.0.0.1:8000")


def test_behind_a_proxy_it_is_the_proxy_that_has_to_answer(tracked: Sandbox) -> None:
    tracked.set("SWANLAB_API_KEY", "key4711")
    tracked.set("SWANLAB_API_HOST", "http://swanlab.invalid")
    with _answering() as (port, asked):
        tracked.set("HTTP_PROXY", f"http://127.0.0.1:{port}")
        assert only(swanlab.swanlab(tracked.current())).state is State.OK
        assert asked == ["http://swanlab.invalid/"]
        tracked.set("NO_PROXY", "swanlab.invalid")
        assert only(swanlab.swanlab(tracked.current())).state is State.WARNING


def test_a_proxy_of_an_unknown_kind_leads_nowhere(tracked: Sandbox) -> None:
    tracked.set("SWANLAB_API_KEY", "key4711")
    with _answering() as (port, _):
        tracked.set("SWANLAB_API_HOST", f"http://127.0.0.1:{port}")
        tracked.set("ALL_PROXY", "gopher://127.0.0.1:70")
        assert only(swanlab.swanlab(tracked.current())).state is State.WARNING


def test_a_netrc_that_cannot_be_read_is_no_account(tracked: Sandbox) -> None:
    (tracked.home / ".swanlab").mkdir()
    (tracked.home / ".swanlab" / ".netrc").write_text("machine only half")
    assert only(swanlab.swanlab(tracked.current())).state is State.OK
