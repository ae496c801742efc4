"""The folders of a sweep and of its runs: every name in them is spelt here, and nowhere else.

outputs/<sweep>/                          SweepFolder
  <arm>-seed<k>-<identity>/               RunFolder
    config.yaml                           resolved, without secrets
    train.yaml                            plain LLaMA-Factory
    command.sh                            the exact command and environment of the training
    spec.json                             the RunSpec that made it
    holder.json                           who is at it, on which machine and chips
    dataset/                              the rows, as LLaMA-Factory's dataset_dir
    jobs/                                 what each worker was told
    events.jsonl  readings.jsonl          what the workers reported, what the sampler saw
    logs/                                 the workers' output, whole
    cache/                                what datasets read of the rows, until the training ends
    adapter/  merged/                     what was trained; the adapter merged into its base
    check.json                            what the trained model made of a few rows, for whoever loads the adapter
    evaluation/  evaluation-merged/       TargetFolder: answers, score, replies
    record.json                           written last
  base-<identity>/                        TargetFolder of the base before training
  tokenized/                              the rows as LLaMA-Factory tokenized them, until the sweep is over
  nodes/                                  what other machines left of runs that they only helped with
  earlier/                                attempts that a later one took the place of
  swanlog/                                SwanLab's own files
  looks.jsonl                             which runs the reports were made of
  plan.json                               which runs the last command is for
  lines/                                  what runs that were launched elsewhere would have told the terminal
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RUN_NAME = re.compile(r".+-seed\d+-[0-9a-f]+")


def is_run_name(name: str) -> bool:
    """Return whether the harness names a run's folder so."""
    return _RUN_NAME.fullmatch(name) is not None and "/" not in name and "\0" not in name


class _Inside:
    """A name inside of a folder, read as its path; of the class (RunFolder.record) as the bare name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: Any, owner: type) -> Path:
        return Path(self._name) if folder is None else Path(folder.path, self._name)


@dataclass(frozen=True)
class WorkFolder:
    """Where workers report. The names are read as paths; whether anything is there is for the reader to see."""

    path: Path

    events = _Inside("events.jsonl")
    readings = _Inside("readings.jsonl")
    logs = _Inside("logs")

    def log(self, name: str) -> Path:
        """Return where the output of the worker `name` goes."""
        return self.logs / f"{name}.log"


class TargetFolder(WorkFolder):
    """What one target (base, adapter or merged model) answered."""

    answers = _Inside("answers.jsonl")
    """One Answer a line, in the order of the questions."""
    score = _Inside("score.json")
    """Written last of what a benchmark leaves."""
    replies = _Inside("prompts.json")
    """The answers to evaluation.prompts."""
    job = _Inside("job.json")
    evalscope = _Inside("evalscope")
    """Evalscope's own files."""


class RunFolder(WorkFolder):
    """One run's folder."""

    config = _Inside("config.yaml")
    train = _Inside("train.yaml")
    command = _Inside("command.sh")
    spec = _Inside("spec.json")
    holder = _Inside("holder.json")
    dataset = _Inside("dataset")
    jobs = _Inside("jobs")
    cache = _Inside("cache")
    adapter = _Inside("adapter")
    """What was trained; after a full fine-tuning the whole model."""
    check = _Inside("check.json")
    """What the model as it was trained made of a few rows: whoever loads it to be scored holds it to that."""
    merged = _Inside("merged")
    """Where the merged model is put unless another place is named."""
    record = _Inside("record.json")
    reserve = _Inside(".reserve")
    """Room on the disk for the record, while the run goes on."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def sweep(self) -> SweepFolder:
        return SweepFolder(self.path.parent)

    @property
    def evaluation(self) -> TargetFolder:
        """Of the adapter on the base that it was trained on."""
        return TargetFolder(self.path / "evaluation")

    @property
    def evaluation_merged(self) -> TargetFolder:
        return TargetFolder(self.path / "evaluation-merged")

    @property
    def lock(self) -> Path:
        return self.path.with_name(f".{self.name}.lock")

    def job(self, name: str) -> Path:
        """Return where it stands what the worker `name` was told."""
        return self.jobs / f"{name}.json"

    def has_been_started(self) -> bool:
        """Whether anything is there that a dry run does not leave."""
        planned = {self.config, self.train, self.command, self.spec, self.dataset, self.jobs}
        return self.path.is_dir() and any(found not in planned for found in self.path.iterdir())


@dataclass(frozen=True)
class SweepFolder:
    """The folder of all runs of one comparison."""

    path: Path

    earlier = _Inside("earlier")
    swanlog = _Inside("swanlog")
    looks = _Inside("looks.jsonl")
    plan = _Inside("plan.json")
    lines = _Inside("lines")
    tokenized = _Inside("tokenized")

    def run(self, name: str) -> RunFolder:
        """Return the folder of the run `name`."""
        return RunFolder(self.path / name)

    def helper(self, name: str, node_rank: int) -> RunFolder:
        """Return that of a machine which lends its chips to node 0's run `name`. The machines may share a disk."""
        return RunFolder(self.path / "nodes" / f"{name}-node{node_rank}")

    def base(self, identity: str) -> TargetFolder:
        """Return where the base of this identity is scored, once for all runs that share it."""
        return TargetFolder(self.path / f"base-{identity}")

    def runs(self) -> Iterator[RunFolder]:
        """Yield every run, with a record or without, by name."""
        for path in sorted(self.path.iterdir()):
            if path.is_dir() and (RunFolder(path).record.exists() or _RUN_NAME.fullmatch(path.name)):
                yield RunFolder(path)

    def runs_of(self, name: str) -> Iterator[RunFolder]:
        """Yield the runs of an arm and a seed (`lora-seed0`), whatever their identity, by name."""
        for path in sorted(self.path.glob(f"{name}-*")):
            if _RUN_NAME.fullmatch(path.name) and path.is_dir():
                yield RunFolder(path)

    def is_sweep(self) -> bool:
        """Whether there is any run in it."""
        return next(self.runs(), None) is not None
