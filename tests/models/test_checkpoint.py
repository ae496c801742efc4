"""What a checkpoint's files say, whatever the weights are made of."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.models.checkpoint import (
    DamagedError,
    adapter_problem,
    config_of,
    dtype_of,
    max_positions,
    missing_shards,
    shapes_of,
    weight_files,
)

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}


def write(file: Path, weights: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """A safetensors file by the words of its format: 8 bytes of length, JSON, weights."""
    header, end = {}, 0
    for name, (dtype, shape) in weights.items():
        size = BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(end))


def test_the_shapes_of_all_files_are_read_also_of_weights_that_numpy_has_no_type_for(tmp_path: Path) -> None:
    weights = {dtype: (dtype, (2, 3 + size)) for dtype, size in BYTES.items()}
    write(tmp_path / "model-1.safetensors", weights)
    write(tmp_path / "model-2.safetensors", {"norm": ("F32", (7,)), "scale": ("F32", ())})
    shapes = {name: shape for name, (_, shape) in weights.items()}
    assert shapes_of(tmp_path) == shapes | {"norm": (7,), "scale": ()}


def test_a_folder_without_such_files_has_no_shapes(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    assert shapes_of(tmp_path) == {}


@pytest.mark.parametrize("kept", [0, 4, 20, -1])
def test_a_file_that_was_cut_off_is_named_with_what_it_may_be(kept: int, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    write(file, {"weight": ("F32", (4, 4))})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedError, match=r"model\.safetensors: is no safetensors file; it was cut off, or is a Git"):
        shapes_of(tmp_path)


def test_descriptions_nested_deeper_than_python_reads_are_damaged_ones(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors.index.json"):
        (tmp_path / name).write_text("[" * 100_000)
    assert config_of(tmp_path) == {}
    assert missing_shards(tmp_path) == []


@pytest.mark.parametrize("odd", ['"x"', "[1]", "true", "-1", "null"])
def test_parts_of_a_description_that_are_none_say_nothing(odd: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(f'{{"text_config": {odd}, "rope_scaling": {odd}}}')
    assert (dtype_of(tmp_path), max_positions(tmp_path)) == (None, None)


def test_an_adapter_that_is_none_is_told_and_never_a_fault(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    write(base / "model.safetensors", {"q.weight": ("F32", (4, 4))})
    sides = {f"base_model.model.q.lora_{side}.weight": ("F32", ()) for side in "AB"}
    write(adapter / "adapter_model.safetensors", sides)  # type: ignore[arg-type]
    (adapter / "adapter_config.json").write_text("{}")
    assert adapter_problem(adapter, str(base)) is None
    for name in ("a\0b", "\ud83d"):
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
        assert "belongs to another base" in str(adapter_problem(adapter, str(base)))


def test_a_pipe_is_no_file_of_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    os.mkfifo(tmp_path / "config.json")
    assert (weight_files(tmp_path), shapes_of(tmp_path), config_of(tmp_path)) == ([], {}, {})


def test_reading_them_imports_no_torch() -> None:
    program = f"""
import sys
from pathlib import Path
from harness.models.checkpoint import shapes_of
assert shapes_of(Path({str(PACKAGE / "models" / "tiny")!r}))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
