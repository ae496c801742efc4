"""A process's own high-water marks: torch's allocator, and the kernel's count of resident memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.runs.events import Phase, PhasePeaks

_MIB = 2**20


class PeakMeter:
    """Measures the highest memory of this process since the last call of `restart`, in MiB."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget the peaks so far."""
        memory = _allocator()
        if memory is not None:
            memory.reset_peak_memory_stats()
        try:
            # "5" sets VmHWM back to the present size (Linux, proc_pid_clear_refs(5)).
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._resident_is_reset = True
        except OSError:
            self._resident_is_reset = False

    def forget(self) -> None:
        """Restart after something that is not to be measured: what the allocator kept of it for later goes too."""
        memory = _allocator()
        if memory is not None:
            memory.empty_cache()
        self.restart()

    def read(self, phase: Phase) -> PhasePeaks:
        """Return the peaks since the last restart as those of `phase`; None for what cannot be measured here."""
        memory = _allocator()
        return PhasePeaks(
            phase=phase,
            allocator_allocated_mib=None if memory is None else memory.max_memory_allocated() / _MIB,
            allocator_reserved_mib=None if memory is None else memory.max_memory_reserved() / _MIB,
            resident_mib=_of_status("VmHWM:") if self._resident_is_reset else None,
        )


def _allocator() -> Any | None:
    """torch.cuda or torch.npu once this process uses it; None on a CPU, where torch has no caching allocator.

    Asking before the device is initialised would initialise it, and count the peak of nothing."""
    for name in ("cuda", "npu"):
        module = getattr(torch, name, None)
        if module is not None and module.is_available() and module.is_initialized():
            return module
    return None


def resident_mib() -> float | None:
    """Return what of this process is in memory now, shared library pages included; None elsewhere than on Linux."""
    return _of_status("VmRSS:")


def _of_status(field: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), None)
