from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.config.schema import PromptConfig
from harness.processes.jobs import EvaluationJob
from harness.runs.events import EvaluationProgress, Failure, FailureCause, Phase, PhasePeaks, PhaseStarted, read
from harness.runs.folder import TargetFolder
from harness.runs.record import Answer, Reply, Score
from harness.workers import evaluate
from harness.workers.language_model import LanguageModel, Message

MakeJob = Callable[..., EvaluationJob]

NO_NETWORK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
"""


def run(job: EvaluationJob, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the worker where every attempt to reach a network ends it."""
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    path = os.pathsep.join(filter(None, (str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {"PYTHONPATH": path}
    return subprocess.run(job.write(folder / "job.json"), env=environment, capture_output=True, text=True, check=False)


def test_a_quantized_model_with_its_adapter_is_scored_without_a_network(
    job: MakeJob, tmp_path: Path, arguments: dict[str, Any], adapter: Path
) -> None:
    qlora = {"adapter_name_or_path": str(adapter), "quantization_bit": 4, "quantization_type": "nf4"}
    asked = job(model_arguments=arguments | qlora)
    ended = run(asked, tmp_path)
    assert ended.returncode == 0, ended.stderr

    answers = [Answer.model_validate_json(line) for line in TargetFolder(asked.output).answers.read_text().splitlines()]
    assert [answer.index for answer in answers] == list(range(10))
    score = Score.model_validate_json(TargetFolder(asked.output).score.read_bytes())
    assert (score.benchmark, score.questions) == ("arithmetic", 10)
    assert score.correct == sum(answer.correct for answer in answers)
    assert score.accuracy == score.correct / 10
    assert score.generated_tokens == sum(answer.generated_tokens for answer in answers) > 0
    # A random model finds no end.
    assert score.cut_off == sum(answer.generated_tokens == job().max_new_tokens for answer in answers) > 0
    assert [answer.finished for answer in answers] == [
        answer.generated_tokens < job().max_new_tokens for answer in answers
    ]

    first, *between, last = read(asked.events)
    assert isinstance(first, PhaseStarted)
    assert isinstance(last, PhasePeaks)
    assert first.phase is last.phase is Phase.EVALUATE
    assert [(event.done, event.total) for event in between if isinstance(event, EvaluationProgress)][-1] == (10, 10)


def test_prompts_are_answered_one_by_one_and_leave_an_earlier_score_alone(
    job: MakeJob, arguments: dict[str, Any], base: LanguageModel
) -> None:
    """Greedy, in the training's template, and each as if nothing else had been asked."""
    prompts = [
        PromptConfig("你是谁", ""),
        PromptConfig("Tom has 3 apples and buys 4 more. How many?", "never said"),
        PromptConfig("a"),
    ]
    asked = job(benchmark=None, prompts=prompts, model_arguments=arguments)
    asked.output.mkdir()
    TargetFolder(asked.output).score.write_text("of an earlier attempt")
    evaluate.evaluate(asked)
    replies = TypeAdapter(list[Reply]).validate_json(TargetFolder(asked.output).replies.read_bytes())
    alone = [base.answer([[Message("user", prompt.prompt)]])[0] for prompt in prompts]
    assert [(reply.prompt, reply.answer, reply.finished) for reply in replies] == [
        (prompt.prompt, generation.text, generation.finished) for prompt, generation in zip(prompts, alone, strict=True)
    ]
    assert [reply.passed for reply in replies] == [True, False, None]
    assert TargetFolder(asked.output).score.read_text() == "of an earlier attempt"
    progress = [(event.done, event.total) for event in read(asked.events) if isinstance(event, EvaluationProgress)]
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_a_worker_that_fails_says_why_and_takes_an_earlier_score_away(
    job: MakeJob, tmp_path: Path, arguments: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    asked = job(model_arguments=arguments | {"adapter_name_or_path": str(tmp_path / "no-adapter")})
    asked.output.mkdir()
    TargetFolder(asked.output).score.write_text("of an earlier attempt")
    with pytest.raises(SystemExit, match="1"):
        evaluate.main(asked)
    assert "Traceback" in capfd.readouterr().err
    assert not TargetFolder(asked.output).score.exists()
    *_, last = read(asked.events)
    assert isinstance(last, Failure)
    assert "no-adapter" in last.error
    assert last.cause is FailureCause.ERROR
