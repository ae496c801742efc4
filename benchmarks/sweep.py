"""A sweep's time beside that of the same trainings and scorings by hand.

    python -m benchmarks.sweep [--seeds 3] [--questions 200]

The quickstart's runs, LoRA and QLoRA with each seed, asked evalscope's gsm8k with word problems of the project's own.
By hand, one after another, for each run: `llamafactory-cli train` with the train.yaml that the harness wrote,
`llamafactory-cli export`, and evalscope on what that made (`eval_type: llm_ckpt`, the same questions, as many at once),
each a process of its own, as a tutorial has it. The harness does the same but for the merge, and beside it plans,
samples memory, tracks, scores the base, compares and writes the report. Both from the first import to the last file,
on the same machine, one after the other; what the harness's forecast of memory takes is left out, as nobody has one by
hand. LLaMA-Factory by hand has the repairs without which it does not start beside this torch.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.evaluation import ask_by_evalscope, write_questions
from harness.base.yaml_text import to_yaml
from harness.processes.jobs import EvaluationJob
from harness.runs.folder import RunFolder, SweepFolder
from harness.trainer.trained import Trained
from tests.conftest import command

BENCHMARK, AT_ONCE, NEW_TOKENS = "gsm8k", 32, 64
LLAMAFACTORY = [sys.executable, "-m", "harness.workers.compat"]


def sweep(home: Path, questions: Path, options: argparse.Namespace, environment: Mapping[str, str]) -> list[RunFolder]:
    """Let the harness do all runs, and return their folders."""
    asked = {
        "seed": ",".join(map(str, range(options.seeds))),
        "evaluation": BENCHMARK,
        "evaluation.path": questions,
        "evaluation.limit": options.questions,
        "evaluation.batch_size": AT_ONCE,
        "evaluation.max_new_tokens": NEW_TOKENS,
        "device": "cpu",
        "device.forecast": "false",
    }
    done(home, command("sweep", "quickstart", *(f"{key}={value}" for key, value in asked.items())), environment)
    return list(SweepFolder(home / "outputs" / "quickstart").runs())


def by_hand(run: RunFolder, home: Path, questions: Path, limit: int, environment: Mapping[str, str]) -> list[float]:
    """Train, merge and ask one run, and return what each took, in seconds."""
    home.mkdir()
    arguments = yaml.safe_load(run.train.read_text(encoding="utf-8")) | {"output_dir": str(home / "adapter")}
    trained = Trained(arguments, home / "adapter")
    merged = home / "merged"
    (home / "train.yaml").write_text(to_yaml(arguments), encoding="utf-8")
    (home / "merge.yaml").write_text(to_yaml(trained.export_arguments(merged)), encoding="utf-8")
    ask = [sys.executable, "-m", "benchmarks.sweep", "--ask", str(merged), str(questions), str(home / "asked")]
    return [
        done(home, [*LLAMAFACTORY, "train", str(home / "train.yaml")], environment),
        done(home, [*LLAMAFACTORY, "export", str(home / "merge.yaml")], environment),
        done(home, [*ask, str(limit)], environment),
    ]


def done(home: Path, words: Sequence[str], environment: Mapping[str, str]) -> float:
    """Do a command and return its wall time in seconds."""
    began = time.monotonic()
    with (home / "log").open("ab") as log:
        if subprocess.run(words, cwd=home, env=environment, stdout=log, stderr=log).returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{(home / 'log').read_text(errors='replace')[-3000:]}")
    return time.monotonic() - began


def ask(model: Path, questions: Path, output: Path, limit: int) -> None:
    """Have evalscope ask a checkpoint, as `evalscope eval` does."""
    from harness.workers import compat, evaluate
    from harness.workers.benchmarks import use_local_questions

    compat.prepare_imports()
    evaluate.import_evalscope(BENCHMARK)
    use_local_questions(BENCHMARK, questions, 0)
    job = EvaluationJob(
        benchmark=BENCHMARK,
        path=questions,
        limit=limit,
        batch_size=AT_ONCE,
        max_new_tokens=NEW_TOKENS,
        device="cpu",
        model_arguments={},
        model_id="merged",
        output=output,
        events=output / "events.jsonl",
    )
    assert len(ask_by_evalscope(model, job)()) == limit


def processor_seconds() -> float:
    """Of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure both, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--ask", nargs=4, metavar=("MODEL", "QUESTIONS", "OUTPUT", "LIMIT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        model, questions, output = map(Path, options.ask[:3])
        ask(model, questions, output, int(options.ask[3]))
        return
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        home = Path(folder)
        questions = write_questions(home / "questions", options.questions, 0)
        environment = os.environ | {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "HF_HUB_OFFLINE": "1",
            "HARNESS_CACHE": str(home / "cache"),
            "HARNESS_LEASES": str(home / "leases"),
        }
        began, used = time.monotonic(), processor_seconds()
        runs = sweep(home, questions, options, environment)
        harness, harness_used = time.monotonic() - began, processor_seconds() - used
        used = processor_seconds()
        parts = [
            by_hand(run, home / f"by-hand-{number}", questions, options.questions, environment)
            for number, run in enumerate(runs)
        ]
        hand, hand_used = sum(map(sum, parts)), processor_seconds() - used
    trained, merged, asked = (sum(part) / len(parts) for part in zip(*parts, strict=True))
    print(f"{len(runs)} runs by the harness: {harness:.0f} s, {harness_used:.0f} s of processor time")
    print(f"by hand: {hand:.0f} s, {hand_used:.0f} s of processor time;", end=" ")
    print(f"of a run {trained:.0f} s to train, {merged:.0f} s to merge, {asked:.0f} s to ask")
    print(
        f"the harness takes {harness / hand:.2f} of the time by hand, {harness_used / hand_used:.2f} of the processor's"
    )


if __name__ == "__main__":
    main()
