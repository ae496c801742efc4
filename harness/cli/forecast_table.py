"""A forecast of memory, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from harness.memory.forecast import ArmForecast, Fits
from harness.memory.reasons import Reason, reasons
from harness.runs.forecasted import ForecastPhase, MemoryPart

_WORDS = {
    MemoryPart.WEIGHTS: "weights",
    MemoryPart.ADAPTER: "adapter",
    MemoryPart.GRADIENTS: "gradients",
    MemoryPart.OPTIMIZER: "optimizer",
    MemoryPart.ACTIVATIONS: "activations",
    MemoryPart.LOSS: "logits and loss",
    MemoryPart.WORKSPACE: "unpacked weights",
    MemoryPart.SLACK: "allocator's slack",
    MemoryPart.CONTEXT: "driver and libraries",
}
_GIVEN_BACK = "what torch keeps for later is more than there is room for; it is given back before memory runs out"


def show(console: Console, arms: Sequence[ArmForecast], why: Sequence[Reason]) -> None:
    """Print the forecast of arms on devices of one kind, and why they differ."""
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
    table.add_row("peak, driver's view", *(_mib(peak.peak_device_mib) for peak in peaks), style="bold")
    bands = [arm.forecast.band for arm in arms]
    table.add_row("  at least", *(_mib(band.low_mib) for band in bands))
    table.add_row("  at most", *(_mib(band.high_mib) for band in bands))
    table.add_section()
    for phase in ForecastPhase:
        cells = [next((each for each in arm.forecast.phases if each.phase is phase), None) for arm in arms]
        if any(cells):
            shown = [_mib(None if cell is None else cell.peak_allocated_mib) for cell in cells]
            table.add_row(f"allocated: {phase.value}", *shown)
    if any(arm.forecast.merge_host_mib is not None for arm in arms):
        table.add_row("merge, on the host", *(_mib(arm.forecast.merge_host_mib) for arm in arms))
    table.add_section()
    for number, on in enumerate(first.places):
        if on.fits is not None:
            fits = [arm.places[number].fits for arm in arms]
            size = f"{on.place.memory_mib:,.0f}"
            table.add_row(f"fits {on.place.name} ({size})", *("" if each is None else each.value for each in fits))
    console.print(table)
    if first.forecast.largest:
        batches = Table(box=box.SIMPLE_HEAD, title=f"Largest batch that fits on {place.name}", title_justify="left")
        batches.add_column("tokens in a row")
        for arm in arms:
            batches.add_column(arm.arm.name, justify="right")
        for tokens in first.forecast.largest:
            batches.add_row(f"{tokens:,}", *(str(arm.forecast.largest.get(tokens) or "none") for arm in arms))
        console.print(batches)
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
    for number, on in enumerate(first.places):
        memory_mib = on.place.memory_mib or 0.0
        gives_back = [
            arm.arm.name
            for arm in arms
            if memory_mib < arm.forecast.peak.peak_device_mib and arm.places[number].fits in (Fits.YES, Fits.TIGHT)
        ]
        if gives_back:
            console.print(f"{on.place.name}, {', '.join(gives_back)}: {_GIVEN_BACK}.", soft_wrap=True)
    console.print(f"Driver and libraries: {place.context(1).source}.", soft_wrap=True)
    for arm in arms:
        for left_out in arm.forecast.untraced:
            console.print(f"Not in it, {arm.arm.name}: {left_out}.", soft_wrap=True)


def _mib(mib: float | None) -> str:
    return "" if mib is None else f"{mib:,.0f}"


def _size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:,.0f} MiB"


def sentence(reason: Reason) -> str:
    """Return in one sentence why an arm needs what it needs."""
    own, other = reason.largest_mib
    what = _WORDS[reason.largest]
    if reason.is_shared:
        decides = f"{what}, {_size(own)} in both arms, decide the peak"
    else:
        decides = f"{what} decide the peak, {_size(own)} in {reason.arm} and {_size(other)} in {reason.baseline}"
    less = [_saved(part, mib) for part, mib in reason.saved_mib.items() if mib > 0]
    more = [_saved(part, -mib) for part, mib in reason.saved_mib.items() if mib < 0]
    if not less and not more:
        return f"{decides}: {reason.arm} needs as much as {reason.baseline}."
    saves = f"saves {_listed(less)}" if less else "saves nothing"
    takes = f", and takes {_listed(more)} more" if more else " and nothing else" if less else ""
    return f"{decides}: {reason.arm} {saves}{takes}."


def _saved(part: MemoryPart, mib: float) -> str:
    return f"{_size(mib)} of {_WORDS[part]}"


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]


def line(arms: Sequence[ArmForecast]) -> str:
    """Return in a line what memory the arms of a sweep will need, and why."""
    needs = ", ".join(f"{arm.arm.name} {_size(arm.forecast.peak.peak_device_mib)}" for arm in arms)
    place = arms[0].places[0].place
    seen = "in tensors" if place.kind == "cpu" else "as the driver sees it"
    room = "" if place.memory_mib is None else f", of {_size(place.memory_mib)}"
    why = " ".join(map(sentence, reasons(arms)))
    return f"forecast of memory, {seen}: {needs}{room} ({place.name}). {why}".rstrip()
