"""NPUs as their driver shows them: whether it answers, and whether the chips are well, free and open to this user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from harness.base.numbers import whole_number
from harness.devices.ascend.device import VISIBLE, visible_ids
from harness.devices.ascend.query import COMMAND, TIMEOUT_SECONDS, NpuSmiQuery, explain, npu_smi
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.npu_smi import InfoTable, NpuReading, parse_error, parse_versions, read_info
from harness.devices.reading import SensorError
from harness.doctor.finding import Finding, failed, ok, warning
from harness.doctor.machine import Machine

_DRIVER, _CHIPS, _FILES = "NPU driver", "NPU chips", "NPU device files"
_SHARED_FILES = ("davinci_manager", "devmm_svm", "hisi_hdc")
_MOUNTS = (
    "-v /usr/local/dcmi:/usr/local/dcmi -v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi "
    "-v /usr/local/Ascend/driver/lib64:/usr/local/Ascend/driver/lib64 "
    "-v /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info "
    "-v /etc/ascend_install.info:/etc/ascend_install.info"
)
"""As vllm-ascend's installation guide lists them."""
_ASK_KERNEL = "dmesg | tail -50; after an upgrade of the driver reboot"
_BUSY_SHARE = 0.25
"""An idle 910B2 shows 3.3 of its 64 GiB as used. The 310s' own system lives in their memory: 2.8 of 8 GiB."""


def chips(machine: Machine) -> Iterator[Finding]:
    """Look at the driver's own answer, and at what it says of each chip."""
    readings: list[NpuReading] = []
    # As a shell would say it, so that it is explained with the other errors.
    text = f"{COMMAND}: command not found"
    try:
        if machine.command(COMMAND):
            # Not what other runs were told lately, but while none of them asks.
            with SharedDriver(NpuSmiQuery(), 0).alone(TIMEOUT_SECONDS) as lock:
                text = npu_smi(["info"], lock=lock)
    except SensorError as error:
        yield failed(_DRIVER, str(error), _ASK_KERNEL)
    else:
        table = read_info(text)
        readings = table.readings
        yield from _driver(text, table)
    if readings:
        yield from _chips(readings)
    if (listed := machine.environment.get(VISIBLE)) is not None:
        yield _visible(listed, len(readings) or 10**9)


def _driver(text: str, table: InfoTable) -> Iterator[Finding]:
    if not table.readings:
        known = parse_error(text)
        if known is None:
            yield failed(_DRIVER, explain(text), _ASK_KERNEL)
        else:
            yield failed(_DRIVER, f"{known.message}: {known.cause}", known.fix)
        return
    versions = parse_versions(text)
    yield ok(_DRIVER, f"{versions[1]} (npu-smi {versions[0]})" if versions else "answers")
    if table.problems:
        yield warning(_DRIVER, f"a part of its table cannot be read: {table.problems[0]}", f"{COMMAND} info shows it")


def _chips(readings: list[NpuReading]) -> Iterator[Finding]:
    """One line for all that are well and free, and one for each trouble."""
    troubles = [finding for reading in readings for finding in (_health(reading), _holders(reading)) if finding]
    yield from troubles
    if not troubles:
        names = ", ".join(sorted({reading.name or "NPU" for reading in readings}))
        listed = all(reading.processes_listed for reading in readings)
        holders = "and nobody holds their memory" if listed else "and this driver does not list who holds them"
        yield ok(_CHIPS, f"{len(readings)} x {names}, healthy, {holders}")


def _health(reading: NpuReading) -> Finding | None:
    if reading.health in ("OK", None):
        return None
    message = f"{_name(reading)} says {reading.health}"
    fix = f"{COMMAND} info -t health -i {reading.npu_id} tells why; until then leave it out with device.chips"
    grave = reading.health in ("Alarm", "Critical")
    return failed(_CHIPS, message, fix) if grave else warning(_CHIPS, message, fix)


def _holders(reading: NpuReading) -> Finding | None:
    used, total = reading.memory_used_mib, reading.memory_total_mib
    amount = "" if used is None or total is None else f" ({used:.0f} of {total:.0f} MiB are used)"
    if reading.processes:
        named = ", ".join(f"{process.name or 'a process'} (pid {process.pid})" for process in reading.processes)
        return warning(
            _CHIPS,
            f"{_name(reading)} is held by {named}{amount}: a run there has less memory and measures both",
            f"kill {' '.join(str(process.pid) for process in reading.processes if process.pid)}, "
            "if yours; else take another chip with device.chips",
        )
    shares_with_system = (reading.name or "").startswith("310")
    if used is not None and total and used > _BUSY_SHARE * total and not shares_with_system:
        return warning(
            _CHIPS,
            f"{_name(reading)} is held by a process that is not listed here{amount}",
            f"{COMMAND} info on the host shows whose it is; else take another chip with device.chips",
        )
    return None


def _name(reading: NpuReading) -> str:
    chip = "" if reading.chip_id is None else f" chip {reading.chip_id}"
    return f"NPU {reading.npu_id}{chip} ({reading.name or 'of no name'})"


def _visible(listed: str, most: int) -> Finding:
    """ASCEND_RT_VISIBLE_DEVICES: the runtime wants ascending ids without spaces and stops at the first other entry."""
    usable = visible_ids(listed, most)
    numbers = map(whole_number, re.findall(r"[0-9]+", listed))
    meant = sorted({number for number in numbers if number is not None and number < most})
    export = f"export {VISIBLE}={','.join(map(str, meant))}"
    entries = listed.split(",")
    if not usable:
        return failed(VISIBLE, f"{VISIBLE}={listed!r} leaves no NPU visible", export if meant else f"unset {VISIBLE}")
    if len(usable) < len(entries):
        read = f"{listed!r} is read as {','.join(map(str, usable))}"
        return warning(VISIBLE, f"{read}: reading stops at a space or at an id that is not here", export)
    if [int(entry) for entry in entries] != usable:
        return warning(
            VISIBLE,
            f"{listed!r} is not ascending, and the runtime takes no other order; the harness sorts it for its runs, "
            "llamafactory-cli does not",
            export,
        )
    return ok(VISIBLE, listed)


def device_files(machine: Machine) -> Iterator[Finding]:
    """Look for /dev/davinciN and its helpers, without which a container trains nowhere."""
    folder = machine.root / "dev"
    numbered = sorted(folder.glob("davinci[0-9]*"))
    missing = [name for name in _SHARED_FILES if not (folder / name).exists()]
    if not numbered:
        missing.insert(0, "davinci0 (or of another number)")
    if missing:
        names = [path.name for path in numbered] or ["davinci0"]
        devices = " ".join(f"--device /dev/{name}" for name in (*names, *_SHARED_FILES))
        yield failed(
            _FILES,
            f"/dev lacks {', '.join(missing)}",
            f"in a container: docker run {devices} {_MOUNTS} ...; on the host: install the driver and reboot",
        )
        return
    # Opening one would bind the chip to this container; the rights on the file are asked instead.
    closed = [
        path
        for path in (*numbered, *(folder / name for name in _SHARED_FILES))
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    ]
    if closed:
        group = str(closed[0].stat().st_gid)
        with suppress(KeyError):  # A group of the host has no name in this container.
            group = closed[0].group()
        yield failed(
            _FILES,
            f"this user may not open {', '.join(f'/dev/{path.name}' for path in closed)}",
            f"sudo usermod -aG {group} $USER, then log in again; in a container be a user of that group",
        )
    else:
        yield ok(_FILES, f"{len(numbered)} x davinci, {', '.join(_SHARED_FILES)}")


def allocator_settings(machine: Machine) -> Iterator[Finding]:
    """Look whether torch-npu's own variable and torch's are both set: from 2.10 on that ends the process."""
    both = ("PYTORCH_NPU_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    own = machine.package("torch-npu")
    if own is not None and own.version.release < (2, 10):
        return
    if all(name in machine.environment for name in both):
        yield failed(
            "allocator settings", f"{' and '.join(both)} are both set, on which torch-npu aborts", f"unset {both[0]}"
        )
