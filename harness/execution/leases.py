"""Chips that runs of this machine have taken: each by one run at a time, however that is started and however it ends.

A chip is leased by flock on a file of its own name, in a folder that all users of the machine share, and its containers
where it is mounted into them. The workers of a run inherit the lock, and the kernel gives it back when the last of them
is gone: killed, with its container, or with the machine.
"""

from __future__ import annotations

import getpass
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from harness.base.locks import flock_at_once
from harness.devices.device import Device
from harness.devices.reading import SensorError
from harness.devices.request import Chip, DeviceError
from harness.execution.observer import Observer
from harness.plan import device as devices
from harness.plan.spec import RunSpec
from harness.runs.record import Neighbour
from harness.runs.status import Holder, is_held, read_holder

FOLDER = "HARNESS_LEASES"
"""The environment variable that names the folder of leases."""
_FOLDER = Path("/tmp/harness-leases")
"""Not $TMPDIR, which users have of their own."""
_RUN = "run-"
_POLL_SECONDS = 0.5
_LOOK_SECONDS = 5.0
_SILENT_SECONDS = 120.0
"""How long a driver that fails is waited for; a chip whose driver never tells would be nobody's for ever."""


@dataclass(frozen=True)
class _Held:
    chip: Chip
    descriptors: tuple[int, ...]


class Chips:
    """The chips of one run, leased once it needs them."""

    def __init__(self, spec: RunSpec, observer: Observer, opened: ExitStack) -> None:
        self._spec = spec
        self._observer = observer
        self._opened = opened
        self._device: Device | None = None
        self.holder = _holder(spec)
        self._neighbours: _Neighbours | None = None
        self._silent_since: float | None = None

    def device(self) -> Device:
        """Return the run's device, whose chips nobody else has from now on; waits for them. Raises DeviceError."""
        if self._device is None:
            self._device = self._leased()
        return self._device

    def neighbours(self, since: float) -> list[Neighbour] | None:
        """Return the other runs that this machine has had since then (seconds since the epoch), and since the chips
        were taken; None: they were not."""
        return None if self._neighbours is None else self._neighbours.seen(since)

    def _leased(self) -> Device:
        spec, asked = self._spec, self._spec.config.device
        device = devices.choose(spec.config, spec.device.kind)
        among = [chip for chip in device.visible if asked.takes_free or chip.logic_id in device.chips]
        folder = _folder()
        with ExitStack() as mine:
            if among:
                count = asked.count if asked.takes_free else len(among)
                # By chance, so that no arm has the faster of two chips in every seed.
                held = self._wait(folder, random.sample(among, len(among)), count, mine)
                if device.chips:
                    device = devices.choose(spec.config, spec.device.kind, [each.chip.logic_id for each in held])
                device = replace(device, held=tuple(each for one in held for each in one.descriptors))
            neighbours = mine.enter_context(_present(folder, self.holder))
            # Not before all is well: a lease that is left behind would be waited for by this very run.
            self._opened.push(mine.pop_all())
        self._neighbours = neighbours
        return device

    def _wait(self, folder: Path, among: Sequence[Chip], count: int, opened: ExitStack) -> list[_Held]:
        is_told = False
        while True:
            taken_by: dict[str, str] = {}
            held = self._take(folder, among, count, taken_by, opened)
            if held is not None:
                return held
            if not is_told:
                who = "; ".join(f"{key} has {by}" for key, by in taken_by.items())
                wanted = f"{count} of {len(among)} chips" if count < len(among) else ", ".join(c.key for c in among)
                self._observer.note(f"{self._spec.name}: waiting for {wanted}: {who}; Ctrl-C ends it")
                is_told = True
            # Two that wait for several chips each must not take turns for ever.
            time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))

    def _take(
        self, folder: Path, among: Sequence[Chip], count: int, taken_by: dict[str, str], opened: ExitStack
    ) -> list[_Held] | None:
        """Lease `count` chips until `opened` ends, or none and say in `taken_by` who has them."""
        with ExitStack() as mine:
            held: list[_Held] = []
            for chip in among:
                if len(held) == count:
                    break
                with ExitStack() as its:
                    descriptors = []
                    for file in _files(folder, chip):
                        if (descriptor := _lock(file)) is None:
                            taken_by[chip.key] = str(read_holder(file) or "another run")
                            break
                        its.callback(os.close, descriptor)
                        descriptors.append(descriptor)
                    else:
                        if foreign := self._foreign(chip):
                            taken_by[chip.key] = foreign
                        else:
                            held.append(_Held(chip, tuple(descriptors)))
                            mine.push(its.pop_all())
            if len(held) < count:
                return None
            keys = [each.chip.key for each in held]
            self.holder = self.holder.model_copy(update={"chips": keys, "since": datetime.now(UTC)})
            for descriptor in (each for one in held for each in one.descriptors):
                _write(descriptor, self.holder)
            opened.push(mine.pop_all())
            return held

    def _foreign(self, chip: Chip) -> str | None:
        """What keeps a chip from being free though nobody has leased it; None: nothing, as far as the driver tells."""
        if not self._spec.config.device.takes_free:
            return None
        try:
            others = self._others_on(chip)
        except SensorError as error:
            self._silent_since = self._silent_since or time.monotonic()
            is_given_up = time.monotonic() - self._silent_since > _SILENT_SECONDS
            return None if is_given_up else f"a driver that does not tell of it ({error})"
        self._silent_since = None
        return f"{others} process(es) that no harness leased it for, when its driver last told" if others else None

    def _others_on(self, chip: Chip) -> int:
        """How many processes of others compute on it. Raises SensorError: the driver does not tell just now."""
        kind = self._spec.device.kind
        if kind == "cpu":
            return 0
        try:
            only = devices.choose(self._spec.config, kind, [chip.logic_id])
            (sensor, *_) = only.sensors(self._spec.config.device.interval_seconds)
            try:
                readings = sensor.read(frozenset({os.getpid()}))
            finally:
                sensor.close()
        except DeviceError:
            return 0
        return sum(reading.other_processes or 0 for reading in readings)


@contextmanager
def chips_of(spec: RunSpec, observer: Observer) -> Iterator[Chips]:
    """The chips of a run, free for others once the body is over and no worker of it lives."""
    with ExitStack() as opened:
        yield Chips(spec, observer, opened)


class FreeChips:
    """Counts the chips that a run might have, which the driver is asked for once, again and again."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    @cached_property
    def _chips(self) -> list[list[Path]]:
        try:
            visible = devices.choose(self._spec.config, self._spec.device.kind).visible
            folder = _folder()
        except DeviceError:
            return []
        return [_files(folder, chip) for chip in visible]

    def count(self) -> tuple[int, int] | None:
        """Return how many are free now, and how many there are; None: none can be told apart, or seen from here."""
        chips = self._chips
        return (sum(not any(map(is_held, files)) for files in chips), len(chips)) if chips else None


class _Neighbours:
    """Looks every few seconds which other runs there are."""

    def __init__(self, folder: Path, own: Path) -> None:
        self._folder = folder
        self._own = own
        self._found: dict[str, tuple[float, Neighbour]] = {}
        """By their files, with when each was last there."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="neighbours", daemon=True)
        self._thread.start()

    def seen(self, since: float) -> list[Neighbour]:
        self._look()
        return [neighbour for last, neighbour in self._found.values() if last >= since - _LOOK_SECONDS]

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        self._look()
        while not self._is_over.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for file in _runs(self._folder):
            if file != self._own and (holder := _of_the_living(file)) is not None:
                neighbour = Neighbour(run=holder.run, sweep=Path(holder.sweep).name, chips=holder.chips)
                self._found[file.name] = time.time(), neighbour


@contextmanager
def _present(folder: Path, holder: Holder) -> Iterator[_Neighbours]:
    """Let others see the run while the body goes on."""
    name = uuid.uuid4().hex
    own, unseen = folder / f"{_RUN}{name}", folder / f".{name}"
    descriptor = _lock(unseen)
    assert descriptor is not None, "nobody looks there"
    _write(descriptor, holder)
    # Without its lock it would be taken for that of a run that is over.
    unseen.rename(own)
    neighbours = _Neighbours(folder, own)
    try:
        yield neighbours
    finally:
        neighbours.stop()
        with suppress(OSError):
            own.unlink()
        os.close(descriptor)


def _runs(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"{_RUN}*"))
    except OSError:
        return []


def _of_the_living(file: Path) -> Holder | None:
    """Return who is in a file of a run; None, and the file is removed, where that run is over."""
    if is_held(file):
        return read_holder(file)
    with suppress(OSError):
        file.unlink()
    return None


def _files(folder: Path, chip: Chip) -> list[Path]:
    return [folder / name for name in chip.leased_as]


def _folder() -> Path:
    """Return the folder of leases, made for all users. Raises DeviceError."""
    folder = Path(os.environ.get(FOLDER) or _FOLDER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):  # Another user's, who has done so.
            folder.chmod(0o1777)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "cannot be written to")
    except OSError as error:
        raise DeviceError(
            f"{folder}: {error.strerror}; chips are leased there: make it writable for all users, or set {FOLDER} to "
            "a local folder that all of this machine's runs share"
        ) from error
    return folder


def _lock(file: Path) -> int | None:
    """Return a descriptor that holds the file's lock; None: somebody else's does. Raises OSError."""
    try:
        # First without making it: Linux refuses O_CREAT for another user's file in a folder like /tmp
        # (fs.protected_regular).
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(OSError):
            os.fchmod(descriptor, 0o666)
    is_ours = False
    try:
        is_ours = flock_at_once(descriptor)
        return descriptor if is_ours else None
    finally:
        if not is_ours:
            os.close(descriptor)


def _write(descriptor: int, holder: Holder) -> None:
    with suppress(OSError):  # A full disk costs the name of who has it, not the lease.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.model_dump_json().encode(), 0)


def _holder(spec: RunSpec) -> Holder:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user without a name.
        user = str(os.getuid())
    return Holder(
        run=spec.name,
        sweep=str(spec.sweep_folder.path),
        user=user,
        host=socket.gethostname(),
        pid=os.getpid(),
        since=datetime.now(UTC),
    )
