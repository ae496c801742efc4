"""`harness forecast`: the memory that the arms of a sweep will need, before a card is rented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.memory.forecast import ArmForecast
    from harness.memory.reasons import Reason
    from harness.runs.forecasted import MemoryPart


def forecast(
    context: typer.Context,
    card: Annotated[
        list[str] | None, typer.Option(help="910B2, 4090, 24GiB ...; may be given again. Without: the device.")
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="cutoff: every row has training.cutoff_length tokens; data: the rows as they are.")
    ] = "cutoff",
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it as JSON too.")] = None,
) -> None:
    """Will it fit? harness forecast [NAME] [KEY=VALUE ...] [--card CARD]

    The memory of each arm by part and by phase, without its weights and without the card: LLaMA-Factory's own steps are
    followed on torch's meta device."""
    from rich.console import Console

    from harness.base.files import write_atomically
    from harness.memory.ask import ask
    from harness.memory.reasons import reasons

    found = ask(context.args, card or [], lengths)
    if as_json is not None:
        write_atomically(as_json, json.dumps([plain(arm) for arm in found], indent=2) + "\n")
    console = Console()
    for device in dict.fromkeys(arm.forecast.device for arm in found):
        of_device = [arm for arm in found if arm.forecast.device == device]
        _show(console, of_device, reasons(of_device))
    if as_json is not None:
        console.print(f"{as_json}", soft_wrap=True)


def plain(arm: ArmForecast) -> dict[str, Any]:
    """Return a forecast as JSON has it; sizes in MiB."""
    peak = arm.forecast.peak
    return {
        "arm": arm.arm.name,
        "device": arm.forecast.device,
        "rows": arm.forecast.rows,
        "tokens": arm.forecast.tokens,
        "lengths": arm.forecast.lengths,
        "phase": peak.phase.value,
        "peak_allocated_mib": round(peak.peak_allocated_mib, 1),
        "peak_reserved_mib": round(peak.peak_reserved_mib, 1),
        "peak_device_mib": round(peak.peak_device_mib, 1),
        "band": {"low_mib": round(arm.forecast.band.low_mib, 1), "high_mib": round(arm.forecast.band.high_mib, 1)},
        "parts": {part.value: round(mib, 1) for part, mib in peak.parts.items()},
        "phases": [
            {
                "phase": phase.phase.value,
                "peak_allocated_mib": round(phase.peak_allocated_mib, 1),
                "peak_reserved_mib": round(phase.peak_reserved_mib, 1),
                "peak_device_mib": round(phase.peak_device_mib, 1),
                "parts": {part.value: round(mib, 1) for part, mib in phase.parts.items()},
            }
            for phase in arm.forecast.phases
        ],
        "fits": [
            {
                "card": on.place.name,
                "memory_mib": on.place.memory_mib,
                "fits": None if on.fits is None else on.fits.value,
            }
            for on in arm.places
        ],
        "untraced": arm.forecast.untraced,
    }


_WORDS = {
    "weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "logits_and_loss": "logits and loss",
    "quantization_workspace": "unpacked weights",
    "allocator_slack": "allocator's slack",
    "runtime_context": "driver and libraries",
}


def _show(console: Console, arms: Sequence[ArmForecast], why: Sequence[Reason]) -> None:
    from rich import box
    from rich.table import Table

    from harness.runs.forecasted import ForecastPhase, MemoryPart

    first = arms[0]
    place = first.places[0].place
    table = Table(box=box.SIMPLE_HEAD, title=f"Memory at the peak, MiB, on {place.name}", title_justify="left")
    table.add_column("")
    for arm in arms:
        table.add_column(arm.arm.name, justify="right")
    peaks = [arm.forecast.peak for arm in arms]
    for part in MemoryPart:
        if any(part in peak.parts for peak in peaks):
            table.add_row(_WORDS[part], *(_mib(peak.parts.get(part)) for peak in peaks))
    table.add_section()
    table.add_row("peak, allocated", *(_mib(peak.peak_allocated_mib) for peak in peaks))
    table.add_row("peak, reserved", *(_mib(peak.peak_reserved_mib) for peak in peaks))
    table.add_row("peak, as the driver sees it", *(_mib(peak.peak_device_mib) for peak in peaks), style="bold")
    bands = [arm.forecast.band for arm in arms]
    table.add_row("  between", *(f"{band.low_mib:,.0f} and {band.high_mib:,.0f}" for band in bands))
    table.add_section()
    for phase in ForecastPhase:
        cells = [next((each for each in arm.forecast.phases if each.phase is phase), None) for arm in arms]
        if any(cells):
            shown = [_mib(None if cell is None else cell.peak_allocated_mib) for cell in cells]
            table.add_row(f"allocated to {phase.value}", *shown)
    table.add_section()
    for number, on in enumerate(first.places):
        if on.fits is not None:
            fits = [arm.places[number].fits for arm in arms]
            size = f"{on.place.memory_mib:,.0f}"
            table.add_row(f"fits on {on.place.name} ({size})", *("" if each is None else each.value for each in fits))
    console.print(table)
    for reason in why:
        console.print(sentence(reason), soft_wrap=True)
    batch = f"{first.forecast.rows} x {first.forecast.tokens:,} tokens"
    lengths = {
        "cutoff": f"A batch of {batch}: every row is taken to be as long as training.cutoff_length; "
        "--lengths data takes the rows as they are.",
        "data": f"A batch of {batch}: the longest row that there is, and with it the longest batch.",
    }
    console.print(lengths[first.forecast.lengths], soft_wrap=True)
    for on in first.places:
        console.print(f"{on.place.name}: {on.place.source}.", soft_wrap=True)
    console.print(f"Driver and libraries: {place.context(1).source}.", soft_wrap=True)
    for arm in arms:
        for left_out in arm.forecast.untraced:
            console.print(f"Not in it, {arm.arm.name}: {left_out}.", soft_wrap=True)


def _mib(mib: float | None) -> str:
    return "" if mib is None else f"{mib:,.0f}"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"


def sentence(reason: Reason) -> str:
    """Return in one sentence why an arm needs what it needs."""
    own, other = reason.largest_mib
    what = _WORDS[reason.largest]
    if reason.is_shared:
        decides = f"{what}, {_gib(own)} in both arms, decide the peak"
    else:
        decides = f"{what} decide the peak, {_gib(own)} in {reason.arm} and {_gib(other)} in {reason.baseline}"
    less = [_saved(part, mib) for part, mib in reason.saved_mib.items() if mib > 0]
    more = [_saved(part, -mib) for part, mib in reason.saved_mib.items() if mib < 0]
    if not less and not more:
        return f"{decides}: {reason.arm} needs as much as {reason.baseline}."
    saves = f"saves {_listed(less)}" if less else "saves nothing"
    takes = f", and takes {_listed(more)} more" if more else " and nothing else" if less else ""
    return f"{decides}: {reason.arm} {saves}{takes}."


def _saved(part: MemoryPart, mib: float) -> str:
    return f"{_gib(mib)} of {_WORDS[part]}"


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
