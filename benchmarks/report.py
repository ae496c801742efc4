"""What a report on many runs costs: CPU seconds and memory of loading, comparing and rendering them.

    .venv/bin/python benchmarks/report.py [--runs 10000] [--rounds 3] [--folder FOLDER]

The runs are folders as the harness leaves them: a record, 630 events, 1,000 readings, 200 answers. Their figures are
drawn by lot and were measured nowhere. Two shapes: few arms with many seeds, and many arms with ten seeds each. Each is
reported on by a process of its own, whose processor time (user and system, imports included) and peak memory count; of
several rounds the cheapest, since what else a machine does can only add. It exits with 1 where a shape misses the bar.
The runs of both take 8 GB for 10,000 each, and are kept where --folder says.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT)  # in place of this folder, whose statistics.py would hide Python's own

CPU_SECONDS, PEAK_MIB = 30.0, 2e9 / 2**20
"""The bar for 10,000 runs."""
READINGS, STEPS, LOGGING_STEPS, VALIDATION_STEPS, QUESTIONS = 1000, 500, 5, 100, 200
"""Of each run; the steps and what is logged of them are those of training=tutorial at this length."""
FEW_ARMS, FEW_SEEDS = 4, 10
FAILED = 250
"""One run of so many ran out of memory."""
START = datetime(2030, 1, 1, tzinfo=UTC)
RUN_SECONDS = 1100.0


@dataclass(frozen=True)
class Arm:
    rank: int
    quantized: bool
    skill: float
    """Its share of right answers, over all seeds."""

    @property
    def name(self) -> str:
        return "qlora" if self.quantized else "lora"


def arms(count: int) -> list[Arm]:
    draw = random.Random(count)
    return [Arm(8 + place // 2, place % 2 == 1, 0.6 + draw.gauss(0, 0.01)) for place in range(count)]


def write(folder: Path, arms: list[Arm], seeds: int) -> None:
    """Write a run for each arm and seed, arms in turn. `folder` is there only when it is whole."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    questions = _questions()
    points = ((arm, seed) for seed in range(seeds) for arm in arms)
    for position, (arm, seed) in enumerate(points, 1):
        _write_run(unfinished, arm, seed, position, questions)
    unfinished.rename(folder)


def _questions() -> list[tuple[str, str]]:
    """For each question its line where the answer is wrong, and where it is right."""
    from harness.runs.record import Answer

    draw = random.Random("questions")
    words = _WORDS.split()
    lines = []
    for index in range(QUESTIONS):
        question, answer = (" ".join(draw.choices(words, k=count)) for count in (45, 55))
        lines.append(
            tuple(
                Answer(
                    index=index,
                    question=f"{question}?",
                    expected=str(index),
                    answer=f"{answer}\n#### {index + (not correct)}",
                    extracted=str(index + (not correct)),
                    correct=correct,
                    generated_tokens=80,
                    finished=True,
                ).model_dump_json()
                for correct in (False, True)
            )
        )
    return [(wrong, right) for wrong, right in lines]


def _write_run(sweep: Path, arm: Arm, seed: int, position: int, questions: list[tuple[str, str]]) -> None:
    from harness.plan import identity
    from harness.runs.folder import SweepFolder

    draw = random.Random(f"{arm} {seed}")
    parts = _parts(arm, seed)
    name = identity.of_run(parts)
    folder = SweepFolder(sweep).run(f"{arm.name}-seed{seed}-{name}")
    failed = position % FAILED == 0
    started_at = START + position * timedelta(seconds=RUN_SECONDS)
    skill = min(1.0, max(0.0, arm.skill + draw.gauss(0, 0.02)))
    # A hard question is hard for all: a uniform draw a question, the same for every run, and some luck.
    level = random.Random("level")
    correct = [0.7 * level.random() + 0.3 * draw.random() < skill for _ in questions]
    losses = [0.5 + 2 * 0.98**step + draw.gauss(0, 0.05) for step in range(STEPS + 1)]
    folder.evaluation.path.mkdir(parents=True)
    folder.readings.write_text("".join(_readings(draw, arm, started_at.timestamp())))
    folder.events.write_text("".join(_events(losses, started_at.timestamp(), failed)))
    if not failed:
        lines = (question[right] for question, right in zip(questions, correct, strict=True))
        folder.evaluation.answers.write_text("\n".join(lines) + "\n")
    record = _record(draw, arm, seed, position, name, started_at, losses, sum(correct), failed)
    folder.record.write_text(record.model_copy(update={"identity_parts": parts}).model_dump_json(indent=2) + "\n")


def _config(arm: Arm, seed: int) -> dict[str, Any]:
    from omegaconf import OmegaConf

    from harness.config.schema import Config

    global _DEFAULTS
    _DEFAULTS = _DEFAULTS or OmegaConf.to_container(OmegaConf.structured(Config))
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in _DEFAULTS.items()}
    for group, values in {
        "model": {"path": "/models/Qwen2-7B", "template": "qwen"},
        "method": {"name": arm.name, "finetuning_type": "lora", "rank": arm.rank},
        "quantization": {"name": "nf4" if arm.quantized else "none", "bits": 4 if arm.quantized else None},
        "dataset": {"name": "math10k", "path": "/data/train.parquet", "train_samples": 2000},
        "training": {"learning_rate": 1e-4, "epochs": 2.0, "batch_size": 2, "cutoff_length": 512},
        "evaluation": {"name": "gsm8k", "benchmark": "gsm8k", "path": "/data/test.jsonl", "limit": QUESTIONS},
        "device": {"name": "cuda"},
        "launch": {"name": "single"},
        "tracking": {"mode": "local"},
    }.items():
        config[group] |= values
    return config | {"seed": seed, "sweep": "made", "arm": arm.name}


_DEFAULTS: dict[Any, Any] = {}


def _parts(arm: Arm, seed: int) -> Any:
    from harness.runs.record import IdentityParts

    config = _config(arm, seed)
    return IdentityParts(
        model="0c0ffee123",
        template="qwen",
        questions="5e5e5e5e5e",
        precision="bf16",
        device=["cuda", "A chip", 1],
        threads=None,
        versions=_VERSIONS,
        rows="1f3a5b7c9d",
        cut=[None, None],
        llamafactory={},
        seed=seed,
        processes=1,
        evaluation={key: value for key, value in config["evaluation"].items() if key not in ("name", "path")},
        method={key: value for key, value in config["method"].items() if key not in ("name", "quantization")},
        quantization={key: value for key, value in config["quantization"].items() if key != "name"},
        training={key: value for key, value in config["training"].items() if key not in ("precision", "save_steps")},
    )


_WORDS = "the a of apples shop each costs more than yesterday sells how many does she have left in all"
_LIBRARIES = "torch transformers peft trl accelerate bitsandbytes llamafactory evalscope numpy datasets"
_VERSIONS = dict.fromkeys(_LIBRARIES.split(), "1.0.0")


def _readings(draw: random.Random, arm: Arm, start: float) -> Iterator[str]:
    level = 9000.0 if arm.quantized else 17000.0
    for number in range(READINGS):
        sensor, chip, device = ("psutil", "null", "null") if number % 2 else ("nvml", "0", f"{level + 600:.6f}")
        yield (
            f'{{"time":{start + number * (RUN_SECONDS - 10) / READINGS:.6f},"sensor":"{sensor}","chip":{chip},'
            f'"device_used_mib":{device},"device_total_mib":81559.0,"process_mib":{level + 300 * draw.random():.6f},'
            f'"utilization_percent":97.0,"power_watts":{280 + 40 * draw.random():.3f},"temperature_celsius":61.0}}\n'
        )


def _events(losses: list[float], start: float, failed: bool) -> Iterator[str]:
    def line(second: float, kind: str, rest: str) -> str:
        return f'{{"time":{start + second:.6f},"kind":"{kind}",{rest}}}\n'

    yield line(1, "phase_started", '"phase":"load"')
    yield line(60, "training_started", f'"total_steps":{STEPS}')
    peaks = '"phase":"{}","allocator_allocated_mib":8000.1,"allocator_reserved_mib":9000.1,"resident_mib":4000.1'
    yield line(60, "phase_peaks", peaks.format("load"))
    yield line(60, "phase_started", '"phase":"train"')
    for step in range(1, STEPS // (2 if failed else 1) + 1):
        second = 60 + 1.5 * step
        yield line(second, "step", f'"step":{step},"tokens":{step * 900}')
        if step % LOGGING_STEPS == 0:
            rest = f'"step":{step},"loss":{losses[step]!r},"learning_rate":{1e-4 * (1 - step / STEPS)!r}'
            yield line(second, "loss", f'{rest},"gradient_norm":{losses[step] / 3!r}')
        if step % VALIDATION_STEPS == 0:
            yield line(second, "phase_peaks", peaks.format("train"))
            yield line(second, "phase_started", '"phase":"validate"')
            yield line(second + 5, "validation_loss", f'"step":{step},"loss":{losses[step] + 0.1!r}')
            yield line(second + 5, "phase_peaks", peaks.format("validate"))
            yield line(second + 5, "phase_started", '"phase":"train"')
    if failed:
        yield line(500, "failure", '"error":"OutOfMemoryError: made for a benchmark","cause":"out_of_memory"')
        return
    rest = f'"train_seconds":750.0,"validation_seconds":25.0,"steps":{STEPS},"tokens":{STEPS * 900}'
    yield line(850, "training_finished", rest)
    yield line(850, "phase_started", '"phase":"save"')
    yield line(860, "phase_started", '"phase":"evaluate"')
    yield from (line(860 + done, "evaluation_progress", f'"done":{done},"total":200') for done in range(0, 201, 8))


def _record(
    draw: random.Random,
    arm: Arm,
    seed: int,
    position: int,
    identity: str,
    started_at: datetime,
    losses: list[float],
    correct: int,
    failed: bool,
) -> Any:
    from harness.devices.reading import Quantity
    from harness.runs import record as records
    from harness.runs.events import Evidence, Phase, RowsTokenized

    peak_mib = (9300.0 if arm.quantized else 17300.0) + draw.gauss(0, 20)
    train_seconds = (800.0 if arm.quantized else 700.0) * (1 + draw.gauss(0, 0.02))
    score = records.Score(
        benchmark="gsm8k",
        accuracy=correct / QUESTIONS,
        correct=correct,
        questions=QUESTIONS,
        seconds=200.0,
        generated_tokens=16_000,
        cut_off=0,
    )
    memory = [
        records.MemoryPeak(
            phase=phase,
            quantity=quantity,
            sensor=sensor,
            peak_mib=peak_mib * share,
            baseline_mib=500.0 if sensor == "nvml" else None,
            readings=100 if sensor in ("nvml", "psutil") else None,
        )
        for phase, share in zip(Phase, (0.6, 1.0, 0.9, 0.7, 0.8), strict=True)
        for quantity, sensor in (
            (Quantity.DEVICE, "nvml"),
            (Quantity.PROCESS, "nvml"),
            (Quantity.ALLOCATOR_RESERVED, "torch"),
            (Quantity.ALLOCATOR_ALLOCATED, "torch"),
            (Quantity.HOST, "psutil"),
            (Quantity.RESIDENT, "linux"),
        )
    ]
    return records.Record(
        status=records.Outcome.OUT_OF_MEMORY if failed else records.Outcome.COMPLETED,
        reason="the chip ran out of memory in train (made for a benchmark)" if failed else None,
        sweep="made",
        arm=arm.name,
        seed=seed,
        baseline="lora",
        identity=identity,
        device="cuda",
        command="harness sweep quickstart sweep=made",
        config=_config(arm, seed),
        environment=records.Environment(
            versions=_VERSIONS | {"python": "3.11.7", "pandas": "2.3.3", "swanlab": "0.10.3", "hydra-core": "1.3.8"},
            platform="Linux-x86_64",
            device="A chip",
            device_count=1,
            cpu_count=16,
            host_memory_mib=131072.0,
            host="abcdef0123",
            driver="570.1",
            runtimes={"cuda": "12.8"},
            variables={"OMP_NUM_THREADS": "8", "TOKENIZERS_PARALLELISM": "false"},
        ),
        started_at=started_at,
        position=position,
        wall_seconds=RUN_SECONDS - 10,
        base_weights="11d2a599ab",
        rows=RowsTokenized(rows=2000, at_cutoff=12, cutoff_tokens=512),
        memory=memory,
        evidence=Evidence(
            quantized_modules=196 if arm.quantized else 0,
            linear_modules=197,
            weight_bytes_by_dtype={"uint8": 4 * 2**30} if arm.quantized else {"bfloat16": 15 * 2**30},
            trainable_parameters=arm.rank * 2_500_000,
            total_parameters=7_600_000_000 + arm.rank * 2_500_000,
            gradient_checkpointing=True,
        ),
        compute_dtype="bfloat16",
        training=None
        if failed
        else records.Training(
            train_seconds=train_seconds,
            validation_seconds=25.0,
            steps=STEPS,
            tokens=STEPS * 900,
            tokens_per_second=STEPS * 900 / train_seconds,
            step_seconds=train_seconds / STEPS,
            warmup_steps=25,
            warmup_seconds=60.0,
            train_loss=losses[-1],
            validation_loss=losses[-1] + 0.1,
            adapter_mib=arm.rank * 10.0,
        ),
        diverged=False,
        score=None if failed else score,
        base_score=None if failed else score.model_copy(update={"correct": 100, "accuracy": 0.5}),
        sampling=records.Sampling(interval_seconds=1.0, readings=READINGS, gaps=0, errors=[]),
        energy=records.Energy(
            watt_hours=90.0 * (1 + draw.gauss(0, 0.02)),
            mean_watts=300.0,
            covered_seconds=RUN_SECONDS - 12,
            idle_watts=60.0,
            above_idle_watt_hours=72.0 * (1 + draw.gauss(0, 0.02)),
            max_temperature_celsius=61.0,
        ),
        log_tail=["torch.OutOfMemoryError: made for a benchmark"] if failed else [],
    )


@dataclass(frozen=True)
class Cost:
    """CPU seconds of each part, and the highest memory up to its end."""

    load_seconds: float
    compare_seconds: float
    render_seconds: float
    whole_seconds: float
    """Of the process, imports included."""
    load_mib: float
    compare_mib: float
    whole_mib: float
    markdown_mib: float
    html_mib: float

    @property
    def is_within_bar(self) -> bool:
        return self.whole_seconds <= CPU_SECONDS and self.whole_mib <= PEAK_MIB


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(sweep: Path, output: Path) -> Cost:
    """What `--measure` does: one report in this process."""
    from harness.report import render as report

    after: dict[str, tuple[float, float]] = {}

    def watched(name: str) -> None:
        call = getattr(report, name)

        def watching(*arguments: Any, **more: Any) -> Any:
            result = call(*arguments, **more)
            after[name] = _cpu_seconds(), _peak_mib()
            return result

        setattr(report, name, watching)

    watched("load_sweep")
    watched("find")
    imported = _cpu_seconds()
    report.render([sweep], output)
    whole = _cpu_seconds()
    (loaded, load_mib), (compared, compare_mib) = after["load_sweep"], after["find"]
    sizes = [(output / name).stat().st_size / 2**20 for name in ("report.md", "report.html")]
    return Cost(
        loaded - imported, compared - loaded, whole - compared, whole, load_mib, compare_mib, _peak_mib(), *sizes
    )


def reported(sweep: Path, output: Path) -> Cost:
    command = [sys.executable, __file__, "--measure", str(sweep), str(output)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return Cost(**json.loads(lines[-1]))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(asdict(measure(Path(sys.argv[2]), Path(sys.argv[3])))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the runs are kept, for the next time (default: nowhere)")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="report-"))
    folder = arguments.folder or home
    folder.mkdir(parents=True, exist_ok=True)
    shapes = [(FEW_ARMS, arguments.runs // FEW_ARMS), (arguments.runs // FEW_SEEDS, FEW_SEEDS)]
    try:
        for count, seeds in [(2, 2), *shapes]:
            if not (folder / f"{count}x{seeds}").exists():
                write(folder / f"{count}x{seeds}", arms(count), seeds)
        # The first figure of a machine makes matplotlib look through its fonts.
        reported(folder / "2x2", home / "first")
        print(
            "| arms | seeds | load (s) | compare (s) | render (s) | in all (CPU s) | peak, loaded (MiB) | peak (MiB) |"
        )
        print(f"|{'---:|' * 8}", flush=True)
        costs = []
        for count, seeds in shapes:
            sweep, output = folder / f"{count}x{seeds}", home / f"{count}x{seeds}-report"
            rounds = [reported(sweep, output) for _ in range(arguments.rounds)]
            cost = min(rounds, key=lambda cost: cost.whole_seconds)
            costs.append(cost)
            seconds = (cost.load_seconds, cost.compare_seconds, cost.render_seconds, cost.whole_seconds)
            cells = [f"{count:,}", f"{seeds:,}", *(f"{value:.1f}" for value in seconds)]
            print(f"| {' | '.join(cells)} | {cost.load_mib:,.0f} | {cost.whole_mib:,.0f} |", flush=True)
    finally:
        shutil.rmtree(home)
    missed = not all(cost.is_within_bar for cost in costs)
    print(f"\nThe bar ({CPU_SECONDS:g} s, {PEAK_MIB:,.0f} MiB for 10,000 runs) is {'missed' if missed else 'kept'}.")
    sys.exit(missed)


if __name__ == "__main__":
    main()
