"""training_args.bin, read without unpickling.

What a pickle runs when it is loaded is for whoever wrote it to decide. Here its instructions are followed on plain
values alone: where one would import or call something, what that would have been is noted in its place.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
_LARGEST_BYTES = 2**20
"""Of the pickle; a real one has five thousand."""
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "FLOAT", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
)
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_MALFORMED = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError)
"""What zipfile raises where a file is damaged, encrypted or cut off."""


@dataclass(eq=False)
class _Unmade:
    """What unpickling would have made of `name`, which was neither imported nor called."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingArguments:
    """What a training was told, as far as the file holds it in plain values."""

    values: Mapping[str, Scalar]
    device: str | None
    """torch's name of its kind: cpu, cuda, npu."""
    processes: int | None
    """Of all machines together."""


def read(path: Path) -> TrainingArguments:
    """Return what a training_args.bin holds. Raises ValueError where it is none, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = [entry for entry in archive.infolist() if entry.filename.rpartition("/")[2] == "data.pkl"]
            if pickled.file_size > _LARGEST_BYTES:
                raise ValueError(f"holds {pickled.file_size} bytes, far more than training arguments take")
            root = _followed(archive.read(pickled))
    except (*_MALFORMED, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"holds no training arguments that can be read ({error})") from None
    if not isinstance(root, _Unmade) or not root.name.endswith("TrainingArguments"):
        raise ValueError("holds no training arguments")
    values = {name: value for name, found in root.state.items() if (value := _plain(found)) is not _MARK}
    distributed = root.state.get("distributed_state")
    state = distributed.state if isinstance(distributed, _Unmade) else {}
    device, processes = state.get("device"), _plain(state.get("num_processes"))
    kind = device.arguments[0] if isinstance(device, _Unmade) and device.arguments else None
    return TrainingArguments(
        values,
        kind if isinstance(kind, str) and kind.isascii() else None,
        processes if isinstance(processes, int) else None,
    )


def _plain(value: Any) -> Any:
    """The value itself, or that of a member of an enumeration; _MARK: neither."""
    if isinstance(value, _Unmade) and len(value.arguments) == 1:
        value = value.arguments[0]
    return value if value is None or isinstance(value, str | int | float) else _MARK


def _followed(pickled: bytes) -> Any:
    """What the pickle's instructions leave. Nothing outside of this function can be reached by them."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = max(place for place, item in enumerate(stack) if item is _MARK)
        items = stack[start + 1 :]
        del stack[start:]
        return items

    def set_items(target: Any, items: Iterable[tuple[Any, Any]]) -> None:
        # Names alone: hashing a tuple that holds another twice, and so on, never ends.
        named = {key: value for key, value in items if isinstance(key, str)}
        (target.state if isinstance(target, _Unmade) else target).update(named)

    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _PUSHED:
            stack.append(argument)
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = stack[len(stack) - count :]
            del stack[len(stack) - count :]
            stack.append(tuple(items))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            set_items(stack[-1], zip(items[::2], items[1::2], strict=True))
        elif name == "GLOBAL":
            stack.append(_Unmade(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            stack.append(_Unmade(".".join([stack.pop(-2), stack.pop()])))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_Unmade(stack.pop().name, tuple(arguments)))
        elif name == "BUILD":
            state = stack.pop()
            set_items(stack[-1], state.items() if isinstance(state, dict) else ())
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it has the instruction {name}")
    raise ValueError("it has no end")
