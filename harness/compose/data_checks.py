"""What is wrong with the rows that a configuration names, and with the questions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.base.paths import NAME_RULE, is_name
from harness.config.schema import Config, DatasetConfig, EvaluationConfig, SourceConfig
from harness.data import arithmetic, prepare, questions
from harness.data.check import mapping_problems
from harness.data.questions import SUFFIXES
from harness.data.sources import SourceError, SourceReader
from harness.processes.jobs import ARITHMETIC


def row_mistakes(config: Config, sources: SourceReader) -> Iterator[str]:
    """Yield what is wrong with the dataset. What is on a hub and was not fetched is left out."""
    dataset = config.dataset
    for key, source in _sources(dataset):
        yield from _source_mistakes(config, key, source, sources)
    for key, name in {"train_name": dataset.train_name, "validation_name": dataset.validation_name}.items():
        if not is_name(name):
            yield f"dataset.{key}={name!r}: names a file; {NAME_RULE}"
        if name == "dataset_info":
            yield f"dataset.{key}={name}: is the name of LLaMA-Factory's own list of datasets; use another"
    if dataset.train_name == dataset.validation_name:
        yield f"dataset.validation_name={dataset.validation_name}: is dataset.train_name too; give each its own"
    yield from _count_mistakes(config, sources)


def data_warnings(config: Config, sources: SourceReader) -> Iterator[str]:
    """Yield what may be meant otherwise in rows that nothing is wrong with."""
    dataset = config.dataset
    for key, source in _sources(dataset):
        if not (source is dataset and prepare.is_generated(dataset)):
            yield from (f"{_place(key, source)}: {warning}" for warning in sources.row_warnings(source))


def question_mistakes(evaluation: EvaluationConfig, sources: SourceReader) -> Iterator[str]:
    """Yield what is wrong with where the questions of a benchmark are taken from."""
    if evaluation.benchmark == ARITHMETIC:
        if evaluation.limit and evaluation.limit > (most := arithmetic.available("test")):
            yield f"evaluation.limit={evaluation.limit}: evaluation=arithmetic has {most} questions; give at most those"
        if evaluation.few_shot > 0:
            yield (
                f"evaluation.few_shot={evaluation.few_shot}: evaluation=arithmetic is asked without examples; "
                "set evaluation.few_shot=0"
            )
    if evaluation.path is None:
        return
    path, benchmark = sources.path(evaluation.path), evaluation.benchmark
    if benchmark in (None, ARITHMETIC):
        yield (
            f"evaluation.path={evaluation.path}: evaluation={evaluation.name} takes no file; "
            "use evaluation=gsm8k for GSM8K's questions"
        )
    elif not path.exists():
        yield f"evaluation.path={evaluation.path}: no such file"
    elif path.is_file() and path.suffix not in SUFFIXES:
        yield (
            f"evaluation.path={evaluation.path}: a file of questions must end in {', '.join(SUFFIXES)}; "
            "a JSON list becomes JSONL by jq -c '.[]'"
        )
    elif evaluation.few_shot > 0 and _lacks_examples(path, benchmark):
        split = f"{questions.SPLITS[benchmark][1]}.jsonl" if benchmark in questions.SPLITS else "a further file"
        yield (
            f"evaluation.few_shot={evaluation.few_shot}: the examples come from {split} beside the questions of "
            f"evaluation.path={evaluation.path}, and there is none; put it there, or set evaluation.few_shot=0"
        )
    else:
        yield from _in_questions(evaluation, path, sources)


def _in_questions(evaluation: EvaluationConfig, path: Path, sources: SourceReader) -> Iterator[str]:
    """What is wrong inside the files that are there."""
    benchmark = evaluation.benchmark
    given = [(questions.asked(path, benchmark), evaluation.limit or 1)]
    if evaluation.few_shot and benchmark in questions.SPLITS:
        given += [(file, evaluation.few_shot) for file in questions.examples(path, benchmark)]
    for file, least in given:
        if file is not None:
            shown = evaluation.path if file == path else f"{evaluation.path} ({file.name})"
            look = partial(questions.problems, file, benchmark, least)
            for problem in sources.found_once((file, benchmark, least), look):
                yield f"evaluation.path={shown}: {problem}"


def _lacks_examples(path: Path, benchmark: str | None) -> bool:
    """Whether there are questions at `path`, a file or a folder with one a split, and surely no file of examples.

    Where the split's name is not known, any other file may be one; a folder of other files is evalscope's to read."""
    return questions.asked(path, benchmark) is not None and not questions.examples(path, benchmark)


def _sources(dataset: DatasetConfig) -> Iterator[tuple[str, SourceConfig]]:
    """Every source of rows, with the key that names it."""
    yield from _trained_on(dataset)
    yield from ((f"dataset.validation[{number}]", source) for number, source in enumerate(dataset.validation))


def _trained_on(dataset: DatasetConfig) -> Iterator[tuple[str, SourceConfig]]:
    """Every source of rows to train on, with the key that names it."""
    yield "dataset", dataset
    yield from ((f"dataset.also[{number}]", source) for number, source in enumerate(dataset.also))


def _place(key: str, source: SourceConfig) -> str:
    return f"{key}.path={source.path}" if source.path is not None else f"{key}.repository={source.repository}"


def _source_mistakes(config: Config, key: str, source: SourceConfig, sources: SourceReader) -> Iterator[str]:
    wrong = [*_description_mistakes(config, key, source)]
    yield from wrong
    if wrong or not sources.is_here(source):
        return
    try:
        problems = sources.row_problems(source, config.dataset.append_answer)
    except SourceError as error:
        problems = [error.problem]
    yield from (f"{_place(key, source)}: {problem}" for problem in problems)


def _description_mistakes(config: Config, key: str, source: SourceConfig) -> Iterator[str]:
    """What is wrong with a source before anything of it is looked at."""
    dataset, hub = config.dataset, config.model.hub
    yield from (f"{key}.{problem}" for problem in mapping_problems(source))
    if source.path is not None:
        return
    if source.repository is not None:
        if hub == "local":
            yield f"{key}.repository={source.repository}: model.hub=local fetches nothing; use modelscope"
        elif source.file is None:
            yield f"{key}.file: a value is needed, the path of a file inside of {source.repository}"
    elif source is not dataset or dataset.name != "arithmetic":
        given = f"{key}.path=FILE" if source is dataset else f"'{key.partition('[')[0]}=[{{path: FILE}}]'"
        yield f"{key}.path: dataset={dataset.name} needs a file; give {given} (JSON, JSONL, CSV or parquet)"


def _count_mistakes(config: Config, sources: SourceReader) -> Iterator[str]:
    """More rows than there are to generate, or all of them held out."""
    dataset, counts = config.dataset, []
    if not 0 < dataset.validation_fraction < 1:
        return
    for key, source in _trained_on(dataset):
        if source is dataset and prepare.is_generated(dataset):
            if dataset.name != "arithmetic":
                return
            yield from _generated_mistakes(dataset)
            counts.append(dataset.train_samples or arithmetic.DEFAULT_TRAIN_ROWS)
            continue
        try:
            rows = len(sources.read(source))
        except SourceError:  # Why is told elsewhere.
            return
        first_held_out = prepare.boundary(dataset, rows)
        if first_held_out == 0:
            yield (
                f"{_place(key, source)}: dataset.validation_samples={dataset.validation_samples} holds out the last of "
                f"{rows} rows, and none is left to train on; give more rows, or set dataset.validation_samples=0"
            )
        counts.append(min(dataset.train_samples or first_held_out, first_held_out))
    yield from _split_mistakes(config, counts)


def _generated_mistakes(dataset: DatasetConfig) -> Iterator[str]:
    counts: dict[arithmetic.Split, int | None]
    counts = {"train": dataset.train_samples, "validation": dataset.validation_samples}
    for split, count in counts.items():
        if count and count > (most := arithmetic.available(split)):
            yield f"dataset.{split}_samples={count}: dataset=arithmetic has {most} such rows; give at most those"


def _split_mistakes(config: Config, counts: list[int]) -> Iterator[str]:
    """LLaMA-Factory's own split of the rows, of which each source has so many, that leaves nothing to train on."""
    size, most = config.dataset.val_size, config.dataset.max_samples
    if not size or size < 0 or not math.isfinite(size) or config.llamafactory.get("streaming"):
        return
    rows = sum(min(count, most or count) for count in counts)
    # data/data_utils.py there: above 1 a count, else a share, of which datasets rounds up.
    held_out = int(size) if size > 1 else math.ceil(size * rows)
    if held_out >= rows > 0:
        yield (
            f"dataset.val_size={size}: holds out {held_out} of {rows} rows, and none is left to train on; "
            "give a share below 1, or a smaller count"
        )
