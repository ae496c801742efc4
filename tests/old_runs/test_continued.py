"""A sweep that the version before began goes on: its runs have their names, and what is completed is not run again."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.display import make_display
from harness.devices import cpu
from harness.devices.request import DeviceRequest
from harness.execution.run import Shared, run
from harness.plan import device as devices
from harness.plan import planner
from harness.plan.machine import DECISIVE
from harness.plan.planner import Planner
from harness.runs.folder import SweepFolder
from harness.runs.record import Outcome, Record
from tests.planning import spec_of
from tests.running import record_in

OLD = Path(__file__).parent / "sweeps" / "old"
CPU = replace(cpu.find(DeviceRequest()), product="AMD EPYC", total_memory_mib=24000.0)
"""Where these were run; the fixture's records call it a processor."""
RECORDS = {
    folder.name: record_in(folder.path)
    for folder in SweepFolder(OLD).runs()
    if "-seed" in folder.name and folder.record.exists() and "seed8" not in folder.name
}


@pytest.fixture
def then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine and the versions that these runs had, in a folder that holds their sweep."""
    versions = next(iter(RECORDS.values())).environment.versions
    monkeypatch.setattr(planner, "versions", lambda: {name: versions[name] for name in DECISIVE if name in versions})
    monkeypatch.setattr(devices, "choose", lambda *_: CPU)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path / "outputs" / "old")


@pytest.mark.parametrize(("name", "record"), RECORDS.items(), ids=list(RECORDS))
def test_its_runs_are_known_by_the_same_name(name: str, record: Record, then: None) -> None:
    spec = spec_of(*shlex.split(record.command)[2:])
    assert (spec.folder.name, spec.identity) == (name, record.identity)
    if record.base_folder is not None:
        assert spec.base_folder.path.name == record.base_folder


def test_what_it_completed_is_not_run_again_and_what_it_did_not_is(
    then: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared(make_display(len(RECORDS)), Planner(tmp_path))
    for name, record in RECORDS.items():
        spec = spec_of(*shlex.split(record.command)[2:], "dry_run=true")
        result = run(spec, shared)
        if record.status is Outcome.COMPLETED:
            assert result == record, name
        else:
            assert result is None
            (aside,) = spec.sweep_folder.earlier.glob(f"{name}-*/record.json")
            assert record_in(aside.parent) == record
    completed = [record for record in RECORDS.values() if record.status is Outcome.COMPLETED]
    assert capsys.readouterr().out.count("completed before") == len(completed) > 3
