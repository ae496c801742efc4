"""One chip as `npu-smi info` shows it."""

from __future__ import annotations

from pydantic import BaseModel


class NpuProcess(BaseModel):
    """One row of the process table. The vendor cuts names after 15 characters."""

    pid: int | None
    """As the host counts, from a container too: HUAWEI, dcmi_get_device_resource_info."""
    name: str | None
    memory_mib: float | None
    pid_in_container: int | None = None
    """Drivers from 26 on; None on the host, and where the table has no such column."""


class NpuReading(BaseModel):
    """One chip. None: the table prints `NA`, `-` or nothing there, or its layout has no such column."""

    npu_id: int
    """The card, as `npu-smi info -i` wants it: neither contiguous nor small (12, 24, 32768)."""
    chip_id: int | None
    """The chip on its card, as `-c` wants it. None: a 950, which has no chips below the card."""
    phy_id: int | None = None
    """A3 alone prints it."""
    logic_id: int | None = None
    """310, 310P and 310B alone print it (`Device`); for others `npu-smi info -m` tells."""
    name: str | None
    health: str | None
    """OK, Warning, Alarm, Critical or UNKNOWN."""
    power_watts: float | None
    """Of the whole card where it has two dies: the second prints `-`."""
    temperature_celsius: float | None
    utilization_percent: float | None
    """Of the AI cores; of the NPU on a 950."""
    memory_used_mib: float | None
    memory_total_mib: float | None
    """HBM where the table has that column and its total is not 0, else DDR.

    A first-generation 910 has both. Its 32 GiB of HBM are what tensors live in and what training runs out of; its DDR
    (15 GiB) serves the AI CPU and the system, so a reading of it would say nothing of a run. A 310P has DDR alone,
    and a 910B prints `0 / 0` for DDR. The vendor writes MB and means MiB: a card of 64 GiB shows 65536.
    """
    processes: list[NpuProcess] = []
    processes_listed: bool = False
    """Whether the table tells which processes hold this chip, be it none; False where that part is missing or cut."""
