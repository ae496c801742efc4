"""Books the bytes of every storage that operators make, by what they are for, until it is freed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.devices.allocator import Event, rounded
from harness.runs.forecasted import MemoryPart

Workspace = Callable[[tuple[Any, ...], Any], int]
"""Of an operator's arguments and its result: the bytes that its kernel takes besides and gives back at once."""

_PARTS = list(MemoryPart)


@dataclass(frozen=True)
class Booked:
    """The highest sum of a stretch of work."""

    peak_bytes: int
    """As torch's allocator counts: each storage in whole blocks."""
    parts: dict[MemoryPart, int]
    """In bytes, at that moment."""


@dataclass
class _Held:
    number: int
    size: int
    part: int


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the operators of its thread. A storage is free once nobody refers to it, as with torch's own count."""

    def __init__(self, vocabulary: int, workspaces: dict[str, Workspace]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        """In their order: what the caching allocator is asked for."""
        self._vocabulary = vocabulary
        self._kernels = _Kernels()
        self._workspaces = workspaces
        self._workspace_of: dict[Any, Workspace | None] = {}
        self._making = self._unpacks = -1
        self._by_name: dict[Any, int] = {}
        self._held: dict[int, _Held] = {}
        self._references: dict[int, weakref.ref[Any]] = {}
        self._numbers = 0
        self._total = 0
        self._now = [0] * len(_PARTS)
        self._peak = 0
        self._at_peak = list(self._now)

    @contextmanager
    def making(self, part: MemoryPart) -> Iterator[None]:
        """Book what the body makes as `part`, whatever operator makes it."""
        before, self._making = self._making, _PARTS.index(part)
        try:
            yield
        finally:
            self._making = before

    def book(self, tensors: Iterable[torch.Tensor], part: MemoryPart) -> None:
        """Book tensors as `part`, those too that are booked already as another."""
        index = _PARTS.index(part)
        for tensor in tensors:
            held = self._held.get(tensor.untyped_storage()._cdata)
            if held is None:
                self._take(tensor, index)
            else:
                self._now[held.part] -= held.size
                self._now[index] += held.size
                held.part = index

    def restart(self) -> None:
        """Forget the peak, but not what is held."""
        self._peak, self._at_peak = self._total, list(self._now)

    def read(self) -> Booked:
        """Return the peak since the last restart."""
        return Booked(self._peak, {part: size for part, size in zip(_PARTS, self._at_peak, strict=True) if size})

    @property
    def held_bytes(self) -> int:
        return self._total

    def borrow(self, size: int, part: MemoryPart) -> None:
        """Book bytes that a kernel takes and gives back at once."""
        if not size:
            return
        index = _PARTS.index(part)
        number = self._add(size, index)
        self._remove(number, rounded(size), index)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = self._kernels.call(func, args, kwargs or {})
        part = self._making
        if part < 0:
            known = self._by_name.get(func)
            part = self._classify(func) if known is None else known
        if isinstance(made, torch.Tensor):
            self._take(made, part)
        elif isinstance(made, (tuple, list)):
            for each in made:
                if isinstance(each, torch.Tensor):
                    self._take(each, part)
        workspace = self._workspace_of[func] if func in self._workspace_of else self._find_workspace(func)
        if workspace is not None:
            self.borrow(workspace(args, made), _part_of_workspace(func))
        return made

    def _classify(self, func: Any) -> int:
        part = MemoryPart.WORKSPACE if "bitsandbytes::dequant" in func.name() else MemoryPart.ACTIVATIONS
        self._by_name[func] = index = _PARTS.index(part)
        return index

    def _find_workspace(self, func: Any) -> Workspace | None:
        found = self._workspace_of[func] = self._workspaces.get(func.name().partition(".")[0])
        return found

    def _take(self, tensor: torch.Tensor, part: int) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held:
            return
        size = storage.nbytes()
        if not size:
            return
        if part == _ACTIVATIONS and tensor.dim() and tensor.shape[-1] == self._vocabulary:
            part = _LOSS
        self._held[key] = _Held(self._add(size, part), rounded(size), part)
        self._references[key] = weakref.ref(storage, partial(self._free, key))

    def _free(self, key: int, _: object) -> None:
        del self._references[key]
        held = self._held.pop(key)
        self._remove(held.number, held.size, held.part)

    def _add(self, size: int, part: int) -> int:
        self._numbers += 1
        self.events.append((self._numbers, size))
        size = rounded(size)
        self._now[part] += size
        self._total += size
        if self._total > self._peak:
            self._peak, self._at_peak = self._total, list(self._now)
        return self._numbers

    def _remove(self, number: int, size: int, part: int) -> None:
        self.events.append((number, 0))
        self._now[part] -= size
        self._total -= size


class _Kernels:
    """Operators on the meta device, each asked once what it makes of tensors like these.

    Many of torch's meta kernels are written in Python, and most of a trace's time is theirs; a model's layers ask the
    same of them again and again."""

    def __init__(self) -> None:
        self._known: dict[Any, _Like | None] = {}
        """None: what is made is more than one tensor, or lies where an argument lies."""

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asked = (func, _key(args), _key(tuple(kwargs.items())))
        try:
            known = self._known.get(asked, _UNKNOWN)
        except TypeError:
            return func(*args, **kwargs)
        if known is not None and known is not _UNKNOWN:
            return torch.empty_strided(known.shape, known.strides, dtype=known.dtype, device="meta")
        made = func(*args, **kwargs)
        if known is _UNKNOWN:
            self._known[asked] = _like(made, (*args, *kwargs.values()))
        return made


@dataclass(frozen=True)
class _Like:
    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype


_UNKNOWN = _Like(torch.Size(), (), torch.float32)


def _key(values: Iterable[Any]) -> tuple[Any, ...]:
    """What decides of arguments what is made; a number by its type too, since True, 1 and 1.0 are one key."""
    return tuple(
        (value.shape, value.stride(), value.dtype, value.device.type)
        if isinstance(value, torch.Tensor)
        else _key(value)
        if isinstance(value, (list, tuple))
        else (type(value), value)
        for value in values
    )


def _like(made: Any, given: Iterable[Any]) -> _Like | None:
    if not isinstance(made, torch.Tensor) or made.device.type != "meta":
        return None
    own = made.untyped_storage()
    if own.nbytes() != made.numel() * made.element_size() or any(own._cdata in _storages(value) for value in given):
        return None
    return _Like(made.shape, made.stride(), made.dtype)


def _storages(value: Any) -> set[int]:
    if isinstance(value, torch.Tensor):
        return {value.untyped_storage()._cdata}
    return {each for inner in value for each in _storages(inner)} if isinstance(value, (list, tuple)) else set()


_ACTIVATIONS, _LOSS = _PARTS.index(MemoryPart.ACTIVATIONS), _PARTS.index(MemoryPart.LOSS)


def _part_of_workspace(func: Any) -> MemoryPart:
    return MemoryPart.WORKSPACE if func.name().startswith("bitsandbytes") else MemoryPart.ACTIVATIONS
