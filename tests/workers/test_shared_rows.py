"""Rows that LLaMA-Factory tokenized for one run are what it would make for another, or are not taken for it."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import llamafactory.data
import pytest
from datasets import Dataset
from llamafactory.data import get_template_and_fix_tokenizer
from llamafactory.data.processor import SupervisedDatasetProcessor
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

from harness.data.tokenized import remove_unheld
from harness.workers import shared_rows
from harness.workers.row_account import RowsLostError
from harness.workers.shared_rows import SharedRows
from tests.workers.reading import PACKING, ROWS, Read, leave_out_the_first_row, written

HALF = {"val_size": 0.5}


def sets(rows: dict[str, Any]) -> dict[str, list[Any]]:
    """What is trained on and each set that is validated on, row by row."""
    validation = rows.get("eval_dataset", {})
    several = validation if isinstance(validation, dict) else {"validation": validation}
    return {name: made.to_list() for name, made in {"train": rows["train_dataset"], **several}.items()}


SHARED = {
    **PACKING,
    "with rows split off": HALF,
    "with rows to validate on": {"eval_dataset": "train"},
    "with several sets to validate on": {"eval_dataset": "train", "eval_on_each_dataset": True},
    "the first of them": {"max_samples": 4},
    "by several processes": {"preprocessing_num_workers": 2},
    "cut": {"cutoff_len": 12},
}


@pytest.mark.parametrize("given", SHARED.values(), ids=SHARED)
def test_a_run_that_finds_its_rows_tokenized_is_given_and_counts_what_it_would_have_made(
    given: dict[str, Any], read: Read, tmp_path: Path
) -> None:
    alone, expected = read(written(tmp_path / "alone", ROWS), **given)
    found = [SharedRows(tmp_path / "tokenized") for _ in range(2)]
    for number, shared in enumerate(found):
        account, rows = read(written(tmp_path / str(number), ROWS), shared=shared, **given)
        assert sets(rows) == sets(expected)
        assert rows["train_dataset"].features == expected["train_dataset"].features
        counted, counted_alone = account.tokenized(), alone.tokenized()
        assert counted is not None
        assert counted_alone is not None
        assert counted.tokenize_seconds == shared.seconds
        same = {"time": 0.0, "tokenize_seconds": None}
        assert counted.model_copy(update=same) == counted_alone.model_copy(update=same)
        assert (account.sequences, account.validation_sets) == (alone.sequences, alone.validation_sets)
    assert found[0].seconds is not None
    assert found[1].seconds is None


ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another seed": ({"seed": 1}, {"seed": 2}),
    "another seed and the same split": (HALF | {"seed": 1}, HALF | {"seed": 1, "lora_rank": 16}),
    "another rank": ({}, {"lora_rank": 64}),
    "the whole model": ({}, {"finetuning_type": "full"}),
    "another batch": ({}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}),
}
UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a split by another seed": (HALF | {"seed": 1}, HALF | {"seed": 2}),
    "fewer rows": ({}, {"max_samples": 9}),
    "another cutoff": ({}, {"cutoff_len": 13}),
    "another template": ({}, {"template": "alpaca"}),
    "another system prompt": ({}, {"default_system": "be brief"}),
    "another token": ({}, {"add_tokens": "say"}),
    "prompts that are trained on": ({}, {"train_on_prompt": True}),
    "packed rows": ({}, {"packing": True}),
    "rows packed apart": ({"packing": True}, {"packing": True, "neat_packing": True}),
    "rows packed by several processes": ({"packing": True}, {"packing": True, "preprocessing_num_workers": 2}),
    "rows packed among fewer": ({"packing": True}, {"packing": True, "preprocessing_batch_size": 2}),
}


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [(*each, True) for each in ALIKE.values()] + [(*each, False) for each in UNLIKE.values()],
    ids=[*ALIKE, *UNLIKE],
)
def test_rows_are_shared_by_all_that_tokenize_alike_and_nobody_else(
    first: dict[str, Any], second: dict[str, Any], is_shared: bool, read: Read, tmp_path: Path
) -> None:
    _, expected = read(written(tmp_path / "alone", ROWS), **second)
    read(written(tmp_path / "first", ROWS), shared=SharedRows(tmp_path / "tokenized"), **first)
    shared = SharedRows(tmp_path / "tokenized")
    _, rows = read(written(tmp_path / "second", ROWS), shared=shared, **second)
    assert (shared.seconds is None) == is_shared
    assert sets(rows) == sets(expected)


def a_word(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [*rows[:-1], {**rows[-1], "output": "other"}]


OTHER_ROWS: dict[str, Callable[[list[dict[str, str]]], list[dict[str, str]]]] = {
    "a word": a_word,
    "their order": lambda rows: rows[::-1],
    "one more": lambda rows: [*rows, rows[0]],
    "the column of a word": lambda rows: [{**row, "instruction": "", "input": row["instruction"]} for row in rows],
}


@pytest.mark.parametrize("change", OTHER_ROWS.values(), ids=OTHER_ROWS)
def test_other_rows_under_the_same_names_are_never_taken_for_these(
    change: Callable[[list[dict[str, str]]], list[dict[str, str]]], read: Read, tmp_path: Path
) -> None:
    folder = written(tmp_path / "rows", ROWS)
    read(folder, shared=SharedRows(tmp_path / "tokenized"))
    changed = change(ROWS)
    _, rows = read(written(folder, changed), len(changed), SharedRows(tmp_path / "tokenized"))
    _, expected = read(written(tmp_path / "alone", changed))
    assert sets(rows) == sets(expected)


def test_a_row_that_its_tokenizer_leaves_out_stops_a_run_that_finds_it_so_too(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_the_first_row(monkeypatch)
    for _ in range(2):
        with pytest.raises(RowsLostError, match="LLaMA-Factory tokenized 9 of the 10 rows that it was given"):
            read(written(tmp_path / "rows", ROWS), shared=SharedRows(tmp_path / "tokenized"))


def no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file")


def no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> bytes:
        raise TypeError("cannot pickle a tokenizer")

    monkeypatch.setattr(shared_rows, "dumps", fail)


def killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervised: Any = importlib.import_module("llamafactory.data.processor.supervised").SupervisedDatasetProcessor
    preprocess, training = supervised.preprocess_dataset, os.getpid()

    def die_elsewhere(self: Any, examples: dict[str, list[Any]]) -> Any:
        if os.getpid() != training:
            os.kill(os.getpid(), signal.SIGKILL)
        return preprocess(self, examples)

    monkeypatch.setattr(supervised, "preprocess_dataset", die_elsewhere)


@pytest.mark.parametrize(
    ("hinder", "why"),
    [(no_room, "FileExistsError"), (no_key, "cannot pickle a tokenizer"), (killed, "ended with status -9")],
)
def test_what_keeps_rows_from_being_shared_costs_no_run(
    hinder: Callable[[Path, pytest.MonkeyPatch], None],
    why: str,
    read: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, expected = read(written(tmp_path / "alone", ROWS))
    hinder(tmp_path / "tokenized", monkeypatch)
    shared = SharedRows(tmp_path / "tokenized")
    account, rows = read(written(tmp_path / "rows", ROWS), shared=shared)
    assert sets(rows) == sets(expected)
    assert account.sequences == 10
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rows are tokenized for")]
    assert told.startswith("rows are tokenized for this run alone, since they cannot be shared: ")
    assert why in told


def test_what_is_wrong_with_the_rows_is_said_as_without_sharing(read: Read, tmp_path: Path) -> None:
    rows = [*ROWS, {"instruction": "look <image>", "input": "", "output": "a", "images": ["none.png"]}]
    folder = written(tmp_path / "rows", rows, columns={"images": "images"})
    errors = []
    for shared in (None, SharedRows(tmp_path / "tokenized")):
        with pytest.raises(ValueError) as error:  # noqa: PT011  # LLaMA-Factory's own words are compared below
            read(folder, shared=shared)
        errors.append(str(error.value))
    assert errors[0] == errors[1] != ""


def test_rows_that_a_run_trains_on_stay_until_it_is_over(read: Read, tmp_path: Path) -> None:
    shared = SharedRows(tmp_path / "tokenized")
    _, rows = read(written(tmp_path / "rows", ROWS), shared=shared)
    before = sets(rows)
    remove_unheld(tmp_path / "tokenized")
    assert len(list((tmp_path / "tokenized").glob("*/"))) == 1
    assert sets(rows) == before


@pytest.fixture
def key(checkpoint: Path, tmp_path: Path) -> Callable[..., str]:
    """Return the key of rows, each given by its text and the images that it names."""
    arguments = {"model_name_or_path": str(checkpoint), "template": "qwen3_nothink", "stage": "sft", "do_train": True}
    places = {"dataset": "d", "dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "o"), "use_cpu": True}
    model_args, data_args, _, _, _ = get_train_args(arguments | places | {"report_to": "none"})
    tokenizer = load_tokenizer(model_args)["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    processor = SupervisedDatasetProcessor(template, tokenizer, None, data_args)

    def key_of(images: Any = None) -> str:
        row = {"_prompt": [{"role": "user", "content": "a"}], "_images": images, "_videos": None, "_audios": None}
        return shared_rows.key(Dataset.from_list([row]), processor.preprocess_dataset, {"batched": True})

    return key_of


@pytest.mark.parametrize("nested", [lambda name: [name], lambda name: [[name]], lambda name: [{"path": name}]])
def test_an_image_of_another_content_is_another_row(
    nested: Callable[[str], Any], key: Callable[..., str], tmp_path: Path
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"a")
    first = key(nested(str(image)))
    assert key(nested(str(image))) == first
    image.write_bytes(b"ab")
    second = key(nested(str(image)))
    image.unlink()
    assert len({first, second, key(nested(str(image)))}) == 3


@pytest.mark.parametrize("library", ["llamafactory", "transformers", "tokenizers", "datasets"])
def test_another_version_of_what_tokenizes_shares_nothing(
    library: str, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key()
    assert key() == before
    monkeypatch.setattr(shared_rows, "version", lambda name: "0" if name == library else metadata.version(name))
    assert key() != before


def test_a_changed_line_of_what_tokenizes_shares_nothing(
    key: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of LLaMA-Factory, whose version may stay the same, and of the harness's repairs."""
    before = key()
    code = tmp_path / "code"
    shutil.copytree(llamafactory.data.__path__[0], code / "data")
    with (code / "data" / "processor" / "supervised.py").open("a") as file:
        file.write("# changed\n")
    with monkeypatch.context() as changed:
        changed.setattr(llamafactory.data, "__path__", [str(code / "data")])
        assert key() != before
    assert key() == before
    repairs = shutil.copy(sys.modules["harness.workers.compat"].__file__ or "", code / "compat.py")
    with Path(repairs).open("a") as file:
        file.write("# changed\n")
    monkeypatch.setattr(shared_rows.compat, "__file__", str(repairs))
    assert key() != before
