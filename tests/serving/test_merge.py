"""Merging: the right weights, in the base's dtype, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from typer.testing import CliRunner

from harness.base.errors import UserError
from harness.cli import app
from harness.models.checkpoint import dtype_of
from harness.processes.jobs import MergeJob
from harness.runs.record import Outcome
from harness.serving import merge as merging
from harness.trainer.trained import Trained
from tests.conftest import command, environment
from tests.devices.stand_ins import wait_until
from tests.serving.conftest import TINY, Merged, Runs


def arguments(base: Path, adapter: Path, output: Path) -> dict[str, Any]:
    trained = {"model_name_or_path": str(base), "template": "qwen3_nothink", "finetuning_type": "lora"}
    return Trained(trained, adapter).export_arguments(output)


def hidden(folder: Path) -> list[str]:
    """What a merge that is not over keeps beside its output."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_qlora_adapter_is_added_to_the_weights_as_they_were_before_quantization(merged: Merged) -> None:
    assert merged.output.returncode == 0, merged.output.stderr
    base, result = load_file(TINY / "model.safetensors"), load_file(merged.folder / "model.safetensors")
    adapter = load_file(merged.run / "adapter" / "adapter_model.safetensors")
    described = json.loads((merged.run / "adapter" / "adapter_config.json").read_text())
    scale = described["lora_alpha"] / described["r"]
    changed = {name.removesuffix(".lora_A.weight") for name in adapter if name.endswith(".lora_A.weight")}
    assert len(changed) == 28
    for prefix in changed:
        name = prefix.removeprefix("base_model.model.") + ".weight"
        update = scale * adapter[f"{prefix}.lora_B.weight"] @ adapter[f"{prefix}.lora_A.weight"]
        assert np.abs(update).max() > 1e-3, "the adapter did not learn"
        np.testing.assert_allclose(result[name], base[name] + update, atol=1e-5)
    untouched = set(base) - {prefix.removeprefix("base_model.model.") + ".weight" for prefix in changed}
    assert all(np.array_equal(base[name], result[name]) for name in untouched)


def test_it_says_where_the_merged_model_is_and_how_large(merged: Merged) -> None:
    assert merged.output.stdout == f"merged: {merged.folder} (3.4 MiB)\n"
    assert {"config.json", "model.safetensors", "tokenizer.json", "merge.yaml"} <= {
        file.name for file in merged.folder.iterdir()
    }
    assert hidden(merged.run) == []


def test_the_yaml_beside_it_is_all_that_plain_llamafactory_needs_and_keeps_bf16(
    merged: Merged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, output = tmp_path / "bf16", tmp_path / "models" / "merged"
    shutil.copytree(TINY, base)
    in_bf16(base)
    export_by(monkeypatch, WHOLE_MODEL)
    merging.merge(arguments(base, merged.run / "adapter", output), output, tmp_path / "log", {})
    shutil.copy(output / "merge.yaml", tmp_path / "merge.yaml")
    shutil.rmtree(output)
    plain = [sys.executable, "-m", "harness.workers.compat", "export", str(tmp_path / "merge.yaml")]
    subprocess.run(plain, check=True, capture_output=True, timeout=120)
    assert dtype_of(output) == "bfloat16"
    made, exact = bf16_weights(output), load_file(merged.folder / "model.safetensors")
    assert set(made) == set(exact)
    for name, weight in made.items():
        # bf16 has 8 bits of precision, and the base was rounded before the adapter was added.
        np.testing.assert_allclose(weight, exact[name], rtol=2**-7, atol=2**-8)


def in_bf16(model: Path) -> None:
    """Round a checkpoint down to bf16, the upper half of each fp32: by hand, since numpy has no bf16."""
    file = model / "model.safetensors"
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    halves = b""
    for name, weight in load_file(file).items():
        half = (weight.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        place = [len(halves), len(halves) + len(half)]
        header[name] = {"dtype": "BF16", "shape": weight.shape, "data_offsets": place}
        halves += half
    encoded = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + halves)
    described = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(described | {"dtype": "bfloat16"}))


def bf16_weights(model: Path) -> dict[str, np.ndarray]:
    """As fp32. Fails where a weight has another dtype."""
    raw = (model / "model.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:start])
    header.pop("__metadata__")
    assert {entry["dtype"] for entry in header.values()} == {"BF16"}
    weights = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        half = np.frombuffer(raw[start + first : start + last], np.uint16)
        weights[name] = (half.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    return weights


@pytest.mark.parametrize(
    ("described", "dtype"),
    [
        ({"dtype": "float32"}, "float32"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({}, "auto"),
    ],
)
def test_what_the_checkpoint_says_stands_in_the_yaml_not_auto(
    described: dict[str, Any], dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` would make bf16 of an fp32 base, but only where an accelerator is to be seen."""
    base, output = tmp_path / "base", tmp_path / "merged"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(described))
    export_by(monkeypatch, WHOLE_MODEL)
    merging.merge(arguments(base, tmp_path, output), output, tmp_path / "log", {})
    written = yaml.safe_load((output / "merge.yaml").read_text())
    assert written["infer_dtype"] == dtype
    assert written["export_dir"] == str(output)


def test_an_accelerator_is_hidden_from_a_merge_that_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_by(monkeypatch, WHOLE_MODEL, "(folder / 'environment').write_text(json.dumps(dict(os.environ)))")
    asked = arguments(TINY, tmp_path, tmp_path / "merged")
    merging.merge(asked, tmp_path / "merged", tmp_path / "log", {"CUDA_VISIBLE_DEVICES": "0", "HOME": "/home"})
    seen = json.loads((tmp_path / "merged" / "environment").read_text())
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["ASCEND_RT_VISIBLE_DEVICES"], seen["HOME"]) == ("", "-1", "/home")


def test_a_merge_that_fails_leaves_nothing_and_says_why(runs: Runs, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(runs.lora / "adapter", adapter)
    described = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(described | {"r": 4}))
    output = tmp_path / "merged"
    ended = merging.merge(arguments(TINY, adapter, output), output, tmp_path / "merge.log", dict(os.environ))
    assert ended.outcome is Outcome.FAILED
    assert "size mismatch" in (ended.reason or "")
    assert not output.exists()
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_merge_that_is_ended_leaves_nothing(number: signal.Signals, run: Path, cache: Path) -> None:
    process = subprocess.Popen(
        command("merge", str(run)), env=environment(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: (run / "logs" / "merge.log").exists())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert hidden(run) == []
    assert not (run / "merged").exists()


def test_an_export_without_tokenizer_is_no_merged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaMA-Factory warns, and ends with status 0."""
    export_by(monkeypatch, WHOLE_MODEL, "(folder / 'tokenizer_config.json').unlink()")
    output = tmp_path / "merged"
    ended = merging.merge(arguments(TINY, tmp_path, output), output, tmp_path / "log", {})
    assert ended.outcome is Outcome.FAILED
    assert ended.reason == "the export left no whole model: there is config.json, model.safetensors"
    assert not output.exists()


def test_what_is_there_already_is_never_touched(tmp_path: Path) -> None:
    output = tmp_path / "merged"
    output.mkdir()
    with pytest.raises(UserError, match="is there already, and nothing is overwritten"):
        merging.merge(arguments(TINY, tmp_path, output), output, tmp_path / "log", {})
    assert list(output.iterdir()) == []


def test_what_came_there_in_the_meantime_is_not_touched_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "merged"
    beside = f"output = Path({str(output)!r}); output.mkdir(); (output / 'other').touch()"
    export_by(monkeypatch, WHOLE_MODEL, beside)
    with pytest.raises(UserError, match="is there already"):
        merging.merge(arguments(TINY, tmp_path, output), output, tmp_path / "log", {})
    assert [file.name for file in output.iterdir()] == ["other"]
    assert hidden(tmp_path) == []


def test_a_disk_without_room_is_told_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(merging.shutil, "disk_usage", lambda folder: usage(free=2**20))
    output = tmp_path / "not" / "there" / "yet"
    with pytest.raises(UserError, match="give a folder on a larger disk with --output"):
        merging.merge(arguments(TINY, tmp_path, output), output, tmp_path / "log", {})
    assert list(tmp_path.iterdir()) == []


A_LONG_MERGE = """
import sys, time
from pathlib import Path
from harness.serving import merge as merging

class Job(merging.MergeJob):
    @classmethod
    def command(cls, file):
        return [sys.executable, "-c", "import time; time.sleep(600)"]

merging.MergeJob = Job
merging.prepare(Path(sys.argv[1])).run()
"""


def test_what_a_merge_that_was_killed_left_is_removed_by_the_next_and_named(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", A_LONG_MERGE, str(run)])
    wait_until(lambda: any((run / name / "job.json").exists() for name in hidden(run)))
    # What is under way is no leftover.
    assert merging.remove_leftovers(run / "merged") == []
    (leftover,) = hidden(run)
    process.kill()
    process.wait()
    export_by(monkeypatch, WHOLE_MODEL)
    done = CliRunner().invoke(app, ["merge", str(run)])
    assert done.exit_code == 0, done.output
    assert f"note: removed what a merge that was killed had left: {run / leftover}\n" in done.stderr
    assert hidden(run) == []
    assert (run / "merged" / "model.safetensors").is_file()


def test_a_merged_model_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_by(monkeypatch, WHOLE_MODEL)
    merged = tmp_path / "merged"
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, merged.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    ended = merging.merge(arguments(TINY, tmp_path, merged), merged, tmp_path / "log", {})
    assert ended.outcome is Outcome.COMPLETED, ended.reason
    assert {("model.safetensors", False), ("config.json", False), (tmp_path.name, True)} <= set(synced)
    assert ("model.safetensors", True) not in synced


def test_a_folder_of_the_users_own_is_no_leftover(tmp_path: Path) -> None:
    for name in (".qwen.my_notes", ".qwen.old", ".other.abcdefgh", "qwen.abcdefgh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / ".qwen.linked00").symlink_to("target")
    (tmp_path / ".qwen.afile000").touch()
    before = sorted(tmp_path.rglob("*"))
    assert merging.remove_leftovers(tmp_path / "qwen") == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_of_the_version_before_is_merged_as_ever(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record lacks all that came since, and its folder has no spec."""
    recorded = json.loads((run / "record.json").read_text())
    new = ("identity_parts", "compute_dtype", "diverged", "divergence", "unread_lines")
    (run / "record.json").write_text(json.dumps({name: value for name, value in recorded.items() if name not in new}))
    (run / "spec.json").unlink(missing_ok=True)
    export_by(monkeypatch, WHOLE_MODEL)
    prepared = merging.prepare(run)
    assert prepared.arguments["adapter_name_or_path"] == str(run / "adapter")
    assert prepared.run().outcome is Outcome.COMPLETED
    assert (run / "merged" / "merge.yaml").is_file()


WHOLE_MODEL = """folder.mkdir()
for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
    (folder / name).write_text("{}")"""


def export_by(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Let the worker be a program that makes `folder` by these lines, at once and without a model."""
    read = """
import json, os, sys, yaml
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
folder = Path(yaml.safe_load(Path(job["arguments"]).read_text())["export_dir"])
"""

    class Job(MergeJob):
        @classmethod
        def command(cls, file: Path | str) -> list[str]:
            return [sys.executable, "-c", "\n".join([read, *lines]), str(file)]

    monkeypatch.setattr(merging, "MergeJob", Job)
