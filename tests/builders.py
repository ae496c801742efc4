"""Writes run folders as a run would leave them. Every value is made for tests and was measured nowhere."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.base import json_lines
from harness.devices.reading import Quantity, Reading
from harness.plan import identity
from harness.runs import store
from harness.runs.events import (
    AdapterChecked,
    Event,
    Evidence,
    FirstStep,
    Phase,
    PhaseStarted,
    RowsTokenized,
    RowsTrained,
    TrainingFinished,
    TrainingLoss,
    TrainingStarted,
    ValidationLoss,
)
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import (
    Answer,
    ChipBefore,
    Divergence,
    Energy,
    Environment,
    IdentityParts,
    MachineBefore,
    MemoryPeak,
    Outcome,
    Record,
    Reply,
    Sampling,
    Score,
    Sharing,
    Tracking,
    Training,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
SLOT = timedelta(seconds=100)
"""Between the starts of two runs of a sweep."""
MIB = 2**20


def questions(
    count: int, right: Sequence[bool] | float, seed: int = 0, answer: str = "made for tests", cut_off: int = 0
) -> list[Answer]:
    """`cut_off`: how many of the first were ended by the limit."""
    draw = random.Random(seed)
    return [
        Answer(
            index=index,
            question=f"Question {index}, made for tests: 2 + {index}?",
            expected=str(2 + index),
            answer=f"{answer} {index}",
            extracted=str(2 + index),
            correct=draw.random() < right if isinstance(right, float) else right[index],
            generated_tokens=12,
            finished=index >= cut_off,
        )
        for index in range(count)
    ]


def reply(prompt: str, answer: str, expected: str | None = None, finished: bool = True) -> Reply:
    return Reply(prompt=prompt, answer=answer, expected=expected, generated_tokens=12, finished=finished)


def _score(answers: Sequence[Answer]) -> Score:
    correct = sum(answer.correct for answer in answers)
    twice = [answer for answer in answers if answer.evalscope_correct is not None]
    return Score(
        benchmark="arithmetic",
        accuracy=correct / len(answers),
        correct=correct,
        questions=len(answers),
        seconds=30.0,
        generated_tokens=sum(answer.generated_tokens for answer in answers),
        cut_off=sum(answer.finished is False for answer in answers),
        evalscope_correct=sum(bool(answer.evalscope_correct) for answer in twice) if twice else None,
        marked_otherwise=sum(answer.evalscope_correct != answer.correct for answer in twice) if twice else None,
    )


@dataclass
class RunBuilder:
    """One run's folder. Without arguments an ideal one: fair, converged, with all that a record can hold."""

    sweep: Path
    arm: str = "lora"
    seed: int = 0
    identity: str = ""
    """Empty: what the parts give, as the harness does it."""
    parts: bool = True
    """False: as the version before left its records."""
    weights: str = "0c0ffee123"
    base_weights: str | None = None
    """None: the same as `weights`. `-`: not recorded."""
    rows_digest: str = "1f3a5b7c9d"
    questions_digest: str | None = "5e5e5e5e5e"
    template: str = "qwen"
    precision: str = "bf16"
    processes: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    """Beside or in place of torch's."""
    installed: dict[str, str] = field(default_factory=dict)
    """Likewise, but of the environment alone: what does not decide which run it is."""
    threads: int | None = None
    product: str | None = None
    """Of the chip or the processor."""
    compute_dtype: str | None = "bfloat16"
    diverged: bool | None = False
    divergence: Divergence | None = None
    train_loss: float = 0.52
    linear_modules: int = 28
    tokens: int = 40_000
    steps: int = 40
    not_finite_from: int | None = None
    """The step from which on the training loss is NaN."""
    baseline: str = "lora"
    status: Outcome = Outcome.COMPLETED
    reason: str | None = None
    device: str = "cpu"
    peak_mib: float = 405.0
    train_seconds: float = 40.0
    validation_loss: float | None = 0.61
    quantized: bool = False
    quantized_modules: int | None = None
    answers: list[Answer] | None = None
    base_accuracy: float | None = None
    merged_answers: list[Answer] | None = None
    merged_peak_mib: float | None = None
    replies: list[Reply] = field(default_factory=list)
    base_replies: list[Reply] = field(default_factory=list)
    merged_replies: list[Reply] = field(default_factory=list)
    unscored: dict[str, str] = field(default_factory=dict)
    config: dict[str, object] = field(default_factory=dict)
    started_at: datetime | None = None
    """None: such that a quantized arm and another alternate, each coming first in every other seed."""
    position: int | None = None
    duration_seconds: float = 60.0
    interval_seconds: float = 1.0
    dead_between: tuple[float, float] | None = None
    """Seconds in which the sensor did not answer."""
    readings: bool = True
    log_tail: list[str] = field(default_factory=list)
    rows: RowsTokenized | None = None
    sensor: str | None = None
    chips: int = 1
    step_seconds: float | None = None
    """None: train_seconds / steps."""
    order_digest: str | None = None
    """Of the rows as they were trained on; None: by rows and seed."""
    padding_tokens: int = 4_000
    trainable_parameters: int = 401_408
    weight_bytes: dict[str, int] | None = None
    attention: str | None = "sdpa"
    norm_dtype: str | None = "float32"
    adapter_dtype: str | None = "float32"
    optimizer_dtype: str | None = "float32"
    gradient_checkpointing: bool = True
    recomputed: bool | None = True
    adapter_check: bool = True
    readings_a_phase: int | None = None
    """None: one in three intervals of the run, so that a slower run has more."""
    tracking: str = "disabled"
    host: str = "0f0e0d0c0b"
    platform: str = "made for tests"
    git_commit: str | None = "0123456789ab"
    cpu_count: int = 2
    host_memory_mib: float = 8192.0
    cpu_quota: float | None = None
    memory_limit_mib: float | None = None
    driver: str | None = "550.1"
    """Of chips, as what follows up to the temperature: a processor has none of it."""
    runtimes: dict[str, str] = field(default_factory=lambda: {"runtime": "12.4", "firmware": "7.1"})
    power_limit_watts: float = 400.0
    max_clock_mhz: float = 1980.0
    clock_mhz: float = 345.0
    ecc: bool = True
    chip_used_mib: float = 500.0
    chip_utilization_percent: float = 0.0
    chip_processes: int = 0
    others_on_chips: int = 0
    max_temperature_celsius: float | None = 62.0
    energy: bool | None = None
    """Whether it was measured; None: where there are chips."""
    variables: dict[str, str] = field(default_factory=lambda: {"OMP_NUM_THREADS": "2"})
    temperature_celsius: float | None = 40.0
    """Before the run."""
    cpu_busy_percent: float = 3.0
    busy_processes: int = 0
    load_average: float = 0.4
    available_mib: float = 6000.0
    cpu_mhz: float = 2500.0
    others_cpu_percent: float = 1.0

    def __post_init__(self) -> None:
        self.identity = self.identity or identity.of_run(self.identity_parts())
        slot = 2 * self.seed + (self.quantized != bool(self.seed % 2))
        self.start = self.started_at or START + slot * SLOT

    @property
    def folder(self) -> Path:
        return self.sweep / f"{self.arm}-seed{self.seed}-{self.identity}"

    def write(self) -> Path:
        folder = RunFolder(self.folder)
        folder.path.mkdir(parents=True, exist_ok=True)
        for left in (folder.events, folder.readings):
            left.unlink(missing_ok=True)
        json_lines.append(folder.events, self._events())
        if self.readings:
            json_lines.append(folder.readings, self._readings())
        for target, answers in (
            (folder.evaluation, self.answers),
            (folder.evaluation_merged, self.merged_answers),
        ):
            if answers is not None:
                self._write_answers(target, answers)
        store.write(folder, self.record())
        return folder.path

    def _write_answers(self, target: TargetFolder, answers: Sequence[Answer]) -> None:
        target.path.mkdir(exist_ok=True)
        target.answers.unlink(missing_ok=True)
        json_lines.append(target.answers, answers)

    def identity_parts(self) -> IdentityParts:
        config = self._config()

        def of(group: str, *without: str) -> dict[str, object]:
            keys = config.get(group) or {}
            assert isinstance(keys, dict)
            return {key: value for key, value in keys.items() if key not in without}

        return IdentityParts(
            model=self.weights,
            template=self.template,
            evaluation=of("evaluation", "name", "path", "targets", "prompts"),
            questions=self.questions_digest,
            precision=self.precision,
            device=[self.device, self._product(), self.chips],
            threads=self.threads,
            versions={"torch": "0.0.0"} | self.versions,
            method=of("method", "name", "quantization"),
            quantization=of("quantization", "name"),
            rows=self.rows_digest,
            cut=[None, None],
            training=of("training", "precision", "logging_steps", "save_steps"),
            llamafactory=of("llamafactory"),
            seed=self.seed,
            processes=self.processes,
        )

    def _product(self) -> str:
        return self.product or ("Chip made for tests" if self.device != "cpu" else "Processor made for tests")

    def record(self) -> Record:
        done, on_chips = self.status is Outcome.COMPLETED, self.device != "cpu"
        step_seconds = self.step_seconds or self.train_seconds / self.steps
        has_energy = on_chips if self.energy is None else self.energy
        return Record(
            status=self.status,
            reason=self.reason,
            sweep=self.sweep.name,
            arm=self.arm,
            seed=self.seed,
            baseline=self.baseline,
            identity=self.identity,
            identity_parts=self.identity_parts() if self.parts else None,
            device=self.device,
            command=f"python -m harness sweep={self.sweep.name} arm={self.arm} seed={self.seed}",
            config=self._config(),
            environment=self._environment(),
            started_at=self.start,
            position=self.position,
            wall_seconds=self.duration_seconds * (1.0 if done else 0.5),
            phase_seconds=self._phase_seconds() if self.parts else {},
            before=self._before() if self.parts else None,
            sharing=Sharing(
                others_cpu_percent=self.others_cpu_percent, others_on_chips=self.others_on_chips if on_chips else None
            )
            if self.parts
            else None,
            base_weights=None if self.base_weights == "-" else self.base_weights or self.weights,
            rows=self.rows,
            trained=RowsTrained(
                digest=self.order_digest or f"{self.rows_digest}-{self.seed}",
                rows=320,
                tokens=self.tokens,
                padding_tokens=self.padding_tokens,
            )
            if self.parts
            else None,
            memory=self._memory(),
            runtime_mib=310.0 if self.parts else None,
            evidence=self._evidence(),
            first_step=FirstStep(
                recomputed=self.recomputed,
                gradient_bytes=4 * self.trainable_parameters,
                optimizer_bytes=8 * self.trainable_parameters,
                optimizer_dtype=self.optimizer_dtype,
            )
            if self.parts
            else None,
            adapter_check=AdapterChecked(trained_loss=0.6, loaded_loss=0.6, noise=0.01)
            if done and self.parts and self.adapter_check
            else None,
            compute_dtype=self.compute_dtype if self.parts else None,
            diverged=self.diverged if self.parts else None,
            divergence=self.divergence,
            training=Training(
                train_seconds=self.train_seconds,
                validation_seconds=2.0,
                steps=self.steps,
                tokens=self.tokens,
                tokens_per_second=self.tokens / self.train_seconds,
                step_seconds=step_seconds if self.parts else None,
                warmup_steps=3 if self.parts else None,
                warmup_seconds=4.5 * step_seconds if self.parts else None,
                train_loss=self.train_loss,
                validation_loss=self.validation_loss,
                adapter_mib=1.5,
            )
            if done
            else None,
            score=_score(self.answers) if done and self.answers else None,
            base_score=None
            if self.base_accuracy is None
            else Score(
                benchmark="arithmetic",
                accuracy=self.base_accuracy,
                correct=round(200 * self.base_accuracy),
                questions=200,
                seconds=30.0,
                generated_tokens=2400,
            ),
            merged_score=_score(self.merged_answers) if done and self.merged_answers else None,
            merged_memory=[]
            if self.merged_peak_mib is None
            else [
                MemoryPeak(phase=Phase.EVALUATE, quantity=Quantity.HOST, sensor="psutil", peak_mib=self.merged_peak_mib)
            ],
            replies=self.replies,
            base_replies=self.base_replies,
            base_folder="base-0a1b2c3d9e" if self.base_replies else None,
            merged_replies=self.merged_replies,
            unscored=self.unscored,
            sampling=Sampling(
                interval_seconds=self.interval_seconds,
                readings=int(self.duration_seconds / self.interval_seconds),
                gaps=0 if self.dead_between is None else 3,
                errors=[] if self.dead_between is None else ["made for tests: the sensor did not answer"],
            ),
            energy=Energy(
                watt_hours=1.2,
                mean_watts=210.0,
                idle_watts=60.0 if self.parts else None,
                above_idle_watt_hours=0.9 if self.parts else None,
                max_temperature_celsius=self.max_temperature_celsius,
            )
            if has_energy
            else None,
            tracking=Tracking(mode=self.tracking),
            log_tail=self.log_tail,
        )

    def _environment(self) -> Environment:
        known = Environment(
            versions={"python": "3.11.0", "torch": "0.0.0"} | self.versions | self.installed,
            platform=self.platform,
            device=self._product(),
            device_count=self.chips,
            cpu_count=self.cpu_count,
            host_memory_mib=self.host_memory_mib,
            git_commit=self.git_commit,
        )
        if not self.parts:
            return known
        on_chips = self.device != "cpu"
        return known.model_copy(
            update={
                "host": self.host,
                "driver": self.driver if on_chips else None,
                "runtimes": self.runtimes if on_chips else {},
                "variables": self.variables,
                "cpu_quota": self.cpu_quota,
                "memory_limit_mib": self.memory_limit_mib,
            }
        )

    def _before(self) -> MachineBefore:
        chips = [
            ChipBefore(
                chip=chip,
                used_mib=self.chip_used_mib,
                utilization_percent=self.chip_utilization_percent,
                temperature_celsius=self.temperature_celsius,
                power_watts=60.0,
                power_limit_watts=self.power_limit_watts,
                clock_mhz=self.clock_mhz,
                max_clock_mhz=self.max_clock_mhz,
                memory_clock_mhz=1593.0,
                ecc=self.ecc,
                other_processes=self.chip_processes,
            )
            for chip in range(self.chips if self.device != "cpu" else 0)
        ]
        return MachineBefore(
            chips=chips,
            cpu_busy_percent=self.cpu_busy_percent,
            load_average=self.load_average,
            busy_processes=self.busy_processes,
            available_mib=self.available_mib,
            cpu_mhz=self.cpu_mhz,
            cpu_temperature_celsius=self.temperature_celsius,
        )

    def _phase_seconds(self) -> dict[Phase, float]:
        done = 1.0 if self.status is Outcome.COMPLETED else 0.5
        spans = [(phase, begin, min(end, done * self.duration_seconds)) for phase, begin, end in self._spans()]
        taken: dict[Phase, float] = {}
        for phase, begin, end in spans:
            if end > begin:
                taken[phase] = taken.get(phase, 0.0) + end - begin
        return taken

    def _config(self) -> dict[str, object]:
        return {
            "method": {"name": "qlora" if self.quantized else "lora", "rank": 8, "quantization": "none"},
            "quantization": {"name": "nf4" if self.quantized else "none", "bits": 4 if self.quantized else None},
            "model": {"path": "/models/made", "template": "qwen"},
            "dataset": {"name": "made", "path": "/data/made.json", "seed": 42},
            "evaluation": {"name": "arithmetic", "benchmark": "arithmetic", "limit": 200},
            "training": {"batch_size": 8, "learning_rate": 1e-3},
            "llamafactory": {},
            "device": {"chips": None, "interval_seconds": self.interval_seconds, "threads": self.threads},
            "seed": self.seed,
        } | self.config

    def _evidence(self) -> Evidence:
        quantized = (28 if self.quantized else 0) if self.quantized_modules is None else self.quantized_modules
        dtypes = {"nf4": 60 * MIB, "quantization state": 4 * MIB} if quantized else {"bfloat16": 240 * MIB}
        return Evidence(
            quantized_modules=quantized,
            linear_modules=self.linear_modules,
            weight_bytes_by_dtype=self.weight_bytes or dtypes | {"float32": 2 * MIB},
            trainable_parameters=self.trainable_parameters,
            total_parameters=126_000_000,
            gradient_checkpointing=self.gradient_checkpointing,
            attention=self.attention if self.parts else None,
            norm_dtype=self.norm_dtype if self.parts else None,
            adapter_dtype=self.adapter_dtype if self.parts else None,
            adapter_bytes=4 * self.trainable_parameters if self.parts else None,
        )

    def _memory(self) -> list[MemoryPeak]:
        phases = {Phase.LOAD: 0.7, Phase.TRAIN: 1.0, Phase.SAVE: 0.9, Phase.EVALUATE: 1.4}
        if self.device == "cpu":
            kinds: list[tuple[Quantity, str, float | None]] = [
                (Quantity.HOST, self.sensor or "psutil", None),
                (Quantity.RESIDENT, "VmHWM", None),
            ]
        else:
            kinds = [(Quantity.DEVICE, self.sensor or "nvml", 500.0), (Quantity.ALLOCATOR_RESERVED, "torch", None)]
        readings = self.readings_a_phase or max(1, round(self.duration_seconds / self.interval_seconds / 3))
        return [
            MemoryPeak(
                phase=phase,
                quantity=quantity,
                sensor=sensor,
                peak_mib=self.peak_mib * share + (baseline or 0.0),
                baseline_mib=baseline,
                readings=readings if quantity in (Quantity.HOST, Quantity.DEVICE) else None,
            )
            for quantity, sensor, baseline in kinds
            for phase, share in phases.items()
        ]

    def _spans(self) -> list[tuple[Phase, float, float]]:
        shares = [
            (Phase.LOAD, 0.0),
            (Phase.TRAIN, 0.2),
            (Phase.VALIDATE, 0.4),
            (Phase.TRAIN, 0.43),
            (Phase.VALIDATE, 0.62),
            (Phase.SAVE, 0.65),
            (Phase.EVALUATE, 0.7),
        ]
        ends = [share for _, share in shares[1:]] + [1.0]
        return [
            (phase, share * self.duration_seconds, end * self.duration_seconds)
            for (phase, share), end in zip(shares, ends, strict=True)
        ]

    def _events(self) -> list[Event]:
        start = self.start.timestamp()
        draw = random.Random(f"{self.arm}{self.seed}")
        events: list[Event] = [PhaseStarted(time=start + begin, phase=phase) for phase, begin, _ in self._spans()]
        train, end = start + 0.2 * self.duration_seconds, start + 0.65 * self.duration_seconds
        events.append(TrainingStarted(time=train, total_steps=40))
        for step in range(2, 41, 2):
            moment = train + (end - train) * step / 40
            loss = 0.5 + 2 * math.exp(-step / 10) + draw.gauss(0, 0.05)
            if self.not_finite_from is not None and step >= self.not_finite_from:
                loss = math.nan
            events.append(TrainingLoss(time=moment, step=step, loss=loss, learning_rate=1e-3))
            if step % 20 == 0 and self.validation_loss is not None:
                later = self.validation_loss + 0.1 * (step == 20) + draw.gauss(0, 0.01)
                events.append(ValidationLoss(time=moment, step=step, loss=later))
        if self.status is not Outcome.COMPLETED:
            half = [event for event in events if event.time < start + 0.5 * self.duration_seconds]
            return sorted(half, key=lambda event: event.time)
        events.append(
            TrainingFinished(
                time=end, train_seconds=self.train_seconds, validation_seconds=2.0, steps=self.steps, tokens=self.tokens
            )
        )
        return sorted(events, key=lambda event: event.time)

    def _readings(self) -> list[Reading]:
        level = {Phase.LOAD: 0.6, Phase.TRAIN: 0.95, Phase.VALIDATE: 0.8, Phase.SAVE: 0.85, Phase.EVALUATE: 1.3}
        start, draw = self.start.timestamp(), random.Random(f"{self.arm}{self.seed}")
        end = self.duration_seconds * (1.0 if self.status is Outcome.COMPLETED else 0.5)
        readings = []
        for number in range(int(end / self.interval_seconds)):
            second = number * self.interval_seconds
            if self.dead_between and self.dead_between[0] <= second < self.dead_between[1]:
                continue
            phase = next(phase for phase, begin, stop in self._spans() if begin <= second < stop)
            mib = self.peak_mib * (level[phase] + 0.05 * draw.random())
            readings.append(
                Reading(
                    time=start + second,
                    sensor=self.sensor or ("psutil" if self.device == "cpu" else "nvml"),
                    chip=None if self.device == "cpu" else 0,
                    device_used_mib=None if self.device == "cpu" else mib + 500.0,
                    process_mib=mib,
                )
            )
        return readings
