"""Trainings that LLaMA-Factory did without the harness become runs, with what is known of them and no more."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from harness.adoption.adopt import AdoptedRun
from harness.adoption.output_folder import TrainingFile
from harness.base.errors import UserError
from harness.comparison.runs import load_runs, load_sweep
from harness.runs import store
from harness.runs.events import TrainingLoss, ValidationLoss
from harness.runs.events import read as read_events
from harness.runs.folder import RunFolder
from harness.runs.record import Adopted, DivergenceKind, Outcome, Record, Unknown
from harness.serving.finished_run import load as finished_run
from tests.adoption.conftest import ARGUMENTS, QLORA, Home
from tests.builders import RunBuilder
from tests.conftest import SECRET


def origin(run: AdoptedRun) -> Adopted:
    assert run.record.adopted is not None
    return run.record.adopted


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_two_trainings_by_hand_become_two_arms(home: Home) -> None:
    adoption = home.adopt(home.lora, home.qlora)
    lora, qlora = (run.record for run in adoption.runs)
    assert [(record.arm, record.seed, record.status) for record in (lora, qlora)] == [
        ("lora", 42, Outcome.COMPLETED),
        ("qlora", 42, Outcome.COMPLETED),
    ]
    assert (lora.baseline, qlora.baseline) == ("lora", "lora")
    assert (lora.config["quantization"], qlora.config["quantization"]) == (
        {"bits": None},
        {"type": "nf4", "double": True, "bits": 4},
    )
    assert (qlora.config["method"]["rank"], qlora.config["method"]["alpha"]) == (8, 16)
    assert qlora.config["model"] == {
        "trust_remote_code": False,
        "template": "qwen",
        "path": ARGUMENTS["model_name_or_path"],
    }
    assert (qlora.config["training"]["max_steps"], qlora.config["training"]["precision"]) == (6, "fp32")
    assert {"torch", "transformers", "peft"} <= qlora.environment.versions.keys()
    assert (qlora.device, qlora.environment.device_count) == ("cpu", 1)
    assert qlora.command == f"llamafactory-cli train {home.path / 'qlora.yaml'}"


def test_what_was_measured_is_taken_over_and_what_was_not_is_none(home: Home) -> None:
    lora, qlora = home.adopt(home.lora, home.qlora).runs
    results = json.loads((home.lora / "all_results.json").read_text())
    state = json.loads((home.qlora / "trainer_state.json").read_text())
    training, other = lora.record.training, qlora.record.training
    assert training is not None
    assert training.train_seconds is not None
    assert training.validation_seconds is not None
    assert training.train_seconds + training.validation_seconds == pytest.approx(results["train_runtime"])
    assert training.validation_loss == results["eval_loss"]
    assert training.train_loss == [entry["loss"] for entry in state_of(home.lora) if "loss" in entry][-1]
    assert training.adapter_mib == (home.lora / "adapter_model.safetensors").stat().st_size / 2**20
    # LLaMA-Factory counts tokens where it is asked to.
    assert other is not None
    assert (training.tokens, other.tokens) == (None, state["num_input_tokens_seen"])
    assert Unknown.TOKENS in origin(lora).unknown
    assert Unknown.TOKENS not in origin(qlora).unknown
    assert {Unknown.MEMORY, Unknown.ACCURACY, Unknown.HARDWARE, Unknown.ROWS} <= set(origin(lora).unknown)
    assert (lora.record.wall_seconds, lora.record.memory, lora.record.score) == (None, [], None)
    assert (lora.record.environment.device, lora.record.environment.host_memory_mib) == (None, None)


def state_of(folder: Path) -> list[dict[str, float]]:
    history: list[dict[str, float]] = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return history


def test_its_losses_are_events_of_the_run(home: Home) -> None:
    (run,) = home.adopt(home.lora).runs
    events = read_events(run.run.events)
    assert all(event.time >= run.record.started_at.timestamp() for event in events)
    for kind, key in ((TrainingLoss, "loss"), (ValidationLoss, "eval_loss")):
        assert [(event.step, event.loss) for event in events if isinstance(event, kind)] == [
            (entry["step"], entry[key]) for entry in state_of(home.lora) if key in entry
        ]


def test_nothing_of_the_users_is_changed_or_copied(home: Home) -> None:
    before = content(home.path)
    home.adopt(home.lora, home.qlora)
    after = content(home.path)
    assert {name: after[name] for name in before} == before
    made = [name for name in after if name not in before]
    assert made
    assert all(name.startswith("outputs/") for name in made)
    assert not any(name.endswith((".safetensors", ".bin")) for name in made)


def test_adopting_again_changes_nothing(home: Home) -> None:
    home.adopt(home.lora, home.qlora)
    before = content(home.sweep.path)
    again = home.adopt(home.lora, home.qlora)
    assert [run.is_new for run in again.runs] == [False, False]
    assert content(home.sweep.path) == before


def test_a_folder_that_was_trained_anew_is_adopted_anew_and_the_earlier_record_kept(home: Home) -> None:
    (old,) = home.adopt(home.lora).runs
    results = home.lora / "train_results.json"
    results.write_text(json.dumps(json.loads(results.read_text()) | {"train_runtime": 99.5}))
    (new,) = home.adopt(home.lora).runs
    assert new.is_new
    assert new.record.identity != old.record.identity
    assert new.earlier is not None
    assert store.load(RunFolder(new.earlier)) == old.record
    assert [run.name for run in home.sweep.runs()] == [new.run.name]


def test_a_folder_that_gets_another_name_is_one_arm_not_two(home: Home) -> None:
    home.adopt(home.lora)
    home.adopt(first=home.lora)
    assert [(store.load(run) or pytest.fail("no record")).arm for run in home.sweep.runs()] == ["first"]


def test_without_the_training_file_quantization_is_not_known_and_the_user_names_the_arms(home: Home) -> None:
    adoption = home.adopt(files=[], lora=home.lora, qlora=home.qlora)
    for run, name in zip(adoption.runs, ("lora", "qlora"), strict=True):
        assert run.record.arm == name
        assert Unknown.QUANTIZATION in origin(run).unknown
        assert "quantization" not in run.record.config
        assert run.record.config["training"]["learning_rate"] == ARGUMENTS["learning_rate"]
        assert run.record.config["dataset"] == {"path": "sums"}  # By the model card.
    # What nobody knows is not taken for LoRA.
    (command,) = adoption.measuring.commands
    assert " method=lora,qlora model=local " in command
    assert [line.partition(":")[0] for line in adoption.measuring.to_give] == ["template", "dataset", "quantization"]


def test_an_arm_is_named_by_its_folder_where_nothing_else_tells(home: Home) -> None:
    (run,) = home.adopt(home.lora, files=[]).runs
    assert run.record.arm == "sft"


def test_a_training_file_that_was_changed_since_is_not_believed(home: Home) -> None:
    (home.path / "qlora.yaml").write_text(yaml.safe_dump(QLORA | {"learning_rate": 5e-5}))
    run = home.adopt(home.lora, home.qlora).runs[1]
    assert Unknown.QUANTIZATION in origin(run).unknown
    assert run.record.config["training"]["learning_rate"] == 1e-3
    (why,) = origin(run).disbelieved
    assert "qlora.yaml: was changed since, or is of another training: it says learning_rate=5e-05" in why


def test_of_two_files_that_may_have_trained_it_neither_is_believed_unless_it_is_given(home: Home) -> None:
    """A copy whose output_dir nobody changed: the folder cannot tell which it was."""
    (home.path / "copy.yaml").write_text(yaml.safe_dump(ARGUMENTS | {"quantization_bit": 8}))
    files = [home.file("lora.yaml"), home.file("copy.yaml")]
    (run,) = home.adopt(home.lora, files=files).runs
    assert Unknown.QUANTIZATION in origin(run).unknown
    assert "each may have trained it; say which by --train FILE" in origin(run).disbelieved[0]
    (run,) = home.adopt(home.lora, files=[*files, home.file("copy.yaml", is_given=True)]).runs
    assert (run.record.arm, run.record.config["quantization"]) == ("lora-int8", {"bits": 8})
    assert run.record.config["method"]["name"] == "lora"


def test_a_folder_of_the_web_page_holds_its_own_training_file(home: Home) -> None:
    """LLaMA-Factory's webui/runner.py writes training_args.yaml, and beside it the state of its own page."""
    shutil.move(home.path / "qlora.yaml", home.qlora / "training_args.yaml")
    (home.qlora / "llamaboard_config.yaml").write_text("top.model_name: Custom\ntop.quantization_bit: none\n")
    own = [home.file(f"saves/tiny/qlora/sft/{name}.yaml") for name in ("training_args", "llamaboard_config")]
    (run,) = home.adopt(home.qlora, files=own).runs
    assert run.record.arm == "qlora"
    assert origin(run).told["training_args.yaml"]
    assert "llamaboard_config.yaml" not in origin(run).told


def test_a_training_that_was_stopped_is_no_result(home: Home) -> None:
    for path in home.lora.glob("*"):
        if path.is_file() and path.name != "trainer_log.jsonl":
            path.unlink()
    lines = (home.lora / "trainer_log.jsonl").read_text().splitlines()
    (home.lora / "trainer_log.jsonl").write_text("\n".join(lines[:4]))
    (run,) = home.adopt(home.lora).runs
    assert run.record.status is Outcome.INTERRUPTED
    assert run.record.reason == "The training ended at step 3 of 6, so its adapter is no result."
    assert run.record.training is None
    # Its checkpoint tells the rest.
    assert "checkpoint-4/training_args.bin" in origin(run).told or "checkpoint-6/training_args.bin" in origin(run).told
    assert run.record.seed == 42


def test_a_training_of_which_only_the_log_is_left_has_the_seed_that_is_taken_by_itself(home: Home) -> None:
    alone = home.path / "alone"
    alone.mkdir()
    shutil.copy(home.lora / "trainer_log.jsonl", alone)
    (run,) = home.adopt(alone, files=[]).runs
    assert (run.record.status, run.record.seed, run.record.device) == (Outcome.INTERRUPTED, 42, None)
    assert {Unknown.SEED, Unknown.DEVICE, Unknown.VERSIONS} <= set(origin(run).unknown)


def test_seeds_of_an_arm_are_pooled_and_arms_are_not(home: Home) -> None:
    other = home.path / "saves/again"
    shutil.copytree(home.lora, other, ignore=shutil.ignore_patterns("checkpoint-*"))
    # Without it the model card tells the seed.
    (other / "training_args.bin").unlink()
    card = (other / "README.md").read_text()
    (other / "README.md").write_text(card.replace("- seed: 42", "- seed: 43"))
    (home.path / "again.yaml").write_text(yaml.safe_dump(ARGUMENTS | {"output_dir": "saves/again", "seed": 43}))
    files = [home.file(name) for name in ("lora.yaml", "qlora.yaml", "again.yaml")]
    adoption = home.adopt(home.lora, other, home.qlora, files=files)
    assert [run.record.seed for run in adoption.runs] == [42, 43, 42]
    assert sorted(run.label for run in load_sweep(home.sweep.path).runs) == ["lora", "lora", "qlora"]


def test_a_table_has_nothing_where_nothing_was_measured(home: Home) -> None:
    home.adopt(home.lora, home.qlora)
    runs = load_runs(home.sweep.path)
    assert sorted(runs["arm"]) == ["lora", "qlora"]
    assert (runs["train_seconds"] > 0).all()
    for column in ("wall_seconds", "peak_host_mib", "accuracy", "watt_hours"):
        assert runs[column].isna().all()
    assert runs["hardware"].isna().all()


def test_no_secret_and_no_more_than_is_known_gets_into_a_file(home: Home) -> None:
    (home.path / "lora.yaml").write_text(
        yaml.safe_dump(ARGUMENTS | {"swanlab_api_key": SECRET, "hf_hub_token": SECRET})
    )
    adoption = home.adopt(home.lora)
    assert origin(adoption.runs[0]).told["lora.yaml"]
    assert not any(SECRET.encode() in data for data, _ in content(home.sweep.path).values())
    assert SECRET not in " ".join((*adoption.measuring.commands, *adoption.measuring.to_give))


def test_a_training_that_diverged_is_called_so(home: Home) -> None:
    last = [entry["loss"] for entry in state_of(home.lora) if "loss" in entry][-1]
    for name in ("trainer_state.json", "trainer_log.jsonl"):
        text = (home.lora / name).read_text()
        (home.lora / name).write_text(text.replace(str(last), "NaN"))
    (run,) = home.adopt(home.lora).runs
    assert run.record.diverged is True
    assert run.record.divergence is not None
    assert (run.record.divergence.kind, run.record.divergence.step) == (DivergenceKind.NOT_FINITE, 6)


def test_all_mistakes_are_told_at_once_and_nothing_is_written(home: Home, tmp_path: Path) -> None:
    made = RunBuilder(tmp_path / "sweep").write()
    (made / "adapter").mkdir()
    empty, adapter = tmp_path / "empty", tmp_path / "only-adapter"
    empty.mkdir()
    adapter.mkdir()
    shutil.copy(home.lora / "adapter_config.json", adapter)
    model = Path(ARGUMENTS["model_name_or_path"])
    checkpoint = home.lora / "checkpoint-6"
    wrong = {
        home.path / "gone": "no such folder",
        home.path / "lora.yaml": "is a file",
        empty: "holds none of trainer_log.jsonl",
        adapter: "is an adapter, without the logs of its training",
        model: "is a model, and not what a training left",
        checkpoint: f"is a checkpoint in the midst of a training; give {home.lora}",
        home.lora.parent: f"is no training, but holds some; give {home.lora}",
        made: "is of a run that the harness has a record of; `harness report",
        made / "adapter": "is of a run that the harness has a record of; `harness report",
        made.parent: "holds runs of the harness",
    }
    with pytest.raises(UserError) as raised:
        home.adopt(home.lora, *wrong)
    assert len(raised.value.mistakes) == len(wrong)
    for mistake, (folder, why) in zip(raised.value.mistakes, wrong.items(), strict=True):
        assert mistake.startswith(f"{folder}: {why}")
    assert not home.sweep.path.exists()


def test_a_damaged_file_is_named(home: Home) -> None:
    (home.lora / "trainer_state.json").write_text('{"log_history": [')
    (home.qlora / "training_args.bin").write_bytes(b"no archive")
    with pytest.raises(UserError) as raised:
        home.adopt(home.lora, home.qlora)
    assert [mistake.partition(":")[0] for mistake in raised.value.mistakes] == [
        str(home.lora / "trainer_state.json"),
        str(home.qlora / "training_args.bin"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("seed", "x", "is no whole number"),
        ("seed", True, "is no whole number"),
        ("quantization_bit", [], "is no whole number"),
        ("learning_rate", 10**400, "is a number beyond all that it can be"),
        ("warmup_ratio", float("nan"), "is a number beyond all that it can be"),
        ("model_name_or_path", "a\ud83d", "holds half a character"),
    ],
)
def test_an_argument_that_no_training_can_have_had_is_named(name: str, value: object, why: str, home: Home) -> None:
    arguments = ARGUMENTS | {"output_dir": "saves/other", name: value}
    shutil.copytree(home.lora, home.path / "saves/other", ignore=shutil.ignore_patterns("*.bin", "*.md", "adapter_*"))
    file = TrainingFile(home.path / "other.yaml", arguments, None, is_given=False)
    with pytest.raises(UserError, match=re.escape(f"{file.path}: {name} {why}")):
        home.adopt(home.path / "saves/other", files=[file])


def test_the_time_of_a_resumed_training_is_not_known(home: Home) -> None:
    results = json.loads((home.lora / "all_results.json").read_text())
    (home.lora / "all_results.json").write_text(json.dumps(results | {"train_runtime": 0.001}))
    (home.lora / "train_results.json").unlink()
    (run,) = home.adopt(home.lora).runs
    assert run.record.training is not None
    assert run.record.training.train_seconds is None
    assert Unknown.TRAIN_SECONDS in origin(run).unknown
    assert store.load(run.run) == run.record


def test_an_adapter_of_odd_types_is_a_damage(home: Home) -> None:
    adapter = json.loads((home.lora / "adapter_config.json").read_text())
    (home.lora / "adapter_config.json").write_text(json.dumps(adapter | {"target_modules": [1, "q_proj"]}))
    with pytest.raises(UserError, match=r"adapter_config\.json: cannot be read: target_modules"):
        home.adopt(home.lora)


def test_two_folders_of_one_arm_and_seed_need_names(home: Home) -> None:
    for folders in ((home.lora, home.qlora), (home.qlora,)):
        with pytest.raises(UserError, match=r"is arm sft with seed 42, as .*harness adopt lora=\S+ qlora=\S+"):
            home.adopt(*folders, files=[])
        home.adopt(home.lora, files=[])


def test_other_stages_are_not_compared(home: Home) -> None:
    (home.path / "lora.yaml").write_text(yaml.safe_dump(ARGUMENTS | {"stage": "dpo"}))
    with pytest.raises(UserError, match="stage=dpo"):
        home.adopt(home.lora)


def test_a_training_file_of_none_of_the_folders_is_a_mistake(home: Home) -> None:
    with pytest.raises(UserError, match=r"--train \S+qlora.yaml: its output_dir=saves/tiny/qlora/sft is none"):
        home.adopt(home.lora, files=[home.file("qlora.yaml", is_given=True)])


def test_a_sweep_that_the_harness_made_takes_none_in(home: Home) -> None:
    RunBuilder(home.sweep.path).write()
    with pytest.raises(UserError, match="holds runs that the harness made; give a name of its own"):
        home.adopt(home.lora)


def test_an_adopted_run_is_used_by_llamafactorys_own_commands(home: Home) -> None:
    (run,) = home.adopt(home.lora).runs
    with pytest.raises(UserError, match=f"llamafactory-cli chat, with --adapter_name_or_path {home.lora}"):
        finished_run(run.run.path)


def test_an_old_record_is_not_adopted(tmp_path: Path) -> None:
    record = store.load(RunFolder(RunBuilder(tmp_path / "sweep").write()))
    assert record is not None
    old = {key: value for key, value in record.model_dump(mode="json").items() if key != "adopted"}
    assert Record.model_validate(old).adopted is None


def test_the_time_of_the_files_tells_when_it_started(home: Home) -> None:
    ended = 1_700_000_000
    for name in ("train_results.json", "all_results.json"):
        os.utime(home.lora / name, (ended, ended))
    (run,) = home.adopt(home.lora).runs
    runtime = json.loads((home.lora / "train_results.json").read_text())["train_runtime"]
    assert run.record.started_at.timestamp() == pytest.approx(ended - runtime)
