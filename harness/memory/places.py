"""The devices that a forecast is for."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.schema import Config
from harness.devices.cards import CONTEXTS, HCCL_BUFFER_MIB, Card, Context
from harness.devices.request import AbsentError
from harness.plan import device as devices
from harness.plan.spec import DeviceSpec

_KIND_OF = {"cpu": "cpu", "cuda": "cuda", "npu": "ascend"}
_TORCH_DEVICES = {"cpu": "cpu", "cuda": "cuda", "ascend": "npu"}


@dataclass(frozen=True)
class Place:
    """A device, there or not."""

    name: str
    spec: DeviceSpec
    memory_mib: float | None
    """In all, as the driver shows it; None: not known."""
    idle_mib: float
    """In use before the run."""
    source: str
    """Where these figures are from."""

    @property
    def kind(self) -> str:
        """cuda, ascend or cpu: whose kernels are used."""
        return _KIND_OF[self.spec.torch_device]

    def context(self, processes: int) -> Context:
        """Return what the driver and the libraries of one of several processes take."""
        alone = CONTEXTS[self.kind]
        if self.kind != "ascend" or processes == 1:
            return alone
        shared = (alone.low_mib, alone.usual_mib + HCCL_BUFFER_MIB, alone.high_mib + 2 * HCCL_BUFFER_MIB)
        return Context(*shared, f"{alone.source}; with HCCL's buffers")


def of_card(card: Card, config: Config) -> Place:
    """Return the place that a card is; of one whose size alone is known the kind is the configuration's, else cuda."""
    asked = config.device.name if config.device.name in ("cuda", "ascend") else "cuda"
    kind = card.kind or asked
    spec = DeviceSpec.model_validate(
        {
            "kind": kind,
            "torch_device": _TORCH_DEVICES[kind],
            "product": card.name,
            "chips": config.device.chip_count,
            "supports_bf16": card.supports_bf16,
        }
    )
    return Place(card.name, spec, card.memory_mib, card.idle_mib, card.source)


def of_configuration(config: Config) -> Place:
    """Return the device of a configuration: this machine's, or what it names, which this machine has not.

    Raises DeviceError where it is here and cannot be used."""
    try:
        device = devices.choose(config)
    except AbsentError:
        spec = devices.assume(config)
        return Place(spec.kind, spec, None, 0, "not on this machine")
    chips = max(1, len(device.chips))
    memory_mib = None if device.total_memory_mib is None else device.total_memory_mib / chips
    return Place(device.product, devices.describe(device), memory_mib, 0, "as its driver says")
