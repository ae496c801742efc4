"""The memory that the arms of a comparison will need, on one device after another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from harness.base import redaction
from harness.base.errors import UserError
from harness.base.paths import PACKAGE
from harness.config.schema import MERGED, Config
from harness.data import prepare
from harness.devices.cpu import NO_ACCELERATOR
from harness.launch import torchrun
from harness.memory.asked import Arm, to_trace
from harness.memory.places import Place
from harness.plan.planner import Planner
from harness.processes.jobs import ForecastJob, ToTrace, Traced, TracedPhase
from harness.processes.start import run_to_end
from harness.runs.forecasted import Band, Forecast, MemoryPart, PhaseForecast

_MIB = 2**20
_NEVER_MEASURED = 0.05
"""By so much the band is wider where no kernel was ever compared with a forecast."""


class Lengths(StrEnum):
    """How long the rows of a batch are taken to be."""

    CUTOFF = "cutoff"
    """Each as long as training.cutoff_length."""
    DATA = "data"
    """Each as long as the longest that there is."""


class Fits(StrEnum):
    """Whether a run fits on a device."""

    YES = "yes"
    TIGHT = "tight"
    """It depends on what is not known to a few percent: the band is on both sides of what there is."""
    NO = "no"


@dataclass(frozen=True)
class OnPlace:
    """Whether an arm fits on one device."""

    place: Place
    fits: Fits | None
    """None: nobody knows how much memory there is, or the training could not be followed."""


@dataclass(frozen=True)
class ArmForecast:
    """What one arm needs on devices of one kind."""

    arm: Arm
    forecast: Forecast
    places: tuple[OnPlace, ...]
    """Of the first the driver's view in the forecast is, and on it the largest batches fit."""


def forecast(
    arms: Sequence[Arm],
    places: Sequence[Place],
    planner: Planner,
    lengths: Lengths = Lengths.CUTOFF,
    *,
    largest: bool = False,
) -> list[ArmForecast]:
    """Return what each arm needs, on the places of each kind in turn. Rows that a hub has were fetched before.

    `largest`: find the largest batches too. Raises UserError where an arm cannot be traced at all."""
    kinds = list(dict.fromkeys((place.kind, place.spec.supports_bf16) for place in places))
    groups = [[place for place in places if (place.kind, place.spec.supports_bf16) == kind] for kind in kinds]
    asked = [(arm, group) for group in groups for arm in arms]
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        jobs = [_job(arm, group, planner, lengths, Path(folder) / "rows", largest) for arm, group in asked]
        traced = trace(jobs, Path(folder))
    hindered: dict[str, list[str]] = {}
    for (arm, _), each in zip(asked, traced, strict=True):
        if each.problem:
            hindered.setdefault(each.problem, []).append(arm.name)
    if hindered:
        raise UserError([f"{', '.join(dict.fromkeys(names))}: {problem}" for problem, names in hindered.items()])
    return [
        foreseen(arm, group, job, each, lengths) for (arm, group), job, each in zip(asked, jobs, traced, strict=True)
    ]


def trace(jobs: Sequence[ToTrace], folder: Path) -> list[Traced]:
    """Return what a worker found of each; what two share it does once. `folder` is for its files.

    Raises UserError where it fails as a whole."""
    different = list({job.model_dump_json(): job for job in jobs}.items())
    answer = folder / "traced.jsonl"
    job = ForecastJob(arms=[arm for _, arm in different], tokenizer=PACKAGE / "models" / "tiny", answer=answer)
    worker = run_to_end(job, redaction.for_child(os.environ) | NO_ACCELERATOR)
    if worker.returncode or not answer.is_file():
        error = worker.stderr.strip().rpartition("\n")[2][:500] or f"exit status {worker.returncode}"
        raise UserError(f"the forecast failed: {error}")
    lines = answer.read_text(encoding="utf-8").splitlines()
    found = {key: TypeAdapter(Traced).validate_json(line) for (key, _), line in zip(different, lines, strict=True)}
    return [found[job.model_dump_json()] for job in jobs]


def _job(arm: Arm, places: Sequence[Place], planner: Planner, lengths: Lengths, folder: Path, largest: bool) -> ToTrace:
    first = places[0]
    surely = _limits_bytes(first, arm.config)[1:]
    fit_bytes = surely[0] if largest and surely else None
    limits = [limit for place in places for limit in _limits_bytes(place, arm.config)]
    memory = [int((place.memory_mib or 0) * _MIB) for place in places for _ in _limits_bytes(place, arm.config)]
    follow = partial(
        to_trace, arm, first, planner.sources, limits_bytes=limits, memory_bytes=memory, fit_bytes=fit_bytes
    )
    if lengths is Lengths.CUTOFF:
        return follow(None)
    rows, digest = planner.rows(arm.config.dataset)
    own = folder / digest
    if not own.exists():
        prepare.write(rows, own)
    names = rows.train_names, rows.validation_names
    return follow(own, names)


def _limits_bytes(place: Place, config: Config) -> list[int]:
    """What the forecast may come to at most and, where driver and kernels take more than usual, at least; none: nobody
    knows."""
    if place.memory_mib is None:
        return []
    context = place.context(torchrun.world_size(config.launch, place.spec.chips))
    room_mib = place.memory_mib - place.idle_mib
    unsure = _unsure(place)
    most_mib, least_mib = (room_mib - context.low_mib) / (1 - unsure), (room_mib - context.high_mib) / (1 + unsure)
    return [int(max(0.0, mib) * _MIB) for mib in (most_mib, least_mib)]


def _unsure(place: Place) -> float:
    """Of what is allocated: by how much a forecast for the place may be wrong, both ways."""
    return 0.0 if place.kind == "cpu" else _NEVER_MEASURED


def foreseen(arm: Arm, places: Sequence[Place], job: ToTrace, traced: Traced, lengths: Lengths) -> ArmForecast:
    """Return what a trace comes to on places of one kind."""
    first = places[0]
    context = first.context(job.processes)
    phases = [_phase(phase, first.idle_mib + context.usual_mib) for phase in traced.phases]
    peak = max(phases, key=lambda phase: phase.peak_device_mib)
    unsure = _unsure(first) * peak.peak_allocated_mib
    told = Forecast(
        device=first.kind,
        rows=int(job.arguments["per_device_train_batch_size"]),
        tokens=traced.tokens,
        lengths=lengths.value,
        phases=phases,
        band=Band(
            low_mib=max(0.0, peak.peak_allocated_mib - unsure) + first.idle_mib + context.low_mib,
            high_mib=peak.peak_reserved_mib + unsure + first.idle_mib + context.high_mib,
        ),
        merge_host_mib=traced.base_bytes / _MIB if MERGED in arm.config.evaluation.targets else None,
        largest=traced.largest,
        untraced=[*traced.untraced, *_left_out(job)],
    )
    fits: list[OnPlace] = []
    full = iter(traced.full)
    for place in places:
        if place.memory_mib is None:
            fits.append(OnPlace(place, None))
            continue
        most, least = next(full), next(full)
        fitting = Fits.YES if least is None else Fits.TIGHT if most is None else Fits.NO
        fits.append(OnPlace(place, None if traced.is_partial and fitting is not Fits.NO else fitting))
    return ArmForecast(arm, told, tuple(fits))


def _phase(traced: TracedPhase, taken_mib: float) -> PhaseForecast:
    parts = {part: size / _MIB for part, size in traced.parts.items()}
    reserved_mib = traced.peak_reserved_bytes / _MIB
    slack_mib = reserved_mib - sum(parts.values())
    if slack_mib > 0:
        parts[MemoryPart.SLACK] = slack_mib
    if taken_mib:
        parts[MemoryPart.CONTEXT] = taken_mib
    return PhaseForecast(
        phase=traced.phase,
        peak_allocated_mib=traced.peak_allocated_bytes / _MIB,
        peak_reserved_mib=reserved_mib,
        peak_device_mib=reserved_mib + taken_mib,
        parts=parts,
    )


def _left_out(job: ToTrace) -> list[str]:
    told = []
    if job.arguments.get("deepspeed"):
        told.append("deepspeed: what DeepSpeed copies for itself")
    if str(job.arguments.get("optim", "")).startswith("paged_"):
        told.append("optim: paged states may leave the device, and are counted as if they did not")
    if job.arguments.get("use_unsloth") or job.arguments.get("use_unsloth_gc"):
        told.append("use_unsloth: its own kernels; what is forecast is the training without them")
    return told
