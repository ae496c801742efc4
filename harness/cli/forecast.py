"""`harness forecast`: the memory that the arms of a sweep will need, before a card is rented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.memory.forecast import ArmForecast
    from harness.runs.forecasted import PhaseForecast


def forecast(
    context: typer.Context,
    card: Annotated[
        list[str] | None, typer.Option(help="910B2, 4090, 24GiB ...; may be given again. Without: the device.")
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="cutoff: every row has training.cutoff_length tokens; data: the rows as they are.")
    ] = "cutoff",
    fit: Annotated[
        str | None, typer.Option(metavar="CARD", help="The largest batches that fit on it, by length: 24GiB, 910B2 ...")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it as JSON too.")] = None,
) -> None:
    """Will it fit? harness forecast [NAME] [KEY=VALUE ...] [--card CARD]

    The memory of each arm by part and by phase, without its weights and without the card: LLaMA-Factory's own steps are
    followed on torch's meta device."""
    from harness.base.files import write_atomically
    from harness.cli.forecast_table import show
    from harness.cli.terminal import Terminal
    from harness.memory.ask import ask
    from harness.memory.reasons import reasons

    named = [*([] if fit is None else [fit]), *(card or [])]
    found = ask(context.args, named, lengths, largest=fit is not None)
    if as_json is not None:
        write_atomically(as_json, json.dumps([plain(arm) for arm in found], indent=2) + "\n")
    console = Terminal()
    for device in dict.fromkeys(arm.forecast.device for arm in found):
        of_device = [arm for arm in found if arm.forecast.device == device]
        show(console, of_device, reasons(of_device))
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
        **_peaks(peak),
        "band": {"low_mib": round(arm.forecast.band.low_mib, 1), "high_mib": round(arm.forecast.band.high_mib, 1)},
        "parts": _parts(peak),
        "phases": [{**_peaks(phase), "parts": _parts(phase)} for phase in arm.forecast.phases],
        "fits": [
            {
                "card": on.place.name,
                "memory_mib": on.place.memory_mib,
                "fits": None if on.fits is None else on.fits.value,
            }
            for on in arm.places
        ],
        "merge_host_mib": None if arm.forecast.merge_host_mib is None else round(arm.forecast.merge_host_mib, 1),
        "largest": [{"tokens": tokens, "rows": rows} for tokens, rows in arm.forecast.largest.items()],
        "untraced": arm.forecast.untraced,
    }


def _peaks(phase: PhaseForecast) -> dict[str, Any]:
    return {
        "phase": phase.phase.value,
        "peak_allocated_mib": round(phase.peak_allocated_mib, 1),
        "peak_reserved_mib": round(phase.peak_reserved_mib, 1),
        "peak_device_mib": round(phase.peak_device_mib, 1),
    }


def _parts(phase: PhaseForecast) -> dict[str, float]:
    return {part.value: round(mib, 1) for part, mib in phase.parts.items()}
