"""A spec is plain data: it goes to JSON and back, and a fresh process makes the same run of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.base.errors import UserError
from harness.base.paths import configuration_folder
from harness.plan.spec import RunSpec, read_spec
from tests.conftest import Harness, environment
from tests.planning import spec_of, specs_of
from tests.test_recipes import files as files  # a fixture
from tests.test_recipes import users_own

SWEEPS = sorted(path.stem for path in configuration_folder("sweeps").glob("*.yaml"))


@pytest.mark.parametrize("sweep", SWEEPS)
def test_the_specs_of_a_sweep_travel_as_json(sweep: str, files: Path) -> None:
    specs = specs_of(f"sweeps={sweep}", *users_own(sweep, files), "dry_run=true")
    assert len(specs) > 1
    for spec in specs:
        again = RunSpec.model_validate_json(spec.to_json())
        assert again == spec
        assert (again.identity, again.folder, again.base_folder) == (spec.identity, spec.folder, spec.base_folder)


RUN_EACH = """
import sys
from harness.cli import app
for file in sys.argv[1:]:
    try:
        app(["run", "--spec", file])
    except SystemExit as ended:
        if ended.code:
            raise
"""


def test_a_fresh_process_makes_the_same_run_of_every_shipped_sweep(
    files: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    specs = [specs_of(f"sweeps={sweep}", *users_own(sweep, files), "dry_run=true")[-1] for sweep in SWEEPS]
    given = [tmp_path / f"{sweep}.json" for sweep in SWEEPS]
    for spec, file in zip(specs, given, strict=True):
        file.write_text(spec.to_json())
    done = subprocess.run(
        [sys.executable, "-c", RUN_EACH, *map(str, given)], env=environment(cache), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for spec in specs:
        assert yaml.safe_load(spec.folder.train.read_text())["output_dir"] == str(spec.folder.adapter)
        assert read_spec(spec.folder.spec) == spec


def test_a_laptop_plans_for_the_npu_that_it_lacks(files: Path, tmp_path: Path, harness: Harness) -> None:
    given = (*users_own("qwen2_math", files), "evaluation=none")
    done = harness("sweep", "qwen2_math", *given, "dry_run=true", "method=qlora")
    assert done.returncode == 0, done.stderr
    (train,) = tmp_path.glob("outputs/qwen2_math/qlora-seed42-*/train.yaml")
    arguments = yaml.safe_load(train.read_text())
    assert (arguments["bf16"], arguments["use_cpu"], arguments["quantization_bit"]) == (True, False, 4)
    unchecked = "not checked: whether the device has bf16, these chips and free ports (device.name=ascend: there is no"
    assert done.stdout.count(unchecked) == 1
    # To train there, it must be there.
    refused = harness("sweep", "qwen2_math", *given)
    assert refused.returncode == 2
    assert "device.name=ascend: there is no npu-smi here" in refused.stderr


def test_a_spec_of_an_older_version_is_of_a_run_by_itself(tmp_path: Path) -> None:
    spec = spec_of("device=cpu", number=3).model_copy(update={"of_sweep": True})
    assert spec.position == 4
    older = json.loads(spec.to_json())
    del older["of_sweep"], older["config"]["comparison"]
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(older))
    read = read_spec(file)
    assert (read.number, read.position, read.identity) == (3, None, spec.identity)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', "null"])
def test_what_is_no_spec_is_a_message(text: str, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(text)
    with pytest.raises(UserError, match="--spec"):
        read_spec(file)
    with pytest.raises(UserError, match="No such file"):
        read_spec(tmp_path / "none.json")


def test_a_secret_is_named_in_a_spec_and_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_KEY", "a-secret-project")
    spec = spec_of("device=cpu", "tracking.project=a-secret-project")
    assert "a-secret-project" not in spec.to_json()
    file = tmp_path / "spec.json"
    file.write_text(spec.to_json())
    assert read_spec(file).config == spec.config
    assert spec.resolved()["tracking"]["project"] == "[PROJECT_KEY]"
