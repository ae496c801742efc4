"""Adapter, merged and served model answer as the trained model did in memory: all kinds of adapter and quantization.

Short trainings by the training's own worker; benchmarks/same_answers.py has longer ones, and docs/same_answers.md what
is promised of both."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import openai
import pytest
import yaml
from safetensors.torch import load_file, save_file

from benchmarks.in_memory import (
    KINDS,
    MAX_NEW_TOKENS,
    WEIGHTS,
    Asked,
    ask,
    overrides_of,
    questions,
    train_and_look,
    write_as_quantized,
)
from harness.execution.build_record import Progress, build_record
from harness.plan import files
from harness.plan.planner import Planner
from harness.processes.jobs import MergeJob, TrainJob
from harness.runs import store
from harness.runs.folder import RunFolder
from harness.serving import merge as merging
from harness.trainer.trained import Trained
from harness.workers import merge
from harness.workers.language_model import load
from tests.conftest import command, environment
from tests.planning import spec_of
from tests.workers.trainings import kept_as_they_are

QUANTIZATIONS = ("none", "nf4_double", "int8")
EMBEDDED = "rsLoRA with embeddings"
ROWS = questions(12)
ROUNDING_NATS, MERGED_NATS = 1e-4, 0.02
"""How far a mean loss may be from the trained model's: by the order of sums, and after an adapter that was trained on
quantized weights was merged into those before quantization."""
TRAINED_WITH = {
    "LoRA": [*overrides_of("LoRA"), "training.learning_rate=5e-3"],
    "DoRA": [*overrides_of("DoRA"), "training.learning_rate=5e-3"],
    EMBEDDED: [*overrides_of(EMBEDDED), "training.learning_rate=2e-3"],
    "LoRA on embeddings": ["method.target='embed_tokens,lm_head,q_proj'", "training.learning_rate=5e-3"],
}
"""Each learns the form of an answer in 20 steps."""
SETTINGS = (
    *("device=cpu", "seed=0", "tracking=disabled", "dataset.train_samples=160", "dataset.validation_samples=0"),
    *("training.validation_steps=null", "training.batch_size=8", "training.max_steps=20"),
)


@dataclass(frozen=True)
class Run:
    """A finished run, as `harness run` leaves it."""

    folder: RunFolder
    trained: Trained
    memory: Asked
    """What the trained model answered before the training let go of it."""


Runs = Callable[[str, str], Run]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Trains, in this process, what is asked for first, and merges it."""

    @cache
    def made(kind: str, quantization: str) -> Run:
        output = tmp_path_factory.mktemp("outputs")
        spec = spec_of(*SETTINGS, f"output={output}", f"quantization={quantization}", *TRAINED_WITH[kind])
        files.write(spec, Planner(output).rows(spec.config.dataset)[0], {})
        job = TrainJob.model_validate_json(spec.folder.job("train").read_bytes())
        memory = train_and_look(job, lambda model: ask(model, ROWS))
        store.write(spec.folder, build_record(spec, Progress()))
        run = Run(spec.folder, files.trained(spec), memory)
        merge_here(run, spec.folder.merged)
        return run

    with pytest.MonkeyPatch.context() as kept:
        kept_as_they_are(kept)
        yield made


def merge_here(run: Run, output: Path, **others: str) -> None:
    """`harness merge` without a process of its own. `others`: of LLaMA-Factory's arguments."""
    arguments = merging.prepare(run.folder.path, output).arguments | {"infer_dtype": "float32"} | others
    file = output.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(arguments))
    merge.main(MergeJob(arguments=file, events=output.with_suffix(".jsonl")))


def loaded(arguments: dict[str, Any]) -> Asked:
    """What a model answers that is loaded as an evaluation loads it."""
    return ask(load(arguments, MAX_NEW_TOKENS), ROWS)


def is_alike(asked: Asked, other: Asked) -> bool:
    return asked.answers == other.answers and asked.losses == pytest.approx(other.losses, abs=ROUNDING_NATS)


every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@every_kind
def test_the_adapter_answers_as_the_trained_model_did(runs: Runs, kind: str, quantization: str) -> None:
    run = runs(kind, quantization)
    assert sum("####" in answer for answer in run.memory.answers) > len(ROWS) / 2, "it learnt nothing"
    assert len(set(run.memory.answers)) > len(ROWS) / 2, "it learnt nothing"
    assert is_alike(loaded(run.trained.adapter_arguments()), run.memory)


@every_kind
def test_where_nothing_was_quantized_the_merged_model_answers_as_the_trained_one_did(runs: Runs, kind: str) -> None:
    run = runs(kind, "none")
    assert is_alike(loaded(run.trained.merged_arguments(run.folder.merged)), run.memory)


@pytest.mark.parametrize("quantization", QUANTIZATIONS[1:])
@every_kind
def test_after_quantization_the_merged_model_is_nearly_the_trained_one(
    runs: Runs, kind: str, quantization: str
) -> None:
    """By its losses: how many answers stay hangs on how sure a model is of them, and after 20 steps it is not."""
    run = runs(kind, quantization)
    merged = loaded(run.trained.merged_arguments(run.folder.merged))
    assert 0 < abs(mean(merged.losses) - mean(run.memory.losses)) <= MERGED_NATS


@every_kind
def test_the_weights_that_nf4_changed_explain_the_others(runs: Runs, kind: str, tmp_path: Path) -> None:
    """Merged into what NF4 left of the base, in place of what it was before, the model answers as the trained one."""
    run = runs(kind, "nf4_double")
    plain, quantized = (runs(kind, name).trained.adapter_arguments() for name in ("none", "nf4_double"))
    quantization = {name: value for name, value in quantized.items() if name not in plain}
    write_as_quantized(run.trained.base_arguments(), quantization, tmp_path / "left")
    merge_here(run, tmp_path / "merged", model_name_or_path=str(tmp_path / "left"))
    assert is_alike(loaded(run.trained.merged_arguments(tmp_path / "merged")), run.memory)


def test_an_adapter_on_embeddings_that_share_a_weight_is_merged_into_each(runs: Runs) -> None:
    """An adapter on a base that is not quantized is merged to be asked, too."""
    run = runs("LoRA on embeddings", "none")
    assert is_alike(loaded(run.trained.adapter_arguments()), run.memory)
    assert is_alike(loaded(run.trained.merged_arguments(run.folder.merged)), run.memory)


def test_a_merged_model_says_that_its_embeddings_are_two_where_they_were_trained(runs: Runs) -> None:
    """Else other programs, and earlier versions of transformers, take one of them for both."""
    for kind, embeddings in {EMBEDDED: {"model.embed_tokens.weight", "lm_head.weight"}, "LoRA": None}.items():
        run = runs(kind, "none")
        config = json.loads((run.folder.merged / "config.json").read_text())
        assert config["tie_word_embeddings"] is (embeddings is None)
        adapter, merged = (load_file(file) for file in (run.folder.adapter / ADAPTER, run.folder.merged / WEIGHTS))
        for name in embeddings or ():
            assert merged[name].equal(adapter[f"base_model.model.{name}"])


def test_what_is_served_answers_as_the_trained_model_did(runs: Runs, tmp_path: Path) -> None:
    """Of the adapter that has most to lose: a scale of its own, embeddings, and quantized weights below it."""
    run = runs(EMBEDDED, "nf4_double")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    arguments = command("serve", str(run.folder.path), "--port", str(port))
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(arguments, env=environment(tmp_path), stdout=log, stderr=log)
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        wait_for(client, server, tmp_path / "log")
        for row, answer in list(zip(ROWS, run.memory.answers, strict=True))[:8]:
            messages: Any = [{"role": "user", "content": row.instruction}]
            completion = client.chat.completions.create(
                model="any", messages=messages, temperature=0, max_tokens=MAX_NEW_TOKENS
            )
            assert completion.choices[0].message.content == answer
    finally:
        server.kill()
        server.wait()


def wait_for(client: openai.OpenAI, server: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.models.list()
            return
        except openai.APIConnectionError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_a_model_of_another_scale_answers_otherwise(runs: Runs, tmp_path: Path) -> None:
    """So the questions can tell models apart, as in the next test."""
    run = runs(EMBEDDED, "none")
    adapter = changed_adapter(run, tmp_path)
    described = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(described | {"use_rslora": False}))
    assert not is_alike(loaded(run.trained.adapter_arguments() | {"adapter_name_or_path": str(adapter)}), run.memory)


@pytest.mark.parametrize("part", ["embed_tokens", "lm_head"])
def test_a_model_whose_embeddings_were_not_saved_as_trained_answers_otherwise(
    runs: Runs, part: str, tmp_path: Path
) -> None:
    run = runs(EMBEDDED, "none")
    adapter = changed_adapter(run, tmp_path)
    weights = load_file(adapter / ADAPTER)
    (name,) = [name for name in weights if part in name]
    base = load_file(Path(run.trained.base) / WEIGHTS)["model.embed_tokens.weight"]
    save_file(weights | {name: base}, adapter / ADAPTER, metadata={"format": "pt"})
    assert not is_alike(loaded(run.trained.adapter_arguments() | {"adapter_name_or_path": str(adapter)}), run.memory)


def test_a_dora_without_its_magnitudes_answers_otherwise(runs: Runs, tmp_path: Path) -> None:
    """PEFT fills up what is missing, and warns."""
    run = runs("DoRA", "none")
    adapter = changed_adapter(run, tmp_path)
    weights = load_file(adapter / ADAPTER)
    kept = {name: weight for name, weight in weights.items() if "magnitude" not in name}
    assert len(kept) < len(weights)
    save_file(kept, adapter / ADAPTER, metadata={"format": "pt"})
    assert not is_alike(loaded(run.trained.adapter_arguments() | {"adapter_name_or_path": str(adapter)}), run.memory)


ADAPTER = "adapter_model.safetensors"


def changed_adapter(run: Run, folder: Path) -> Path:
    """A copy of a run's adapter, to be changed."""
    shutil.copytree(run.folder.adapter, folder / "adapter")
    return folder / "adapter"
