"""Cards by the names that people and drivers give them."""

from __future__ import annotations

import pytest

from harness.base.errors import UserError
from harness.devices import cards


@pytest.mark.parametrize("card", cards.CARDS.values(), ids=lambda card: card.name)
def test_every_card_has_a_source_and_room(card: cards.Card) -> None:
    assert card.source
    assert 0 <= card.idle_mib < card.memory_mib
    assert card.kind in cards.CONTEXTS
    assert cards.find(card.name) is card


def test_no_name_is_of_two_cards() -> None:
    names = [name for card in cards.CARDS.values() for name in (card.name, *card.also)]
    assert len({cards.find(name).name for name in names}) == len(cards.CARDS)
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *[(written, "4090") for written in ("rtx 4090", "RTX4090", "NVIDIA GeForce RTX 4090", "4090 24GB")],
        *[(written, "A100-40") for written in ("A100-40GB", "a100 40g", "A100 PCIe 40GB", "NVIDIA A100-PCIE-40GB")],
        *[(written, "A100-80") for written in ("A100 80GB", "A100 80 GB", "A100-SXM4-80GB", "NVIDIA A100 80GB PCIe")],
        *[(written, "H100") for written in ("H100 SXM", "H100-80GB", "H100 PCIe", "NVIDIA H100 80GB HBM3")],
        *[(written, "H200") for written in ("h200", "H200 141GB", "NVIDIA H200")],
        *[(written, "L40S") for written in ("NVIDIA L40S", "L40S 48GB", "l40s")],
        *[(written, "T4") for written in ("Tesla T4", "T4 16GB")],
        *[(written, "A10G") for written in ("A10G", "NVIDIA A10G", "a10g 24GB")],
        ("L4 24GB", "L4"),
        ("RTX 3090 24GB", "3090"),
        *[(written, "910B2") for written in ("Ascend910B2", "Ascend 910 B2", "910b2", "910B2 64GB")],
        *[(written, "910B4") for written in ("910B4", "910B4 32G")],
        *[(written, "910B4-1") for written in ("910b4-1", "Ascend910B4-1", "910B4_1")],
        *[(written, "A3") for written in ("Atlas A3", "910C", "Ascend910_9392")],
        *[(written, "310P") for written in ("Ascend310P", "310P3", "Ascend310P3")],
    ],
)
def test_a_card_is_found_as_people_and_drivers_write_its_name(written: str, name: str) -> None:
    assert cards.find(written).name == name


@pytest.mark.parametrize(
    ("size", "memory_mib"),
    [
        ("24GiB", 24576),
        ("24576MiB", 24576),
        ("24576 mib", 24576),
        ("1.5 GiB", 1536),
        ("24 GB", 24e9 / 2**20),
        ("24GB", 24e9 / 2**20),
        ("24000MB", 24e9 / 2**20),
    ],
)
def test_a_size_is_a_card_of_which_nothing_else_is_known(size: str, memory_mib: float) -> None:
    card = cards.find(size)
    assert (card.kind, card.memory_mib, card.idle_mib) == (None, memory_mib, 0)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nonsense", "no such card; there are 910A, "),
        ("", "no such card; there are 910A, "),
        ("24", "no such card; there are 910A, "),
        ("GiB", "no such card; there are 910A, "),
        ("0GiB", "no such card; there are 910A, "),
        ("-1GiB", "no such card; there are 910A, "),
        ("1e3GiB", "no such card; there are 910A, "),
        (f"{'9' * 400}GiB", "no such card; there are 910A, "),
        ("A100", "no such card; did you mean A100-40 or A100-80? there are 910A, "),
        ("910B", "no such card; did you mean 910B1 or 910B2 or 910B3 or 910B4 or 910B4-1? there are 910A, "),
        ("RTX 4090 D", "no such card; did you mean 4090? there are 910A, "),
        ("4090 48GB", "no such card; did you mean 4090? there are 910A, "),
        ("A100 60GB", "no such card; did you mean A100-40 or A100-80? there are 910A, "),
    ],
)
def test_what_is_no_card_is_told_with_what_there_is(written: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        cards.find(written)
    (mistake,) = raised.value.mistakes
    assert mistake.startswith(f"--card {written}: {said}")
    assert mistake.endswith("H200, and a size is given as in 24GiB")
