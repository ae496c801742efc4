from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from harness.doctor import checks, host
from harness.doctor.checks import carry_out, examine
from harness.doctor.finding import Finding, State, failed, ok, render, warning
from tests.doctor.machines import Sandbox, only, troubles

ACCELERATORS = ("NPU", "CANN", "torch-npu", "NVIDIA", "GPU", "on npu", "on cuda")


def _of_accelerators(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings if any(word in finding.check for word in ACCELERATORS)]


def test_this_machine_can_train_every_quantization_on_its_cpu() -> None:
    findings = examine("cpu")
    assert [finding for finding in findings if finding.state is State.FAILED] == []
    assert _of_accelerators(findings) == []
    (tried,) = [finding for finding in findings if finding.check == "bitsandbytes on cpu"]
    assert tried.message == "int8, nf4, nf4_double, fp4 quantize, dequantize and train"


def test_a_machine_without_signs_of_an_accelerator_is_asked_nothing_about_one(machine: Sandbox) -> None:
    assert _of_accelerators(examine(None, machine.current())) == []


@pytest.mark.parametrize("sign", ["npu-smi", "device file", "torch-npu", "CANN"])
def test_any_sign_of_an_npu_brings_its_checks(machine: Sandbox, sign: str) -> None:
    assert not checks.shows_ascend(machine.current())
    match sign:
        case "npu-smi":
            machine.npu_smi("")
        case "device file":
            machine.put("dev/davinci_manager")
        case "torch-npu":
            machine.install("torch-npu", "2.9.0")
        case "CANN":
            machine.install_cann("8.5.0")
    made = _of_accelerators(examine("auto", machine.current()))
    assert {"CANN", "NPU driver", "NPU device files", "bitsandbytes on npu"} <= set(made)


def test_signs_do_not_matter_to_who_asks_about_the_cpu(machine: Sandbox) -> None:
    machine.give_npus()
    assert _of_accelerators(examine("cpu", machine.current())) == []


@pytest.mark.parametrize(("device", "expected"), [("ascend", "NPU driver"), ("cuda", "NVIDIA driver")])
def test_a_device_that_is_asked_for_and_not_here_fails(machine: Sandbox, device: str, expected: str) -> None:
    assert expected in {finding.check for finding in troubles(examine(device, machine.current()))}


def test_a_device_that_does_not_exist_is_told_and_the_machine_examined_all_the_same(machine: Sandbox) -> None:
    first, *others = examine("tpu", machine.current())
    assert (first.state, first.message) == (State.FAILED, "tpu is not known")
    assert others


def test_a_well_kept_npu_machine_has_nothing_to_mend_but_what_only_a_real_one_can_do(machine: Sandbox) -> None:
    machine.give_npus()
    machine.install_torch("2.9.0+cpu")
    machine.install("torch-npu", "2.9.0.post2")
    machine.source(machine.install_cann("9.0.0"))
    machine.install("swanlab", "0.10.3")
    machine.install("swanboard", "0.1.10")
    assert {finding.check for finding in troubles(examine(None, machine.current()))} <= {
        "bitsandbytes on npu",
        "ports",
    }


def test_whatever_is_wrong_has_something_to_type(machine: Sandbox) -> None:
    machine.npu_smi("print('dcmi module initialize failed. ret is -8005')")
    machine.put("dev/davinci3")
    machine.put("dev/nvidia0")
    machine.install_torch("2.9.0+cpu")
    machine.install("torch-npu", "2.12.0")
    machine.install("deepspeed", "0.16.9")
    machine.install_cann("8.1.RC1")
    machine.set("ASCEND_RT_VISIBLE_DEVICES", "1, 0")
    for name in ("PYTORCH_NPU_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        machine.set(name, "expandable_segments:True")
    wrong = troubles(examine(None, machine.current()))
    assert len(wrong) >= 10
    assert [finding for finding in wrong if not finding.fix] == []


def test_a_check_that_breaks_is_a_failure_that_names_it_and_the_others_go_on(
    machine: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(host, "disk", breaks)
    monkeypatch.setattr(host, "limits", breaks)
    monkeypatch.setattr(checks, "shows_ascend", breaks)
    findings = examine(None, machine.current())
    broken = [finding for finding in findings if "the check itself broke" in finding.message]
    assert [finding.check for finding in broken] == ["disk", "limits"]
    assert all(finding.state is State.FAILED and finding.fix for finding in broken)
    assert "memory" in {finding.check for finding in findings}
    # What cannot even be looked for is looked at.
    assert "NPU driver" in {finding.check for finding in findings}


def test_what_a_check_found_before_it_broke_is_kept() -> None:
    def breaks() -> Iterator[Finding]:
        yield ok("disk", "50 GiB")
        raise OSError("gone")

    kept, broken = carry_out("disk", breaks)
    assert (kept.message, broken.state) == ("50 GiB", State.FAILED)
    assert "OSError: gone" in broken.message


def test_a_machine_that_cannot_be_looked_at_is_a_finding_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert only(examine("cpu")).state is State.FAILED


def test_secrets_do_not_get_into_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-4711-very-secret")
    told = only(carry_out("child", lambda: [ok("child", "it printed sk-4711-very-secret")]))
    assert told.message == "it printed [MY_API_KEY]"


FINDINGS = [
    ok("Python", "3.11.9"),
    warning("NPU chips", "NPU [2] is held by " + "somebody " * 20, "kill 4711"),
    failed("CANN", "is not sourced", "source /usr/local/Ascend/ascend-toolkit/set_env.sh"),
]


def _rendered(terminal: bool) -> str:
    file = io.StringIO()
    render(FINDINGS, Console(file=file, width=80, force_terminal=terminal, color_system=None))
    return file.getvalue()


def test_without_a_terminal_each_finding_and_each_fix_is_one_plain_line() -> None:
    lines = _rendered(terminal=False).splitlines()
    assert lines[0] == "ok       Python     3.11.9"
    assert lines[1].startswith("warning  NPU chips  NPU [2] is held by somebody")
    assert lines[2].strip() == "fix: kill 4711"
    assert lines[3:5] == [
        "failed   CANN       is not sourced",
        "                    fix: source /usr/local/Ascend/ascend-toolkit/set_env.sh",
    ]
    assert lines[5:] == ["1 ok, 1 warning, 1 failed"]


def test_a_terminal_gets_a_table_that_fits_it() -> None:
    text = _rendered(terminal=True)
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in ("ok", "warning", "failed", "Python", "[2]", "fix: kill 4711", "1 ok, 1 warning, 1 failed"):
        assert word in text
