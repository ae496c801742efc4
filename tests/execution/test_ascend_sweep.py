"""A whole sweep on device=ascend: real training on the CPU, and an npu-smi that is made up."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from harness import load_runs
from harness.devices.reading import Quantity
from harness.runs.measurements import read_readings
from harness.runs.record import Outcome, Record
from tests.conftest import call, environment
from tests.devices.ascend.stand_in import StandInNpuSmi
from tests.running import only_record, record_in, training_has_begun, wait_until

WORDS = "an npu-smi that shows the memory of the training process on the host"
ASCEND = ("device=ascend", f'device.stand_in="{WORDS}"', "device.interval_seconds=1")


@dataclass(frozen=True)
class AscendSweep:
    home: Path
    npu_smi: StandInNpuSmi
    output: subprocess.CompletedProcess[str]

    def folder(self, arm: str) -> Path:
        (folder,) = (self.home / "outputs" / "quickstart").glob(f"{arm}-seed0-*")
        return folder

    def record(self, arm: str) -> Record:
        return record_in(self.folder(arm))

    def report(self) -> str:
        return (self.home / "reports" / "quickstart" / "report.md").read_text()


@pytest.fixture(scope="module")
def ascend(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> AscendSweep:
    home = tmp_path_factory.mktemp("ascend")
    npu_smi = StandInNpuSmi(home / "npu-smi")
    npu_smi.follow(chips=4)
    short = ("seed=0", "training.max_steps=10", "training.validation_steps=null", "evaluation=none")
    output = call(
        "sweep",
        "quickstart",
        *ASCEND,
        "device.chips=[3,1]",
        *short,
        cwd=home,
        env=npu_smi.environment(environment(cache)),
    )
    assert output.returncode == 0, output.stdout + output.stderr
    return AscendSweep(home, npu_smi, output)


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_the_record_keeps_device_process_and_host_memory_side_by_side(ascend: AscendSweep, arm: str) -> None:
    found = ascend.record(arm)
    assert found.status is Outcome.COMPLETED
    peaks = {peak.quantity: peak for peak in found.memory if peak.phase == "train"}
    assert peaks[Quantity.DEVICE].sensor == peaks[Quantity.PROCESS].sensor == "npu-smi"
    assert peaks[Quantity.DEVICE].baseline_mib == 2 * 3300
    held = peaks[Quantity.DEVICE].peak_mib - 2 * 3300
    assert held > 100
    assert peaks[Quantity.PROCESS].peak_mib == pytest.approx(held, rel=0.05)
    assert peaks[Quantity.HOST].sensor == "psutil"
    assert found.energy is not None
    assert found.energy.mean_watts > 2 * 90


def test_the_run_has_its_own_chips_and_no_other(ascend: AscendSweep) -> None:
    script = (ascend.folder("lora") / "command.sh").read_text()
    assert "export ASCEND_RT_VISIBLE_DEVICES=1,3\n" in script
    readings = read_readings(ascend.folder("lora") / "readings.jsonl")
    assert {reading.chip for reading in readings if reading.sensor == "npu-smi"} == {1, 3}


@pytest.mark.parametrize("arm", ["lora", "qlora"])
def test_the_record_says_how_the_run_found_its_chips_and_that_nobody_shared_them(ascend: AscendSweep, arm: str) -> None:
    found = ascend.record(arm)
    assert found.before is not None
    assert [(chip.chip, chip.used_mib, chip.utilization_percent) for chip in found.before.chips] == [
        (1, 3300, 0),
        (3, 3300, 0),
    ]
    assert found.before.cpu_busy_percent is not None
    assert found.sharing is not None
    assert found.sharing.others_on_chips == 0
    assert found.sharing.others_cpu_percent is not None
    assert (found.environment.driver, found.environment.variables["ASCEND_RT_VISIBLE_DEVICES"]) == ("25.2.0", "1,3")
    assert found.energy is not None
    assert found.energy.idle_watts == pytest.approx(2 * 92, abs=4)
    assert found.energy.above_idle_watt_hours is not None
    assert 0 < found.energy.above_idle_watt_hours < found.energy.watt_hours


def test_npu_smi_is_called_in_the_c_locale_and_never_twice_at_once(ascend: AscendSweep) -> None:
    calls = [call for call in ascend.npu_smi.calls() if call.ended is not None]
    assert len(calls) > 5
    assert {call.lc_all for call in calls} == {"C"}
    for one, following in pairwise(calls):
        assert one.ended is not None
        assert one.ended <= following.started


def test_what_stood_in_for_the_npu_is_said_in_record_table_report_and_on_the_screen(ascend: AscendSweep) -> None:
    assert ascend.record("qlora").stand_in == WORDS
    assert ascend.record("qlora").environment.device == "Ascend 910B3"
    assert set(load_runs(ascend.home / "outputs" / "quickstart")["stand_in"]) == {WORDS}
    for text in (ascend.report(), ascend.output.stdout):
        assert f"No NPU was used. In its place: {WORDS}." in text
    assert "had not run on a real NPU" in ascend.report()


def test_the_dashboard_has_the_chips_curves(ascend: AscendSweep) -> None:
    logged = b"".join(
        file.read_bytes() for file in (ascend.home / "outputs" / "quickstart" / "swanlog").rglob("*.swanlab")
    )
    assert b"device/chip1_device_used_mib" in logged
    assert b"device/chip3_power_watts" in logged


def test_an_npu_smi_that_fails_in_mid_training_costs_readings_and_not_the_run(tmp_path: Path, cache: Path) -> None:
    npu_smi = StandInNpuSmi(tmp_path / "npu-smi")
    npu_smi.follow(chips=1)

    def break_it() -> None:
        wait_until(training_has_begun(tmp_path))
        npu_smi.show("dcmi module initialize failed. ret is -8005\n")

    breaker = threading.Thread(target=break_it)
    breaker.start()
    done = call(
        "run",
        *ASCEND,
        "evaluation=none",
        "tracking=disabled",
        "training.max_steps=30",
        cwd=tmp_path,
        env=npu_smi.environment(environment(cache)),
    )
    breaker.join()
    assert done.returncode == 0, done.stderr
    found = only_record(tmp_path)
    assert found.status is Outcome.COMPLETED
    assert found.sampling is not None
    assert found.sampling.gaps > 0
    assert any("-8005" in error and "reboot" in error for error in found.sampling.errors)


def test_what_the_second_training_imports_was_imported_while_the_first_was_scored(tmp_path: Path, cache: Path) -> None:
    npu_smi = StandInNpuSmi(tmp_path / "npu-smi")
    npu_smi.follow(chips=1)
    done = call(
        "sweep",
        "quickstart",
        *ASCEND,
        "seed=0",
        "training.max_steps=2",
        "training.validation_steps=null",
        "evaluation.limit=2",
        "tracking=disabled",
        cwd=tmp_path,
        env=npu_smi.environment(environment(cache)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("importing torch") == 1, "for the first run, before it began"
