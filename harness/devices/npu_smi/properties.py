"""Lines of `name : value`, which `npu-smi info -t TYPE -i NPU` prints, and the head of `npu-smi info`."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Clocks:
    """Of a chip's AI cores. None: not printed, as a 310P's are not by all drivers."""

    current_mhz: float | None
    rated_mhz: float | None


def parse_clocks(text: str, chip_id: int | None) -> Clocks:
    """The clocks of one chip in the output of `npu-smi info -t common -i NPU`. Never raises.

    A chip's values follow its number. `chip_id` None: a 950, whose values follow that of the card. Then comes the MCU,
    which has a name and no number."""
    values: dict[str, str] = {}
    of_this_chip = True
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "Chip ID":
            of_this_chip = value == str(chip_id or 0)
        elif name == "Chip Name":
            of_this_chip = False
        elif of_this_chip:
            values.setdefault(name.lower(), value)
    return Clocks(_mhz(values.get("aicore curfreq(mhz)")), _mhz(values.get("aicore freq(mhz)")))


def parse_firmware(text: str) -> str | None:
    """The firmware in the output of `npu-smi info -t board -i NPU`: 7.1.0.7.220. Never raises."""
    found = re.search(r"^\s*Firmware Version\s*: *([0-9]\S*)\s*$", text, re.MULTILINE)
    return found[1] if found else None


def parse_versions(text: str) -> tuple[str, str] | None:
    """Those of npu-smi and of the driver at the head of `npu-smi info`; None: there is no head."""
    found = re.search(r"npu-smi +(\S+) +Version: *(\S+)", text)
    return (found[1], found[2]) if found else None


def _mhz(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch("[1-9][0-9]{0,5}", text, re.ASCII) else None
