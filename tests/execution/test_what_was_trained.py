"""What was trained is what is scored, merged and talked to, whatever it started from."""

from __future__ import annotations

import json
from pathlib import Path

from harness.models.checkpoint import shapes_of
from harness.runs.folder import RunFolder, SweepFolder, TargetFolder
from harness.serving import chat
from tests.conftest import FinishedSweep, Harness
from tests.running import only_record


def answers(target: TargetFolder) -> list[str]:
    return [json.loads(line)["answer"] for line in target.answers.read_text(encoding="utf-8").splitlines()]


def test_a_new_adapter_on_an_earlier_one_is_scored_merged_and_compared_on_top_of_it(
    sweep: FinishedSweep, harness: Harness, tmp_path: Path
) -> None:
    """The new adapter learns nothing: all that is right comes from the earlier one, below it."""
    earlier = sweep.run("lora") / "adapter"
    learned = answers(RunFolder(sweep.run("lora")).evaluation)
    (base,) = SweepFolder(sweep.folder).path.glob("base-*")
    assert sum(map(str.__eq__, learned, answers(TargetFolder(base)))) < 5
    done = harness(
        *("run", "device=cpu", "method=lora", "method.rank=2", "tracking=disabled", "training.validation_steps=null"),
        *("training.max_steps=1", "training.learning_rate=1e-9", "dataset.train_samples=20"),
        *("evaluation=arithmetic", "evaluation.limit=40", "evaluation.targets=[base,adapter,merged]"),
        *(f"llamafactory.adapter_name_or_path={earlier}", "llamafactory.create_new_adapter=true"),
        *("llamafactory.add_special_tokens='<|extra|>'", "llamafactory.resize_vocab=true"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = only_record(tmp_path)
    assert record.unscored == {}
    (file,) = tmp_path.glob("outputs/*/*/record.json")
    folder = RunFolder(file.parent)
    assert record.base_folder is not None
    below = TargetFolder(folder.path.parent / record.base_folder)
    # Added up in another order, a word in a hundred may come out otherwise.
    for target in (folder.evaluation, folder.evaluation_merged, below):
        assert sum(map(str.__eq__, answers(target), learned)) >= 38, target
    assert '"<|extra|>"' in (folder.merged / "tokenizer.json").read_text(encoding="utf-8")
    # LLaMA-Factory resizes to multiples of 64.
    (rows, _) = shapes_of(folder.merged)["model.embed_tokens.weight"]
    assert rows % 64 == 0
    flags = {
        target: chat.prepare("chat", folder.path, target).job.flags  # type: ignore[arg-type]
        for target in ("base", "adapter", "merged")
    }
    assert f"--adapter_name_or_path={earlier}" in flags["base"]
    assert f"--adapter_name_or_path={earlier},{folder.adapter}" in flags["adapter"]
    assert not any(flag.startswith("--adapter_name_or_path") for flag in flags["merged"])
    assert all("--add_special_tokens=<|extra|>" in given for given in flags.values())
