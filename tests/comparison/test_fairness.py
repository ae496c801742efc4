"""What else differs between two arms: planted, and told in its class; unrecorded is neither equal nor different."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.arms import Arm, arms_of
from harness.comparison.facts import RULES
from harness.comparison.fairness import Fact, Fairness, Variation, fairness, refusal, unfair_settings
from harness.comparison.findings import find
from harness.comparison.judging import Reason
from harness.comparison.metrics import Aspect
from harness.comparison.runs import load_sweep
from harness.runs.events import RowsTokenized
from tests.builders import MIB, START, RunBuilder, questions

ALL = frozenset(Aspect)
ANSWERS, MEMORY, TIME = (frozenset({aspect}) for aspect in Aspect)
COST = MEMORY | TIME
TOLD: frozenset[Aspect] = frozenset()
LOGGED = {"batch_size": 8, "learning_rate": 1e-3, "logging_steps": 5, "save_steps": None}
GPU = {"device": "cuda"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def rows(at_cutoff: int = 0, count: int = 1800) -> RowsTokenized:
    return RowsTokenized(time=0.0, rows=count, at_cutoff=at_cutoff, cutoff_tokens=1024)


def write(folder: Path, seed: int, lora: Mapping[str, Any], qlora: Mapping[str, Any]) -> None:
    recorded = {"rows": rows(), "answers": questions(100, 0.5), "config": {"training": LOGGED}}
    RunBuilder(folder, "lora", seed, **(recorded | dict(lora))).write()
    RunBuilder(folder, "qlora", seed, quantized=True, **(recorded | dict(qlora))).write()


def both(folder: Path) -> tuple[Arm, Arm]:
    """The arm and its baseline."""
    baseline, arm = arms_of(load_sweep(folder))
    return arm, baseline


def compared(folder: Path, **more: Any) -> Fairness:
    return fairness(*both(folder), **more)


def pair(folder: Path, shared: Mapping[str, Any] | None = None, **of_qlora: Any) -> Fairness:
    """Return what is found between two fair arms of two seeds, but for what is planted in one of them."""
    for seed in (0, 1):
        write(folder, seed, shared or {}, dict(shared or {}) | of_qlora)
    return compared(folder)


def aspects(found: Fairness) -> dict[Fact, frozenset[Aspect]]:
    return {cause.fact: cause.aspects for cause in found.causes}


@pytest.mark.parametrize("shared", [{}, GPU], ids=["cpu", "gpu"])
def test_a_fair_pair_has_no_cause_and_lists_what_was_compared(folder: Path, shared: dict[str, Any]) -> None:
    found = pair(folder, shared)
    assert found.causes == found.within == found.not_recorded == ()
    of_chips = {
        *(Fact.DRIVER, Fact.RUNTIMES, Fact.POWER_LIMIT, Fact.MAX_CLOCK, Fact.ECC, Fact.HEAT, Fact.ENERGY),
        *(Fact.CHIP_MEMORY_BEFORE, Fact.CHIP_LOAD_BEFORE, Fact.CHIP_PROCESSES_BEFORE, Fact.OTHERS_ON_CHIPS),
    }
    assert set(found.equal) == set(Fact) - (set() if shared else of_chips)


CONFIG = {"training": LOGGED}
# Of both arms, of one alone, and what is to be found. These went unnoticed once, or were noticed without their class.
KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[Fact, frozenset[Aspect]]]] = {
    "started 30 days later": ({}, {"started_at": START + timedelta(days=30)}, {Fact.STARTED: TIME}),
    "harness commit": ({}, {"git_commit": "ba9876543210"}, {Fact.COMMIT: TOLD}),
    "harness commit, dirty": ({}, {"git_commit": "0123456789ab-dirty"}, {Fact.COMMIT: TOLD}),
    "CPUs": ({}, {"cpu_count": 64}, {Fact.CPUS: ALL}),
    "host memory": ({}, {"host_memory_mib": 65_536.0}, {Fact.HOST_MEMORY: MEMORY}),
    "hash of the base's weights": ({}, {"base_weights": "bbbbbbbbbb"}, {Fact.WEIGHTS: ALL}),
    "half of the tokens": ({}, {"tokens": 20_000}, {Fact.TOKENS: ALL}),
    "rows cut off": ({}, {"rows": rows(1500)}, {Fact.ROWS_CUT_OFF: ALL}),
    "sampling interval": (
        {"interval_seconds": 0.5},
        {"interval_seconds": 10.0},
        {Fact.SAMPLING_INTERVAL: MEMORY, Fact.READINGS: MEMORY},
    ),
    "a tenth of the readings": ({}, {"readings_a_phase": 2}, {Fact.READINGS: MEMORY}),
    "another chip": (GPU, {"config": CONFIG | {"device": {"chips": [3]}}}, {Fact.CHIP_IDS: COST}),
    "whichever chip was free": (GPU, {"config": CONFIG | {"device": {"chips": "free"}}}, {Fact.CHIP_IDS: COST}),
    "another chip, on a CPU": ({}, {"config": CONFIG | {"device": {"chips": [3]}}}, {Fact.CHIP_IDS: COST}),
    "tracking": ({"tracking": "local"}, {"tracking": "cloud"}, {Fact.TRACKING: TIME}),
    "trainable parameters": ({}, {"trainable_parameters": 4_014_080}, {Fact.TRAINABLE_PARAMETERS: ALL}),
    "half of the norms in bf16": (
        {},
        {"weight_bytes": {"nf4": 60 * MIB, "quantization state": 4 * MIB, "float32": MIB, "bfloat16": MIB // 2}},
        {Fact.UNQUANTIZED_WEIGHTS: ALL},
    ),
    "95 °C": (GPU, {"max_temperature_celsius": 95.0}, {Fact.HEAT: TIME}),
    "energy in one arm": ({}, {"energy": True}, {Fact.HEAT: TIME, Fact.ENERGY: TIME}),
    "3 of 29 layers quantized": (
        {"linear_modules": 29},
        {"quantized_modules": 3},
        {Fact.QUANTIZED_MODULES: ALL},
    ),
    "kernel": ({}, {"platform": "Linux-9.9"}, {Fact.PLATFORM: COST}),
    "torch": ({}, {"versions": {"torch": "0.0.1"}}, {Fact.VERSIONS: ALL}),
    "threads": ({}, {"threads": 4}, {Fact.DEVICE: ALL}),
    "batch of the evaluation": (
        {},
        {"config": CONFIG | {"evaluation": {"benchmark": "arithmetic", "limit": 200, "batch_size": 4}}},
        {Fact.EVALUATION: ANSWERS},
    ),
    "compute dtype": ({}, {"compute_dtype": "float32"}, {Fact.COMPUTE_DTYPE: ALL}),
    "LLaMA-Factory argument": (
        {},
        {"config": CONFIG | {"llamafactory": {"use_rslora": True}}},
        {Fact.ARGUMENTS: ALL},
    ),
}

OWN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[Fact, frozenset[Aspect]]]] = {
    "attention kernel": ({}, {"attention": "eager"}, {Fact.ATTENTION: ALL}),
    "dtype of the norms": ({}, {"norm_dtype": "bfloat16"}, {Fact.NORM_DTYPE: ALL}),
    "dtype of the adapter": ({}, {"adapter_dtype": "bfloat16"}, {Fact.ADAPTER_DTYPE: ALL}),
    "dtype of the optimizer": ({}, {"optimizer_dtype": "uint8"}, {Fact.OPTIMIZER_DTYPE: ALL}),
    "checkpointing not set": ({}, {"gradient_checkpointing": False}, {Fact.GRADIENT_CHECKPOINTING: COST}),
    "set, and not recomputed": ({}, {"recomputed": False}, {Fact.RECOMPUTED: COST}),
    "order of the rows": ({}, {"order_digest": "another"}, {Fact.ROW_ORDER: ALL}),
    "padding": ({}, {"padding_tokens": 8_000}, {Fact.PADDING: COST}),
    "number of rows": ({}, {"rows": rows(count=1700)}, {Fact.TRAINING_ROWS: ALL}),
    "steps": ({}, {"steps": 20}, {Fact.STEPS: ALL}),
    "linear layers": ({}, {"linear_modules": 27}, {Fact.LINEAR_MODULES: ALL}),
    "questions scored": ({}, {"answers": questions(90, 0.5)}, {Fact.QUESTIONS_SCORED: ANSWERS}),
    "answers cut off": ({}, {"answers": questions(100, 0.5, cut_off=30)}, {Fact.CUT_OFF_ANSWERS: TOLD}),
    "adapter not checked": ({}, {"adapter_check": False}, {Fact.ADAPTER_CHECK: ANSWERS}),
    "questions": ({}, {"questions_digest": "bbbbbbbbbb"}, {Fact.QUESTIONS: ANSWERS}),
    "rows": ({}, {"rows_digest": "bbbbbbbbbb", "order_digest": "same"}, {Fact.ROWS: ALL, Fact.ROW_ORDER: ALL}),
    "tokens an answer may have": (
        {},
        {"config": CONFIG | {"evaluation": {"benchmark": "arithmetic", "limit": 200, "max_new_tokens": 64}}},
        {Fact.EVALUATION: ANSWERS},
    ),
    "rank": ({}, {"config": CONFIG | {"method": {"name": "qlora", "rank": 16}}}, {Fact.METHOD: ALL}),
    "alpha": ({}, {"config": CONFIG | {"method": {"name": "qlora", "rank": 8, "alpha": 64}}}, {Fact.METHOD: ANSWERS}),
    "learning rate": ({}, {"config": {"training": LOGGED | {"learning_rate": 1.0}}}, {Fact.TRAINING: ANSWERS}),
    "cutoff": ({}, {"config": {"training": LOGGED | {"cutoff_length": 64}}}, {Fact.TRAINING: ALL}),
    "checkpoints": ({}, {"config": {"training": LOGGED | {"save_steps": 1}}}, {Fact.LOGGING: TIME}),
    "template": ({}, {"template": "llama3"}, {Fact.TEMPLATE: ALL}),
    "precision": ({}, {"precision": "fp16"}, {Fact.PRECISION: ALL}),
    "processes": ({}, {"processes": 2}, {Fact.PROCESSES: ALL}),
    "product": ({}, {"product": "Another"}, {Fact.DEVICE: ALL}),
    "machine": ({}, {"host": "ffffffffff"}, {Fact.HOST: COST}),
    "quota of CPUs": ({}, {"cpu_quota": 1.0}, {Fact.CGROUP: TIME}),
    "limit of memory": ({}, {"memory_limit_mib": 4096.0}, {Fact.CGROUP: COST}),
    "threads of a library": ({}, {"variables": {"OMP_NUM_THREADS": "1"}}, {Fact.VARIABLES: ALL}),
    "a variable that one has": (
        {},
        {"variables": {"OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}},
        {Fact.VARIABLES: COST},
    ),
    "driver": (GPU, {"driver": "550.2"}, {Fact.DRIVER: ALL}),
    "runtime": (GPU, {"runtimes": {"runtime": "12.6", "firmware": "7.1"}}, {Fact.RUNTIMES: ALL}),
    "firmware": (GPU, {"runtimes": {"runtime": "12.4", "firmware": "7.3"}}, {Fact.RUNTIMES: ALL}),
    "triton": ({"installed": {"triton": "3.1"}}, {"installed": {"triton": "3.2"}}, {Fact.VERSIONS: ALL}),
    "flash-attn": ({}, {"installed": {"flash-attn": "2.7"}}, {Fact.VERSIONS: ALL}),
    "what reads sensors": (
        {"installed": {"psutil": "7.0"}},
        {"installed": {"psutil": "7.1"}},
        {Fact.VERSIONS: COST},
    ),
    "a library that only plans": (
        {"installed": {"hydra-core": "1.3.2"}},
        {"installed": {"hydra-core": "1.3.3"}},
        {Fact.VERSIONS: TOLD},
    ),
    "power limit": (GPU, {"power_limit_watts": 300.0}, {Fact.POWER_LIMIT: TIME}),
    "highest clock": (GPU, {"max_clock_mhz": 1410.0}, {Fact.MAX_CLOCK: TIME}),
    "clock before": (GPU, {"clock_mhz": 1980.0}, {Fact.CLOCK: TOLD}),
    "frequency of the CPU": ({}, {"cpu_mhz": 800.0}, {Fact.CLOCK: TOLD}),
    "ECC": (GPU, {"ecc": False}, {Fact.ECC: COST}),
    "warm before": ({}, {"temperature_celsius": 80.0}, {Fact.TEMPERATURE_BEFORE: TIME}),
    "warm chip before": (GPU, {"temperature_celsius": 80.0}, {Fact.TEMPERATURE_BEFORE: TIME}),
    "memory of others on the chip": (GPU, {"chip_used_mib": 9_000.0}, {Fact.CHIP_MEMORY_BEFORE: MEMORY}),
    "load of the chip": (GPU, {"chip_utilization_percent": 60.0}, {Fact.CHIP_LOAD_BEFORE: TIME}),
    "processes on the chip": (GPU, {"chip_processes": 1}, {Fact.CHIP_PROCESSES_BEFORE: COST}),
    "processes on the chip, later": (GPU, {"others_on_chips": 1}, {Fact.OTHERS_ON_CHIPS: COST}),
    "busy CPUs": ({}, {"cpu_busy_percent": 60.0}, {Fact.CPU_BUSY_BEFORE: TIME}),
    "busy processes": ({}, {"busy_processes": 4}, {Fact.BUSY_PROCESSES_BEFORE: TOLD}),
    "load average": ({}, {"load_average": 12.0}, {Fact.LOAD_AVERAGE_BEFORE: TIME}),
    "available memory": ({}, {"available_mib": 2_000.0}, {Fact.AVAILABLE_MEMORY: TOLD}),
    "CPU time of others": ({}, {"others_cpu_percent": 90.0}, {Fact.OTHERS_CPU: TIME}),
    "sensor": ({}, {"sensor": "another"}, {Fact.SENSORS: MEMORY}),
}


@pytest.mark.parametrize("planted", [*KNOWN.values(), *OWN.values()], ids=[*KNOWN, *OWN])
def test_a_planted_difference_is_noticed_in_its_class(
    folder: Path, planted: tuple[dict[str, Any], dict[str, Any], dict[Fact, frozenset[Aspect]]]
) -> None:
    shared, of_qlora, expected = planted
    found = pair(folder, shared, **of_qlora)
    assert aspects(found) == expected
    assert all(cause.seeds == (0, 1) and not cause.declared for cause in found.causes)
    assert not set(expected) & {*found.equal, *found.not_recorded}
    for aspect in Aspect:
        taken = {cause.fact for cause in found.touching(aspect)}
        assert taken == {cause.fact for cause in found.causes if aspect in cause.aspects and not cause.one_sided}


def test_every_fact_is_planted_somewhere() -> None:
    planted = {fact for _, _, facts in (*KNOWN.values(), *OWN.values()) for fact in facts}
    elsewhere = {Fact.BENCHMARK, Fact.SEEDS}
    assert set(RULES) == set(Fact) == planted | elsewhere


def test_another_benchmark_is_noticed(folder: Path) -> None:
    pair(folder)
    arm, baseline = both(folder)
    for run in arm.runs:
        assert run.record.score is not None
        run.record.score.benchmark = "another"
    assert aspects(fairness(arm, baseline)) == {Fact.BENCHMARK: ANSWERS}


def test_versions_mixed_within_both_arms_are_told_of_each_pair_and_of_each_arm(folder: Path) -> None:
    """The arms' sets of versions are equal, and no pair's are."""
    for seed, (first, second) in enumerate([("0.0.0", "0.0.1"), ("0.0.1", "0.0.0")]):
        write(folder, seed, {"installed": {"torch": first}}, {"installed": {"torch": second}})
    found = compared(folder)
    (cause,) = found.causes
    assert (cause.fact, cause.key, cause.aspects, cause.seeds) == (Fact.VERSIONS, "torch", ALL, (0, 1))
    assert (cause.arm_values, cause.baseline_values) == (("0.0.1", "0.0.0"), ("0.0.0", "0.0.1"))
    assert found.within == (
        Variation("qlora", Fact.VERSIONS, "torch", (("0.0.1", (0,)), ("0.0.0", (1,)))),
        Variation("lora", Fact.VERSIONS, "torch", (("0.0.0", (0,)), ("0.0.1", (1,)))),
    )


def test_what_changes_from_seed_to_seed_in_both_arms_alike_takes_no_word_and_is_told(folder: Path) -> None:
    for seed, driver in enumerate(("550.1", "560.1")):
        write(folder, seed, GPU | {"driver": driver}, GPU | {"driver": driver})
    found = compared(folder)
    assert found.causes == ()
    assert Fact.DRIVER in found.equal
    assert {(varied.arm, varied.fact) for varied in found.within} == {("lora", Fact.DRIVER), ("qlora", Fact.DRIVER)}


def test_a_library_that_some_runs_of_an_arm_lack_varies_within_it(folder: Path) -> None:
    for seed, installed in enumerate(({}, {"flash-attn": "2.7"})):
        write(folder, seed, {"installed": installed}, {"installed": installed})
    varied = compared(folder).within[0]
    assert (varied.key, varied.values) == ("flash-attn", ((None, (0,)), ("2.7", (1,))))


def test_a_difference_in_one_pair_names_its_seed_and_its_values_alone(folder: Path) -> None:
    write(folder, 0, {}, {})
    write(folder, 1, {"host": "aaaaaaaaaa"}, {"host": "bbbbbbbbbb"})
    (cause,) = compared(folder).causes
    assert (cause.fact, cause.seeds) == (Fact.HOST, (1,))
    assert (cause.arm_values, cause.baseline_values) == (("bbbbbbbbbb",), ("aaaaaaaaaa",))


def test_facts_are_compared_seed_by_seed(folder: Path) -> None:
    """Each seed sees another number of tokens; the arms still saw the same. A seed of one arm alone says nothing."""
    for seed in (0, 1):
        write(folder, seed, {"tokens": 40_000 + seed}, {"tokens": 40_000 + seed})
    RunBuilder(folder, "lora", 2, tokens=50_000, config=CONFIG).write()
    found = compared(folder)
    assert Fact.TOKENS in found.equal
    assert [(cause.fact, cause.arm_values, cause.baseline_values) for cause in found.causes] == [
        (Fact.SEEDS, ("0", "1"), ("0", "1", "2"))
    ]
    assert found.confounding == ()


@pytest.mark.parametrize(
    "measured",
    [
        {"temperature_celsius": 50.0},
        {"cpu_mhz": 2000.0},
        {"available_mib": 5_000.0},
        {"host_memory_mib": 8190.0},
        {"others_cpu_percent": 15.0},
        {"load_average": 2.4},
        {"cpu_busy_percent": 15.0},
        {"busy_processes": 1},
        {"readings_a_phase": 14},
        {"duration_seconds": 150.0},
        {"answers": questions(100, 0.5, cut_off=1)},
        {"started_at": START + timedelta(hours=20)},
        GPU | {"max_temperature_celsius": 80.0},
        GPU | {"chip_used_mib": 600.0},
        GPU | {"power_limit_watts": 400.4},
    ],
    ids=lambda measured: ",".join(set(measured) - {"device"}),
)
def test_what_noise_explains_is_no_difference(folder: Path, measured: dict[str, Any]) -> None:
    shared = {key: value for key, value in measured.items() if key == "device"}
    assert pair(folder, shared, **measured).causes == ()


def test_hours_between_two_runs_are_counted_from_the_end_of_the_first(folder: Path) -> None:
    """A training of three days is followed by the other at once."""
    days = timedelta(days=3)
    long = {"duration_seconds": days.total_seconds(), "interval_seconds": 3600.0, "readings": False}
    assert pair(folder, long, started_at=START + days + timedelta(hours=1)).causes == ()


def test_what_one_arm_alone_recorded_is_told_and_takes_no_word(folder: Path) -> None:
    found = pair(folder, GPU, energy=False)
    told = {cause.fact: (cause.arm_values, cause.baseline_values) for cause in found.causes}
    assert told == {Fact.HEAT: ((), ("62",)), Fact.ENERGY: ((), ("true",))}
    assert all(cause.one_sided for cause in found.causes)
    assert found.confounding == found.touching(Aspect.TIME) == ()


def test_an_older_version_that_did_not_look_is_neither_equal_nor_different(folder: Path) -> None:
    for seed in (0, 1):
        write(folder, seed, {"parts": False}, {"parts": False})
    found = compared(folder, same_questions=True)
    assert found.causes == ()
    new = {Fact.ATTENTION, Fact.HOST, Fact.ROW_ORDER, Fact.TEMPERATURE_BEFORE, Fact.RECOMPUTED, Fact.VARIABLES}
    assert {Fact.ROWS, Fact.PRECISION, Fact.COMPUTE_DTYPE} | new <= set(found.not_recorded)
    # Joined question by question, whatever the records tell.
    assert Fact.QUESTIONS in found.equal


def test_of_an_older_version_and_this_one_what_only_this_one_looks_for_is_not_called_absent(folder: Path) -> None:
    more = {"installed": {"triton": "3.1"}}
    write(folder, 0, {"parts": False}, more)
    found = compared(folder)
    assert {cause.fact for cause in found.causes if not cause.one_sided} == set()
    assert Fact.VERSIONS in found.equal
    assert {Fact.HOST, Fact.ATTENTION, Fact.ROW_ORDER} <= {cause.fact for cause in found.causes}
    assert found.confounding == ()


def test_arms_that_quantize_less_than_all_alike_are_told_too(folder: Path) -> None:
    """3 of 29 on both sides is the same, and not what either asked for."""
    few = {"quantized": True, "linear_modules": 29, "quantized_modules": 3, "baseline": "qlora-double"}
    for seed in (0, 1):
        for arm in ("qlora-double", "qlora"):
            RunBuilder(folder, arm, seed, **few).write()
    assert [cause.fact for cause in compared(folder).causes] == [Fact.QUANTIZED_MODULES]


def test_two_quantized_arms_are_to_have_as_many_quantized_layers(folder: Path) -> None:
    for seed in (0, 1):
        RunBuilder(folder, "qlora", seed, quantized=True, baseline="qlora").write()
        RunBuilder(folder, "lora-nf4", seed, quantized=True, quantized_modules=27, baseline="qlora").write()
    assert [cause.fact for cause in compared(folder).causes] == [Fact.QUANTIZED_MODULES]


NF4 = {"nf4": 60 * MIB, "quantization state": 4 * MIB}


@pytest.mark.parametrize(
    ("plain", "packed", "is_alike"),
    [
        # Embeddings and output layer in the linear layers' dtype.
        ({"bfloat16": 300 * MIB}, NF4 | {"bfloat16": 60 * MIB}, True),
        ({"bfloat16": 300 * MIB, "float32": MIB}, NF4 | {"bfloat16": 60 * MIB, "float32": MIB}, True),
        ({"bfloat16": 300 * MIB}, {"int8": 120 * MIB, "quantization state": MIB, "bfloat16": 60 * MIB}, True),
        ({"float32": 600 * MIB}, NF4 | {"float32": 60 * MIB, "bfloat16": 30 * MIB}, False),
        ({"bfloat16": 300 * MIB}, NF4 | {"float32": 120 * MIB}, False),
        ({"bfloat16": 300 * MIB}, NF4 | {"bfloat16": 10 * MIB}, False),
    ],
)
def test_of_an_unquantized_base_what_the_other_arm_packs_is_taken_off(
    folder: Path, plain: dict[str, int], packed: dict[str, int], is_alike: bool
) -> None:
    write(folder, 0, {"weight_bytes": plain}, {"weight_bytes": packed})
    assert (Fact.UNQUANTIZED_WEIGHTS in compared(folder).equal) is is_alike


RANK = {"config": CONFIG | {"method": {"name": "qlora", "rank": 16}}, "trainable_parameters": 802_816}


@pytest.mark.parametrize(
    ("axes", "planted"),
    [
        (["method.rank"], RANK),
        (["method"], RANK),
        (["rows"], {"rows_digest": "bbbbbbbbbb", "tokens": 20_000, "steps": 20}),
        (["dataset.train_samples"], {"rows_digest": "bbbbbbbbbb", "tokens": 20_000, "steps": 20}),
        (["dataset"], {"rows_digest": "bbbbbbbbbb", "rows": rows(count=900)}),
        (["training.learning_rate"], {"config": {"training": LOGGED | {"learning_rate": 1.0}}}),
        (["training.save_steps"], {"config": {"training": LOGGED | {"save_steps": 1}}}),
        (["versions.torch"], {"versions": {"torch": "0.0.1"}}),
        (["versions"], {"versions": {"torch": "0.0.1"}}),
        (["device"], {"product": "Another", "host": "ffffffffff", "cpu_count": 64}),
        (["host"], {"host": "ffffffffff", "cpu_count": 64, "started_at": START + timedelta(days=30)}),
        (["precision"], {"precision": "fp16", "compute_dtype": "float16"}),
        (["training.precision"], {"precision": "fp16", "compute_dtype": "float16"}),
        (["device.interval_seconds"], {"interval_seconds": 10.0}),
        (["device.threads"], {"threads": 4, "variables": {"OMP_NUM_THREADS": "4"}}),
    ],
    ids=str,
)
def test_what_is_declared_and_what_follows_from_it_is_told_and_takes_no_word(
    folder: Path, axes: list[str], planted: dict[str, Any]
) -> None:
    assert pair(folder, **planted).confounding != ()
    found = compared(folder, axes=axes)
    assert len(found.causes) >= 1
    assert all(cause.declared for cause in found.causes)
    assert found.confounding == ()


@pytest.mark.parametrize(
    ("axes", "planted", "left"),
    [
        # The axis is declared, and these arms have the same rank.
        (["method.rank"], {"trainable_parameters": 802_816}, Fact.TRAINABLE_PARAMETERS),
        (["method.rank"], RANK | {"tokens": 20_000}, Fact.TOKENS),
        (["training.learning_rate"], {"config": {"training": LOGGED | {"batch_size": 2}}}, Fact.TRAINING),
        (["training.learn"], {"config": {"training": LOGGED | {"learning_rate": 1.0}}}, Fact.TRAINING),
        (["versions.numpy"], {"versions": {"torch": "0.0.1"}}, Fact.VERSIONS),
    ],
    ids=str,
)
def test_an_axis_excuses_nothing_else(folder: Path, axes: list[str], planted: dict[str, Any], left: Fact) -> None:
    pair(folder, **planted)
    assert [cause.fact for cause in compared(folder, axes=axes).confounding] == [left]


def test_full_fine_tuning_trains_more_parameters_as_it_is_meant_to(folder: Path) -> None:
    full = {"config": CONFIG | {"method": {"name": "full", "finetuning_type": "full", "rank": 8}}}
    lora = {"config": CONFIG | {"method": {"name": "lora", "finetuning_type": "lora", "rank": 8}}}
    for seed in (0, 1):
        RunBuilder(folder, "lora", seed, **lora).write()
        RunBuilder(folder, "full", seed, trainable_parameters=126_000_000, **full).write()
    found = compared(folder)
    assert [(cause.fact, cause.declared) for cause in found.causes] == [(Fact.TRAINABLE_PARAMETERS, True)]
    assert found.confounding == ()


def test_before_anything_ran_plans_are_compared_alone(folder: Path) -> None:
    lora = RunBuilder(folder, "lora", 3).identity_parts()
    assert unfair_settings(RunBuilder(folder, "qlora", 3, quantized=True).identity_parts(), lora) == []
    planned = RunBuilder(
        folder,
        "qlora",
        3,
        quantized=True,
        rows_digest="bbbbbbbbbb",
        threads=4,
        versions={"torch": "0.0.1"},
        product="Another",
        config={"method": {"name": "qlora", "rank": 16}},
    ).identity_parts()
    found = unfair_settings(planned, lora)
    assert sorted((cause.fact.value, cause.key, cause.arm_values, cause.baseline_values) for cause in found) == [
        ("device", "hardware", ("Another",), ("Processor made for tests",)),
        ("device", "threads", ("4",), ()),
        ("method", "method.rank", ("16",), ("8",)),
        ("rows", "rows", ("bbbbbbbbbb",), ("1f3a5b7c9d",)),
        ("versions", "torch", ("0.0.1",), ("0.0.0",)),
    ]
    assert all(cause.seeds == (3,) and cause.spoils for cause in found)
    axes = ["method.rank", "dataset", "device", "versions.torch"]
    assert unfair_settings(planned, lora, axes) == []


def test_a_refusal_names_the_key_both_values_and_the_axis_that_would_declare_it(folder: Path) -> None:
    lora = RunBuilder(folder, "lora", 0).identity_parts()
    config = {"method": {"name": "qlora", "rank": 16}}
    planned = RunBuilder(folder, "qlora", 0, quantized=True, config=config, rows_digest="bbbbbbbbbb", threads=4)
    causes = unfair_settings(planned.identity_parts(), lora)
    texts = [refusal("qlora", "lora", cause) for cause in causes]
    for text, start, axis in zip(
        texts,
        ("threads: 4 for qlora and not set for lora", "method.rank: 16 for qlora and 8 for lora", "rows: bbbbbbbbbb"),
        ("device", "method.rank", "rows"),
        strict=True,
    ):
        assert text.startswith(start)
        assert f"comparison.axes=[{axis}]" in text
        # What is advised does declare it.
        assert unfair_settings(planned.identity_parts(), lora, [axis]) != causes


def reasons(folder: Path) -> dict[str, bool]:
    """Of each primary metric, whether a word was taken from it since the arms differ in what touches it."""
    (comparison,) = find(load_sweep(folder)).comparisons
    return {key: Reason.UNFAIR in judged.reasons for key, judged in comparison.judgements.items()}


@pytest.mark.parametrize(
    ("planted", "taken"),
    [
        ({"power_limit_watts": 300.0}, {"step_seconds"}),
        ({"sensor": "another"}, {"peak_device_above_baseline_mib"}),
        ({"git_commit": "ba9876543210"}, set()),
        ({"driver": "550.2"}, {"accuracy", "peak_device_above_baseline_mib", "step_seconds"}),
        ({"questions_digest": "bbbbbbbbbb"}, set()),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
def test_a_cause_takes_the_word_from_the_metrics_that_it_touches(
    folder: Path, planted: dict[str, Any], taken: set[str]
) -> None:
    """Questions that were joined one by one are the same, whatever their hash."""
    pair(folder, GPU, **planted)
    assert {key for key, is_taken in reasons(folder).items() if is_taken} == taken


def test_a_declared_axis_takes_no_word(folder: Path) -> None:
    for axes, is_taken in (([], True), (["power_limit"], False)):
        declared = GPU | {"config": CONFIG | {"comparison": {"axes": axes}}}
        pair(folder, declared, power_limit_watts=300.0)
        assert reasons(folder)["step_seconds"] is is_taken
