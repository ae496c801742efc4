"""A forecast of memory, as it stands in a record, in JSON and in Python: what is needed, for what, and when."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, NonNegativeFloat


class MemoryPart(StrEnum):
    """What memory is for."""

    WEIGHTS = "weights"
    """The base's, packed where they are quantized, with the constants of their quantization."""
    ADAPTER = "adapter"
    """All that is trained."""
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer"
    ACTIVATIONS = "activations"
    """What a step keeps for its way back, the cache of answers, and what an operator works with."""
    LOSS = "logits_and_loss"
    """As wide as the vocabulary."""
    WORKSPACE = "quantization_workspace"
    """Weights that are unpacked for a moment."""
    SLACK = "allocator_slack"
    """What torch's caching allocator keeps beyond that."""
    CONTEXT = "runtime_context"
    """The driver's and the libraries' own."""


class ForecastPhase(StrEnum):
    """A step of a run that needs memory on the device."""

    LOAD = "load"
    QUANTIZE = "quantize"
    TRAIN = "train"
    VALIDATE = "validate"
    SAVE = "save"
    EVALUATE = "evaluate"


class Band(BaseModel):
    """Between what the driver's view of the peak is expected."""

    model_config = ConfigDict(frozen=True)

    low_mib: NonNegativeFloat
    high_mib: NonNegativeFloat


class PhaseForecast(BaseModel):
    """What a step of a run needs."""

    model_config = ConfigDict(frozen=True)

    phase: ForecastPhase
    peak_allocated_mib: NonNegativeFloat
    """In tensors."""
    peak_reserved_mib: NonNegativeFloat
    """By torch's caching allocator; the same on a CPU, where there is none."""
    peak_device_mib: NonNegativeFloat
    """As the driver sees it."""
    parts: dict[MemoryPart, NonNegativeFloat]
    """In MiB, at the peak; they add up to the driver's view."""


class Forecast(BaseModel):
    """What one arm needs on each device of its run."""

    model_config = ConfigDict(frozen=True)

    device: str
    """cuda, ascend or cpu."""
    rows: int
    """In a batch, on one device."""
    tokens: int
    """Of the longest row of a batch, filler included."""
    lengths: str
    """`cutoff`: every row is taken to be as long as training.cutoff_length. `data`: the longest that there is."""
    phases: list[PhaseForecast]
    band: Band
    merge_host_mib: NonNegativeFloat | None = None
    """What the merged weights take of the host's memory: LLaMA-Factory merges on the CPU, and nothing of it is on the
    device. None: the run merges nothing."""
    largest: dict[int, int] = {}
    """Rows of the largest batch that fits, by the tokens of each row; 0: none does. Where it was asked for, and where
    the run's own batch does not fit."""
    untraced: list[str] = []
    """What the forecast leaves out, and why."""

    @property
    def peak(self) -> PhaseForecast:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.peak_device_mib)
