"""Of the rows that are given none is lost, added or changed on its way to the trainer, through LLaMA-Factory itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from harness.base.decoding import without_lone_surrogates
from harness.config.schema import DatasetConfig
from harness.data import prepare
from harness.data.sources import SourceReader
from harness.workers.row_account import RowAccount, RowsLostError
from harness.workers.rows_trained import RowWatch
from tests.workers.reading import CUTOFF, PACKING, ROWS, Read, leave_out_the_first_row, written


def trained_on(rows: dict[str, Any], tokenizer: Any, batch_size: int = 3) -> tuple[list[str], int, int]:
    """What the batches hold that go to a model, decoded, an item a row of theirs; their rows and tokens, counted."""
    texts: list[str] = []
    loader = DataLoader(rows["train_dataset"], batch_size=batch_size, collate_fn=rows["collate"])
    prepared = Accelerator(cpu=True).prepare(loader)
    watch = RowWatch(prepared, tokenizer.pad_token_id, keep=10**6)
    for _ in prepared:
        watch.batch_trained()
    texts = [tokenizer.decode(row.input_ids.tolist(), clean_up_tokenization_spaces=False) for row in watch.kept]
    seen = watch.finish()
    assert seen is not None
    return texts, seen.rows, seen.tokens


def turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


# Half of a character of two is what Python writes and LLaMA-Factory's reader leaves out; <image> is a placeholder.
TEXTS = st.text(st.characters(exclude_characters="<"), min_size=1, max_size=12).filter(
    lambda text: bool(without_lone_surrogates(text).strip())
)
MAY_BE_EMPTY = st.one_of(st.just(""), st.none(), TEXTS)


@st.composite
def alpaca(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A row, and the text that it is."""
    instruction, asked, answer, system = draw(MAY_BE_EMPTY), draw(MAY_BE_EMPTY), draw(TEXTS), draw(MAY_BE_EMPTY)
    if not instruction and not asked:
        instruction = draw(TEXTS)
    history = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
    turns = [*history, ("\n".join(text for text in (instruction, asked) if text), answer)]
    text = turn("system", system) if system else ""
    text += "".join(turn("user", question) + turn("assistant", reply) for question, reply in turns)
    row = {"instruction": instruction, "input": asked, "output": answer, "system": system, "history": history}
    return row, text


@st.composite
def sharegpt(draw: st.DrawFn, role: str, content: str, names: tuple[str, str, str]) -> tuple[dict[str, Any], str]:
    pairs, system = draw(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)), draw(st.none() | TEXTS)
    said = [(0, system)] if system else []
    said += [each for question, reply in pairs for each in ((1, question), (2, reply))]
    turns = [{role: names[who], content: text} for who, text in said]
    return {"turns": turns}, "".join(turn(("system", "user", "assistant")[who], text) for who, text in said)


ALPACA_COLUMNS = {name: name for name in ("system", "history")} | {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
}
OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
SHAREGPT = sharegpt("from", "value", ("system", "human", "gpt"))
IN_OPENAI_WORDS = sharegpt("role", "content", ("system", "user", "assistant"))
FORMATTINGS = {
    "alpaca": (alpaca(), {"columns": ALPACA_COLUMNS}),
    "sharegpt": (SHAREGPT, {"formatting": "sharegpt", "columns": {"messages": "turns"}}),
    "openai": (IN_OPENAI_WORDS, {"formatting": "sharegpt", "columns": {"messages": "turns"}, "tags": OPENAI}),
}


@pytest.mark.parametrize("packing", PACKING.values(), ids=PACKING)
@pytest.mark.parametrize("formatting", FORMATTINGS)
def test_every_row_is_trained_on_once_as_it_was_given(
    formatting: str, packing: dict[str, bool], read: Read, checkpoint: Path, tmp_path: Path
) -> None:
    rows_of, described = FORMATTINGS[formatting]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    number = iter(range(10**6))

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=st.lists(rows_of, min_size=1, max_size=7), most=st.none() | st.integers(1, 7))
    def law(rows: list[tuple[dict[str, Any], str]], most: int | None) -> None:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        (folder / "rows.json").write_text(json.dumps([row for row, _ in rows]))
        config = DatasetConfig(name="local", path="rows.json", **described)
        prepare.write(prepare.draw(config, SourceReader(folder)), folder)
        kept = [without_lone_surrogates(text) for _, text in rows[:most]]
        account, made = read(folder, len(kept), max_samples=most, **packing)
        counted = account.tokenized()
        assert counted is not None
        assert (counted.rows, counted.at_cutoff) == (len(kept), 0)
        texts, given_rows, tokens = trained_on(made, tokenizer)
        assert tokens == sum(len(tokenizer(text)["input_ids"]) for text in kept)
        assert account.lost(given_rows, 1.0, 3, 1, False) is None
        if packing:
            assert counted.sequences == given_rows == len(texts)
            assert sorted("".join(texts)) == sorted("".join(kept))
            assert all(text in "".join(texts) for text in kept)
        else:
            assert counted.sequences is None
            assert texts == kept

    law()


def test_rows_that_llamafactory_would_leave_out_stop_the_training_and_are_named(read: Read, tmp_path: Path) -> None:
    columns = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "good"}
    rows = [{**row, "good": True if number in (2, 7) else None} for number, row in enumerate(ROWS)]
    with pytest.raises(RowsLostError) as lost:
        read(written(tmp_path, rows, columns=columns))
    assert str(lost.value).startswith("LLaMA-Factory would leave out 2 of 10 rows, as they have no question with one")
    assert '"content": "ask 2"' in str(lost.value)
    assert '"content": "ask 7"' in str(lost.value)


def test_turns_out_of_order_stop_it_too(read: Read, tmp_path: Path) -> None:
    good = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    rows = [{"conversations": good}, {"conversations": good[::-1]}, {"conversations": good[:1]}]
    with pytest.raises(RowsLostError, match="would leave out 2 of 3 rows"):
        read(written(tmp_path, rows, formatting="sharegpt"))


def test_a_file_with_other_rows_than_were_written_stops_it(read: Read, tmp_path: Path) -> None:
    written(tmp_path, ROWS)
    with pytest.raises(RowsLostError, match="LLaMA-Factory read 10 of the 12 rows that there are to train on"):
        read(tmp_path, 12)
    account, _ = read(tmp_path, 4, max_samples=4)
    assert account.sequences == 4


def test_a_row_that_its_tokenizer_leaves_out_stops_it(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: what is counted is what came out."""
    leave_out_the_first_row(monkeypatch)
    with pytest.raises(RowsLostError, match="LLaMA-Factory tokenized 9 of the 10 rows that it was given"):
        read(written(tmp_path, ROWS))


def test_what_is_held_out_and_what_is_cut_is_counted(read: Read, tmp_path: Path) -> None:
    account, made = read(written(tmp_path, ROWS), 10, val_size=0.3)
    counted = account.tokenized()
    assert counted is not None
    assert (counted.rows, counted.held_out, counted.validation) == (7, 3, 3)
    assert (len(made["train_dataset"]), len(made["eval_dataset"])) == (7, 3)
    longest = max(len(ids) for ids in made["train_dataset"]["input_ids"])
    account, made = read(written(tmp_path, ROWS), 10, cutoff_len=longest - 2)
    counted = account.tokenized()
    assert counted is not None
    lengths = [len(ids) for ids in made["train_dataset"]["input_ids"]]
    assert counted.at_cutoff == sum(length == longest - 2 for length in lengths) > 0


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "processes", "is_due"),
    [
        (20, 2.0, 4, 1, True),
        (12, 2.0, 4, 1, False),
        (30, 2.0, 4, 1, False),
        (8, 0.8, 4, 1, True),
        (10, 2.0, 4, 2, True),
        (2, 2.0, 1, 2, False),
    ],
)
def test_the_trainer_is_held_to_the_rows_that_its_epochs_are_due(
    rows: int, epochs: float, batch: int, processes: int, is_due: bool
) -> None:
    account = RowAccount(CUTOFF, None, None)
    account.sequences = 10
    lost = account.lost(rows, epochs, batch, processes, False)
    assert (lost is None) == is_due
    if lost is not None:
        assert str(lost).startswith(f"the trainer was given {rows} rows in 2 epochs")
    assert account.lost(rows, epochs, batch, processes, True) is None
