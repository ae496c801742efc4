"""The driver's management library, libdcmi.so: what npu-smi asks too, without the second that its start takes.

Signatures and units: HUAWEI, DCMI API reference (25.x), and /usr/local/dcmi/dcmi_interface_api.h of the driver. Needs
root or the driver's group; in a container /usr/local/dcmi and the driver's lib64 must be mounted.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int, c_uint, c_ulong, c_ulonglong
from typing import Any

from harness.devices.ascend.sensor import ChipAddress
from harness.devices.npu_smi import InfoTable, NpuProcess, NpuReading, parse_error
from harness.devices.reading import SensorError
from harness.devices.told import ChipSettings

LIBRARY = "libdcmi.so"
_MIB = 2**20
_MAX_CARDS = 64
_MAX_PROCESSES = 32
_AI_CORE, _NPU = 2, 13
_DDR, _HBM = 0, 2
"""Whose errors are corrected: dcmi_device_type."""
_HEALTH = {0: "OK", 1: "Warning", 2: "Alarm", 3: "Critical"}
_NAME_BYTES = 32


class _ChipInfo(ctypes.Structure):
    _fields_ = (
        ("chip_type", ctypes.c_char * _NAME_BYTES),
        ("chip_name", ctypes.c_char * _NAME_BYTES),
        ("chip_ver", ctypes.c_char * _NAME_BYTES),
        ("aicore_cnt", c_uint),
    )


class _HbmInfo(ctypes.Structure):
    _fields_ = (
        ("memory_size", c_ulonglong),  # MiB, as the driver's MB is
        ("freq", c_uint),
        ("memory_usage", c_ulonglong),
        ("temp", c_int),
        ("bandwith_util_rate", c_uint),
    )


class _MemoryInfo(ctypes.Structure):
    _fields_ = (
        ("memory_size", c_ulonglong),
        ("memory_available", c_ulonglong),
        ("freq", c_uint),
        ("hugepagesize", c_ulong),
        ("hugepages_total", c_ulong),
        ("hugepages_free", c_ulong),
        ("utiliza", c_uint),
        ("reserve", ctypes.c_ubyte * 60),
    )


class _AiCoreInfo(ctypes.Structure):
    _fields_ = (("freq", c_uint), ("cur_freq", c_uint))  # MHz: rated, now


class _EccInfo(ctypes.Structure):
    _fields_ = (("enable_flag", c_int), ("counters", c_uint * 6))


class _ProcessMemory(ctypes.Structure):
    _fields_ = (("proc_id", c_int), ("proc_mem_usage", c_ulong))  # bytes


_SIGNATURES: dict[str, list[Any]] = {
    "dcmi_init": [],
    "dcmi_get_card_list": [POINTER(c_int), POINTER(c_int), c_int],
    "dcmi_get_device_id_in_card": [c_int, POINTER(c_int), POINTER(c_int), POINTER(c_int)],
    "dcmi_get_device_logic_id": [POINTER(c_int), c_int, c_int],
    "dcmi_get_device_chip_info": [c_int, c_int, POINTER(_ChipInfo)],
    "dcmi_get_device_health": [c_int, c_int, POINTER(c_uint)],
    "dcmi_get_device_power_info": [c_int, c_int, POINTER(c_int)],
    "dcmi_get_device_temperature": [c_int, c_int, POINTER(c_int)],
    "dcmi_get_device_utilization_rate": [c_int, c_int, c_int, POINTER(c_uint)],
    "dcmi_get_device_hbm_info": [c_int, c_int, POINTER(_HbmInfo)],
    "dcmi_get_device_memory_info_v3": [c_int, c_int, POINTER(_MemoryInfo)],
    "dcmi_get_device_aicore_info": [c_int, c_int, POINTER(_AiCoreInfo)],
    "dcmi_get_device_ecc_info": [c_int, c_int, c_int, POINTER(_EccInfo)],
    "dcmi_get_device_resource_info": [c_int, c_int, POINTER(_ProcessMemory), POINTER(c_int)],
}


class DcmiQuery:
    """Asks the driver's library, without a process."""

    name = "dcmi"

    def __init__(self, library: str = LIBRARY) -> None:
        self.source = library
        self._library: ctypes.CDLL | None = None

    def ask(self, lock: int) -> InfoTable:
        if self._library is None:
            self._open()
        count, cards = c_int(), (c_int * _MAX_CARDS)()
        self._require("dcmi_get_card_list", byref(count), cards, _MAX_CARDS)
        readings = []
        for card in cards[: count.value]:
            chips, mcu, cpu = c_int(), c_int(), c_int()
            self._require("dcmi_get_device_id_in_card", card, byref(chips), byref(mcu), byref(cpu))
            readings += [self._chip(card, chip) for chip in range(chips.value)]
        if not readings:
            raise SensorError("dcmi: the driver lists no chip")
        return InfoTable(readings, [])

    def settings(self, address: ChipAddress, lock: int) -> ChipSettings:
        """How a chip is set. `lock` as in `ask`: nothing is started that must inherit it. Raises SensorError."""
        if self._library is None:
            self._open()
        place = address.npu_id, address.chip_id or 0
        core, hbm = _AiCoreInfo(), _HbmInfo()
        has_core = self._answered("dcmi_get_device_aicore_info", *place, byref(core))
        has_hbm = self._answered("dcmi_get_device_hbm_info", *place, byref(hbm))
        return ChipSettings(
            clock_mhz=(core.cur_freq or None) if has_core else None,
            max_clock_mhz=(core.freq or None) if has_core else None,
            memory_clock_mhz=(hbm.freq or None) if has_hbm else None,
            ecc=self._ecc(*place),
        )

    def _ecc(self, card: int, chip: int) -> bool | None:
        info = _EccInfo()
        for kind in (_HBM, _DDR):
            if self._answered("dcmi_get_device_ecc_info", card, chip, kind, byref(info)):
                return bool(info.enable_flag)
        return None

    def _open(self) -> None:
        try:
            library = ctypes.CDLL(self.source)
        except OSError as error:
            raise SensorError(f"dcmi: {error}: mount /usr/local/dcmi and the driver's lib64, or use npu-smi") from error
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name, None)
            if function is not None:
                function.argtypes, function.restype = arguments, c_int
        self._library = library
        try:
            self._require("dcmi_init")
        except SensorError:
            self._library = None  # The next question begins with dcmi_init again.
            raise

    def _chip(self, card: int, chip: int) -> NpuReading:
        used, total = self._memory(card, chip)
        processes = self._processes(card, chip)
        power = self._number("dcmi_get_device_power_info", card, chip, c_int())
        health = self._number("dcmi_get_device_health", card, chip, c_uint())
        logic_id = c_int()
        has_logic_id = self._answered("dcmi_get_device_logic_id", byref(logic_id), card, chip)
        return NpuReading(
            npu_id=card,
            chip_id=chip,
            logic_id=logic_id.value if has_logic_id else None,
            name=self._name(card, chip),
            health=None if health is None else _HEALTH.get(health, "UNKNOWN"),
            power_watts=None if power is None else power / 10,
            temperature_celsius=self._number("dcmi_get_device_temperature", card, chip, c_int()),
            utilization_percent=self._utilization(card, chip),
            memory_used_mib=used,
            memory_total_mib=total,
            processes=processes or [],
            processes_listed=processes is not None,
        )

    def _memory(self, card: int, chip: int) -> tuple[float | None, float | None]:
        hbm = _HbmInfo()
        if self._answered("dcmi_get_device_hbm_info", card, chip, byref(hbm)) and hbm.memory_size:
            return float(hbm.memory_usage), float(hbm.memory_size)
        ddr = _MemoryInfo()
        if self._answered("dcmi_get_device_memory_info_v3", card, chip, byref(ddr)) and ddr.memory_size:
            # The unit of `memory_available` differs between products, so what is used is not told.
            return None, float(ddr.memory_size)
        return None, None

    def _utilization(self, card: int, chip: int) -> float | None:
        rate = c_uint()
        for kind in (_AI_CORE, _NPU):
            if self._answered("dcmi_get_device_utilization_rate", card, chip, kind, byref(rate)) and rate.value <= 100:
                return float(rate.value)
        return None

    def _processes(self, card: int, chip: int) -> list[NpuProcess] | None:
        listed, count = (_ProcessMemory * _MAX_PROCESSES)(), c_int(_MAX_PROCESSES)
        if not self._answered("dcmi_get_device_resource_info", card, chip, listed, byref(count)):
            return None
        return [
            NpuProcess(pid=entry.proc_id, name=None, memory_mib=entry.proc_mem_usage / _MIB)
            for entry in listed[: count.value]
        ]

    def _name(self, card: int, chip: int) -> str | None:
        info = _ChipInfo()
        if not self._answered("dcmi_get_device_chip_info", card, chip, byref(info)):
            return None
        return info.chip_name.decode(errors="replace").strip() or None

    def _number(self, function: str, card: int, chip: int, number: c_int | c_uint) -> int | None:
        return number.value if self._answered(function, card, chip, byref(number)) else None

    def _answered(self, function: str, *arguments: Any) -> bool:
        """Whether the driver answers; a product or driver without this function does not."""
        call = getattr(self._library, function, None)
        return call is not None and call(*arguments) == 0

    def _require(self, function: str, *arguments: Any) -> None:
        call = getattr(self._library, function, None)
        if call is None:
            raise SensorError(f"dcmi: {self.source} has no {function}")
        code = call(*arguments)
        if code:
            known = parse_error(f"{function}: ret is {code}")
            raise SensorError(f"dcmi: {function} answered {code}" + (f": {known.cause}; {known.fix}" if known else ""))
