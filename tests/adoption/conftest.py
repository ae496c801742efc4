"""Two trainings as a tutorial has them, by LLaMA-Factory itself: what it leaves is what is adopted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from harness.adoption.adopt import Adoption, Request, adopt
from harness.adoption.output_folder import TrainingFile
from harness.base.paths import PACKAGE
from harness.cli.importing import load
from harness.runs.folder import SweepFolder
from tests.conftest import environment

ROWS = [{"instruction": f"What is {a} + {b}?", "input": "", "output": str(a + b)} for a in range(8) for b in range(5)]
ARGUMENTS: dict[str, Any] = {
    "model_name_or_path": str(PACKAGE / "models" / "tiny"),
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_target": "all",
    "dataset": "sums",
    "dataset_dir": "data",
    "template": "qwen",
    "cutoff_len": 64,
    "output_dir": "saves/tiny/lora/sft",
    "logging_steps": 1,
    "save_steps": 4,
    "plot_loss": True,
    "overwrite_output_dir": True,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "max_steps": 6,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "val_size": 0.2,
    "eval_strategy": "steps",
    "eval_steps": 3,
    "use_cpu": True,
}
QLORA = ARGUMENTS | {
    "quantization_bit": 4,
    "output_dir": "saves/tiny/qlora/sft",
    "include_num_input_tokens_seen": "non_padding",
}


@dataclass(frozen=True)
class Home:
    """A folder in which LLaMA-Factory was started: lora.yaml, qlora.yaml, data/ and saves/."""

    path: Path

    @property
    def lora(self) -> Path:
        return self.path / "saves/tiny/lora/sft"

    @property
    def qlora(self) -> Path:
        return self.path / "saves/tiny/qlora/sft"

    @property
    def sweep(self) -> SweepFolder:
        return SweepFolder(self.path / "outputs" / "adopted")

    def file(self, name: str, is_given: bool = False) -> TrainingFile:
        return TrainingFile(self.path / name, *load(self.path / name), is_given=is_given)

    def adopt(self, *folders: Path, files: list[TrainingFile] | None = None, **named: Path) -> Adoption:
        """Adopt `folders` and `named` ones with the training files of this folder, or with `files`."""
        requests = [Request(folder, None) for folder in folders] + [Request(path, arm) for arm, path in named.items()]
        found = [self.file("lora.yaml"), self.file("qlora.yaml")] if files is None else files
        return adopt(requests, found, self.sweep)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Made once for all workers that the tests are divided among, and changed by none."""
    mine = tmp_path_factory.getbasetemp()
    home = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "trained-by-hand"
    done = home / "done"
    with FileLock(f"{home}.lock"):
        if not done.exists():
            (home / "data").mkdir(parents=True)
            (home / "data" / "sums.json").write_text(json.dumps(ROWS))
            (home / "data" / "dataset_info.json").write_text(json.dumps({"sums": {"file_name": "sums.json"}}))
            started = []
            for name, arguments in (("lora", ARGUMENTS), ("qlora", QLORA)):
                (home / f"{name}.yaml").write_text(yaml.safe_dump(arguments, sort_keys=False))
                train = [sys.executable, "-m", "harness.workers.compat", "train", f"{name}.yaml"]
                with (home / f"{name}.log").open("w") as log:
                    started.append(
                        subprocess.Popen(train, cwd=home, env=environment(home), stdout=log, stderr=subprocess.STDOUT)
                    )
            assert [child.wait(timeout=280) for child in started] == [0, 0], (home / "lora.log").read_text()[-2000:]
            done.touch()
    return Home(home)


@pytest.fixture
def home(trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy that a test may change, as the current folder."""
    shutil.copytree(trained.path, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return Home(tmp_path / "home")
