"""What npu-smi says instead of a table, what that means and what helps. It may well exit with 0 as it says so."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class NpuSmiError:
    """A failure that npu-smi or the driver names, with its cause and fix."""

    code: int | None
    """-8005, -8020, -9005 ...; None where the message has no number."""
    message: str
    """The line that said it."""
    cause: str
    fix: str


# Code, words, cause, fix. Causes: vllm-project/vllm-ascend issues 632 and 2698, HAMi issue 1696, hicann/driver.
KNOWN = (
    (
        -8005,
        "dcmi module initialize failed",
        "the driver cannot be reached: it was upgraded without a reboot, a container lacks devices or mounts, "
        "or another container holds the chip",
        "reboot after a driver upgrade; in a container pass --device /dev/davinciN, /dev/davinci_manager, "
        "/dev/devmm_svm and /dev/hisi_hdc, and mount /usr/local/dcmi, /usr/local/Ascend/driver and "
        "/etc/ascend_install.info",
    ),
    (
        -8020,
        "the device is used",
        "another container holds the chip, or /usr/local/dcmi and /etc/ascend_install.info are not mounted",
        "stop the other container or give this one another chip; mount /usr/local/dcmi and /etc/ascend_install.info",
    ),
    (
        -9005,
        "get board type failed",
        "the driver did not tell the board's type",
        "look at `dmesg` and the driver's installation; reboot if it was upgraded since the last boot",
    ),
    (
        None,
        "There is no NPU card",
        "the driver sees no card",
        "`lspci | grep d80` must show one; install the driver and firmware of this card",
    ),
    (
        None,
        "npu-smi: command not found",
        "npu-smi is not on the PATH",
        "install the driver on the host; in a container mount /usr/local/bin/npu-smi",
    ),
    (None, "does not support querying", "this card or driver does not know that query", "use `npu-smi info` instead"),
)


def parse_error(text: str) -> NpuSmiError | None:
    """The first known error in the output of npu-smi; an unknown `ret is -NNNN` has itself as its cause."""
    for line in text.splitlines():
        number = re.search(r"\bret is (-[0-9]{1,9})\b", line)
        code = int(number[1]) if number else None
        for known, words, cause, fix in KNOWN:
            if code == known if code is not None else words in line:
                return NpuSmiError(code, line.strip(), cause, fix)
        if code is not None:
            cause = f"the driver's management library answered {code}"
            return NpuSmiError(code, line.strip(), cause, "look the number up in the DCMI reference of your driver")
    return None
