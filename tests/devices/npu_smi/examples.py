"""One made-up node for each layout. No two values of two nodes are equal where equality would hide a mix-up."""

from __future__ import annotations

from harness.devices.npu_smi import NpuProcess, NpuReading
from tests.devices.npu_smi.tables import Kind, Layout


def node(kind: Kind, npu_ids: tuple[int, ...], seed: int) -> list[NpuReading]:
    """Idle and busy chips. `seed` shifts every value."""
    dies = 2 if kind in {"a3", "device"} else 1
    shown = []
    for number, npu_id in enumerate(npu_id for npu_id in npu_ids for _ in range(dies)):
        own = 100 * seed + 10 * number
        shown.append(
            NpuReading(
                npu_id=npu_id,
                chip_id=None if kind == "card" else number % dies,
                phy_id=number if kind == "a3" else None,
                logic_id=number if kind == "device" else None,
                name={"hbm": "910B3", "a3": "Ascend910", "device": "310", "card": "Ascend950PR"}[kind],
                health=("OK", "Warning", "Alarm")[(number + seed) % 3],
                power_watts=None if kind == "a3" and number % 2 else (900 + own) / 10,
                temperature_celsius=float(30 + number + 7 * seed),
                utilization_percent=float((own + 1) % 100),
                memory_used_mib=float(3000 + 11 * own + (50_000 if number % 2 else 0)),
                memory_total_mib=65536.0 + seed,
                processes=[
                    NpuProcess(pid=70_000 + own + one, name=f"python{seed}.{one}", memory_mib=900.0 + own + one)
                    for one in range(number % 3)
                ],
                processes_listed=True,
            )
        )
    return shown


EXAMPLES: dict[str, tuple[list[NpuReading], Layout]] = {
    "hbm": (node("hbm", (0, 1, 2), 1), Layout("hbm")),
    "hbm of driver 26": (node("hbm", (1, 12, 24), 2), Layout("hbm", "26.1.0", wider=7, container_column=True)),
    "hbm with ddr": (node("hbm", (2, 4, 5), 3), Layout("hbm", ddr=(2382, 15038))),
    "two dies": (node("a3", (0, 2), 4), Layout("a3", absent="-", remark=True)),
    "device": (node("device", (1, 32768), 5), Layout("device")),
    "device without hugepages": (node("device", (215, 216), 6), Layout("device", "20.2.0", hugepages="")),
    "card": (node("card", (0, 1, 2), 7), Layout("card", "25.7.rc1")),
}
