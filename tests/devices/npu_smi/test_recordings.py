"""Every recorded output against what a person read in it. The recordings are not part of the repository."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from harness.devices.npu_smi import (
    IncompleteTableWarning,
    NpuChip,
    NpuProcess,
    NpuReading,
    parse_error,
    parse_info,
    parse_mapping,
)

RECORDINGS = Path(__file__).parents[3].parent / "shared" / "npu-smi"
pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recorded outputs of npu-smi lie in ../shared/npu-smi, which is not here"
)


Processes = tuple[NpuProcess, ...]
SHOWN = ("npu_id", "chip_id", "name", "health", "power_watts", "temperature_celsius", "utilization_percent")
MEMORY = ("memory_used_mib", "memory_total_mib")


def chip(
    *shown: Any, phy: int | None = None, logic: int | None = None, listed: bool = False, processes: Processes = ()
) -> NpuReading:
    return NpuReading(
        **dict(zip((*SHOWN, *MEMORY), shown, strict=True)),
        phy_id=phy,
        logic_id=logic,
        processes=list(processes),
        processes_listed=listed or bool(processes),
    )


def process(pid: int, name: str, memory: float, inside: int | None = None) -> NpuProcess:
    return NpuProcess(pid=pid, name=name, memory_mib=memory, pid_in_container=inside)


def four(*pids: int) -> tuple[NpuProcess, ...]:
    return tuple(process(pid, "hlt_host_devmm_", 686) for pid in pids)


INFO = {
    "310B4_npu-smi-23.0.0_nputop1": [chip(0, 0, "310B4", "Alarm", 0.0, 65, 0, 3628, 15609, logic=0)],
    "310B4_npu-smi-25.0.rc1.1": [chip(0, 0, "310B4", "OK", 7.4, 52, 0, 1331, 3514, logic=0)],
    "310P3_npu-smi-22.0.4_no-proc-table": [chip(7, 0, "310P3", "OK", None, 28, 0, 1805, 21527, logic=0)],
    "310P3_npu-smi-23.0.0_npu-id-24": [chip(24, 0, "310P3", "OK", None, 29, 0, 1832, 21527, logic=0, listed=True)],
    "310P3_npu-smi-25.2.1_large-npu-ids_excerpt": [
        chip(0, 0, "310P3", "OK", None, 49, 0, 19435, 21527, logic=0),
        chip(32, 0, "310P3", "OK", None, 49, 0, 1910, 21527, logic=1),
        chip(32768, 0, "310P3", "OK", None, 46, 0, 19562, 21527, logic=2),
    ],
    "310P3_npu-smi-25.5.1_dual-chip_excerpt": [
        chip(1, 0, "310P3", "OK", None, 49, 0, 1448, 44278, logic=0),
        chip(1, 1, "310P3", "OK", None, 45, 0, 1511, 43693, logic=1),
        chip(2, 0, "310P3", "OK", None, 46, 0, 1384, 44278, logic=2),
    ],
    "310_npu-smi-20.2.0": [
        chip(215, 0, "310", "OK", 12.8, 56, 0, 2703, 8192, logic=0),
        chip(215, 1, "310", "OK", 12.8, 57, 0, 2703, 8192, logic=1),
        chip(215, 2, "310", "OK", 12.8, 57, 0, 2703, 8192, logic=2),
        chip(215, 3, "310", "OK", 12.8, 55, 0, 2703, 8192, logic=3),
    ],
    "310_npu-smi-21.0.4": [
        chip(6, 0, "310", "OK", 12.8, 73, 0, 2703, 8192, logic=3),
        chip(6, 1, "310", "OK", 12.8, 74, 0, 2867, 8192, logic=4),
        chip(6, 2, "310", "OK", 12.8, 70, 0, 2867, 8192, logic=5),
        chip(6, 3, "310", "OK", 12.8, 65, 0, 2867, 8192, logic=6),
    ],
    "910A-reported-as-910B_npu-smi-24.1.0_excerpt": [
        chip(0, 0, "910B", "OK", 68.5, 40, 0, 0, 32768),
        chip(1, 0, "910B", "OK", 65.1, 41, 0, 0, 32768),
    ],
    "910A_npu-smi-21.0.3.2": [
        chip(1, 0, "910A", "OK", 65.3, 45, 0, 0, 32768),
        chip(4, 0, "910A", "OK", 63.6, 44, 0, 0, 32768),
    ],
    "910A_npu-smi-23.0.5_doc_Warning_ellipsis": [
        chip(0, 0, "xxx", "Warning", 73.1, 37, 0, 0, 32768, listed=True),
        chip(7, 0, "xxx", "OK", 67.0, 38, 0, 0, 32768, listed=True),
    ],
    "910A_npu-smi-24.1.RC2_warning_multi-proc": [
        chip(0, 0, "xxx", "OK", 70.5, 42, 0, 0, 32768, processes=four(37656, 37664, 37640, 37648)),
        chip(1, 0, "xxx", "OK", 71.2, 36, 0, 0, 32768, processes=four(37665, 37641, 37649, 37657)),
        chip(2, 0, "xxx", "OK", 69.0, 35, 0, 0, 32768, processes=four(37658, 37650, 37666, 37642)),
        chip(3, 0, "xxx", "Warning", 206.9, 39, 0, 0, 32768, processes=four(37643, 37651, 37659, 37667)),
        chip(4, 0, "xxx", "OK", 70.2, 39, 0, 0, 32768, processes=four(37668, 37644, 37652, 37660)),
        chip(5, 0, "xxx", "OK", 64.9, 37, 0, 0, 32768, processes=four(37653, 37661, 37669, 37645)),
        chip(6, 0, "xxx", "OK", 69.4, 40, 0, 0, 32768, processes=four(37646, 37654, 37662, 37670)),
        chip(7, 0, "xxx", "Warning", 203.2, 42, 0, 0, 32768, processes=four(37671, 37647, 37655, 37663)),
    ],
    "910B1_npu-smi-23.0.rc2_blog-elided": [
        chip(0, 0, "910B1", "OK", 88.4, 46, 0, 4175, 65536),
        chip(1, 0, "910B1", "OK", 92.1, 47, 0, 4175, 65536),
        chip(7, 0, "910B1", "OK", 92.7, 48, 0, 4174, 65536),
    ],
    "910B1_npu-smi-23.0.rc3.3_busy_procs": [
        chip(0, 0, "910B1", "OK", 271.1, 41, 55, 65099, 65536, processes=(process(576489, "python", 60703),)),
        chip(1, 0, "910B1", "OK", 275.0, 42, 66, 65098, 65536, processes=(process(576491, "python", 60704),)),
    ],
    "910B1_npu-smi-24.1.rc2_container-npu6": [chip(6, 0, "910B1", "OK", 100.8, 33, 0, 3384, 65536, listed=True)],
    "910B2C_npu-smi-23.0.2.1_nputop0": [
        chip(0, 0, "910B2C", "OK", 88.6, 51, 0, 20701, 65536, processes=(process(124528, "python3.8", 17400),)),
        chip(1, 0, "910B2C", "OK", 99.6, 50, 0, 20687, 65536),
    ],
    "910B2C_npu-smi-24.1.rc1_excerpt": [
        chip(0, 0, "910B2C", "OK", 86.8, 35, 0, 59356, 65536),
        chip(1, 0, "910B2C", "OK", 103.1, 37, 0, 59351, 65536),
        chip(2, 0, "910B2C", "OK", 94.0, 36, 0, 59351, 65536),
    ],
    "910B2_npu-smi-23.0.3_container-npu2_idle": [chip(2, 0, "910B2", "OK", 97.3, 47, 0, 3335, 65536, listed=True)],
    "910B2_npu-smi-24.1.0_excerpt": [
        chip(0, 0, "910B2", "OK", 91.1, 49, 0, 3372, 65536),
        chip(1, 0, "910B2", "OK", 91.6, 50, 0, 3373, 65536),
    ],
    "910B2_npu-smi-25.2.0_excerpt": [
        chip(0, 0, "910B2", "OK", 98.1, 32, 0, 3382, 65536),
        chip(1, 0, "910B2", "OK", 86.6, 30, 0, 3381, 65536),
    ],
    "910B3_npu-smi-24.1.rc1.b030_excerpt": [
        chip(0, 0, "910B3", "OK", 101.8, 43, 0, 3318, 65536),
        chip(1, 0, "910B3", "OK", 92.0, 39, 0, 3314, 65536),
        chip(2, 0, "910B3", "OK", 102.0, 40, 0, 3314, 65536),
    ],
    "910B3_npu-smi-26.1.0_container-col_procs": [
        chip(0, 0, "910B3", "OK", 100.0, 50, 0, 8676, 65536, processes=(process(485946, "pytest", 5175),)),
        chip(1, 0, "910B3", "OK", 94.8, 48, 0, 3403, 65536, listed=True),
        chip(2, 0, "910B3", "OK", 90.0, 49, 0, 3403, 65536, listed=True),
        chip(3, 0, "910B3", "OK", 96.5, 48, 0, 3407, 65536, listed=True),
        chip(4, 0, "910B3", "OK", 96.5, 52, 0, 3403, 65536, listed=True),
        chip(5, 0, "910B3", "OK", 97.4, 49, 0, 3402, 65536, listed=True),
        chip(6, 0, "910B3", "OK", 97.8, 49, 0, 3402, 65536, listed=True),
        chip(7, 0, "910B3", "OK", 93.3, 51, 0, 3403, 65536, listed=True),
    ],
    "910B4-1_npu-smi-25.2.0_excerpt": [
        chip(0, 0, "910B4-1", "OK", 91.3, 33, 0, 3197, 65536),
        chip(1, 0, "910B4-1", "OK", 88.1, 32, 0, 3197, 65536),
    ],
    "910B4_npu-smi-24.1.1_excerpt": [
        chip(0, 0, "910B4", "OK", 88.2, 30, 0, 26838, 32768),
        chip(1, 0, "910B4", "OK", 87.0, 30, 0, 29356, 32768),
    ],
    "910ProB_npu-smi-22.0.4_excerpt": [
        chip(0, 0, "910ProB", "OK", 82.0, 45, 0, 0, 32768),
        chip(1, 0, "910ProB", "OK", 77.2, 39, 0, 0, 32768),
    ],
    "910gen1-named-910B_npu-smi-22.0.4.1_no-proc-table": [chip(0, 0, "910B", "OK", 79.4, 82, 0, 0, 32768)],
    "950PR_npu-smi-25.7.rc1_3cards_procs": [
        chip(0, None, "Ascend950PR", "OK", 187.1, 46, 0, 6620, 131072),
        chip(1, None, "Ascend950PR", "OK", 197.9, 48, 0, 6056, 131072),
        chip(2, None, "Ascend950PR", "OK", 188.7, 46, 0, 5413, 131072),
    ],
    "950_doc": [chip(0, None, "xxx", "OK", 204.4, 56, 0, 4439, 86016, listed=True)],
    "A3_npu-smi-24.1.rc3.7_container-npu2": [
        chip(2, 0, "Ascend910", "OK", 176.3, 36, 0, 3411, 65536, phy=4, listed=True),
        chip(2, 1, "Ascend910", "OK", None, 36, 0, 3208, 65536, phy=5, listed=True),
    ],
    "A3_npu-smi-25.2.0_procs": [
        chip(0, 0, "Ascend910", "OK", 162.8, 37, 0, 3133, 65536, phy=0, listed=True),
        chip(0, 1, "Ascend910", "OK", None, 37, 0, 2876, 65536, phy=1, listed=True),
        chip(1, 0, "Ascend910", "OK", 167.1, 38, 0, 3116, 65536, phy=2, listed=True),
        chip(1, 1, "Ascend910", "OK", None, 38, 0, 10568, 65536, phy=3, processes=(process(990711, "python", 7746),)),
    ],
    "A3_npu-smi-26.0.rc2_excerpt": [
        chip(0, 0, "Ascend910", "OK", 162.6, 34, 0, 3419, 65536, phy=0),
        chip(0, 1, "Ascend910", "OK", None, 34, 0, 2874, 65536, phy=1),
    ],
    "A3_softshare-container_doc_proc-in-container-col": [
        chip(0, 0, "xxx", "OK", 157.3, 32, 0, 3130, 65536, phy=0, listed=True),
        chip(0, 1, "xxx", "OK", None, 32, 0, 3130, 65536, phy=0, listed=True),
    ],
    "legacy_memory-only_910B_npu-smi-23.0.rc1_test-fixture": [
        chip(0, 0, "910B", "OK", 88.6, 38, 0, 3360, 15039, logic=0)
    ],
}
CUT = {"910B4-1_npu-smi-25.2.0_excerpt", "910B4_npu-smi-24.1.1_excerpt"}
"""End after a chip's second row, without the rule below it."""

MAP = {
    "310P_gpustack_dual-chip": [
        NpuChip(1, 0, 0, None, "Ascend xxx"),
        NpuChip(1, 1, 1, None, "Ascend xxx"),
        NpuChip(2, 0, 2, None, "Ascend xxx"),
        NpuChip(2, 1, 3, None, "Ascend xxx"),
        NpuChip(4, 0, 4, None, "Ascend xxx"),
        NpuChip(4, 1, 5, None, "Ascend xxx"),
        NpuChip(5, 0, 6, None, "Ascend xxx"),
        NpuChip(5, 1, 7, None, "Ascend xxx"),
    ],
    "310_npu-smi-20.2.0": [NpuChip(215, number, number, None, "MiniD") for number in (0, 1, 2, 3)],
    "310_npu-smi-21.0.4": [NpuChip(6, number, number, None, "MiniD") for number in (0, 1, 2, 3)],
    "910A_driver-23.0.5": [NpuChip(number, 0, number, None, "Ascend 910A") for number in range(8)],
    "910A_npu-smi-22.0.3.1": [NpuChip(number, 0, number, None, "Ascend 910A") for number in range(8)],
    "910A_npu-smi-24.1.RC2_warning_multi-proc": [
        NpuChip(number, 0, number, None, "Ascend 910A") for number in range(8)
    ],
    "910B_gpustack": [NpuChip(number, 0, number, None, "Ascend xxx") for number in range(8)],
    "950_doc": [NpuChip(0, 0, None, 0, "xxx")],
    "A3_with-phy-id": [
        NpuChip(0, 0, 0, 0, "Ascend910"),
        NpuChip(0, 1, 1, 1, "Ascend910"),
        NpuChip(1, 0, 2, 2, "Ascend910"),
    ],
}

ERRORS = {
    "8005_g_conLogLevel3": (-8005, "dcmi module initialize failed. ret is -8005", "the driver cannot be reached"),
    "8005_plain": (-8005, "dcmi module initialize failed. ret is -8005", "the driver cannot be reached"),
    "8005_ret4": (-8005, "dcmi module initialize failed. ret is -8005", "the driver cannot be reached"),
    "9005_board-type": (-9005, "npu get board type failed. ret is -9005", "did not tell the board's type"),
    "command-not-found_stderr": (
        None,
        "/__w/_temp/9bae3e47-e637-454a-abf8-c91199dd6e3f.sh: line 1: npu-smi: command not found",
        "npu-smi is not on the PATH",
    ),
    "no-card_from-source": (None, "There is no NPU card on this server.", "the driver sees no card"),
    "unsupported_product": (None, "This device does not support querying product.", "does not know that query"),
    "unsupported_type": (None, "This device does not support querying template-info.", "does not know that query"),
}


def recorded(kind: str, name: str) -> str:
    return (RECORDINGS / kind / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", INFO)
def test_a_recorded_table_reads_as_a_person_reads_it(name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        readings = parse_info(recorded("info", name))
    assert readings == INFO[name]
    told = [str(warning.message) for warning in caught if warning.category is IncompleteTableWarning]
    assert told == (["the output ends inside its table"] if name in CUT else [])


@pytest.mark.parametrize("name", MAP)
def test_a_recorded_mapping_reads_as_a_person_reads_it(name: str) -> None:
    assert parse_mapping(recorded("map", name)) == MAP[name]


@pytest.mark.parametrize("name", ERRORS)
def test_a_recorded_error_is_known_with_its_cause_and_a_fix(name: str) -> None:
    found = parse_error(recorded("errors", name))
    code, message, cause = ERRORS[name]
    assert found is not None
    assert (found.code, found.message) == (code, message)
    assert cause in found.cause
    assert found.fix


@pytest.mark.parametrize(("kind", "expected"), [("info", INFO), ("map", MAP), ("errors", ERRORS)])
def test_no_recording_is_without_an_expectation(kind: str, expected: dict[str, object]) -> None:
    assert sorted(path.stem for path in (RECORDINGS / kind).iterdir()) == sorted(expected)


@pytest.mark.parametrize("name", INFO)
def test_a_recorded_table_is_no_error_and_no_mapping(name: str) -> None:
    assert parse_error(recorded("info", name)) is None
    assert parse_mapping(recorded("info", name)) == []


@pytest.mark.parametrize(("kind", "name"), [*(("map", name) for name in MAP), *(("errors", name) for name in ERRORS)])
@pytest.mark.filterwarnings("ignore::harness.devices.npu_smi.IncompleteTableWarning")
def test_what_is_no_table_has_no_readings(kind: str, name: str) -> None:
    assert parse_info(recorded(kind, name)) == []
