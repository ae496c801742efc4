"""Whether the words of a report may be believed: its rules on simulated sweeps whose truth is known.

    .venv/bin/python benchmarks/statistics.py [--quick] [--processes 2] [--part accuracy ...]

Prints the tables of docs/statistics.md. What is judged is harness.comparison itself; where a copy of its rules works on
many replications at once, the two are held equal on the first few of each case. It exits with 1 where a promise is
broken by more than two standard errors. A case that was picked because it looked worst is drawn again, larger and with
other numbers, so that what is printed is not the worst of many lots.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: the processes are enough

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeAlias

# In place of this folder, in which a module would find this file when it wants Python's own `statistics`.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from harness.comparison import estimates
from harness.comparison.estimates import ALPHA
from harness.comparison.foresight import ASSUMED_TIME_SD, Pilot, foresee, visible_share
from harness.comparison.needs import Variances, needs_crossed, smallest_margin, smallest_visible, variances

Array: TypeAlias = NDArray[np.float64]

SEEDS, QUESTIONS = (3, 5, 10), (50, 200, 1319)
BASES = (0.02, 0.3, 0.6, 0.9, 0.98)
SEED_SDS = (0.0, 0.005, 0.01, 0.02, 0.05)
MARGINS = (0.02, 0.05)
COVERAGE, FALSE_WORDS, FALSE_WORDS_ON_TIME = 0.94, 0.05, 0.06
"""The promises."""
COMPARED_WITH_LIBRARY = 5
"""Replications of each case."""
_CELLS_AT_ONCE = 400_000


# ---- Answers


class Likeness(NamedTuple):
    """How two arms answer the same questions."""

    difficulty_sd: float
    """Of questions, on the scale of the probit."""
    own_taste_sd: float
    """Of what a question is easier for one arm than for the other."""
    shared_noise: float
    """Correlation of the arms' noise in one seed and question."""


ALIKE, UNLIKE = Likeness(2.0, 0.0, 0.8), Likeness(0.3, 0.7, 0.0)
ALIKE_TASTE, UNLIKE_NOISE = Likeness(2.0, 0.7, 0.0), Likeness(0.3, 0.0, 0.8)
NAMES = {ALIKE: "alike", UNLIKE: "unlike", ALIKE_TASTE: "own taste", UNLIKE_NOISE: "shared noise"}


@dataclass(frozen=True)
class World:
    """One truth: y = 1 if mu + difficulty[q] + taste[q, arm] + seed[s, arm] + noise[s, q, arm] > 0, all normal."""

    seeds: int
    questions: int
    base: float
    """The baseline's accuracy, expected over seeds and questions."""
    likeness: Likeness
    seed_sd: float
    """Over seeds, of one arm's true accuracy; the two arms' seeds are independent."""
    difference: float = 0.0
    """True, of the arm's expected accuracy."""

    def __str__(self) -> str:
        return f"{100 * self.base:.0f}%, {NAMES[self.likeness]}, seed SD {100 * self.seed_sd:g}"


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@cache
def latent(accuracy: float, seed_sd: float, spread: float) -> tuple[float, float]:
    """Return mu and the SD of its shift by the seed, for this expected accuracy and this SD of it over seeds.

    `spread`: SD of all that is not the seed."""

    def mu(shift_sd: float) -> float:
        return float(special.ndtri(accuracy) * np.hypot(spread, shift_sd))

    def excess(shift_sd: float) -> float:
        of_seed = special.ndtr((mu(shift_sd) + shift_sd * _NODES) / spread)
        return float(np.sqrt(_WEIGHTS @ (of_seed - accuracy) ** 2) - seed_sd)

    shift_sd = 0.0 if seed_sd == 0 else float(optimize.brentq(excess, 1e-9, 20 * spread))
    return mu(shift_sd), shift_sd


def draw(world: World, replications: int, generator: np.random.Generator) -> Iterator[NDArray[np.int8]]:
    """Yield the differences of right (1) and wrong (0) answers, some replications at a time: [replication, seed,
    question]."""
    likeness = world.likeness
    spread = float(np.sqrt(1 + likeness.difficulty_sd**2 + likeness.own_taste_sd**2))
    shape = (world.seeds, world.questions)
    at_once = max(1, _CELLS_AT_ONCE // (world.seeds * world.questions))
    normal = partial(generator.standard_normal, dtype=np.float32)
    for start in range(0, replications, at_once):
        number = min(at_once, replications - start)
        difficulty = normal((number, 1, world.questions)) * np.float32(likeness.difficulty_sd)
        shared = (
            normal((number, *shape)) * np.float32(np.sqrt(likeness.shared_noise)) if likeness.shared_noise else None
        )
        right = []
        for accuracy in (world.base + world.difference, world.base):
            mu, shift_sd = latent(round(accuracy, 9), world.seed_sd, spread)
            score = normal((number, *shape))
            score *= np.float32(np.sqrt(1 - likeness.shared_noise))
            if shared is not None:
                score += shared
            of_question = difficulty + np.float32(mu)
            if likeness.own_taste_sd:
                of_question = of_question + normal((number, 1, world.questions)) * np.float32(likeness.own_taste_sd)
            score += of_question
            if shift_sd:
                score += normal((number, world.seeds, 1)) * np.float32(shift_sd)
            right.append((score > 0).view(np.int8))
        yield right[0] - right[1]


class Moments(NamedTuple):
    """All that any of the estimators needs of a matrix of answers; one entry a replication."""

    mean: Array
    of_seed_means: Array
    """Sample variance."""
    squares: Array
    """Sum over questions of their squared means."""
    residual: Array
    """E of the analysis of variance."""


def moments(differences: NDArray[np.int8]) -> Moments:
    _, seeds, questions = differences.shape
    seed_means = differences.sum(axis=2, dtype=np.int32) / questions
    question_means = differences.sum(axis=1, dtype=np.int8) / np.float64(seeds)
    mean, of_seed_means = seed_means.mean(axis=1), seed_means.var(axis=1, ddof=1)
    squares = np.einsum("rq,rq->r", question_means, question_means)
    discordant = np.count_nonzero(differences, axis=(1, 2))
    total = discordant - seeds * questions * mean**2
    explained = questions * (seeds - 1) * of_seed_means + seeds * (squares - questions * mean**2)
    residual = np.maximum(total - explained, 0.0) / ((seeds - 1) * (questions - 1))
    return Moments(mean, of_seed_means, squares, residual)


def quantile(confidence: float, degrees_of_freedom: Array | float) -> Array:
    return np.asarray(special.stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def _weighted(parts: Sequence[tuple[Array, float]], confidence: float) -> Array:
    error = np.sqrt(np.sum([variance for variance, _ in parts], axis=0))
    reach = np.sum([variance * quantile(confidence, degrees) for variance, degrees in parts], axis=0)
    return np.divide(reach, error, out=np.zeros_like(reach), where=error > 0)


def _satterthwaite(parts: Sequence[tuple[Array, float]], confidence: float) -> Array:
    variance = np.sum([variance for variance, _ in parts], axis=0)
    spent = np.sum([variance**2 / degrees for variance, degrees in parts], axis=0)
    degrees = np.divide(variance**2, spent, out=np.ones_like(spent), where=spent > 0)
    return quantile(confidence, degrees) * np.sqrt(variance)


def _parts(found: Moments, world: World, pseudo: float, without_residual: bool = False) -> list[tuple[Array, float]]:
    seeds, questions = world.seeds, world.questions
    if pseudo:
        count = questions + 2
        squares = found.squares + 2 * pseudo**2 - (questions * found.mean) ** 2 / count
    else:
        count, squares = questions, found.squares - questions * found.mean**2
    over_questions = squares / (count - 1) / count
    if without_residual:
        over_questions = np.maximum(over_questions - found.residual / (seeds * questions), 0.0)
    return [(found.of_seed_means / seeds, seeds - 1), (over_questions, questions - 1)]


Estimator: TypeAlias = Callable[[Moments, World, float], Array]
"""Returns half the width of the interval of this confidence."""


def ours(found: Moments, world: World, confidence: float) -> Array:
    return _weighted(_parts(found, world, estimates.unasked(world.seeds)), confidence)


OTHERS: dict[str, Estimator] = {
    "Satterthwaite, +-1": lambda found, world, c: _satterthwaite(_parts(found, world, 1.0), c),
    "mixed model": lambda found, world, c: _satterthwaite(_parts(found, world, 1 / world.seeds, True), c),
    "mixed model, Cochran-Cox": lambda found, world, c: _weighted(
        _parts(found, world, estimates.unasked(world.seeds), True), c
    ),
    "as here, +-1/S": lambda found, world, c: _weighted(_parts(found, world, 1 / world.seeds), c),
    "t of seed means": lambda found, world, c: (
        quantile(c, world.seeds - 1) * np.sqrt(found.of_seed_means / world.seeds)
    ),
    "questions alone": lambda found, world, c: (
        quantile(c, np.inf) * np.sqrt(np.maximum(_parts(found, world, 0.0)[1][0], 0))
    ),
}


@dataclass(frozen=True)
class Judged:
    """How often the rules erred in one world."""

    world: World
    replications: int
    missed: float
    """Share of 95% intervals without the truth; where the truth is 0, of false `better` and `worse`."""
    equivalent: float | None
    """Share of false `equivalent`, the truth being as large as the margin. None: the truth is 0."""
    not_worse: float | None
    """Share of false `not worse` by that margin."""
    width: float
    others: dict[str, tuple[float, float]]
    """Share missed and mean width."""


def generator_of(world: World, stream: int) -> np.random.Generator:
    """Return the numbers of a world: the same whenever it is run, and others in each stream."""
    numbers = [world.seeds, world.questions, world.base, world.seed_sd, abs(world.difference), *world.likeness, stream]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([round(1e6 * number) for number in numbers])))


def judge(world: World, replications: int, stream: int = 0) -> Judged:
    found = []
    for differences in draw(world, replications, generator_of(world, stream)):
        if not found:
            _same_as_library(differences[:COMPARED_WITH_LIBRARY], world)
        found.append(moments(differences))
    every = Moments(*map(np.concatenate, zip(*found, strict=True)))
    truth, margin = world.difference, abs(world.difference)
    half, half_of_90 = ours(every, world, 1 - ALPHA), ours(every, world, 1 - 2 * ALPHA)
    # Towards 0, so that the arm looks better than it is where it is worse, and the other way round.
    inward = every.mean - half_of_90 > -margin if truth < 0 else every.mean + half_of_90 < margin
    inside = (every.mean - half_of_90 > -margin) & (every.mean + half_of_90 < margin)
    others = {}
    for name, estimator in OTHERS.items():
        reach = estimator(every, world, 1 - ALPHA)
        others[name] = float(np.mean(abs(every.mean - truth) > reach)), float(2 * reach.mean())
    return Judged(
        world,
        replications,
        float(np.mean(abs(every.mean - truth) > half)),
        float(inside.mean()) if truth else None,
        float(inward.mean()) if truth else None,
        float(2 * half.mean()),
        others,
    )


def _same_as_library(differences: NDArray[np.int8], world: World) -> None:
    found = moments(differences)
    for row, matrix in enumerate(differences.astype(np.float64)):
        estimate = estimates.crossed(matrix)
        assert estimate is not None
        parts = variances(matrix)
        assert np.isclose(estimate.mean, found.mean[row], atol=1e-12)
        assert np.isclose(parts.residual, found.residual[row], atol=1e-12)
        for confidence in (1 - ALPHA, 1 - 2 * ALPHA):
            assert np.isclose(estimate.half_width(confidence), ours(found, world, confidence)[row], rtol=1e-9)


def worlds(seeds: int, questions: int, quick: bool = False) -> Iterator[World]:
    bases, sds = ((0.6, 0.9), (0.0, 0.02, 0.05)) if quick else (BASES, SEED_SDS)
    kinds = [(likeness, base) for likeness in (ALIKE, UNLIKE) for base in bases]
    kinds += [] if quick else [(likeness, base) for likeness in (ALIKE_TASTE, UNLIKE_NOISE) for base in (0.6, 0.9)]
    for (likeness, base), seed_sd, size in product(kinds, sds, (0.0, *MARGINS)):
        yield World(seeds, questions, base, likeness, seed_sd, size if base < 0.5 else -size)


def is_skewed(world: World) -> bool:
    """Whether accuracy varies more with the seed than it is away from 0 or 100%: a few seeds then look far better than
    most, or far worse, and a one-sided error bound cannot be the same on both sides."""
    return world.difference != 0 and world.seed_sd > min(world.base, 1 - world.base)


@dataclass(frozen=True)
class Promise:
    name: str
    applies: Callable[[World], bool]
    rate: Callable[[Judged], float | None]
    most: float


PROMISES = (
    Promise("coverage", lambda world: True, lambda judged: judged.missed, 1 - COVERAGE),
    Promise("false better/worse", lambda world: not world.difference, lambda judged: judged.missed, FALSE_WORDS),
    *(
        Promise(
            f"false equivalent, {100 * margin:g}",
            lambda world, margin=margin: abs(world.difference) == margin,
            lambda judged: judged.equivalent,
            FALSE_WORDS,
        )
        for margin in MARGINS
    ),
    Promise(
        "false not worse",
        lambda world: bool(world.difference) and not is_skewed(world),
        lambda judged: judged.not_worse,
        FALSE_WORDS,
    ),
    Promise(
        "skewed: false not worse (no promise)", lambda world: is_skewed(world), lambda judged: judged.not_worse, 1.0
    ),
)


def standard_error(rate: float, replications: int) -> float:
    return float(np.sqrt(max(rate * (1 - rate), 1 / replications) / replications))


def is_broken(rate: float, replications: int, most: float) -> bool:
    return rate - 2 * standard_error(rate, replications) > most


def accuracy(pool: Executor, quick: bool) -> bool:
    first, second = (300, 1500) if quick else (2000, 20_000)
    cells = list(product(SEEDS, QUESTIONS))
    every = sorted((w for cell in cells for w in worlds(*cell, quick)), key=lambda w: -w.seeds * w.questions)
    judged = list(pool.map(partial(judge, replications=first), every, chunksize=8))
    picked: list[tuple[tuple[int, int], Promise, World]] = []
    for (seeds, questions), promise in product(cells, PROMISES):
        of_cell = [one for one in judged if (one.world.seeds, one.world.questions) == (seeds, questions)]
        rates = [(promise.rate(one) or 0.0, one.world) for one in of_cell if promise.applies(one.world)]
        leading = sorted(rates, key=lambda pair: pair[0], reverse=True)[: 1 if quick else 2]
        picked += [((seeds, questions), promise, world) for _, world in leading]
    again = list(dict.fromkeys(world for _, _, world in picked))
    again.sort(key=lambda world: -world.seeds * world.questions)
    larger = dict(zip(again, pool.map(partial(judge, replications=second, stream=1), again), strict=True))

    print(f"## Accuracy: the promises ({len(every) // len(cells)} worlds a line; {first:,} replications each)\n")
    print(
        f"Each figure is that of the worst world, drawn again {second:,} times; standard error at 5%: "
        f"{100 * standard_error(0.05, second):.2f} points.\n"
    )
    held = True
    rows = []
    for cell in cells:
        row = [f"{cell[0]}, {cell[1]:,}"]
        for promise in PROMISES:
            found = [larger[world] for where, other, world in picked if (where, other) == (cell, promise)]
            if not found:
                row.append("-")
                continue
            worst = max(found, key=lambda one: promise.rate(one) or 0.0)
            rate = promise.rate(worst) or 0.0
            broken = is_broken(rate, second, promise.most)
            held &= not broken
            figure = f"{100 * (1 - rate if promise.name == 'coverage' else rate):.1f}"
            mark = " **broken**" if broken else ""
            row.append(f"{figure}{mark} ({worst.world})" if promise.name in ("coverage",) else f"{figure}{mark}")
        rows.append(row)
    names = ["lowest coverage (base, likeness, seed SD in points)", *(f"{promise.name}" for promise in PROMISES[1:])]
    table(["S, Q", *names], rows)
    print("\n## Accuracy: width beside other estimators\n")
    print(
        "Lowest coverage in % over all worlds / mean width in points; in bold where it keeps 94% within two errors.\n"
    )
    rows = []
    for cell in cells:
        of_cell = [one for one in judged if (one.world.seeds, one.world.questions) == cell]
        row = [f"{cell[0]}, {cell[1]:,}"]
        for name in (None, *OTHERS):
            pairs = [(one.missed, one.width) if name is None else one.others[name] for one in of_cell]
            missed, width = max(pair[0] for pair in pairs), float(np.mean([pair[1] for pair in pairs]))
            text = f"{100 * (1 - missed):.1f} / {100 * width:.1f}"
            row.append(text if is_broken(missed, first, 1 - COVERAGE) else f"**{text}**")
        rows.append(row)
    table(["S, Q", "this project", *OTHERS], rows)
    return held


# ---- One seed, and two


def few_seeds(pool: Executor, quick: bool) -> bool:
    _one_seed(pool, quick)
    replications = 500 if quick else 10_000
    print(f"\n## Two seeds: no promise is made ({replications:,} replications)\n")
    rows = []
    for questions in QUESTIONS:
        chosen = [
            World(2, questions, base, likeness, sd)
            for base, likeness in ((0.9, ALIKE), (0.6, ALIKE), (0.9, UNLIKE), (0.6, UNLIKE))
            for sd in (0.0, 0.02, 0.05)
        ]
        judged = list(pool.map(partial(judge, replications=replications), chosen))
        worst = max(judged, key=lambda one: one.missed)
        width = 100 * np.mean([one.width for one in judged])
        rows.append([f"{questions:,}", f"{100 * worst.missed:.1f} ({worst.world})", f"{width:.0f}"])
    table(["Q", "false better/worse, worst world", "mean width in points"], rows)
    return True


def _one_seed(pool: Executor, quick: bool) -> None:
    replications = 300 if quick else 4000
    cases = [
        World(1, 1319, base, likeness, sd)
        for base, likeness in ((0.9, ALIKE), (0.6, UNLIKE))
        for sd in (0.0, 0.01, 0.02, 0.05)
    ]
    rates = list(pool.map(partial(_mcnemar_rate, replications=replications), cases))
    print(f"\n## One seed: McNemar's exact test read as a word on methods ({replications:,} replications)\n")
    rows = []
    for base, likeness in ((0.9, ALIKE), (0.6, UNLIKE)):
        found = [rate for world, rate in zip(cases, rates, strict=True) if world.likeness == likeness]
        rows.append([f"{100 * base:.0f}%, {NAMES[likeness]}", *(f"{100 * rate:.1f}" for rate in found)])
    table(["false words in %, Q = 1,319; seed SD in points", "0", "1", "2", "5"], rows)


def _mcnemar_rate(world: World, replications: int) -> float:
    matrices = (matrix for some in draw(world, replications, generator_of(world, 0)) for matrix in some)
    return float(np.mean([estimates.mcnemar(matrix[0].astype(np.float64)).p_value < ALPHA for matrix in matrices]))


# ---- Time


class Noise(StrEnum):
    """Of the log of a run's time."""

    NORMAL_3 = "normal 3%"
    NORMAL_10 = "normal 10%"
    T3_5 = "t3 5%"
    CONTAMINATED_3 = "contaminated 3%"
    """One run in ten takes half as long again."""


class Drift(StrEnum):
    """How the machine slows down over a sweep."""

    LINEAR = "linear"
    SATURATING = "saturating"
    STEP = "step in the midst"
    SWINGING = "one swing up and down"


BENT = (Drift.SATURATING, Drift.STEP, Drift.SWINGING)


class Layout(StrEnum):
    """In which order runs are made."""

    BLOCKS = "blocks at random"
    """What a sweep does: one run of each arm a seed, their order drawn."""
    ALTERNATING = "ABAB"
    MIXED = "mixed"
    """Any order but the separated one."""
    SEPARATED = "AABB"


EFFECT = {Noise.NORMAL_3: 0.08, Noise.NORMAL_10: 0.2, Noise.T3_5: 0.15, Noise.CONTAMINATED_3: 0.15}
"""For power, on the log scale."""


def noise_of(noise: Noise, shape: tuple[int, int], generator: np.random.Generator) -> Array:
    if noise is Noise.NORMAL_10:
        return 0.10 * generator.standard_normal(shape)
    if noise is Noise.T3_5:
        return 0.05 * generator.standard_t(3, shape)
    normal = 0.03 * generator.standard_normal(shape)
    slow = np.log(1.5) * (generator.random(shape) < 0.1)
    return normal + slow if noise is Noise.CONTAMINATED_3 else normal


def drift_of(drift: Drift, size: float, runs: int) -> Array:
    """Return by how much the log of time has risen at each run; `size`: of the last against the first."""
    place = np.linspace(0, 1, runs)
    risen = {
        Drift.LINEAR: place,
        Drift.SATURATING: 1 - np.exp(-5 * place),
        Drift.STEP: (place > 0.5).astype(float),
        Drift.SWINGING: (1 + np.sin(2 * np.pi * place)) / 2,
    }
    return np.asarray(np.log1p(size * risen[drift]))


def layouts(layout: Layout, seeds: int, replications: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return which run is the arm's: [replication, position]."""
    if layout is Layout.MIXED:
        drawn = np.argsort(generator.random((2 * replications, 2 * seeds)), axis=1) < seeds
        halves = drawn[:, :seeds].sum(axis=1)
        return drawn[(halves > 0) & (halves < seeds)][:replications]
    if layout is Layout.SEPARATED:
        return np.tile(np.arange(2 * seeds) < seeds, (replications, 1))
    first = generator.random((replications, seeds)) < 0.5 if layout is Layout.BLOCKS else np.ones((replications, seeds))
    return np.stack([first, 1 - first], axis=2).reshape(replications, 2 * seeds).astype(bool)


def with_position(logs: Array, is_arm: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the estimates and their standard errors, of many sweeps at once."""
    runs = logs.shape[1]
    position = np.arange(runs) - (runs - 1) / 2
    along = position / (position @ position)
    arm = is_arm - is_arm.mean(axis=1, keepdims=True)
    arm = arm - (arm @ along)[:, None] * position
    rest = logs - logs.mean(axis=1, keepdims=True)
    rest = rest - (rest @ along)[:, None] * position
    weight = (arm**2).sum(axis=1)
    effect = (arm * rest).sum(axis=1) / weight
    residuals = rest - effect[:, None] * arm
    return effect, np.sqrt((residuals**2).sum(axis=1) / (runs - 3) / weight)


def pairs(logs: Array, is_arm: NDArray[np.bool_]) -> Array:
    """Return arm minus baseline by seed: the n-th run of the one with the n-th of the other."""
    shape = len(logs), logs.shape[1] // 2
    return logs[is_arm].reshape(shape) - logs[~is_arm].reshape(shape)


def t_test(differences: Array, confidence: float = 1 - ALPHA) -> NDArray[np.bool_]:
    seeds = differences.shape[1]
    error = differences.std(axis=1, ddof=1) / np.sqrt(seeds)
    return np.asarray(abs(differences.mean(axis=1)) > quantile(confidence, seeds - 1) * error)


@dataclass(frozen=True)
class TimeCase:
    seeds: int
    noise: Noise
    drift: Drift
    size: float
    layout: Layout


@dataclass(frozen=True)
class TimeJudged:
    false: float
    power: float
    paired_false: float
    paired_power: float


def judge_time(case: TimeCase, replications: int) -> TimeJudged:
    generator = np.random.default_rng(
        [case.seeds, *map(ord, case.noise + case.drift + case.layout), int(100 * case.size)]
    )
    is_arm = layouts(case.layout, case.seeds, replications, generator)
    logs = noise_of(case.noise, is_arm.shape, generator) + drift_of(case.drift, case.size, is_arm.shape[1])
    found = []
    for effect in (0.0, EFFECT[case.noise]):
        moved = logs + effect * is_arm
        mean, error = with_position(moved, is_arm)
        for row in range(COMPARED_WITH_LIBRARY):
            position = np.arange(2.0 * case.seeds)
            library = estimates.with_position(moved[row], is_arm[row], position)
            assert library is not None
            assert np.allclose((library.mean, library.standard_error), (mean[row], error[row]))
            assert library.parts[0].degrees_of_freedom == 2 * case.seeds - 3
        told_apart = abs(mean) > quantile(1 - ALPHA, 2 * case.seeds - 3) * error
        found.append((float(told_apart.mean()), float(t_test(pairs(moved, is_arm)).mean())))
    return TimeJudged(found[0][0], found[1][0], found[0][1], found[1][1])


def time_words(pool: Executor, quick: bool) -> bool:
    replications = 2000 if quick else 20_000
    sizes = (0.0, 0.2) if quick else (0.0, 0.05, 0.1, 0.2)
    cases = [
        TimeCase(seeds, noise, Drift.LINEAR, size, layout)
        for seeds, noise, size, layout in product(SEEDS, Noise, sizes, Layout)
    ]
    bent = [TimeCase(seeds, noise, drift, 0.2, Layout.BLOCKS) for seeds, noise, drift in product(SEEDS, Noise, BENT)]
    judged = dict(
        zip(
            cases + bent,
            pool.map(partial(judge_time, replications=replications), cases + bent, chunksize=8),
            strict=True,
        )
    )
    print(f"\n## Time: false words and power ({replications:,} replications, standard error ", end="")
    print(f"{100 * standard_error(0.05, replications):.2f} points)\n")
    print(
        "False words in %, the highest over drifts of 0 to 20% (straight) / power in % at 20%, for a difference of "
        + ", ".join(f"{100 * (np.exp(effect) - 1):.0f}% ({noise})" for noise, effect in EFFECT.items())
        + ".\n"
    )
    rows, held = [], True
    for seeds, noise in product(SEEDS, Noise):
        row = [f"{seeds}", noise.value]
        for layout in (Layout.BLOCKS, Layout.ALTERNATING, Layout.MIXED):
            of_case = [judged[TimeCase(seeds, noise, Drift.LINEAR, size, layout)] for size in sizes]
            worst = max(one.false for one in of_case)
            held &= not is_broken(worst, replications, FALSE_WORDS_ON_TIME)
            row.append(f"{100 * worst:.1f} / {100 * of_case[-1].power:.0f}")
        for layout in (Layout.BLOCKS, Layout.ALTERNATING, Layout.SEPARATED):
            of_case = [judged[TimeCase(seeds, noise, Drift.LINEAR, size, layout)] for size in sizes]
            row.append(f"{100 * max(one.paired_false for one in of_case):.1f} / {100 * of_case[-1].paired_power:.0f}")
        rows.append(row)
    table(
        ["S", "noise", "blocks at random", "ABAB", "mixed", "pairs: blocks", "pairs: ABAB", "pairs: AABB (no word)"],
        rows,
    )
    print("\nDrifts of 20% that are not straight, blocks at random: false words in % / power in %.\n")
    rows = []
    for seeds, noise in product(SEEDS, Noise):
        row = [f"{seeds}", noise.value]
        for drift in BENT:
            one = judged[TimeCase(seeds, noise, drift, 0.2, Layout.BLOCKS)]
            row += [
                f"{100 * one.false:.1f} / {100 * one.power:.0f}",
                f"{100 * one.paired_false:.1f} / {100 * one.paired_power:.0f}",
            ]
        rows.append(row)
    table(["S", "noise", *(name for drift in BENT for name in (drift.value, "pairs"))], rows)
    return held


# ---- Looks


LOOKS = tuple(range(3, 11))
"""Seeds at each look."""


def looks(pool: Executor, quick: bool) -> bool:
    replications = 500 if quick else 5000
    print("\n## Looks: any false word in %, truth 0\n")
    cases: list[tuple[str, Callable[[int, float], NDArray[np.bool_]]]] = []
    generator = np.random.default_rng(7)
    values = generator.standard_normal((8 * replications, LOOKS[-1]))
    cases.append(("pairs by seed", lambda seeds, alpha: t_test(values[:, :seeds], 1 - alpha)))
    is_arm = layouts(Layout.BLOCKS, LOOKS[-1], 8 * replications, generator)
    logs = noise_of(Noise.NORMAL_3, is_arm.shape, generator)

    def time_at(seeds: int, alpha: float) -> NDArray[np.bool_]:
        mean, error = with_position(logs[:, : 2 * seeds], is_arm[:, : 2 * seeds])
        return np.asarray(abs(mean) > quantile(1 - alpha, 2 * seeds - 3) * error)

    cases.append(("time", time_at))
    chosen = [
        World(LOOKS[-1], questions, 0.9, ALIKE, sd) for questions, sd in ((1319, 0.02), (1319, 0.05), (200, 0.02))
    ]
    chosen += [World(LOOKS[-1], 1319, 0.6, UNLIKE, 0.02)]
    for world, growing in zip(chosen, pool.map(partial(_growing, replications=replications), chosen), strict=True):
        cases.append((f"accuracy, Q = {world.questions:,}; {world}", partial(_accuracy_at, world, growing)))
    two, all_looks = (3, 5), LOOKS
    columns: list[tuple[str, Sequence[int], Callable[[int], float]]] = [
        ("every look at 5%: S = 3, 4 ... 10", all_looks, lambda look: ALPHA),
        ("announced (8)", all_looks, lambda look: estimates.corrected_alpha(look, len(all_looks))),
        ("not announced", all_looks, lambda look: estimates.corrected_alpha(look, 1)),
        ("every look at 5%: S = 3, 5", two, lambda look: ALPHA),
        ("announced (2)", two, lambda look: estimates.corrected_alpha(look, len(two))),
        ("not announced", two, lambda look: estimates.corrected_alpha(look, 1)),
        ("S = 3, 10: not announced", (3, 10), lambda look: estimates.corrected_alpha(look, 1)),
    ]
    rows = []
    for name, told in cases:
        row = [name]
        for _, seeds, alpha in columns:
            any_word = np.any([told(count, alpha(look)) for look, count in enumerate(seeds, start=1)], axis=0)
            row.append(f"{100 * any_word.mean():.1f}")
        rows.append(row)
    table(["", *(name for name, _, _ in columns)], rows)
    return True


def _growing(world: World, replications: int) -> dict[int, Moments]:
    found: dict[int, list[Moments]] = {seeds: [] for seeds in LOOKS}
    for differences in draw(world, replications, generator_of(world, 2)):
        for seeds, several in found.items():
            several.append(moments(np.ascontiguousarray(differences[:, :seeds])))
    return {seeds: Moments(*map(np.concatenate, zip(*several, strict=True))) for seeds, several in found.items()}


def _accuracy_at(world: World, growing: dict[int, Moments], seeds: int, alpha: float) -> NDArray[np.bool_]:
    found = growing[seeds]
    return np.asarray(abs(found.mean) > ours(found, replace(world, seeds=seeds), 1 - alpha))


# ---- Several arms and metrics


def families(pool: Executor, quick: bool) -> bool:
    replications = 100 if quick else 1000
    print(f"\n## Holm: any false word of a whole sweep in %, S = 3, Q = 200 ({replications:,} replications)\n")
    counts = (2, 3, 4)
    rates = [
        np.mean(list(pool.map(partial(_family, arms=arms), np.array_split(range(replications), 2))), axis=0)
        for arms in counts
    ]
    table(
        ["arms", "each test at 5%", "Holm"],
        [[f"{arms}", *(f"{100 * rate:.1f}" for rate in found)] for arms, found in zip(counts, rates, strict=True)],
    )
    return not any(is_broken(found[1], replications, FALSE_WORDS) for found in rates)


def _family(rows: NDArray[np.int64], arms: int) -> tuple[float, float]:
    """Accuracy, memory and time of several arms that share a baseline, all alike."""
    seeds, questions = 3, 200
    plain, corrected = 0, 0
    for row in rows:
        generator = np.random.default_rng([11, arms, int(row)])
        scores = generator.standard_normal((arms, seeds, questions)) + 0.35 * generator.standard_normal(
            (arms, seeds, 1)
        )
        right = (scores + generator.standard_normal(questions) + 0.8 > 0).astype(np.float64)
        memory = generator.standard_normal((arms, seeds))
        order = np.array([generator.permutation(arms) for _ in range(seeds)]) + arms * np.arange(seeds)[:, None]
        logs = 0.03 * generator.standard_normal((seeds, arms)) + 0.1 * order / order.max()
        p_values = []
        for arm in range(1, arms):
            both = np.concatenate([logs[:, arm], logs[:, 0]])
            position = np.concatenate([order[:, arm], order[:, 0]]).argsort().argsort().astype(np.float64)
            is_arm = np.repeat([True, False], seeds)
            found = (
                estimates.crossed(right[arm] - right[0]),
                estimates.paired(memory[arm] - memory[0]),
                estimates.with_position(both, is_arm, position),
            )
            p_values += [estimate.p_different() for estimate in found if estimate is not None]
        plain += min(p_values) < ALPHA
        corrected += min(estimates.holm(p_values)) < ALPHA
    return plain / len(rows), corrected / len(rows)


# ---- Forecasts


def truth_of(likeness: Likeness, base: float, seed_sd: float) -> Variances:
    """Return A, B and E of a world, as the mean over many draws."""
    world = World(10, 400, base, likeness, seed_sd)
    matrices = (matrix for some in draw(world, 400, generator_of(world, 3)) for matrix in some)
    seeds, questions, residual = [], [], []
    for matrix in matrices:
        of_seed, of_question = matrix.mean(axis=1), matrix.mean(axis=0)
        rest = matrix - of_seed[:, None] - of_question + matrix.mean()
        residual.append(float((rest**2).sum()) / ((world.seeds - 1) * (world.questions - 1)))
        seeds.append(float(of_seed.var(ddof=1)) - residual[-1] / world.questions)
        questions.append(float(of_question.var(ddof=1)) - residual[-1] / world.seeds)
    # The means of unbiased figures; `variances` would cut each at 0.
    return Variances(max(float(np.mean(seeds)), 0.0), max(float(np.mean(questions)), 0.0), float(np.mean(residual)))


def needed_seeds(parts: Variances, questions: int, margin: float) -> int | None:
    """Return the seeds that the rule needs where A, B and E are known."""
    for seeds in range(2, 61):
        expected = parts.expected(seeds, questions)
        if max(smallest_visible(expected), smallest_margin(expected)) <= margin:
            return seeds
    return None


def forecasts(pool: Executor, quick: bool) -> bool:
    replications = 50 if quick else 400
    print(f"\n## How good is the forecast of seeds ({replications} replications)\n")
    print("Margin 5 points where the arms are unlike, else 2; 10th / 50th / 90th percentile; `-`: more than 60.\n")
    cases = [
        (World(seeds, questions, base, likeness, sd), margin)
        for base, likeness, sd, questions, margin in (
            (0.9, ALIKE, 0.005, 1319, 0.02),
            (0.9, ALIKE, 0.01, 1319, 0.02),
            (0.9, ALIKE, 0.02, 1319, 0.02),
            (0.9, ALIKE, 0.01, 200, 0.02),
            (0.6, UNLIKE, 0.01, 1319, 0.05),
        )
        for seeds in (3, 5)
    ]
    rows = list(pool.map(partial(_forecast_row, replications=replications), cases))
    table(["world", "pilot", "truly needed", "range: low end", "range: high end", "the range holds it, %"], rows)
    return True


def _forecast_row(case: tuple[World, float], replications: int) -> list[str]:
    world, margin = case
    true = needed_seeds(truth_of(world.likeness, world.base, world.seed_sd), world.questions, margin)
    matrices = (matrix for some in draw(world, replications, generator_of(world, 4)) for matrix in some)
    found = [needs_crossed(matrix.astype(np.float64), margin) for matrix in matrices]
    ends = np.array([(one.seeds_low or np.inf, one.seeds_high or np.inf) for one in found if one is not None])
    # What is undecided is told at least one seed more than it has.
    target = np.inf if true is None else max(true, world.seeds + 1)
    held = np.mean((ends[:, 0] <= target) & (target <= ends[:, 1]))

    def spread(values: Array) -> str:
        several = np.quantile(values, (0.1, 0.5, 0.9), method="nearest")
        return " / ".join("-" if np.isinf(value) else f"{value:.0f}" for value in several)

    return [
        f"Q = {world.questions:,}; {world}",
        f"{world.seeds} seeds",
        "more than 60" if true is None else str(true),
        spread(ends[:, 0]),
        spread(ends[:, 1]),
        f"{100 * held:.0f}",
    ]


def foresights(pool: Executor, quick: bool) -> bool:
    replications = 500 if quick else 4000
    print(f"\n## What is foreseen, and how often it is then seen (in %; promised: 80; {replications:,} replications)\n")
    print(
        "Base 90%, alike, seed SD 1.4 points an arm. First at 5%; then at a third of that, as Holm's first of three.\n"
    )
    parts = truth_of(ALIKE, 0.9, 0.014)
    cases = list(product(SEEDS, QUESTIONS))
    rows = list(pool.map(partial(_foresight_row, parts=parts, replications=replications), cases))
    table(["S, Q", "points", "seen", "points", "seen", "ratio of time", "seen"], rows)
    return True


def _foresight_row(case: tuple[int, int], parts: Variances, replications: int) -> list[str]:
    seeds, questions = case
    row = [f"{seeds}, {questions:,}"]
    strict = foresee(seeds, questions, Pilot(0, answers=parts))
    assert strict.accuracy_points is not None
    assert strict.time_ratio is not None
    for alpha, points in (
        (ALPHA, 100 * visible_share(parts, seeds, questions)),
        (ALPHA / 3, strict.accuracy_points),
    ):
        # A difference of d around the base, half to each side, keeps the variances near those at the base.
        world = World(seeds, questions, 0.9 + min(points / 200, 0.08), ALIKE, 0.014, -min(points / 100, 0.89))
        found = [moments(some) for some in draw(world, replications, generator_of(world, 5))]
        every = Moments(*map(np.concatenate, zip(*found, strict=True)))
        seen = float(np.mean(abs(every.mean) > ours(every, world, 1 - alpha)))
        row += [f"{points:.1f}", f"{100 * seen:.0f}"]
    generator = np.random.default_rng([13, seeds])
    is_arm = layouts(Layout.BLOCKS, seeds, replications, generator)
    logs = ASSUMED_TIME_SD * generator.standard_normal(is_arm.shape) + np.log(strict.time_ratio) * is_arm
    mean, error = with_position(logs, is_arm)
    seen = float(np.mean(abs(mean) > quantile(1 - ALPHA / 3, 2 * seeds - 3) * error))
    return [*row, f"{strict.time_ratio:.2f}", f"{100 * seen:.0f}"]


# ---- All of it


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


PARTS: dict[str, Callable[[Executor, bool], bool]] = {
    "accuracy": accuracy,
    "few_seeds": few_seeds,
    "time": time_words,
    "looks": looks,
    "families": families,
    "forecasts": forecasts,
    "foresights": foresights,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of it, in about a minute")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    started = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        held = [PARTS[part](pool, options.quick) for part in options.part]
    minutes, used = (time.monotonic() - started) / 60, os.times()
    processor = (used.user + used.system + used.children_user + used.children_system) / 60
    print(f"\nPromises: {'held' if all(held) else 'BROKEN'}. ", end="")
    print(f"{minutes:.1f} minutes with {options.processes} processes, {processor:.1f} of processor time.")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
