"""training_args.bin is read as far as it is plain, and nothing in it is run."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.adoption.training_arguments import read
from tests.adoption.conftest import ARGUMENTS, Home


class TrainingArguments:
    """As torch.save finds it: a class, and its fields in a state."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class PartialState(TrainingArguments):
    pass


class Calls:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (str(self.path), 0o777, True)


def written(path: Path, content: object, name: str = "training_args/data.pkl") -> Path:
    pickled = content if isinstance(content, bytes) else pickle.dumps(content, protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, pickled)
    return path


def test_what_llamafactory_was_told_stands_in_it(trained: Home) -> None:
    held = read(trained.lora / "training_args.bin")
    for name in ("learning_rate", "max_steps", "lr_scheduler_type", "gradient_accumulation_steps", "output_dir"):
        assert held.values[name] == ARGUMENTS[name]
    assert (held.values["seed"], held.values["bf16"], held.values["optim"]) == (42, False, "adamw_torch_fused")
    assert (held.device, held.processes) == ("cpu", 1)


def test_it_has_what_must_not_be_done(trained: Home) -> None:
    with zipfile.ZipFile(trained.lora / "training_args.bin") as archive:
        opcodes = {opcode.name for opcode, _, _ in pickletools.genops(archive.read("training_args/data.pkl"))}
    assert {"REDUCE", "NEWOBJ", "BUILD", "GLOBAL"} <= opcodes


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_pickle_would_run_is_not_run(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    arguments = TrainingArguments(seed=7, evil=Calls(made), nested=[{"deep": (Calls(made),)}], learning_rate=1e-4)
    pickled = pickle.dumps(arguments, protocol)
    held = read(written(tmp_path / "training_args.bin", pickled))
    assert not made.exists()
    assert (held.values["seed"], held.values["learning_rate"]) == (7, 1e-4)
    with pytest.raises(ValueError, match="no training arguments"):
        read(written(tmp_path / "training_args.bin", pickle.dumps(Calls(made), protocol)))
    assert not made.exists()
    pickle.loads(pickled)
    assert made.exists()  # So it would have been run.


def test_an_import_is_not_followed_either(tmp_path: Path) -> None:
    """INST calls by itself, without REDUCE."""
    made = tmp_path / "made"
    with pytest.raises(ValueError, match="INST"):
        read(written(tmp_path / "training_args.bin", f"(V{made}\nios\nmkdir\n.".encode()))
    assert not made.exists()


def test_a_key_that_takes_forever_to_hash_is_passed_over(tmp_path: Path) -> None:
    doubled = b"N" + b"2\x86" * 64  # A pair of a pair of a pair ...: 2 ** 64 leaves.
    with pytest.raises(ValueError, match=r"DUP|no training arguments"):
        read(written(tmp_path / "training_args.bin", b"\x80\x02}" + doubled + b"Ns."))
    remembered = b"Nq\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(64))
    with pytest.raises(ValueError, match="no training arguments"):
        read(written(tmp_path / "training_args.bin", b"\x80\x02}" + remembered + b"Ns."))


def test_the_kind_of_accelerator_is_told(tmp_path: Path) -> None:
    state = PartialState(device=torch.device("cuda", 1), num_processes=2)
    held = read(written(tmp_path / "training_args.bin", TrainingArguments(distributed_state=state)))
    assert (held.device, held.processes) == ("cuda", 2)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 and then nothing", b"no zip at all"],
    ids=["empty", "torn zip", "text"],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "training_args.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no training arguments"):
        read(path)


@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps(TrainingArguments(seed=1), 2)[:-2],
        pickle.dumps({"seed": 1}, 2),
        b"\x80\x02.",
        b"\x80\x02h\x05.",
        b"\x80\x02N\x85R.",
        pickle.dumps(TrainingArguments(text="x" * 2**21), 2),
    ],
    ids=["cut off", "a mapping", "nothing", "no such memo", "calls None", "huge"],
)
def test_a_pickle_that_is_none_of_arguments_is_refused(tmp_path: Path, pickled: bytes) -> None:
    with pytest.raises(ValueError, match="no training arguments"):
        read(written(tmp_path / "training_args.bin", pickled))


def test_an_archive_without_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no training arguments"):
        read(written(tmp_path / "training_args.bin", io.BytesIO().getvalue(), "weights/other"))
