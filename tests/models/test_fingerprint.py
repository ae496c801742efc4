"""Which model is this: the identities of existing runs rest on these hashes, so some are constants."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.base.paths import PACKAGE
from harness.models.fingerprint import before, fingerprint, of_model, of_weights

TINY = PACKAGE / "models" / "tiny"
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "adapter.pt",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "qwen.tiktoken",
    "chat_template.jinja",
    "additional_chat_templates/tools.jinja",
    "decoder_tokenizer/tokenizer.json",
    "modeling_own.py",
)
OTHER_FILES = (
    "README.md",
    "LICENSE.txt",
    ".gitattributes",
    ".git/HEAD",
    ".cache/huggingface/download/config.json.metadata",
    ".cache/x.json",
    "._model-00001-of-00002.safetensors",
    "logs/train.log",
    "outputs/single/lora-seed0-0123456789/record.json",
    "outputs/single/lora-seed0-0123456789/adapter/adapter_model.safetensors",
    "checkpoint-500/model.safetensors",
    "figures/benchmark.png",
)
LARGE_BYTES = 2**26 + 12345


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a file of each kind that says what a model is, one of them too large to be read whole."""
    folder = tmp_path / "model"
    for name in MODEL_FILES:
        write(folder / name, f"what {name} holds\n")
    with (folder / "large.safetensors").open("wb") as file:
        file.write(b"header")
        file.truncate(LARGE_BYTES)
    return folder


def test_the_shipped_base_has_the_hash_that_it_always_had() -> None:
    assert of_model(TINY) == "e323bd0b72e3c9691a2d8e2dace80c1d5f0a376f0791fb914292a06c638c62c4"
    assert of_weights(TINY) == "11d2a599ab"


def test_a_folder_of_model_files_alone_has_the_hash_that_the_version_before_gave(model: Path) -> None:
    assert of_model(model) == "47ef4beec7e9faa81505cc46e95ea1532fa2f48a8bbee1c25436dac2172c1d91"
    assert before(model) == fingerprint(model) == of_model(model)
    assert of_weights(model) == "7ee5d1826b"


@pytest.mark.parametrize("name", OTHER_FILES)
def test_what_is_not_the_model_s_changes_its_hash_no_longer_but_that_of_the_version_before(
    model: Path, name: str
) -> None:
    hash_of_all = before(model)
    hash_of_model = of_model(model)
    write(model / name, "made since")
    assert of_model(model) == hash_of_model
    assert before(model) != hash_of_all


def test_the_hash_of_the_version_before_covers_every_file(model: Path) -> None:
    write(model / "README.md", "about\n")
    write(model / ".cache" / "x.json", "{}")
    assert before(model) == "c863a3ab715e978cd59bbe1189d71f084c9feb01e8c94d22a34c87f32620abd7"


def test_a_file_of_others_that_vanishes_meanwhile_costs_no_plan(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = model / "outputs" / "events.jsonl"
    write(others, "")
    stat = Path.stat
    looked_at = []

    def vanishing(path: Path, **more: bool) -> os.stat_result:
        if path == others:
            looked_at.append(path)
            if len(looked_at) > 1:
                raise FileNotFoundError(str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", vanishing)
    assert before(model) == of_model(model)
    assert len(looked_at) > 1


@pytest.mark.parametrize("name", [*MODEL_FILES, "large.safetensors"])
def test_each_file_that_says_what_a_model_is_changes_its_hash(model: Path, name: str) -> None:
    seen = {of_model(model)}
    (model / name).write_text("something else")
    seen.add(of_model(model))
    (model / name).rename((model / name).with_stem("renamed"))
    seen.add(of_model(model))
    assert len(seen) == 3


def test_a_block_in_the_midst_of_a_large_file_changes_its_hash(model: Path) -> None:
    seen = fingerprint(model / "large.safetensors"), of_weights(model), of_model(model)
    with (model / "large.safetensors").open("r+b") as file:
        file.seek((LARGE_BYTES - 2**16) * 31 // 63)
        file.write(b"x")
    assert not {fingerprint(model / "large.safetensors"), of_weights(model), of_model(model)} & set(seen)


def test_a_file_that_was_written_anew_is_read_anew_though_its_size_and_its_time_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("before")
    status = file.stat()
    seen = fingerprint(file)
    file.write_text("behind")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(file) != seen


def test_a_relative_path_means_another_file_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for name in ("one", "other"):
        write(tmp_path / name / "config.json", name[:3])
        os.utime(tmp_path / name / "config.json", ns=(0, 0))
        monkeypatch.chdir(tmp_path / name)
        seen.append(of_model(Path()))
    assert seen[0] != seen[1]


def test_of_a_link_what_it_leads_to_counts_as_in_a_hub_s_cache(model: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    for file in model.rglob("*"):
        if file.is_file():
            (snapshot / file.relative_to(model)).parent.mkdir(parents=True, exist_ok=True)
            (snapshot / file.relative_to(model)).symlink_to(file)
    assert of_model(snapshot) == of_model(model)


def test_questions_keep_their_hash_and_a_folder_of_them_counts_whole(model: Path) -> None:
    assert fingerprint(model / "config.json") == "792e0fe822f94873033c2c4e3facb99d2cc6981a622860d759434dfd84896ff6"
    seen = fingerprint(model)
    write(model / "README.md", "counts here")
    assert fingerprint(model) != seen


def test_a_folder_without_weights_has_no_hash_of_them(tmp_path: Path) -> None:
    write(tmp_path / "config.json", "{}")
    assert of_weights(tmp_path) is None
