"""Arithmetic word problems in Math10K's shape, generated: the built-in demonstration's data.

Every template owns the number tuples that fit it, and a stable hash of template and numbers gives each tuple
to one split. As the numbers stand in the question, no question can occur in two splits, whatever the count or
the seed; a test question moreover asks for numbers that its template never shows in training.
"""

import hashlib
import operator
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

Split = Literal["train", "validation", "test"]

DEFAULT_TRAIN_ROWS, DEFAULT_QUESTIONS = 1600, 200
"""Where a configuration names no count."""
MAX_TERM = 20
"""Largest number that a story adds or subtracts."""
MAX_FACTOR = 9
"""Largest number on either side of a multiplication."""
MAX_RESULT = 99
"""Largest result of any step: everything stays within two digits."""

_OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}

_PEOPLE = (
    ("Tom", "He"), ("Mia", "She"), ("Ben", "He"), ("Anna", "She"), ("Leo", "He"), ("Nora", "She"),
    ("Sam", "He"), ("Lily", "She"), ("Max", "He"), ("Emma", "She"), ("Omar", "He"), ("Yuki", "She"),
)  # fmt: skip
_THINGS = (
    "apples", "books", "shells", "stamps", "marbles", "pencils",
    "cards", "stickers", "coins", "buttons", "beads", "stones",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One example in Math10K's schema; `answer` repeats what follows `####` in `output`."""

    instruction: str
    input: str
    output: str
    answer: str


@dataclass(frozen=True)
class Problem:
    """A word problem in its parts, each one or more whole sentences."""

    story: str
    question: str
    working: str
    conclusion: str
    answer: int


@dataclass(frozen=True)
class Template:
    """A kind of story. `operations` has a sign for each step, from left to right: "+-" means (a + b) - c."""

    operations: str
    story: str
    question: str
    conclusion: str


TEMPLATES = (
    Template("+", "{name} has {a} {things}. {He} buys {b} more.",
        "How many {things} does {name} have now?", "Now {name} has {answer} {things}."),
    Template("+", "{name} finds {a} {things} at home and {b} {things} at school.",
        "How many {things} does {name} find in all?", "{name} finds {answer} {things} in all."),
    Template("+", "{other} has {a} {things}. {name} has {b} more than {other}.",
        "How many {things} does {name} have?", "{name} has {answer} {things}."),
    Template("-", "{name} has {a} {things}. {He} gives {b} of them to {other}.",
        "How many {things} does {name} have left?", "{name} has {answer} {things} left."),
    Template("-", "There are {a} {things} on the table. {name} takes {b} of them.",
        "How many {things} are still on the table?", "There are still {answer} {things} on the table."),
    Template("-", "{name} has {a} {things} and {other} has {b} {things}.",
        "How many more {things} does {name} have than {other}?", "{name} has {answer} more {things} than {other}."),
    Template("*", "{name} has {a} boxes with {b} {things} in each box.",
        "How many {things} does {name} have in all?", "{name} has {answer} {things} in all."),
    Template("*", "{name} paints {a} {things} every day for {b} days.",
        "How many {things} does {name} paint?", "{name} paints {answer} {things}."),
    Template("*", "There are {a} tables in a room. {name} puts {b} {things} on each table.",
        "How many {things} does {name} need?", "{name} needs {answer} {things}."),
    Template("+-", "{name} has {a} {things}. {He} buys {b} more and gives {c} of them to {other}.",
        "How many {things} does {name} have left?", "{name} has {answer} {things} left."),
    Template("+-", "A shop has {a} {things}. {name} brings {b} more, then the shop sells {c} of them.",
        "How many {things} does the shop have now?", "Now the shop has {answer} {things}."),
    Template("--", "{name} has {a} {things}. {He} loses {b} at school and gives {c} to {other}.",
        "How many {things} does {name} have left?", "{name} has {answer} {things} left."),
    Template("++", "{name} finds {a} {things} on Monday, {b} on Tuesday and {c} on Friday.",
        "How many {things} does {name} find in all?", "{name} finds {answer} {things} in all."),
    Template("*+", "{name} has {a} bags with {b} {things} in each bag. {other} gives {name} {c} more.",
        "How many {things} does {name} have now?", "Now {name} has {answer} {things}."),
    Template("*-", "{name} buys {a} boxes with {b} {things} in each box. {He} loses {c} of them.",
        "How many {things} does {name} have left?", "{name} has {answer} {things} left."),
    Template("+*", "{name} puts {a} red and {b} green {things} in each bag. {He} fills {c} bags.",
        "How many {things} does {name} need?", "{name} needs {answer} {things}."),
)  # fmt: skip


def generate(split: Split, count: int, seed: int) -> list[Row]:
    """Return `count` different rows of `split`, the same ones for the same arguments.

    Raises ValueError if the split has fewer rows than that."""
    return [_to_row(problem) for problem in draw(split, count, seed)]


def draw(split: Split, count: int, seed: int) -> list[Problem]:
    """Return the problems behind `generate`'s rows, spread evenly over the templates.

    Raises ValueError if the split has fewer problems than `count`."""
    if count > (most := available(split)):
        raise ValueError(f"{count} {split} rows asked for, but only {most} different ones exist")
    rng = random.Random(f"{split}-{seed}")
    problems = []
    for position, template in enumerate(TEMPLATES):
        share = len(range(position, count, len(TEMPLATES)))
        indices = rng.sample(range(_size(template, split)), share)
        problems += [_problem(template, split, index) for index in indices]
    rng.shuffle(problems)
    return problems


def steps(operations: str, numbers: tuple[int, ...]) -> Iterator[tuple[int, str, int, int]]:
    """Yield (left, sign, right, result) for each step of the sum."""
    left = numbers[0]
    for sign, right in zip(operations, numbers[1:], strict=True):
        result = _OPERATIONS[sign](left, right)
        yield left, sign, right, result
        left = result


def _to_row(problem: Problem) -> Row:
    output = f"{problem.working} {problem.conclusion}\n#### {problem.answer}"
    return Row(f"{problem.story} {problem.question}", "", output, str(problem.answer))


def available(split: Split) -> int:
    """Return how many rows can be drawn evenly over the templates: the smallest template's share sets the limit."""
    return len(TEMPLATES) * min(_size(template, split) for template in TEMPLATES)


def _size(template: Template, split: Split) -> int:
    return len(_numbers(template, split)) * len(_casts(template)) * len(_THINGS)


def _problem(template: Template, split: Split, index: int) -> Problem:
    """Build the problem with this index in the template's own enumeration of `split`."""
    index, thing = divmod(index, len(_THINGS))
    index, cast = divmod(index, len(_casts(template)))
    numbers = _numbers(template, split)[index]
    (name, pronoun), other = _casts(template)[cast]

    equations = list(steps(template.operations, numbers))
    answer = equations[-1][-1]
    openings = ("So",) if len(equations) == 1 else ("First", "Then")
    working = (
        f"{opening} {left} {sign} {right} = {result}."
        for opening, (left, sign, right, result) in zip(openings, equations, strict=True)
    )
    words = {"name": name, "He": pronoun, "other": other, "things": _THINGS[thing], "answer": answer}
    words |= dict(zip("abc", numbers, strict=False))
    return Problem(
        story=template.story.format(**words),
        question=template.question.format(**words),
        working=" ".join(working),
        conclusion=template.conclusion.format(**words),
        answer=answer,
    )


@cache
def _casts(template: Template) -> tuple[tuple[tuple[str, str], str], ...]:
    """Return each ((name, pronoun), other's name) with a story of its own: `other` varies only if used."""
    pairs = [(person, other) for person, (other, _) in product(_PEOPLE, _PEOPLE) if person[0] != other]
    if "{other}" in template.story:
        return tuple(pairs)
    return tuple(dict(pairs).items())


@cache
def _numbers(template: Template, split: Split) -> tuple[tuple[int, ...], ...]:
    tuples = product(range(2, MAX_TERM + 1), repeat=len(template.operations) + 1)
    fitting = (numbers for numbers in tuples if _fits(template.operations, numbers))
    return tuple(numbers for numbers in fitting if _split_of(template, numbers) == split)


def _fits(operations: str, numbers: tuple[int, ...]) -> bool:
    """Tell whether all steps stay within the limits above, without a result below 2 ("1 apples")."""
    return all(
        2 <= result <= MAX_RESULT and (sign != "*" or max(left, right) <= MAX_FACTOR)
        for left, sign, right, result in steps(operations, numbers)
    )


def _split_of(template: Template, numbers: tuple[int, ...]) -> Split:
    """Give 70% of a template's number tuples to train, 10% to validation and 20% to test.

    Python's own hash differs between processes, hence a digest."""
    digest = hashlib.blake2b(f"{template.story}{numbers}".encode(), digest_size=8).digest()
    match int.from_bytes(digest) % 10:
        case 0 | 1:
            return "test"
        case 2:
            return "validation"
        case _:
            return "train"
