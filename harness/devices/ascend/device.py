"""Ascend NPUs as a device."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from functools import cache

from pydantic import BaseModel, ValidationError

from harness.base.numbers import whole_number
from harness.devices.ascend.dcmi import DcmiQuery
from harness.devices.ascend.query import COMMAND, NpuSmiQuery, Query, explain, npu_smi
from harness.devices.ascend.sensor import ChipAddress, NpuSensor
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.ascend.tell import tell
from harness.devices.npu_smi import NpuReading, parse_mapping, parse_versions, read_info
from harness.devices.reading import SensorError
from harness.devices.request import AbsentError, Chip, Device, DeviceError, DeviceRequest, like_the_first, select

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
_QUERIES: dict[str, type[Query]] = {"auto": NpuSmiQuery, "npu-smi": NpuSmiQuery, "dcmi": DcmiQuery}
_PATIENCE_SECONDS = 120.0
"""Runs that start together look for their chips one after the other."""
_DISCOVERY_SECONDS = 60.0
_WITHOUT_BF16 = ("310", "910A", "910P")
"""Their operators refuse DT_BFLOAT16 with EZ1001 (hiyouga/LLaMA-Factory issue 7522)."""
_WITH_BF16 = ("910B", "Ascend910", "Ascend950", "950")


def find(request: DeviceRequest) -> Device:
    """Return the NPUs that are asked for, or the first. Raises AbsentError, DeviceError."""
    if request.sensor not in _QUERIES:
        raise DeviceError(f"device.sensor={request.sensor}: unknown; use one of {', '.join(_QUERIES)}")
    command = shutil.which(COMMAND)
    if command is None:
        raise AbsentError(
            f"device.name=ascend: there is no {COMMAND} here; install the NPU's driver, or mount "
            "/usr/local/bin/npu-smi into the container, or use another device.name"
        )
    try:
        chips, driver = _chips(command)
    except SensorError as error:
        raise DeviceError(
            f"device.name: the NPU driver cannot be asked: {error}; `harness doctor` tells more"
        ) from error
    listed = os.environ.get(VISIBLE)
    usable = visible_ids(listed, len(chips))
    if not usable:
        raise DeviceError(
            f"{VISIBLE}={listed} leaves none of {len(chips)} NPUs visible; unset it, or name ids from "
            f"0 to {len(chips) - 1}, comma-separated without spaces"
        )
    names = [chips[number].name or "NPU" for number in usable]
    selected = select(request, names)
    numbers = [usable[chip] for chip in selected]
    readings = [chips[number] for number in numbers]
    totals = [chip.memory_total_mib for chip in readings if chip.memory_total_mib is not None]
    bf16 = {_supports_bf16(chip) for chip in readings}
    addresses = [
        ChipAddress(chip, reading.npu_id, reading.chip_id) for chip, reading in zip(selected, readings, strict=True)
    ]
    visible = {VISIBLE: ",".join(map(str, numbers))}
    return Device(
        kind="ascend",
        torch_device="cpu" if request.stand_in else "npu",
        chips=selected,
        product=" + ".join(sorted({_product(chip) for chip in readings})),
        total_memory_mib=sum(totals) if len(totals) == len(readings) else None,
        supports_bf16=False if False in bf16 else None if None in bf16 else True,
        variables=visible | ({"CUDA_VISIBLE_DEVICES": ""} if request.stand_in else {}),
        chip_sensor=lambda interval_seconds: NpuSensor(
            addresses, SharedDriver(_QUERIES[request.sensor](), interval_seconds)
        ),
        tell=lambda: tell(addresses, request.sensor, driver),
        stand_in=request.stand_in,
        visible=tuple(
            Chip(chip, names[chip], _key(chips[usable[chip]]))
            for chip in (like_the_first(names) if request.count is not None else range(len(names)))
        ),
    )


def visible_ids(listed: str | None, count: int) -> list[int]:
    """Return the logic ids that a scheduler left visible, ascending: the only order that the runtime takes.

    As the runtime reads ASCEND_RT_VISIBLE_DEVICES: up to the first entry that is no id of this machine, and an entry
    with a space before it is none (HUAWEI, CANN environment variables). Ray lists ids in the order it gave them."""
    if listed is None:
        return list(range(count))
    usable: list[int] = []
    for entry in listed.split(","):
        chip = whole_number(entry)
        if chip is None or chip >= count:
            break
        usable.append(chip)
    return sorted(set(usable))


class _Discovery(BaseModel):
    """What is here, for all runs that are started within a minute: each would ask twice otherwise."""

    command: str
    asked: float
    """time.monotonic, one clock for the machine."""
    info: str
    mapping: str

    @classmethod
    def make(cls, command: str) -> _Discovery:
        driver = SharedDriver(NpuSmiQuery(), 0)
        with driver.alone(_PATIENCE_SECONDS) as lock:
            with suppress(ValidationError):
                kept = cls.model_validate_json(driver.kept("discovery.json") or b"")
                if kept.command == command and 0 <= time.monotonic() - kept.asked < _DISCOVERY_SECONDS:
                    return kept
            text = npu_smi(["info"], lock=lock)
            if not read_info(text).readings:
                raise SensorError(explain(text))
            mapping = npu_smi(["info", "-m"], lock=lock)
            made = cls(command=command, asked=time.monotonic(), info=text, mapping=mapping)
            driver.keep("discovery.json", made)
            return made


@cache
def _chips(command: str) -> tuple[list[NpuReading], str | None]:
    """All chips of the machine or container, by logic id, as they were when this process first asked, and their
    driver's version; None: it is not told."""
    discovery = _Discovery.make(command)
    table = read_info(discovery.info)
    mapped = {(chip.npu_id, chip.chip_id): chip.logic_id for chip in parse_mapping(discovery.mapping)}
    missing = mapped.keys() - {(reading.npu_id, reading.chip_id or 0) for reading in table.readings}
    if missing and table.problems:
        # Counted without it, the chips after it would be taken for others.
        npu_id, chip_id = min(missing)
        raise SensorError(f"{COMMAND} does not show NPU {npu_id} chip {chip_id} ({'; '.join(table.problems[:3])})")

    def logic_id(reading: NpuReading) -> float:
        number = reading.logic_id
        if number is None:
            number = mapped.get((reading.npu_id, reading.chip_id or 0))
        return float("inf") if number is None else number

    # In a container torch counts what is there from 0, whatever the driver calls it: the order decides, not the number.
    versions = parse_versions(discovery.info)
    return sorted(table.readings, key=logic_id), versions[1] if versions else None


def _key(chip: NpuReading) -> str:
    """In a container npu-smi shows the machine's own ids."""
    return f"npu{chip.npu_id}-{chip.chip_id or 0}"


def _product(chip: NpuReading) -> str:
    name = chip.name or "NPU"
    return name if name.startswith("Ascend") else f"Ascend {name}"


def _supports_bf16(chip: NpuReading) -> bool | None:
    """None: a name that is not known."""
    name = chip.name or ""
    # A first-generation card may call itself 910B. Its HBM of 32 GiB tells: of the second, 910B4 alone has as little.
    if name.startswith(_WITHOUT_BF16) or (name == "910B" and chip.memory_total_mib == 32768):
        return False
    return True if name.startswith(_WITH_BF16) else None
