"""Real bitsandbytes on the CPU; a device that gets it wrong is made by breaking one of its functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.workers import compat

compat.prepare_imports()

import torch  # noqa: E402
from bitsandbytes import functional  # noqa: E402

from harness.runs.record import Outcome  # noqa: E402
from harness.workers import proof  # noqa: E402
from harness.workers.lifecycle import UnsupportedError  # noqa: E402
from tests.conftest import call, environment  # noqa: E402
from tests.running import only_record  # noqa: E402

SCHEMES = [
    {"quantization_bit": 8},
    {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": False},
    {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True},
    {"quantization_bit": 4, "quantization_type": "fp4", "double_quantization": False},
]
NF4 = SCHEMES[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_works_on_this_processor(scheme: dict[str, Any]) -> None:
    """And it is that scheme which is tried."""
    with (
        mock.patch.object(functional, "quantize_4bit", wraps=functional.quantize_4bit) as four_bits,
        mock.patch.object(functional, "int8_vectorwise_quant", wraps=functional.int8_vectorwise_quant) as int8,
    ):
        proof.prove(scheme, "cpu")
    assert int8.called is (scheme["quantization_bit"] == 8)
    if scheme["quantization_bit"] == 4:
        asked = {"quant_type": scheme["quantization_type"], "compress_statistics": scheme["double_quantization"]}
        assert four_bits.call_args.kwargs == asked


def test_without_quantization_nothing_has_to_be_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(functional, "quantize_4bit")
    proof.prove({"finetuning_type": "lora"}, "cpu")


def test_a_missing_kernel_is_unsupported_and_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise NotImplementedError("bitsandbytes::quantize_4bit has no kernel for npu")

    monkeypatch.setattr(functional, "quantize_4bit", missing)
    with pytest.raises(UnsupportedError, match=r"nf4 does not work on this cpu: .*no kernel for npu; install"):
        proof.prove(NF4, "cpu")


@pytest.mark.parametrize("factor", [0.0, 2.0, float("nan")])
def test_numbers_that_come_back_wrong_are_unsupported(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    right = functional.dequantize_4bit
    monkeypatch.setattr(functional, "dequantize_4bit", lambda *all_, **named: factor * right(*all_, **named))
    with pytest.raises(UnsupportedError, match="wrong numbers on this cpu: the weight that comes back is off by"):
        proof.prove(NF4, "cpu")


@pytest.fixture
def another_device(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A device that computes as the CPU does, but for one of the three results."""
    faults = {"weight": 1.0, "output": 1.0, "gradient": 1.0}
    right = proof.attempt

    def attempt(kind: str, double: bool, device: str) -> tuple[torch.Tensor, ...]:
        results = right(kind, double, "cpu")
        if device == "cpu":
            return results
        return tuple(result * fault for result, fault in zip(results, faults.values(), strict=True))

    monkeypatch.setattr(proof, "attempt", attempt)
    return faults


@pytest.mark.parametrize("fault", ["weight", "output", "gradient"])
def test_a_device_must_agree_with_the_processor(another_device: dict[str, float], fault: str) -> None:
    proof.prove(NF4, "npu")
    another_device[fault] = 1.05
    with pytest.raises(UnsupportedError, match=rf"the {fault}.*, against the CPU's, is off by 5%.*COMPUTE_BACKEND=npu"):
        proof.prove(NF4, "npu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_torch_does_not_see_is_refused_instead_of_training_on_the_cpu() -> None:
    proof.require("cpu")
    with pytest.raises(proof.NoDeviceError, match="sees no cuda; `harness doctor`"):
        proof.require("cuda")
    with pytest.raises(proof.NoDeviceError, match="sees no npu: torch_npu cannot be imported"):
        proof.require("npu")


def test_a_scheme_that_does_not_work_ends_the_run_as_unsupported_before_the_model_is_loaded(
    tmp_path: Path, cache: Path
) -> None:
    broken = tmp_path / "broken" / "bitsandbytes"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "def __getattr__(name): raise RuntimeError('no kernel image for this device')\n"
    )
    surroundings = environment(cache)
    surroundings["PYTHONPATH"] = f"{broken.parent}:{surroundings['PYTHONPATH']}"
    done = call("run", "method=qlora", "tracking=disabled", cwd=tmp_path, env=surroundings)
    assert done.returncode == 1
    found = only_record(tmp_path)
    assert found.status is Outcome.UNSUPPORTED
    assert found.reason is not None
    assert "nf4 does not work on this cpu" in found.reason
    assert "no kernel image" in found.reason
    assert found.evidence is None
    assert "unsupported" in done.stdout
