"""The memory and the processors of the host."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

from harness.devices.reading import Reading, SensorError

MIB = 2**20
_MAPPED_STEP_KIB = 1024
"""So much more or less mapped from files, and smaps is read again."""
_LIBRARY = re.compile(rb"[^/]+\.so(\.[0-9]\w*)*( \(deleted\))?")
"""The name of a file that holds a library: libx.so, libx.so.6, x.cpython-311-x86_64-linux-gnu.so."""


_COUNTED = (b"Rss:", b"Pss:", b"Anonymous:", b"Private_Clean:", b"Private_Dirty:")
"""Lines of smaps, of two dozen for each mapping."""
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the machine's own: PROC_PID_INIT_INO of Linux, include/linux/proc_ns.h. A container has another."""
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")
"""The guests' time stands in user and nice too."""


def tree(pids: Iterable[int]) -> set[psutil.Process]:
    """Those of `pids` that are alive, with all their descendants."""
    family: set[psutil.Process] = set()
    for pid in pids:
        try:
            root = psutil.Process(pid)
            # Each listing of children reads every process of the machine.
            if root not in family:
                family |= {root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return family


def below(pids: Iterable[int], family: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those of `family` that are among `pids` or descend from one, through processes of `family`."""
    parents: dict[psutil.Process, int] = {}
    for process in family:
        with suppress(psutil.NoSuchProcess):
            parents[process] = process.ppid()
    found: set[int] = set()
    more = set(pids)
    while more:
        found |= more
        more = {process.pid for process, parent in parents.items() if parent in found} - found
    return {process for process in parents if process.pid in found}


@cache
def sees_all_processes(proc: Path = Path("/proc")) -> bool:
    """Whether the whole machine's processes are to be seen from here, under the pids that a driver gives them.

    False in a container, and where /proc hides what is another user's."""
    if sys.platform != "linux":
        return True
    try:
        is_initial = (proc / "self" / "ns" / "pid").stat().st_ino == _INITIAL_PID_NAMESPACE
        return is_initial and bool((proc / "1" / "stat").read_bytes())
    except OSError:
        return False


def busy_seconds() -> float:
    """Processor time that all cores have spent on anybody since they started; what a hypervisor's other guests took
    from this machine (steal) is among it. In a container it is the host's. Raises OSError, psutil.Error."""
    times = psutil.cpu_times()._asdict()
    return float(sum(seconds for kind, seconds in times.items() if kind not in _NOT_BUSY))


def used_seconds(process: psutil.Process) -> float:
    """Processor time of a process and of those of its children that have ended. Raises psutil.Error.

    So the sum over a whole family never falls when one of them ends."""
    return float(sum(process.cpu_times()[:4]))


def count_others(listed: Iterable[int] | None, family: set[int]) -> int | None:
    """How many of the pids that a driver lists on a chip are not the run's. `family`: its pids, none before it starts.

    None where that cannot be told. In a container most drivers list the host's pids or nobody at all, so there a list
    means something only with one of ours in it, or while nobody of ours can be on the chip."""
    if listed is None:
        return None
    pids = set(listed)
    others = pids - family
    is_told = sees_all_processes() or bool(pids & family) or (bool(others) and not family)
    return len(others) if is_told else None


class HostSensor:
    """The memory that the run's processes have to themselves, and their processor time.

    On Linux what is anonymous, shared or mapped from a data file such as weights, each page divided among those that
    share it (Pss of smaps), so that the sum over the tree counts each page once; a library's own pages are left out.
    USS, which psutil has, counts those too, but only while no other program has the library open: beside another
    PyTorch program that comes and goes it swings by 170 MiB. Elsewhere USS, or resident memory where there is none.
    The kernel walks every page for smaps, 35 ms for 1 GiB, which the training feels twice a second; so a process that
    has the run to itself is asked for the kernel's own counters instead. What a worker shares with the process that it
    was forked from, which is none of the run's, is the worker's whole.
    Used host memory is all that a new program could not have. Utilization is in percent of one core, over the
    time since the reading before; None on the first one. So is what others took: all that the machine's cores did,
    less what this process and all below it did, for the harness and its tracker are part of what a run costs.
    """

    name = "psutil"

    def __init__(self) -> None:
        self._cpu_seconds: dict[psutil.Process, float] = {}
        self._mapped: _Mapped | None = None
        self._read_at = time.monotonic()
        self._others: tuple[float, float] | None = None
        """When that was read, and the processor time of others until then, both in seconds."""

    def read(self, pids: frozenset[int]) -> list[Reading]:
        moment = time.time()
        private_bytes = 0
        cpu_seconds: dict[psutil.Process, float] = {}
        try:
            own = tree((os.getpid(), *pids))
            others_percent = self._others_percent(own)
            family = below(pids, own) if pids else set()
            for process in family:
                try:
                    held_bytes = self._alone_bytes(process) if len(family) == 1 else _private_bytes(process)
                    cpu = process.cpu_times()
                except psutil.NoSuchProcess:  # It ended between being listed and being asked.
                    continue
                if not held_bytes:  # It is dead, and its parent has not yet asked how it ended.
                    continue
                private_bytes += held_bytes
                cpu_seconds[process] = cpu.user + cpu.system
            if len(family) > 1:
                private_bytes += sum(_lent_bytes(parent) for parent in _forked_from(pids, own - family))
            host = psutil.virtual_memory()
        except (psutil.Error, OSError) as error:
            raise SensorError(str(error)) from error
        return [
            Reading(
                time=moment,
                sensor=self.name,
                device_used_mib=(host.total - host.available) / MIB,
                device_total_mib=host.total / MIB,
                process_mib=private_bytes / MIB if cpu_seconds else None,
                utilization_percent=self._utilization(cpu_seconds),
                others_cpu_percent=others_percent,
            )
        ]

    def close(self) -> None:
        """Nothing is held open."""

    def _alone_bytes(self, process: psutil.Process) -> int:
        counters = _counters_kib(process)
        if counters is None:
            return _private_bytes(process)
        own_kib = counters["RssAnon"] + counters["RssShmem"]
        file_kib = counters["RssFile"]
        known = self._mapped
        if known is None or known.process != process or abs(file_kib - known.file_kib) > _MAPPED_STEP_KIB:
            # What is mapped from files is libraries and data, which only smaps tells apart.
            known = _Mapped(process, file_kib, max(0, _private_bytes(process, is_alone=True) // 1024 - own_kib))
            self._mapped = known
        return (own_kib + known.data_kib) * 1024

    def _others_percent(self, own: set[psutil.Process]) -> float | None:
        # Before memory is asked for: that takes as long as it takes, and the two times must be of one moment.
        before, self._others = self._others, None
        try:
            others_seconds = busy_seconds()
            for process in own:
                with suppress(psutil.NoSuchProcess):
                    others_seconds -= used_seconds(process)
        except (psutil.Error, OSError):  # It costs this figure, not the reading.
            return None
        now = time.monotonic()
        self._others = now, others_seconds
        return None if before is None or now <= before[0] else 100 * (others_seconds - before[1]) / (now - before[0])

    def _utilization(self, cpu_seconds: dict[psutil.Process, float]) -> float | None:
        before, self._cpu_seconds = self._cpu_seconds, cpu_seconds
        now = time.monotonic()
        elapsed, self._read_at = now - self._read_at, now
        known = before.keys() & cpu_seconds.keys()
        if not known or elapsed <= 0:
            return None
        return 100 * sum(cpu_seconds[process] - before[process] for process in known) / elapsed


@dataclass(frozen=True)
class _Mapped:
    process: psutil.Process
    file_kib: int
    """Resident and mapped from any file, when smaps was read."""
    data_kib: int
    """What of it is no library."""


def _counters_kib(process: psutil.Process) -> dict[str, int] | None:
    """RssAnon, RssFile and RssShmem (Linux 4.5); None where the kernel keeps none, or the process has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    counters = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
    return counters or None


def _forked_from(pids: Iterable[int], others: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those of `others` whose children are among `pids`, but not this process, which shares nothing with a worker."""
    parents = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            parents.add(psutil.Process(pid).ppid())
    return {process for process in others if process.pid in parents and process.pid != os.getpid()}


class _Mapping(NamedTuple):
    """An entry of smaps, in kB."""

    is_library: bool
    resident: int
    proportional: int
    """Each page divided among those that share it."""
    anonymous: int
    unshared: int

    @property
    def whole(self) -> float:
        """As `proportional`, but what is of no file is not divided."""
        of_files = self.resident - self.anonymous
        return self.anonymous + (self.proportional * of_files / self.resident if of_files > 0 else 0)


def _private_bytes(process: psutil.Process, is_alone: bool = False) -> int:
    """What a process has to itself. `is_alone`: nobody else of its run shares memory with it."""
    try:
        mappings = list(_mappings(process.pid))
    except FileNotFoundError:  # Not Linux, or it has ended, which psutil tells apart.
        memory = process.memory_full_info()
        return int(getattr(memory, "uss", memory.rss))
    except ProcessLookupError:
        return 0
    # Of a library only what the process wrote to is its own.
    kib = sum(each.anonymous if each.is_library else each.whole if is_alone else each.proportional for each in mappings)
    return int(kib * 1024)


def _lent_bytes(process: psutil.Process) -> int:
    """What the forks of a process share with it, as much of it as falls to it."""
    try:
        mappings = list(_mappings(process.pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lent = (each for each in mappings if each.anonymous == each.resident and not each.is_library)
    return 1024 * sum(each.proportional - each.unshared for each in lent)


def _mappings(pid: int) -> Iterator[_Mapping]:
    """Raises FileNotFoundError and ProcessLookupError where there is no such process, or no smaps."""
    is_library, kib = False, dict[bytes, int]()
    for line in Path(f"/proc/{pid}/smaps").read_bytes().split(b"\n"):
        if line[:1] in b"0123456789abcdef":  # 7f00-7f01 r-xp 00000000 fe:00 1234   /usr/lib/libc.so.6
            if kib:
                yield _mapping(is_library, kib)
            kib = {}
            path = line.split(maxsplit=5)[5:]
            is_library = bool(path and _LIBRARY.fullmatch(path[0].rpartition(b"/")[2]))
        elif line.startswith(_COUNTED):
            name, _, size = line.partition(b":")
            kib[name] = int(size[:-3])
    if kib:
        yield _mapping(is_library, kib)


def _mapping(is_library: bool, kib: dict[bytes, int]) -> _Mapping:
    unshared = kib.get(b"Private_Clean", 0) + kib.get(b"Private_Dirty", 0)
    return _Mapping(is_library, kib.get(b"Rss", 0), kib.get(b"Pss", 0), kib.get(b"Anonymous", 0), unshared)
