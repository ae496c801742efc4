"""evalscope puts a benchmark's questions to a model and marks the answers; joined here, question by question."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalscope.api.dataset import DatasetDict
from evalscope.api.evaluator.cache import ModelResult, ReviewResult
from evalscope.api.messages import ChatMessage, ChatMessageUser
from evalscope.api.model import GenerateConfig, Model, ModelAPI, ModelOutput
from evalscope.api.model.model_output import ModelUsage
from evalscope.api.registry import create_evaluator, get_benchmark
from evalscope.api.tool import ToolChoice, ToolInfo
from evalscope.config import TaskConfig
from evalscope.utils.io_utils import OutputsStructure

from harness.data.final_number import final_number, number, written
from harness.processes.jobs import EvaluationJob
from harness.runs.folder import TargetFolder
from harness.runs.record import Answer
from harness.workers.language_model import Generation, Message

BY_NUMBER = ("gsm8k",)
"""Benchmarks whose answers are numbers, marked by `by_number`."""
Answerer = Callable[[list[list[Message]], Callable[[int], None]], list[Generation]]
"""Answers conversations, in batches of its own choice, and says after each how many it answered."""


class IncompleteError(Exception):
    """Not every question has an answer with a mark, so there is no score."""


class AnsweredModel(ModelAPI):
    """What evalscope takes for a model: answers that are there before it asks, since it asks one question at a time.

    What a benchmark asks beside its questions, such as a second turn, is answered when it is asked, by itself."""

    def __init__(self, name: str, answer: Answerer) -> None:
        super().__init__(model_name=name)
        self._answer = answer
        self._answered: dict[tuple[Message, ...], Generation] = {}

    def answer(self, questions: Sequence[str | list[ChatMessage]], on_answers: Callable[[int], None]) -> None:
        """Answer questions that evalscope will ask. Raises what the model raises."""
        asked = [_messages(question) for question in questions]
        self._answered |= zip(map(tuple, asked), self._answer(asked, on_answers), strict=True)

    def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        asked = _messages(input)
        generation = self._answered.get(tuple(asked)) or self._answer([asked], lambda _: None)[0]
        stop_reason = "stop" if generation.finished else "max_tokens"
        output = ModelOutput.from_content(self.model_name, generation.text, stop_reason)
        output.usage = ModelUsage(
            input_tokens=generation.prompt_tokens,
            output_tokens=generation.tokens,
            total_tokens=generation.prompt_tokens + generation.tokens,
        )
        return output


def _messages(asked: str | list[ChatMessage]) -> list[Message]:
    messages = [ChatMessageUser(content=asked)] if isinstance(asked, str) else asked
    return [Message(message.role, message.text) for message in messages]


def examine(job: EvaluationJob, answer: Answerer, progress: Callable[[int, int], None]) -> list[Answer]:
    """Return every question of the job's benchmark with the model's marked answer, in the benchmark's order.

    `progress` hears of questions done and in all. Raises IncompleteError if a question is missing, and what `answer`
    raises.
    """
    assert job.benchmark is not None
    folder = TargetFolder(job.output).evalscope
    shutil.rmtree(folder, ignore_errors=True)  # evalscope would append to the lines of an earlier attempt
    config = task_config(job, folder)
    benchmark = get_benchmark(job.benchmark, config)
    benchmark.validate_judge_strategy()
    # Read before evalscope reads them again: to be answered in batches, and to know what a complete answer sheet holds.
    questions: DatasetDict = benchmark.load_dataset()
    total = sum(len(samples) for samples in questions.values())
    if total == 0 or (job.limit is not None and total < job.limit):
        raise IncompleteError(f"evaluation.limit={job.limit}: {job.benchmark} has {total} questions; ask for fewer")
    done = 0

    def on_answers(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    model = AnsweredModel(job.model_id, answer)
    # By itself: the questions of a subset have their examples in common.
    for samples in questions.values():
        model.answer([sample.input for sample in samples], on_answers)
    outputs = OutputsStructure(str(folder))
    config.dump_yaml(outputs.configs_dir)
    # Not run_task(): around this it only draws an HTML page, which takes longer than it takes to mark the answers.
    create_evaluator(benchmark, Model(model, config.generation_config), outputs, config).eval()
    return joined(job, folder, questions)


def task_config(job: EvaluationJob, folder: Path) -> TaskConfig:
    """Return the job in evalscope's words; `folder` is where evalscope writes."""
    dataset: dict[str, Any] = {"few_shot_num": job.few_shot}
    if job.path is not None:
        dataset["local_path"] = str(job.path.resolve())
    return TaskConfig(
        model=job.model_id,
        model_id=job.model_id,
        eval_type="harness",
        datasets=[job.benchmark],
        dataset_args={job.benchmark: dataset},
        generation_config={"do_sample": False, "max_tokens": job.max_new_tokens},
        # The answers are there, and a model is not asked by two threads.
        eval_batch_size=1,
        limit=job.limit,
        seed=job.seed,
        work_dir=str(folder),
        no_timestamp=True,
    )


def joined(job: EvaluationJob, folder: Path, questions: DatasetDict) -> list[Answer]:
    """Return the answers that evalscope wrote to `folder`, in the order of `questions`; its own is that of completion.

    Raises IncompleteError if one of `questions` has no answer or no usable mark."""
    answers: list[Answer] = []
    for subset, samples in questions.items():
        file = f"{job.model_id}/{job.benchmark}_{subset}.jsonl"
        results = {line["index"]: ModelResult.model_validate(line) for line in _lines(folder / "predictions" / file)}
        reviews = {line["index"]: ReviewResult.from_cache_item(line) for line in _lines(folder / "reviews" / file)}
        for sample in samples:
            if sample.id not in results or sample.id not in reviews:
                raise IncompleteError(f"{job.benchmark}: question {sample.id} of {subset} has no answer or no mark")
            answers.append(_answer(len(answers), results[sample.id], reviews[sample.id]))
    return [by_number(answer) for answer in answers] if job.benchmark in BY_NUMBER else answers


def _answer(index: int, result: ModelResult, review: ReviewResult) -> Answer:
    score = review.sample_score.score
    if not score.status.is_usable or score.main_value not in (0, 1):
        raise IncompleteError(
            f"question {index} has the mark {score.main_value} ({score.status}): only benchmarks whose answers are "
            "right or wrong can be compared question by question; choose another evaluation.benchmark"
        )
    output = result.model_output
    assert output is not None, "evalscope writes a line for each output"
    assert output.usage is not None, "AnsweredModel counts the tokens"
    return Answer(
        index=index,
        question=next(message.text for message in reversed(result.messages) if message.role == "user"),
        expected=" or ".join(review.target or []),
        answer=output.completion,
        extracted=score.extracted_prediction or "",
        correct=bool(score.main_value),
        generated_tokens=output.usage.output_tokens,
        finished=output.stop_reason == "stop",
    )


def by_number(answer: Answer) -> Answer:
    """Return an answer marked by the number that it comes to, evalscope's own mark beside it; as it is where a number
    is not what is expected.

    evalscope 1.12.0 (metrics/math/parser.py) takes for it all that follows "the answer is", to the end of the text, and
    what is in a box with its unit: of "The answer is 18 dollars.\\n#### 18" it reads `18dollars.####18`."""
    expected = number(answer.expected)
    if expected is None:
        return answer
    given = final_number(answer.answer)
    return answer.model_copy(
        update={
            "extracted": "" if given is None else written(given),
            "correct": given == expected,
            "evalscope_correct": answer.correct,
        }
    )


def _lines(file: Path) -> list[Any]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
