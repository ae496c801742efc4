"""What cannot be merged or talked to is one message that names it and what would be right, and exit status 2."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from unittest import mock

import pytest
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from harness.cli import app
from harness.models import fingerprint
from harness.models.checkpoint import adapter_problem
from harness.serving import finished_run
from tests.conftest import Harness
from tests.serving.conftest import TINY, Merged, Runs

VERBS = ("merge", "chat", "serve", "webchat")


def refused(*arguments: str | Path) -> str:
    """The one message of a command that is refused."""
    # What is not refused becomes LLaMA-Factory, in place of this process.
    with mock.patch.object(os, "execve", side_effect=AssertionError("it was not refused")):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    (message,) = done.stderr.splitlines()
    assert message.startswith("error: ")
    return message.removeprefix("error: ")


def rewrite(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_is_not_there(verb: str, tmp_path: Path) -> None:
    assert refused(verb, tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'}: no such folder; a run's folder is outputs/SWEEP/RUN, with record.json in it"
    )


def test_a_file_in_place_of_its_folder(run: Path) -> None:
    assert refused("merge", run / "record.json").startswith(f"{run / 'record.json'}: is a file; a run's folder is")


def test_the_console_script_tells_it_too_without_a_traceback(harness: Harness) -> None:
    done = harness("merge", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout


def test_the_folder_of_a_sweep_is_no_run_and_its_runs_are_named(run: Path) -> None:
    message = refused("chat", run.parent)
    assert message.startswith(f"{run.parent}: is no run: there is no record.json")
    assert message.endswith(f"the runs in it are {run.name}")


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_failed_is_named_with_its_reason_and_the_command_that_repeats_it(verb: str, run: Path) -> None:
    rewrite(run / "record.json", status="out_of_memory", reason="no room", command="harness run seed=0")
    assert (
        refused(verb, run)
        == f"{run}: the run is not completed but out_of_memory: no room; run it again: harness run seed=0"
    )


def test_a_run_that_was_killed_or_only_planned(run: Path) -> None:
    (run / "record.json").unlink()
    assert "there is no record.json, so it is still running, was killed or was only planned" in refused("merge", run)


def test_a_damaged_record(run: Path) -> None:
    (run / "record.json").write_text('{"status": "comp')
    assert f"{run / 'record.json'}: " in refused("chat", run)


def test_a_record_with_a_configuration_of_another_kind(run: Path) -> None:
    recorded = json.loads((run / "record.json").read_text())
    recorded["config"]["method"]["rank"] = "eight"
    (run / "record.json").write_text(json.dumps(recorded))
    assert "record.json: config.method.rank: " in refused("merge", run)


@pytest.mark.parametrize(
    "content", [b"template: \xe9", b"a: [" * 5000, b"n: " + b"9" * 5000, b"d: 2024-13-45", b"model_name_or_path: [1]"]
)
def test_a_training_file_that_cannot_be_read(content: bytes, run: Path) -> None:
    (run / "train.yaml").write_bytes(content)
    assert refused("merge", run).startswith(f"{run / 'train.yaml'}: ")


@pytest.mark.parametrize("name", ["train.yaml", "record.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name: str, run: Path) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "Is no file" in refused("merge", run)


def test_a_place_whose_name_no_file_can_hold(runs: Runs) -> None:
    assert "bytes that are no UTF-8" in refused("merge", runs.lora, "--output", "\udcff")


@pytest.mark.parametrize("verb", ["merge", "chat"])
def test_an_adapter_that_names_another_base(verb: str, run: Path) -> None:
    rewrite(run / "adapter" / "adapter_config.json", base_model_name_or_path="Qwen/Qwen3-8B")
    message = refused(verb, run)
    assert f"{run / 'adapter'}: belongs to another base" in message
    assert f"names Qwen/Qwen3-8B, but the run trained on {TINY}" in message


def on_another_base(run: Path, base: Path) -> None:
    """The run as it were if that had been its base; its adapter stays that of the built-in one."""
    rewrite(run / "record.json", base_weights=fingerprint.of_weights(base))
    trained = yaml.safe_load((run / "train.yaml").read_text())
    (run / "train.yaml").write_text(yaml.safe_dump(trained | {"model_name_or_path": str(base)}))
    rewrite(run / "adapter" / "adapter_config.json", base_model_name_or_path=str(base))


def test_a_base_of_other_sizes(run: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    weights = load_file(base / "model.safetensors")
    name = "model.layers.2.mlp.up_proj.weight"
    save_file(weights | {name: weights[name][:256]}, base / "model.safetensors")
    on_another_base(run, base)
    message = refused("merge", run)
    assert "its model.layers.2.mlp.up_proj fits 128 x 384 weights, the base's are 128 x 256" in message
    assert str(base) in message
    assert "put the run's own adapter back" in message


def test_a_base_whose_weights_were_exchanged_for_others_of_the_same_shapes(run: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    on_another_base(run, base)
    (base / "README.md").write_text("says nothing of the weights")
    assert finished_run.load(run).base_weights == fingerprint.of_weights(base)
    weights = load_file(base / "model.safetensors")
    name = "model.norm.weight"
    save_file(weights | {name: weights[name] + 1}, base / "model.safetensors")
    for arguments in (("merge",), ("chat",), ("chat", "--target", "base")):
        message = refused(*arguments, run)
        assert message.startswith(f"{base}: holds other weights than {run.name} was trained on")


def test_a_base_of_fewer_layers(run: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    weights = load_file(base / "model.safetensors")
    save_file({name: weight for name, weight in weights.items() if ".3." not in name}, base / "model.safetensors")
    on_another_base(run, base)
    assert "which the base has not" in refused("chat", run)


def test_an_adapter_fits_a_base_whose_layers_are_named_otherwise_on_the_disk(run: Path, tmp_path: Path) -> None:
    """transformers renames some while it loads; of what cannot be compared nothing is said."""
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    weights = load_file(base / "model.safetensors")
    save_file({f"language_{name}": weight for name, weight in weights.items()}, base / "model.safetensors")
    on_another_base(run, base)
    assert adapter_problem(run / "adapter", str(base)) is None


@pytest.mark.parametrize(
    ("named", "belongs"),
    [
        ("Qwen/Qwen2.5-3B", True),
        ("/home/me/.cache/modelscope/hub/models/Qwen/Qwen2___5-3B", True),
        ("Qwen/Qwen2.5-7B", False),
        ("/home/me/.cache/modelscope/hub/models/Qwen/Qwen2___5-3B-Instruct", False),
    ],
)
def test_a_hub_id_is_known_again_in_the_cache_of_modelscope(named: str, belongs: bool, run: Path) -> None:
    rewrite(run / "adapter" / "adapter_config.json", base_model_name_or_path=named)
    assert (adapter_problem(run / "adapter", "Qwen/Qwen2.5-3B") is None) is belongs


def test_a_git_lfs_pointer_in_place_of_weights(run: Path) -> None:
    (run / "adapter" / "adapter_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
    )
    assert "git lfs pull" in refused("merge", run)


def test_an_adapter_that_is_gone(run: Path) -> None:
    shutil.rmtree(run / "adapter")
    assert f"{run / 'adapter'}: there is no adapter_config.json" in refused("chat", run)


@pytest.mark.parametrize("target", ["base", "adapter"])
def test_a_base_that_is_gone(target: str, run: Path, tmp_path: Path) -> None:
    on_another_base(run, tmp_path / "moved away")
    assert f"{tmp_path / 'moved away'}: the base of {run.name} is no longer there" in refused(
        "chat", run, "--target", target
    )


def test_a_merged_model_that_was_not_made_yet_comes_with_the_command_that_makes_it(run: Path) -> None:
    assert refused("chat", run, "--target", "merged").endswith(f"make it: harness merge {run}")
    elsewhere = run.parent / "elsewhere"
    assert refused("serve", run, "--target", "merged", "--merged", elsewhere).endswith(
        f"make it: harness merge {run} --output {elsewhere}"
    )


def test_a_place_for_the_merged_model_means_nothing_to_another_target(run: Path) -> None:
    assert "--merged is for" in refused("chat", run, "--merged", run).replace(f" {run}:", "")


def test_a_merge_target_that_is_there(merged: Merged) -> None:
    before = {file: file.read_bytes() for file in merged.folder.iterdir()}
    assert f"{merged.folder}: is there already, and nothing is overwritten" in refused("merge", merged.run)
    assert {file: file.read_bytes() for file in merged.folder.iterdir()} == before


def test_a_merged_model_is_not_put_into_a_model(merged: Merged) -> None:
    inside = merged.folder / "again"
    assert f"{inside}: lies inside of a model, {merged.folder}" in refused("merge", merged.run, "--output", inside)


def test_a_model_fine_tuned_in_full_needs_no_merging(run: Path) -> None:
    trained = yaml.safe_load((run / "train.yaml").read_text())
    (run / "train.yaml").write_text(yaml.safe_dump(trained | {"finetuning_type": "full"}))
    assert "there is no model in it" in refused("chat", run)
    shutil.rmtree(run / "adapter")
    shutil.copytree(TINY, run / "adapter")
    assert f"nothing to merge; the model is {run / 'adapter'}" in refused("merge", run)
    assert "use --target adapter" in refused("chat", run, "--target", "merged")


@pytest.mark.parametrize("verb", ["serve", "webchat"])
def test_a_port_that_is_taken(verb: str, runs: Runs) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = refused(verb, runs.lora, "--port", str(port))
    assert (
        message == f"--host 127.0.0.1 --port {port}: Address already in use; give another --port, or stop what has it"
    )


def test_a_host_that_is_not_this_machine(runs: Runs) -> None:
    assert "use an address of this machine" in refused("serve", runs.lora, "--host", "192.0.2.1")
    assert "--host no.such.host.invalid: " in refused("serve", runs.lora, "--host", "no.such.host.invalid")
    for name in ("a..b", "x" * 300, "\udcff"):
        assert "No host can have that name" in refused("serve", runs.lora, "--host", name)


def test_a_target_that_does_not_exist(runs: Runs) -> None:
    done = CliRunner().invoke(app, ["chat", str(runs.lora), "--target", "adaptor"])
    assert done.exit_code == 2
    assert "adapter" in done.stderr
