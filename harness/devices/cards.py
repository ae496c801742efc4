"""Accelerators by name: how much memory a driver shows of each, and what is gone of it before anything is computed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from harness.base.errors import UserError, did_you_mean

_MODAL = "NVML's figures on Modal's cards (thundergolfer.com/blog/nvidia-gpu-memory-capacity)"
_RECORDED = "npu-smi info, as users showed it"
_UNITS_MIB = {"GIB": 1024, "GB": 1e9 / 2**20, "MIB": 1, "MB": 1e6 / 2**20}
_SOLD_AS = re.compile(r"(?<![a-z\d])([0-9]+) ?g(?:i?b)?(?![a-z\d])")
"""A size in a card's name: `A100 80GB`, but not `A10G`."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(GiB|GB|MiB|MB)", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """One device: a card, or what the driver shows as one (a die of an A3, a chip of a 310P)."""

    name: str
    kind: str | None
    """cuda or ascend; None: a size alone is known."""
    memory_mib: float
    """In all, as the driver shows it."""
    idle_mib: float
    """In use while nobody uses it."""
    source: str
    supports_bf16: bool = True
    also: tuple[str, ...] = ()
    """Its other names."""


_CARDS = (
    Card(
        "910A",
        "ascend",
        32768,
        0,
        f"{_RECORDED} (21.0.3 to 24.1; what the system takes is in DDR memory)",
        supports_bf16=False,
    ),
    Card("910B1", "ascend", 65536, 3384, f"{_RECORDED} (24.1.rc2, idle 3,384 MB)"),
    Card("910B2", "ascend", 65536, 3335, f"{_RECORDED} (23.0.3, idle 3,331 to 3,335 MB)"),
    Card("910B3", "ascend", 65536, 3403, f"{_RECORDED} (24.1.rc1, idle 3,402 to 3,403 MB)"),
    Card("910B4", "ascend", 32768, 3197, f"{_RECORDED} (24.1.1); idle as a 910B4-1 showed (25.2.0, 3,197 MB)"),
    Card("910B4-1", "ascend", 65536, 3197, f"{_RECORDED} (25.2.0, idle 3,197 MB)"),
    Card(
        "A3",
        "ascend",
        65536,
        3208,
        f"{_RECORDED} (25.2.0; each of its two dies, idle 2,874 to 3,208 MB)",
        also=("910C", *(f"910_93{number}" for number in (62, 72, 81, 82, 91, 92))),
    ),
    Card(
        "310P",
        "ascend",
        21527,
        1832,
        f"{_RECORDED} (22.0.4 and 23.0.0, a chip of a 310P3, idle 1,805 to 1,832 MB)",
        supports_bf16=False,
        also=("310P1", "310P3"),
    ),
    Card("T4", "cuda", 15360, 0, _MODAL, supports_bf16=False),
    Card("L4", "cuda", 23034, 0, _MODAL),
    Card("A10G", "cuda", 23028, 0, f"{_MODAL}, as A10"),
    Card("3090", "cuda", 24576, 0, "nvidia-smi (noonghunna/club-3090#1128)"),
    Card("4090", "cuda", 24564, 0, "nvidia-smi (RLinf/RLinf#255)"),
    Card("L40S", "cuda", 46068, 0, _MODAL),
    Card("A100-40", "cuda", 40960, 0, _MODAL),
    Card("A100-80", "cuda", 81920, 0, _MODAL),
    Card("H100", "cuda", 81559, 0, _MODAL),
    Card("H200", "cuda", 143771, 0, _MODAL),
)
CARDS = {card.name: card for card in _CARDS}


def find(name: str, option: str = "--card") -> Card:
    """Return the card of a name, or one of a size (24GiB). Raises UserError, which names `option`."""
    wanted = _plain(_SOLD_AS.sub(r" \1 ", name.lower()))
    sold = _SOLD_AS.search(name.lower())
    without_size = _plain(_SOLD_AS.sub(" ", name.lower()))
    for card in _CARDS:
        names = {_plain(each.lower()) for each in (card.name, *card.also)}
        if wanted in names or (sold and without_size in names and _is_sold_as(card, float(sold[1]))):
            return card
    if size := _SIZE.fullmatch(name.strip()):
        memory_mib = float(size[1]) * _UNITS_MIB[size[2].upper()]
        if 0 < memory_mib < math.inf:
            return Card(name.strip(), None, memory_mib, 0, "as it was given")
    begun = [card.name for card in _CARDS if without_size and _plain(card.name.lower()).startswith(without_size)]
    near = f"did you mean {' or '.join(begun)}? " if begun else did_you_mean(wanted.upper(), CARDS)
    raise UserError(
        f"{option} {name}: no such card; {near}there are {', '.join(CARDS)}, and a size is given as in 24GiB"
    )


def _plain(name: str) -> str:
    """Without what people and drivers write around a name: `Ascend910B2`, `RTX 4090`, `NVIDIA A100-SXM4-80GB`."""
    return re.sub(r"nvidia|huawei|ascend|geforce|rtx|tesla|atlas|sxm\d?|pcie|hbm\d?e?|[^a-z\d]", "", name)


def _is_sold_as(card: Card, size_gb: float) -> bool:
    """Whether a card is one of so many gigabytes; a driver shows less than what is on the box."""
    return 0.85 * size_gb <= card.memory_mib / 1024 <= 1.01 * size_gb


@dataclass(frozen=True)
class Context:
    """What the driver and the libraries of one process take of a device, beside torch's allocator."""

    low_mib: float
    usual_mib: float
    high_mib: float
    source: str


CONTEXTS = {
    "cuda": Context(
        250,
        450,
        800,
        "users' reports of a first tensor: 300 MB and 300 to 400 MB (pytorch#107667, #20532), more where kernels of "
        "several libraries are loaded; not measured with this project",
    ),
    "ascend": Context(
        200,
        700,
        2200,
        "a recording of one process shows 177 MB (npu-smi info -t proc-mem), and HCCL's and the operators' own buffers "
        "come to that; never measured with this project",
    ),
    "cpu": Context(0, 0, 0, "a processor has none of it"),
}
"""By kind of device."""
HCCL_BUFFER_MIB = 400.0
"""Of each process that talks to others: two buffers of HCCL_BUFFSIZE, 200 MB unless it says otherwise (HCCL's
documentation)."""
