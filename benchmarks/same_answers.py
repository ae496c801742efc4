"""Whether adapter, merged and served model answer as the trained model did while it was in memory.

    .venv/bin/python benchmarks/same_answers.py [--questions 100] [--folder FOLDER]

Nine runs of the harness: LoRA, DoRA and rsLoRA with trained embeddings, each on the built-in base as it is, in NF4 with
double quantization, and in int8. Each trains 200 steps on the built-in word problems. At the end of its training, in
the trainer's own process, held-out ones are put to the model greedily: all together, and one by one. The same are then
put to the adapter and the merged model by the run's own evaluation, all together, and one by one to `harness serve` by
HTTP, at temperature 0.

What quantization explains is measured beside it. Merging puts an adapter that was trained on quantized weights onto the
weights before quantization. So each is merged a second time, onto the weights that quantization left, where there is
nothing left for it to explain; and of the base alone, and of adapters that were trained without, it is asked how many
answers quantizing the base changes. It exits with 1 where a promise of docs/same_answers.md is broken.

Each process has one thread, on the CPU.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

# In place of this folder, in which a module would find statistics.py when it wants Python's own.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

import httpx

from harness.data.arithmetic import Row
from harness.runs.folder import RunFolder, TargetFolder
from harness.runs.record import Answer
from harness.serving import finished_run, merge
from harness.trainer.trained import Trained

if TYPE_CHECKING:
    from benchmarks.in_memory import Asked

QUANTIZATIONS = {"none": "none", "NF4": "nf4_double", "int8": "int8"}
"""Of conf/quantization, by the names that are printed."""
SETTINGS = (
    *("device=cpu", "seed=0", "tracking=disabled", "training.validation_steps=null"),
    *("training.learning_rate=2e-3", "training.epochs=2", "evaluation=arithmetic"),
    "evaluation.targets=[adapter,merged]",
)
ROUNDING_NATS, MERGED_NATS, MERGED_SAME = 1e-4, 0.005, 0.8
"""Promised: how far the mean loss may be from the trained model's where only the order of sums differs, and where an
adapter was trained on quantized weights and merged into others; of that, the share of answers that stay."""


@dataclass(frozen=True)
class Likeness:
    """How one model answers beside another."""

    same: int
    """Answers that are alike to the last character."""
    nats: float
    """How far apart the mean losses of the expected answers are, a token."""
    nats_at_most: float
    """Of the question with the largest difference."""


@dataclass(frozen=True)
class Compared:
    """What a run left, beside the model that it trained while that was in memory."""

    kind: str
    quantization: str
    questions: int
    right: Mapping[str, int]
    """Of the model in memory, the adapter and the merged model."""
    adapter: Likeness
    merged: Likeness
    as_quantized: Likeness | None
    """Merged into the weights that quantization left; None: there was none."""
    served: int
    """Answers alike where both were asked one by one."""
    one_by_one: int
    """The trained model's own answers that are alike, whether it is asked one by one or all together."""
    other_numbers: int
    """The merged model's answers that come to another number than the trained model's."""

    def broken(self) -> list[str]:
        """Return the promises that do not hold."""
        is_plain = self.quantization == "none"
        same = self.questions if is_plain else MERGED_SAME * self.questions
        nats = ROUNDING_NATS if is_plain else MERGED_NATS
        held = {
            "adapter": self.adapter.same == self.questions and self.adapter.nats <= ROUNDING_NATS,
            "served": self.served == self.questions,
            "merged": self.merged.same >= same and self.merged.nats <= nats,
            # Int8 layers round what comes in too, so weights alone do not explain them.
            "merged into what quantization left": self.quantization != "NF4" or self._is_explained(),
        }
        return [f"{self.kind}, {self.quantization}: {model}" for model, holds in held.items() if not holds]

    def _is_explained(self) -> bool:
        found = self.as_quantized
        return found is not None and found.same == self.questions and found.nats <= ROUNDING_NATS


def run(overrides: Sequence[str]) -> int:
    """Be `harness run`, whose training worker asks what it trained."""
    from harness.cli.display import make_display
    from harness.execution.hydra_app import main
    from harness.processes.jobs import TrainJob

    def command(job: type[TrainJob], file: Path | str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.in_memory", str(file)]

    with mock.patch.object(TrainJob, "command", classmethod(command)):
        return main(overrides, make_display)


def train(kind: str, quantization: str, questions: int, home: Path) -> RunFolder:
    """Make the run of a kind of adapter on a quantization below `home`, unless it is there, and return its folder."""
    from benchmarks.in_memory import QUESTIONS, overrides_of

    place = home / f"{kind} on {quantization}"
    place.mkdir(parents=True, exist_ok=True)
    several = [f"evaluation.limit={questions}", f"evaluation.batch_size={questions}"]
    quantized = f"quantization={QUANTIZATIONS[quantization]}"
    command = [sys.executable, __file__, "--run", *SETTINGS, quantized, *several, *overrides_of(kind)]
    environment = os.environ | {QUESTIONS: str(questions)}
    subprocess.run(command, cwd=place, env=environment, stdout=subprocess.DEVNULL, check=True)
    (record,) = place.glob("outputs/*/*/record.json")
    return RunFolder(record.parent)


@contextmanager
def served(folder: RunFolder) -> Iterator[str]:
    """`harness serve` on a run: where its API is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from harness.cli import app; app()",
        "serve",
        str(folder.path),
        "--port",
        str(port),
    ]
    address = f"http://127.0.0.1:{port}/v1"
    with folder.log("serve").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            while not _answers(address):
                if server.poll() is not None:
                    raise RuntimeError(f"harness serve ended: {folder.log('serve').read_text(encoding='utf-8')}")
                time.sleep(0.5)
            yield address
        finally:
            server.send_signal(signal.SIGINT)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/models").is_success
    except httpx.TransportError:
        return False


def ask_by_http(address: str, rows: Sequence[Row]) -> list[str]:
    """Return what a server answers to each question."""
    from benchmarks.in_memory import MAX_NEW_TOKENS

    asked = {"model": "trained", "temperature": 0, "max_tokens": MAX_NEW_TOKENS}
    answers: list[str] = []
    for row in rows:
        message = {"role": "user", "content": row.instruction}
        reply = httpx.post(f"{address}/chat/completions", json=asked | {"messages": [message]}, timeout=120)
        answers.append(reply.raise_for_status().json()["choices"][0]["message"]["content"])
    return answers


def load_and_ask(arguments: dict[str, Any], rows: Sequence[Row]) -> Asked:
    """Ask what LLaMA-Factory's inference `arguments` name, loaded as an evaluation loads it."""
    from benchmarks.in_memory import MAX_NEW_TOKENS, ask
    from harness.workers.language_model import load

    return ask(load(arguments, MAX_NEW_TOKENS), rows)


def in_memory(folder: RunFolder) -> Asked:
    """Return what a run's model answered in the memory of its training."""
    from benchmarks.in_memory import IN_MEMORY, Asked

    return Asked.model_validate_json((folder.path / IN_MEMORY).read_bytes())


def evaluated(folder: TargetFolder) -> list[Answer]:
    """Return what a run's own evaluation left."""
    return [Answer.model_validate_json(line) for line in folder.answers.read_text(encoding="utf-8").splitlines()]


def likeness(asked: Asked, other: Asked, answers: Sequence[str] | None = None) -> Likeness:
    """Return how alike two models answered. `answers`: in place of those of the first."""
    apart = [loss - another for loss, another in zip(asked.losses, other.losses, strict=True)]
    same = _count_same(asked.answers if answers is None else answers, other.answers)
    return Likeness(same, abs(sum(apart)) / len(apart), max(map(abs, apart)))


def _count_same(answers: Sequence[str], others: Sequence[str]) -> int:
    return sum(answer == other for answer, other in zip(answers, others, strict=True))


def _numbers(answers: Sequence[str]) -> list[str]:
    from harness.workers.benchmarks import answer_after_mark

    return [answer_after_mark(answer) for answer in answers]


def count_right(answers: Sequence[str], rows: Sequence[Row]) -> int:
    """Return how many answers are right, by the mark of the run's evaluation."""
    from harness.workers.benchmarks import same_number

    return sum(same_number(number, row.answer) for number, row in zip(_numbers(answers), rows, strict=True))


def compare(kind: str, quantization: str, folder: RunFolder, base: Path | None, rows: Sequence[Row]) -> Compared:
    """Hold what a run left to what its model answered in memory. `base`: the weights that quantization left of it."""
    memory, model = in_memory(folder), finished_run.load(folder.path).trained
    marked = {"adapter": evaluated(folder.evaluation), "merged": evaluated(folder.evaluation_merged)}
    answers = {name: [answer.answer for answer in given] for name, given in marked.items()}
    with served(folder) as address:
        by_http = ask_by_http(address, rows)
    return Compared(
        kind=kind,
        quantization=quantization,
        questions=len(rows),
        right={name: sum(answer.correct for answer in given) for name, given in marked.items()}
        | {"memory": count_right(memory.answers, rows)},
        adapter=likeness(load_and_ask(model.adapter_arguments(), rows), memory, answers["adapter"]),
        merged=likeness(load_and_ask(model.merged_arguments(folder.merged), rows), memory, answers["merged"]),
        as_quantized=None if base is None else likeness(merge_and_ask(model, folder, base, rows), memory),
        served=_count_same(by_http, memory.one_by_one),
        one_by_one=_count_same(memory.one_by_one, memory.answers),
        other_numbers=len(rows) - _count_same(_numbers(answers["merged"]), _numbers(memory.answers)),
    )


def merge_and_ask(model: Trained, folder: RunFolder, base: Path, rows: Sequence[Row]) -> Asked:
    """Merge a run's adapter into another base, and ask that."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "merged"
        arguments = model.export_arguments(output) | {"model_name_or_path": str(base)}
        ended = merge.merge(arguments, output, folder.log("merge-as-quantized"), dict(os.environ))
        assert output.is_dir(), ended.reason
        return load_and_ask(model.merged_arguments(output), rows)


def measure(home: Path, count: int) -> int:
    """Make all runs below `home`, compare, print, and return the exit status."""
    from benchmarks.in_memory import KINDS, questions, write_as_quantized

    rows = questions(count)
    runs = {(kind, name): train(kind, name, count, home) for name in QUANTIZATIONS for kind in KINDS}
    models = {key: finished_run.load(folder.path).trained for key, folder in runs.items()}
    first = next(iter(KINDS))
    base = models[first, "none"].base_arguments()
    base_asked = load_and_ask(base, rows)
    compared = [compare(kind, "none", runs[kind, "none"], None, rows) for kind in KINDS]
    references: list[tuple[str, str, Likeness]] = []
    for name in list(QUANTIZATIONS)[1:]:
        plain, quantized = (models[first, one].adapter_arguments() for one in ("none", name))
        quantization = {argument: value for argument, value in quantized.items() if argument not in plain}
        left = home / f"what {name} leaves of the base"
        if not left.exists():
            write_as_quantized(base, quantization, left)
        references.append(("the base", name, likeness(load_and_ask(base | quantization, rows), base_asked)))
        for kind in KINDS:
            later = load_and_ask(models[kind, "none"].adapter_arguments() | quantization, rows)
            references.append((f"{kind}, trained without", name, likeness(later, in_memory(runs[kind, "none"]))))
            compared.append(compare(kind, name, runs[kind, name], left, rows))
    print("\n".join(tables(compared, references)))
    broken = [promise for one in compared for promise in one.broken()]
    print("\n".join(f"broken: {promise}" for promise in broken) or "every promise holds")
    return int(bool(broken))


def tables(compared: Sequence[Compared], references: Sequence[tuple[str, str, Likeness]]) -> Iterator[str]:
    """Yield the lines of the tables of docs/same_answers.md."""
    yield "| adapter | base | in memory | adapter | merged | served |"
    yield "|---|---|---|---|---|---|"
    for one in compared:
        right = {name: f"{count} right" for name, count in one.right.items()}
        yield (
            f"| {one.kind} | {one.quantization} | {right['memory']} | {one.adapter.same}, {right['adapter']} "
            f"| {one.merged.same}, {right['merged']} | {one.served} |"
        )
    changed = sum(one.questions - one.merged.same for one in compared)
    other = sum(one.other_numbers for one in compared)
    yield f"\nof {changed} answers that merging changed, {other} come to another number\n"
    yield "| adapter | base | adapter | merged | merged into what quantization left | one by one, or together |"
    yield "|---|---|---|---|---|---|"
    for one in compared:
        left = "" if one.as_quantized is None else f"{one.as_quantized.same}; {_nats(one.as_quantized)}"
        yield (
            f"| {one.kind} | {one.quantization} | {_nats(one.adapter)} | {_nats(one.merged)} | {left} "
            f"| {one.one_by_one} |"
        )
    yield ""
    yield "| what is quantized | to | the same answers | nats apart |"
    yield "|---|---|---|---|"
    for what, name, found in references:
        yield f"| {what} | {name} | {found.same} | {_nats(found)} |"


def _nats(found: Likeness) -> str:
    return f"{found.nats:.5f} ({found.nats_at_most:.4f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the runs are kept, and taken from; by default nowhere")
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        return run(options.run)
    # Before torch is imported, and for the processes that are started.
    os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", PYTHONPATH=sys.path[0])
    os.environ["LLAMAFACTORY_VERBOSITY"] = "WARNING"  # stdout is for the tables
    with tempfile.TemporaryDirectory(prefix="same-answers-") as folder:
        return measure((options.folder or Path(folder)).resolve(), options.questions)


if __name__ == "__main__":
    raise SystemExit(main())
