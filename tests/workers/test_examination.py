from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evalscope.api.messages import ChatMessageUser
from evalscope.api.model import GenerateConfig, Model
from evalscope.api.registry import BENCHMARK_REGISTRY, get_benchmark

from harness.data.arithmetic import generate
from harness.processes.jobs import EvaluationJob
from harness.runs.folder import TargetFolder
from harness.workers import examination
from harness.workers.benchmarks import use_local_questions
from harness.workers.evaluate import import_evalscope, score
from harness.workers.examination import AnsweredModel, IncompleteError, examine, joined
from harness.workers.language_model import Generation, Message

MakeJob = Callable[..., EvaluationJob]
SEED = 42
EXPECTED = {row.instruction: row.answer for row in generate("test", 10, SEED)}
GSM8K = [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}.\n#### {2 * n}"} for n in range(1, 4)]


def silent(done: int, total: int) -> None:
    pass


def knows_every_other(
    conversations: list[list[Message]], on_answers: Callable[[int], None] = lambda _: None
) -> list[Generation]:
    """In one batch, right on questions of an even length, and cut off on the others; each answer has as many tokens as
    its question has letters."""
    questions = [conversation[-1].content for conversation in conversations]
    texts = [f"#### {EXPECTED[question] if len(question) % 2 == 0 else 0}" for question in questions]
    on_answers(len(conversations))
    return [
        Generation(text, prompt_tokens=1, tokens=len(question), finished=len(question) % 2 == 0)
        for text, question in zip(texts, questions, strict=True)
    ]


def test_every_answer_stands_beside_its_own_question(job: MakeJob) -> None:
    answers = examine(job(), knows_every_other, silent)
    assert [(answer.index, answer.question, answer.expected) for answer in answers] == [
        (index, question, expected) for index, (question, expected) in enumerate(EXPECTED.items())
    ]
    assert [answer.correct for answer in answers] == [len(question) % 2 == 0 for question in EXPECTED]
    assert [answer.generated_tokens for answer in answers] == [len(question) for question in EXPECTED]
    assert [answer.finished for answer in answers] == [len(question) % 2 == 0 for question in EXPECTED]
    assert all(answer.answer == f"#### {answer.extracted}" for answer in answers)


def test_the_same_seed_asks_the_same_questions_and_another_seed_others(job: MakeJob, tmp_path: Path) -> None:
    def questions(seed: int) -> list[str]:
        asked: list[str] = []

        def answer(conversations: list[list[Message]], _: object) -> list[Generation]:
            asked.extend(conversation[-1].content for conversation in conversations)
            return [Generation("", 1, 1, True) for _ in conversations]

        examine(job(seed=seed), answer, silent)
        return sorted(asked)

    assert questions(SEED) == sorted(EXPECTED)
    assert questions(SEED + 1) != sorted(EXPECTED)


def test_progress_counts_up_to_all_questions(job: MakeJob) -> None:
    heard: list[tuple[int, int]] = []

    def in_batches(conversations: list[list[Message]], on_answers: Callable[[int], None]) -> list[Generation]:
        for count in (4, 4, 2):
            on_answers(count)
        return knows_every_other(conversations)

    examine(job(), in_batches, lambda done, total: heard.append((done, total)))
    assert heard == [(4, 10), (8, 10), (10, 10)]


def test_every_question_is_answered_once_and_before_evalscope_asks_the_first(job: MakeJob) -> None:
    calls: list[int] = []

    def answer(conversations: list[list[Message]], on_answers: Callable[[int], None]) -> list[Generation]:
        calls.append(len(conversations))
        return knows_every_other(conversations)

    examine(job(), answer, silent)
    assert calls == [10]


def test_what_is_no_question_of_the_benchmark_is_answered_when_it_is_asked() -> None:
    calls: list[list[str]] = []

    def answer(conversations: list[list[Message]], on_answers: Callable[[int], None]) -> list[Generation]:
        calls.append([conversation[-1].content for conversation in conversations])
        return [Generation(conversation[-1].content.upper(), 1, 1, True) for conversation in conversations]

    answered = AnsweredModel("variant", answer)
    answered.answer(["first", [ChatMessageUser(content="second")]], lambda _: None)
    model = Model(answered, GenerateConfig())
    assert [model.generate(asked).completion for asked in ("second", "first", "a later turn")] == [
        *("SECOND", "FIRST", "A LATER TURN")
    ]
    assert calls == [["first", "second"], ["a later turn"]]


def test_a_second_attempt_starts_from_a_clean_sheet(job: MakeJob) -> None:
    examine(job(), lambda asked, _: [Generation("####", 1, 1, True) for _ in asked], silent)
    answers = examine(job(), knows_every_other, silent)
    assert any(answer.correct for answer in answers)


def test_a_model_that_fails_leaves_no_answers_but_its_own_error(job: MakeJob) -> None:
    def fail(conversations: list[list[Message]], _: object) -> list[Generation]:
        if any(list(EXPECTED)[6] == conversation[-1].content for conversation in conversations):
            raise RuntimeError("CUDA out of memory")
        return knows_every_other(conversations)

    with pytest.raises(RuntimeError, match="out of memory"):
        examine(job(), fail, silent)


@pytest.mark.parametrize("kind", ["predictions", "reviews"])
def test_a_question_that_got_lost_is_no_score_over_the_others(job: MakeJob, kind: str) -> None:
    complete = job()
    folder = TargetFolder(complete.output).evalscope
    examine(complete, knows_every_other, silent)
    questions = get_benchmark(complete.benchmark, examination.task_config(complete, folder)).load_dataset()
    file = folder / kind / complete.model_id / "arithmetic_default.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    lost = json.loads(lines.pop(3))["index"]
    file.write_text("".join(lines))
    with pytest.raises(IncompleteError, match=f"question {lost} "):
        joined(complete, folder, questions)


@pytest.fixture
def gsm8k(monkeypatch: pytest.MonkeyPatch) -> None:
    """evalscope's registration of gsm8k, as it was before the test."""
    import_evalscope("gsm8k")
    meta = BENCHMARK_REGISTRY["gsm8k"]
    monkeypatch.setattr(meta, "data_adapter", meta.data_adapter)


def write_questions(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


NUMBERS = {
    # answer: (what is expected, right by the number, right by evalscope's own extraction)
    "The answer is 18 dollars.\n#### 18": ("18", True, False),
    "the answer is 1,234.\n#### 1234": ("1,234", True, False),
    "答案是18。\n#### 18": ("18", True, False),
    "\\boxed{18 dollars}": ("18", True, False),
    "#### 18": ("18", True, True),
    "It is -7.\n#### -7": ("-7", True, True),
    "#### 17": ("18", False, False),
    "#### 18\n\nQuestion: 2 + 3?\n#### 5": ("5", False, True),
}


@pytest.mark.usefixtures("gsm8k")
def test_the_number_that_an_answer_gives_is_marked_and_evalscopes_own_mark_stands_beside_it(
    job: MakeJob, tmp_path: Path
) -> None:
    given = {f"Question {number}?": answer for number, answer in enumerate(NUMBERS)}
    asked = [{"question": question, "answer": f"x\n#### {NUMBERS[answer][0]}"} for question, answer in given.items()]
    file = write_questions(tmp_path / "gsm8k" / "test.jsonl", asked)
    use_local_questions("gsm8k", file, few_shot=0)

    def answer(conversations: list[list[Message]], _: object) -> list[Generation]:
        texts = [given[conversation[-1].content.partition("\n")[0]] for conversation in conversations]
        return [Generation(text, 1, 1, True) for text in texts]

    answers = examine(job(benchmark="gsm8k", path=file, limit=None), answer, silent)
    found = {answer.answer: (answer.expected, answer.correct, answer.evalscope_correct) for answer in answers}
    assert found == NUMBERS
    counted = score("gsm8k", answers, 1.0)
    assert (counted.correct, counted.evalscope_correct, counted.marked_otherwise) == (6, 3, 5)


@pytest.mark.usefixtures("gsm8k")
@pytest.mark.parametrize("give", ["the file", "its folder"])
def test_gsm8k_is_read_from_a_lone_file(job: MakeJob, tmp_path: Path, give: str) -> None:
    file = write_questions(tmp_path / "gsm8k" / "test.jsonl", GSM8K)
    path = file if give == "the file" else file.parent
    use_local_questions("gsm8k", path, few_shot=0)
    answers = examine(
        job(benchmark="gsm8k", path=path, limit=None),
        lambda asked, _: [Generation("So it is \\boxed{4}.", 1, 9, "1 and 1" not in one[-1].content) for one in asked],
        silent,
    )
    assert [(answer.expected, answer.extracted, answer.correct) for answer in answers] == [
        ("2", "4", False),
        ("4", "4", True),
        ("6", "4", False),
    ]
    assert answers[1].question.startswith("What is 2 and 2?")
    assert [answer.finished for answer in answers] == [False, True, True]


@pytest.mark.usefixtures("gsm8k")
def test_examples_come_from_the_training_split_beside_the_questions(job: MakeJob, tmp_path: Path) -> None:
    file = write_questions(tmp_path / "test.jsonl", GSM8K)
    write_questions(tmp_path / "train.jsonl", [{"question": "What is 9 and 9?", "answer": "It is 18.\n#### 18"}])
    use_local_questions("gsm8k", file, few_shot=1)
    few_shot = job(benchmark="gsm8k", path=file, limit=2, few_shot=1)
    answers = examine(few_shot, lambda asked, _: [Generation("", 1, 1, True) for _ in asked], silent)
    assert len(answers) == 2
    assert all("What is 9 and 9?" in answer.question for answer in answers)


@pytest.mark.usefixtures("gsm8k")
def test_examples_without_a_training_split_are_refused(tmp_path: Path) -> None:
    file = write_questions(tmp_path / "test.jsonl", GSM8K)
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl.*few_shot=0"):
        use_local_questions("gsm8k", file, few_shot=1)


@pytest.mark.usefixtures("gsm8k")
def test_more_questions_than_there_are_is_an_error_and_not_a_smaller_score(job: MakeJob, tmp_path: Path) -> None:
    file = write_questions(tmp_path / "test.jsonl", GSM8K)
    use_local_questions("gsm8k", file, few_shot=0)
    with pytest.raises(IncompleteError, match="has 3 questions"):
        examine(job(benchmark="gsm8k", path=file, limit=4), lambda asked, _: [], silent)
