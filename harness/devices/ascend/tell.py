"""What an NPU's driver tells beside what is sampled: versions, and the chips' clocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

from harness.devices.ascend import versions
from harness.devices.ascend.dcmi import DcmiQuery
from harness.devices.ascend.query import TIMEOUT_SECONDS, NpuSmiQuery, npu_smi
from harness.devices.ascend.sensor import ChipAddress
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.npu_smi import parse_clocks, parse_firmware
from harness.devices.reading import SensorError
from harness.devices.told import ChipSettings, Told

_CLOCKS_SECONDS = 4.0
"""A call of npu-smi a chip takes over a second each. The run's own use of its chips, which starts later, is not to pass
for how it found them; and imports alone take longer than this."""


def tell(
    addresses: Sequence[ChipAddress], sensor: str, driver: str | None, root: Path = Path("/"), home: Path | None = None
) -> Told:
    """Return what is told of the chips at `addresses`, through DCMI if `sensor` is `dcmi`, else by npu-smi.

    `driver`: the version that it called itself. Never raises SensorError: what is not told is left out."""
    toolkit = versions.find_cann(os.environ, root, home or Path.home())
    clocks: Callable[[ChipAddress, int], ChipSettings] = DcmiQuery().settings if sensor == "dcmi" else _by_npu_smi
    chips = _settings(addresses, clocks)
    runtimes = {
        "CANN": versions.cann(toolkit) if toolkit else None,
        "firmware": versions.firmware(root) or _firmware(addresses[0].npu_id),
    }
    return Told(
        driver=driver or versions.driver(root),
        runtimes={name: version for name, version in runtimes.items() if version},
        chips=chips,
    )


def _settings(
    addresses: Sequence[ChipAddress], clocks: Callable[[ChipAddress, int], ChipSettings]
) -> dict[int, ChipSettings]:
    deadline = time.monotonic() + _CLOCKS_SECONDS
    found: dict[int, ChipSettings] = {}
    for address in addresses:
        try:
            # Each by itself, so that the sampler need not wait for all.
            with _alone() as lock:
                if time.monotonic() > deadline:
                    break
                settings = clocks(address, lock)
        except SensorError:
            break
        if time.monotonic() <= deadline:
            found[address.chip] = settings
    return found


def _by_npu_smi(address: ChipAddress, lock: int) -> ChipSettings:
    clocks = parse_clocks(npu_smi(["info", "-t", "common", "-i", str(address.npu_id)], lock=lock), address.chip_id)
    return ChipSettings(clock_mhz=clocks.current_mhz, max_clock_mhz=clocks.rated_mhz)


@cache
def _firmware_once(npu_id: int) -> str | None:
    with _alone() as lock:
        return parse_firmware(npu_smi(["info", "-t", "board", "-i", str(npu_id)], lock=lock))


def _firmware(npu_id: int) -> str | None:
    try:
        return _firmware_once(npu_id)
    except SensorError:
        return None


def _alone() -> AbstractContextManager[int]:
    return SharedDriver(NpuSmiQuery(), 0).alone(TIMEOUT_SECONDS)
