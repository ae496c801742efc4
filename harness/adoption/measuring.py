"""The command that trains again what was adopted, and measures it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.adoption.output_folder import OPTIMIZER, Found
from harness.base.errors import UserError
from harness.compose.llamafactory_file import import_training

SEEDS = 5
"""What a verdict on the methods needs; one seed tells two adapters apart, and no more."""
_LEFT_OUT = ("output_dir", "overwrite_output_dir")
"""That each run has a folder of its own needs no telling."""


@dataclass(frozen=True)
class Measuring:
    """How adopted trainings would be measured."""

    commands: Sequence[str]
    """One for all arms, or one for each where they differ in more than method and quantization."""
    to_give: Sequence[str]
    """What no command could be made of, or could not carry, and what to give instead."""


@dataclass(frozen=True)
class _Training:
    arm: str
    seed: int
    method: tuple[str, ...]
    """The overrides that say method and quantization."""
    settings: tuple[str, ...]
    """All others, but for the seed."""
    is_quantization_known: bool


def measuring(trainings: Sequence[tuple[str, Found]], sweep: str) -> Measuring:
    """Return what trains the first of each arm of `trainings` with several seeds, as the sweep `sweep`."""
    arms: dict[str, _Training] = {}
    to_give: list[str] = []
    for arm, found in trainings:
        file = found.training_file
        if arm in arms:
            continue
        try:
            imported = import_training(_arguments(found), None if file is None else file.datasets)
        except UserError as error:
            to_give += [f"{found.folder}: {mistake}" for mistake in error.mistakes]
            continue
        to_give += [line for line in imported.left_out if not line.startswith(_LEFT_OUT)]
        method = tuple(text for text in imported.overrides if text.startswith(("method=", "quantization")))
        settings = [text for text in imported.overrides if text not in method and not text.startswith("seed=")]
        arms[arm] = _Training(arm, found.seed, method, tuple(settings), "quantization_bit" in found.arguments)
    if not all(each.is_quantization_known for each in arms.values()):
        to_give.append("quantization: of some it is not known, so method=lora,qlora trains both; see --train FILE")
    commands = [
        shlex.join(
            ["harness", "run", "--multirun", *overrides, f"seed={','.join(str(seed + n) for n in range(SEEDS))}"]
        )
        for overrides, seed in _overrides(list(arms.values()), sweep)
    ]
    return Measuring(commands, list(dict.fromkeys(to_give)))


def _overrides(arms: Sequence[_Training], sweep: str) -> Iterator[tuple[list[str], int]]:
    """Yield what each command overrides, and its first seed."""
    alike = len({each.settings for each in arms}) == 1
    known = all(each.is_quantization_known for each in arms)
    quantizations = list(dict.fromkeys(_quantization(each.method) for each in arms))
    # A quantization by its name, of LoRA: it is all that the methods differ in.
    is_plain = all(len(each.method) <= 2 and "method=full" not in each.method for each in arms)
    if alike and (not known or (is_plain and 1 < len(arms) == len(quantizations))):
        methods = ["method=lora", f"quantization={','.join(quantizations)}"] if known else ["method=lora,qlora"]
        yield [f"sweep={sweep}", *methods, *arms[0].settings], arms[0].seed
        return
    for each in arms:
        if known:
            yield [f"sweep={sweep}", f"arm={each.arm}", *each.method, *each.settings], each.seed
        else:
            yield [f"sweep={sweep}-{each.arm}", "method=lora,qlora", *each.settings], each.seed


def _arguments(found: Found) -> dict[str, object]:
    """What the training was told: by its file, or else what else is known of it."""
    if found.training_file is not None:
        return dict(found.training_file.arguments)
    # The name of a dataset leads nowhere without the file.
    needless = ("dataset", "include_num_input_tokens_seen")
    own = {name: value for name, value in found.arguments.items() if name not in needless}
    return {name: value for name, value in own.items() if value != OPTIMIZER.get(name, ())}


def _quantization(method: Sequence[str]) -> str:
    """The quantization that the overrides of a method come to."""
    named = next((text.partition("=")[2] for text in method if text.startswith("quantization=")), None)
    return named or ("nf4" if "method=qlora" in method else "none")
