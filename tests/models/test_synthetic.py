"""Random weights of a shape: made once, by a worker that sees no accelerator, and whole or made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.config.schema import Shape
from harness.models import fingerprint, synthetic
from harness.models.checkpoint import shapes_of
from harness.processes.jobs import Job, RandomWeightsJob

SHAPE = Shape(
    model_type="qwen2",
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=1024,
    tie_word_embeddings=True,
)
KILLED_HALF_WAY = """
import os, signal
from harness.models import synthetic
from tests.models.test_synthetic import SHAPE
def work(job, environment):
    job.folder.mkdir(parents=True)
    (job.folder / "model-00009.safetensors").write_text("half of a shard")
    os.kill(os.getpid(), signal.SIGKILL)
synthetic.run_to_end = work
synthetic.materialize("small", SHAPE)
"""


class Workers:
    """What the workers that make checkpoints are given; `work` is what they do, by default their real work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environments: list[Mapping[str, str]] = []
        self.work: Callable[[Any, Mapping[str, str]], subprocess.CompletedProcess[str]] = synthetic.run_to_end

        def watched(job: Job, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
            self.environments.append(environment)
            return self.work(job, environment)

        monkeypatch.setattr(synthetic, "run_to_end", watched)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workers:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    return Workers(monkeypatch)


def is_whole(folder: Path) -> bool:
    shapes = shapes_of(folder)
    return shapes["model.layers.1.mlp.down_proj.weight"] == (64, 128) and (folder / "tokenizer.json").exists()


def test_two_who_want_a_checkpoint_at_once_make_it_once_and_both_have_it_whole(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SWANLAB_API_KEY", "not for workers")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(synthetic.materialize("small", SHAPE))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [synthetic.path_of("small", SHAPE)] * 2
    assert is_whole(found[0])
    (environment,) = workers.environments
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["ASCEND_RT_VISIBLE_DEVICES"] == "-1"
    assert "SWANLAB_API_KEY" not in environment


def done(status: int = 0, errors: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], status, "", errors)


def test_a_checkpoint_half_made_by_a_process_that_was_killed_is_made_again(workers: Workers) -> None:
    def work(job: RandomWeightsJob, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        job.folder.mkdir(parents=True)
        (job.folder / "model-00001.safetensors").touch()
        return done()

    workers.work = work
    folder = synthetic.path_of("small", SHAPE)
    subprocess.run([sys.executable, "-c", KILLED_HALF_WAY], cwd=Path(__file__).parents[2])
    assert (folder / "model-00009.safetensors").exists()
    assert synthetic.materialize("small", SHAPE) == folder
    assert sorted(file.name for file in folder.iterdir()) == ["complete", "model-00001.safetensors"]
    assert len(workers.environments) == 1
    synthetic.materialize("small", SHAPE)
    assert len(workers.environments) == 1, "what is whole is not made again"


def test_a_worker_that_fails_is_a_message_with_its_last_words_and_leaves_nothing_that_passes_for_whole(
    workers: Workers,
) -> None:
    shape = Shape(**{**vars(SHAPE), "model_type": "no such model"})
    with pytest.raises(UserError, match=r"model\.shape=odd: its random weights could not be made: .*no such model"):
        synthetic.materialize("odd", shape)
    workers.work = lambda job, environment: done(1, "Traceback\nOSError: no room")
    with pytest.raises(UserError, match=r"could not be made: OSError: no room$"):
        synthetic.materialize("odd", shape)
    assert len(workers.environments) == 2


def test_a_disk_without_room_is_told_before_anything_is_made(workers: Workers) -> None:
    shape = Shape(**{**vars(SHAPE), "hidden_size": 2**20, "intermediate_size": 2**24})
    with pytest.raises(UserError, match=r"model\.shape=huge: .* set HARNESS_CACHE to a folder on a larger disk"):
        synthetic.materialize("huge", shape)
    assert workers.environments == []


def test_shapes_that_differ_in_a_size_have_folders_of_their_own(workers: Workers) -> None:
    other = Shape(**{**vars(SHAPE), "head_dim": 32})
    assert synthetic.path_of("small", SHAPE) != synthetic.path_of("small", other)


DAMAGES: list[Callable[[Path], object]] = [
    lambda folder: (folder / "config.json").write_text("null"),
    lambda folder: (folder / "tokenizer.json").unlink(),
    lambda folder: (folder / "model-00001.safetensors").write_bytes(b""),
    lambda folder: os.truncate(folder / "model-00001.safetensors", 1000),
    lambda folder: ((folder / "model-00001.safetensors").unlink(), (folder / "model-00001.safetensors").mkdir()),
    lambda folder: (folder / "complete").write_bytes(b"\xff"),
    lambda folder: ((folder / "complete").unlink(), (folder / "complete").mkdir()),
    lambda folder: (shutil.rmtree(folder), folder.write_text("a file in its place")),
]


def test_a_checkpoint_that_was_damaged_is_named_and_made_again(workers: Workers) -> None:
    def work(job: RandomWeightsJob, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        job.folder.mkdir()
        for name in ("config.json", "tokenizer.json", "model-00001.safetensors"):
            (job.folder / name).write_text(name * 100)
        return done()

    workers.work = work
    folder = synthetic.materialize("small", SHAPE)
    whole = fingerprint.of_model(folder)
    for damage in DAMAGES:
        damage(folder)
        heard: list[str] = []
        synthetic.materialize("small", SHAPE, heard.append)
        assert fingerprint.of_model(folder) == whole
        # In the place of a folder a file is none that was complete once.
        assert all(str(folder) in line and "made again" in line for line in heard)
        assert len(heard) == 1 or damage is DAMAGES[-1]
    assert len(workers.environments) == 1 + len(DAMAGES)


def test_who_waits_for_a_checkpoint_says_so(workers: Workers) -> None:
    begun, heard = threading.Event(), threading.Event()

    def work(job: RandomWeightsJob, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        job.folder.mkdir()
        begun.set()
        heard.wait(60)
        return done()

    workers.work = work
    first = threading.Thread(target=lambda: synthetic.materialize("small", SHAPE))
    first.start()
    begun.wait(60)
    told: list[str] = []
    synthetic.materialize("small", SHAPE, lambda text: (told.append(text), heard.set())[0])
    first.join()
    assert told == [f"another process makes {synthetic.path_of('small', SHAPE)}; waiting"]
    assert len(workers.environments) == 1
