"""A file of the user's own in sweeps/ or conf/: each mistake in one is a message that names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.checked import all_points, mistakes

NO_LIST = "defaults: must be a list, each line of it like `- override /GROUP: NAME`"
OF_ITS_OWN = "must hold lines of KEY: VALUE of its own, not"
TEN = "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} {TEN.format('*' + a)}\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.fixture(autouse=True)
def sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\tsweep: a\n", "sweeps/mine.yaml: line 1, column 1: found character '\\t' that cannot start any token"),
        ("sweep: [\n", "sweeps/mine.yaml: line 2, column 1: expected the node content, but found '<stream end>'"),
        ("sweep: a\nsweep: b\n", "sweeps/mine.yaml: line 2, column 1: found duplicate key sweep"),
        ("sweep: a\n---\nsweep: b\n", "sweeps/mine.yaml: line 2, column 1: but found another document"),
        ("sweep: " + "[" * 5000, "sweeps/mine.yaml: is nested too deep"),
        ("? [a]\n: b\n", "sweeps/mine.yaml: line 1, column 3: found unhashable key"),
        (
            "sweep: !!python/object:os.system x\n",
            "sweeps/mine.yaml: line 1, column 8: could not determine a constructor",
        ),
        ("sweep: *nothing\n", "sweeps/mine.yaml: line 1, column 8: found undefined alias 'nothing'"),
        ("a: &a {b: *a}\n", "sweeps/mine.yaml: line 1: what is named there holds an alias of itself"),
        (BOMB, "sweeps/mine.yaml: line 6: holds more than 100,000 values, its aliases filled in"),
        ("- a\n- b\n", "sweeps/mine.yaml: must hold lines of KEY: VALUE"),
        ("null: a\n", "sweeps/mine.yaml: Incompatible key type 'NoneType'"),
        ("defaults: null\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: {model: tiny}\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [[a]]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [1]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [{override /model: 1}]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [{override /model: [a, {}]}]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [{override /model: tiny, override /method: lora}]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [{}]\n", f"sweeps/mine.yaml: {NO_LIST}"),
        ("defaults: [mine]\n", "the defaults of a file lead back to it"),
        ("defaults: [nothing]\n", "In 'sweeps/mine': Could not load 'sweeps/nothing'."),
        ("defaults: [override /nothing: x]\n", "In 'sweeps/mine': Could not override 'nothing'."),
        ("model: null\n", f"sweeps/mine.yaml: model: {OF_ITS_OWN} None"),
        ("training: [a]\n", f"sweeps/mine.yaml: training: {OF_ITS_OWN} ['a']"),
        ("hydra: {sweeper: {params: [a]}}\n", f"sweeps/mine.yaml: hydra.sweeper.params: {OF_ITS_OWN} ['a']"),
        ("hydra: null\n", f"sweeps/mine.yaml: hydra: {OF_ITS_OWN} None"),
        (
            "hydra: {sweeper: {params: {3: 4}}}\n",
            "In 'sweeps/mine': hydra.sweeper.params.3: Key 3 (int) is incompatible",
        ),
        ("training: {epochs: many}\n", "In 'sweeps/mine': training.epochs: Value 'many' of type 'str' could not be"),
        ("training: {epoch: 1}\n", "In 'sweeps/mine': training.epoch: no such key; did you mean training.epochs?"),
        ("evaluation: {prompts: [hi]}\n", "In 'sweeps/mine': evaluation.prompts[0]: each must be {prompt: TEXT}"),
        ("sweep: {a: b}\n", "In 'sweeps/mine': sweep: Cannot convert 'DictConfig' to string"),
        ("comparison: {axes: [{a: b}]}\n", "comparison.axes.0: Input should be a valid string"),
        ("evaluation: {targets: [[base]]}\n", "evaluation.targets.0: Input should be a valid string"),
        ("sweep: ${nothing}\n", "sweep: Interpolation key 'nothing' not found"),
        ("sweep: ${oc.env:NOT_THERE}\n", "sweep: \"Environment variable 'NOT_THERE' not found\""),
        ("defaults: [override /model: local]\n", "model.path: a value is needed; give model.path=..."),
    ],
)
def test_a_mistake_in_a_sweeps_file(content: str, told: str, sweeps: Path) -> None:
    (sweeps / "mine.yaml").write_text(content)
    (message,) = mistakes("sweeps=mine", "dry_run=true", multirun=True)
    assert message.startswith(told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sweep: é\n".encode("utf-16"), "sweeps/mine.yaml: byte 1 is no UTF-8; save the file as UTF-8"),
        ("sweep: 你\n".encode("gb18030"), "sweeps/mine.yaml: byte 8 is no UTF-8; save the file as UTF-8"),
        (b"sweep: a\0b\n", "sweeps/mine.yaml: character 9 is 0: special characters are not allowed"),
    ],
)
def test_what_is_no_text(content: bytes, told: str, sweeps: Path) -> None:
    (sweeps / "mine.yaml").write_bytes(content)
    (message,) = mistakes("sweeps=mine", multirun=True)
    assert message.startswith(told)


def test_a_file_of_the_configuration_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "conf" / "training").mkdir(parents=True)
    (tmp_path / "conf" / "training" / "mine.yaml").write_text("epochs: 1\nepochs: 2\n")
    told = "conf/training/mine.yaml: line 2, column 1: found duplicate key epochs; mend the file"
    assert mistakes("training=mine") == [told]
    (tmp_path / "conf" / "training" / "mine.yaml").write_text("defaults: [tiny]\nepochs: 7\n")
    (point,) = all_points("training=mine")
    assert point.config.training.epochs == 7


@pytest.mark.parametrize(
    "header", [b"", b"# @package _global_\n", b"\xef\xbb\xbf# @package _global_\n", b"\xef\xbb\xbf"]
)
def test_a_sweep_speaks_of_the_whole_configuration_whatever_its_first_line(header: bytes, sweeps: Path) -> None:
    (sweeps / "mine.yaml").write_bytes(header + b"sweep: own\nhydra: {sweeper: {params: {seed: '1,2'}}}\n")
    assert [(point.config.sweep, point.config.seed) for point in all_points("sweeps=mine", multirun=True)] == [
        ("own", 1),
        ("own", 2),
    ]


def test_aliases_that_stay_small_are_filled_in(sweeps: Path) -> None:
    (sweeps / "mine.yaml").write_text("training: &t {epochs: 2}\ndevice: {chips: &c [0]}\nsweep: a\n")
    (point,) = all_points("sweeps=mine", multirun=True)
    assert point.config.training.epochs == 2


@pytest.mark.parametrize(
    "name", ["folder", "folder.yaml", "x" * 300, "../mine", "a/b", "${nothing}", "[a]", "{a: b}", ""]
)
def test_a_name_that_is_no_sweeps_is_one_message(name: str, sweeps: Path) -> None:
    (sweeps / "folder").mkdir()
    (sweeps / "folder.yaml").mkdir()
    assert len(mistakes(f"sweeps={name}", multirun=True)) == 1


@pytest.mark.parametrize(
    "override",
    [
        *(
            "seed=" + "9" * 5000,
            "~quantization=-inf",
            "~method=[a]",
            "+method=lora",
            "method={a: 1}",
            "seed=" + "[" * 4000,
        ),
        *("method=int(a)", "hydra.sweeper=null", "hydra=null", "hydra.sweeper.params=[a]", "hydra/sweeper=nothing"),
    ],
)
def test_an_override_that_hydra_did_not_expect_is_a_message(override: str) -> None:
    assert len(mistakes(override, multirun=True)) == 1
