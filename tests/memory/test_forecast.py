"""Arms, places and reasons of a forecast, and what asking for one imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.cli.forecast_table import sentence
from harness.compose.points import points
from harness.config.schema import Config
from harness.devices import cards
from harness.memory.ask import ask
from harness.memory.asked import Arm, arms
from harness.memory.forecast import ArmForecast, Fits, Lengths, foreseen, trace
from harness.memory.places import of_card
from harness.memory.reasons import reasons
from harness.processes.jobs import ToTrace, Traced, TracedPhase
from harness.runs.forecasted import Band, Forecast, ForecastPhase, MemoryPart, PhaseForecast
from tests.workers.followed import DENSE, arguments_of

GIB = 1024.0


def configs(*overrides: str) -> list[Config]:
    return [point.config for point in points(overrides, True, lambda _: [])]


@pytest.fixture(scope="module")
def lora_and_qlora() -> list[Config]:
    return configs("method=lora,qlora")


def made(name: str, config: Config, device: str = "cuda", **parts_gib: float) -> ArmForecast:
    """An arm that needs memory for these parts, while it trains; to load it less is needed."""
    parts = {MemoryPart(part): gib * GIB for part, gib in parts_gib.items()}
    peak = sum(parts.values())
    loading, training = (
        PhaseForecast(
            phase=phase,
            peak_allocated_mib=size,
            peak_reserved_mib=size,
            peak_device_mib=size,
            parts=parts if phase is ForecastPhase.TRAIN else {},
        )
        for phase, size in ((ForecastPhase.LOAD, peak / 2), (ForecastPhase.TRAIN, peak))
    )
    band = Band(low_mib=peak, high_mib=peak)
    told = Forecast(device=device, rows=1, tokens=8, lengths="cutoff", phases=[loading, training], band=band)
    return ArmForecast(Arm(name, config), told, ())


def test_an_arm_is_runs_that_differ_in_their_seeds_alone() -> None:
    found = arms(configs("method=lora,qlora", "seed=0,1"))
    assert [arm.name for arm in found] == ["lora", "qlora"]


def test_the_model_is_in_an_arms_name_where_there_are_several() -> None:
    found = arms(configs("method=lora,qlora", "model=random", "model.shape=qwen2_0_5b,qwen2_5_3b"))
    names = {f"{shape} {method}" for shape in ("qwen2_0_5b", "qwen2_5_3b") for method in ("lora", "qlora")}
    assert {arm.name for arm in found} == names


@pytest.mark.parametrize(
    ("lora", "qlora", "said"),
    [
        (
            {"weights": 14.2, "logits_and_loss": 9.3},
            {"weights": 5.5, "logits_and_loss": 9.3},
            "logits and loss, 9.3 GiB in both arms, decide the peak: qlora saves 8.7 GiB of weights and nothing else.",
        ),
        (
            {"weights": 14.2, "activations": 1.0},
            {"weights": 5.5, "activations": 1.0},
            "weights decide the peak, 5.5 GiB in qlora and 14.2 GiB in lora: qlora saves 8.7 GiB of weights and "
            "nothing else.",
        ),
        (
            {"weights": 2.0, "activations": 8.0},
            {"weights": 0.75, "activations": 8.0, "quantization_workspace": 0.5},
            "activations, 8.0 GiB in both arms, decide the peak: qlora saves 1.2 GiB of weights, and takes 512 MiB of "
            "unpacked weights more.",
        ),
        (
            {"weights": 2.0, "activations": 8.0},
            {"weights": 2.0, "activations": 9.5},
            "activations decide the peak, 9.5 GiB in qlora and 8.0 GiB in lora: qlora saves nothing, and takes 1.5 GiB "
            "of activations more.",
        ),
        (
            {"weights": 10.0, "optimizer": 1.0, "gradients": 2.0},
            {"weights": 5.0, "optimizer": 0.5},
            "weights decide the peak, 5.0 GiB in qlora and 10.0 GiB in lora: qlora saves 5.0 GiB of weights, 2.0 GiB "
            "of gradients and 512 MiB of optimizer and nothing else.",
        ),
        (
            {"weights": 10.0, "activations": 1.0},
            {"weights": 10.0, "activations": 1.05},
            "weights, 10.0 GiB in both arms, decide the peak: qlora needs as much as lora.",
        ),
    ],
)
def test_a_sentence_says_what_decides_and_what_differs(
    lora: dict[str, float], qlora: dict[str, float], said: str, lora_and_qlora: list[Config]
) -> None:
    plain, packed = lora_and_qlora
    (reason,) = reasons([made("lora", plain, **lora), made("qlora", packed, **qlora)])
    assert sentence(reason) == said


def test_what_the_driver_takes_is_never_what_decides(lora_and_qlora: list[Config]) -> None:
    plain, packed = lora_and_qlora
    parts = {"weights": 1.0, "runtime_context": 3.0}
    (reason,) = reasons([made("lora", plain, **parts), made("qlora", packed, **parts)])
    assert reason.largest is MemoryPart.WEIGHTS


def test_an_arm_is_compared_with_the_baseline_of_its_own_model_and_device(lora_and_qlora: list[Config]) -> None:
    plain, packed = lora_and_qlora
    found = arms(configs("model=random", "model.shape=qwen2_0_5b,qwen2_5_3b", "method=lora,qlora"))
    several = [made(arm.name, arm.config, weights=1.0) for arm in found]
    assert {(reason.arm, reason.baseline) for reason in reasons(several)} == {
        ("qwen2_0_5b qlora", "qwen2_0_5b lora"),
        ("qwen2_5_3b qlora", "qwen2_5_3b lora"),
    }
    assert reasons([made("lora", plain, weights=1.0), made("qlora", packed, device="ascend", weights=1.0)]) == []
    assert reasons([made("qlora", packed, weights=1.0)]) == []


def test_an_arm_is_compared_with_the_baseline_that_has_its_other_settings() -> None:
    found = arms(configs("method=lora,qlora", "training.batch_size=1,2"))
    assert len({arm.name for arm in found}) == 4
    needed = [made(arm.name, arm.config, weights=float(arm.config.training.batch_size)) for arm in found]
    told = reasons(needed)
    assert len(told) == 2
    assert all(reason.is_shared for reason in told)


@pytest.mark.parametrize(
    ("card", "asked", "kind", "memory_mib", "idle_mib", "is_bf16"),
    [
        ("4090", "auto", "cuda", 24564, 0, True),
        ("T4", "ascend", "cuda", 15360, 0, False),
        ("910B2", "cuda", "ascend", 65536, 3335, True),
        ("910A", "auto", "ascend", 32768, 0, False),
        ("24GiB", "auto", "cuda", 24576, 0, True),
        ("24GiB", "ascend", "ascend", 24576, 0, True),
    ],
)
def test_a_card_is_of_its_own_kind_and_a_size_of_the_configurations(
    card: str, asked: str, kind: str, memory_mib: float, idle_mib: float, is_bf16: bool
) -> None:
    (config,) = configs(f"device={asked}")
    place = of_card(cards.find(card), config)
    assert (place.kind, place.memory_mib, place.idle_mib) == (kind, memory_mib, idle_mib)
    assert place.spec.supports_bf16 is is_bf16


def test_hccl_has_buffers_where_processes_talk_to_each_other() -> None:
    (config,) = configs("device=ascend")
    npu, gpu = (of_card(cards.find(name), config) for name in ("910B2", "4090"))
    assert npu.context(8).usual_mib - npu.context(1).usual_mib == cards.HCCL_BUFFER_MIB
    assert gpu.context(8) == gpu.context(1)


def test_all_mistakes_are_told_at_once_and_before_anything_is_traced() -> None:
    with pytest.raises(UserError) as raised:
        ask(["model=random", "training.cutoff_length=-1"], ["910B22", "0GiB"], "dat")
    first, second, third, fourth = raised.value.mistakes
    assert first.startswith("--card 910B22: no such card; did you mean 910B2? ")
    assert second.startswith("--card 0GiB: no such card; ")
    assert third == "--lengths dat: did you mean data? there is cutoff, data"
    assert fourth.startswith("training.cutoff_length=-1: ")


def test_of_an_arm_that_cannot_be_followed_the_loading_is_told_and_it_hinders_no_other(tmp_path: Path) -> None:
    arguments = arguments_of(Path("nowhere"))
    # Its loss looks for the tokens that count, which are numbers.
    blocked = {"model_type": "gemma3", "text_config": {**DENSE, "model_type": "gemma3_text", "head_dim": 32}}
    first, second = trace(
        [
            ToTrace(arguments=arguments, described=described, kind="cuda", tokens=60, limits_bytes=[2**20, 2**30])
            for described in (blocked | {"dtype": "bfloat16"}, DENSE)
        ],
        tmp_path,
    )
    assert first.is_partial
    assert first.problem is None
    assert [phase.phase for phase in first.phases] == [ForecastPhase.LOAD]
    (told,) = [line for line in first.untraced if line.startswith("train: ")]
    assert told.endswith("; measure it: training.max_steps=4")
    assert not second.is_partial
    assert second.problem is None
    assert second.tokens == 64
    assert [phase.phase for phase in second.phases] == [ForecastPhase.LOAD, ForecastPhase.TRAIN, ForecastPhase.SAVE]
    assert second.full == [ForecastPhase.LOAD, None]


def test_questions_are_batched_as_each_devices_memory_has_the_run_batch_them(tmp_path: Path) -> None:
    job = ToTrace(
        arguments=arguments_of(Path("nowhere")), described=DENSE, kind="cuda", tokens=60, questions=512, new_tokens=16
    )
    three, whole = (ToTrace.model_validate(job.model_dump() | {"questions": most}) for most in (3, 512))
    small = ToTrace.model_validate(job.model_dump() | {"memory_bytes": [2**22], "limits_bytes": [2**30]})

    def answering(traced: Traced) -> TracedPhase:
        return next(phase for phase in traced.phases if phase.phase is ForecastPhase.EVALUATE)

    by_three, by_all, by_memory = map(answering, trace([three, whole, small], tmp_path))
    # 4 MiB hold 256 tokens beside the weights, and each question has 76 with its answer.
    assert by_memory == by_three
    between = (by_three.peak_reserved_bytes + by_all.peak_reserved_bytes) // 2
    both = ToTrace.model_validate(job.model_dump() | {"memory_bytes": [2**34, 2**22], "limits_bytes": [between] * 2})
    (traced,) = trace([both], tmp_path)
    assert answering(traced) == by_all
    assert traced.full == [ForecastPhase.EVALUATE, None]


def test_an_arm_whose_training_cannot_be_followed_is_never_said_to_fit() -> None:
    (config,) = configs()
    place = of_card(cards.find("24GiB"), config)
    job = ToTrace(arguments=arguments_of(Path("nowhere")), kind="cuda", tokens=64)
    phase = TracedPhase(phase=ForecastPhase.LOAD, peak_allocated_bytes=1, peak_reserved_bytes=1, parts={})
    for full, expected in (
        ([None, None], None),
        ([None, ForecastPhase.LOAD], None),
        ([ForecastPhase.LOAD] * 2, Fits.NO),
    ):
        traced = Traced(tokens=64, phases=[phase], full=full, is_partial=True)
        told = foreseen(Arm("lora", config), [place], job, traced, Lengths.CUTOFF)
        assert told.places[0].fits is expected


def test_asking_imports_neither_torch_nor_its_kin() -> None:
    program = """
import sys
import harness.cli.forecast, harness.cli.forecast_table, harness.memory.ask, harness.memory.reasons
print(*{"torch", "transformers", "llamafactory", "bitsandbytes", "peft"} & {*sys.modules})
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert ran.stdout.strip() == ""
