from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.config.schema import PromptConfig
from harness.processes.jobs import EvaluationJob

MakeJob = Callable[..., EvaluationJob]


def test_the_worker_reads_the_job_that_the_parent_wrote(job: MakeJob, tmp_path: Path) -> None:
    prompts = [PromptConfig("你是谁", "北大")]
    written = job(benchmark="gsm8k", path=tmp_path / "test.jsonl", few_shot=4, prompts=prompts)
    *_, file = written.write(tmp_path / "jobs" / "evaluate.json")
    assert EvaluationJob.model_validate_json(Path(file).read_bytes()) == written


def test_there_must_be_something_to_ask(job: MakeJob) -> None:
    with pytest.raises(ValidationError, match="neither a benchmark nor a prompt"):
        job(benchmark=None)


@pytest.mark.parametrize("model_id", ["", "../up", "a/b", ".hidden"])
def test_a_model_id_that_would_leave_its_folder_is_refused(job: MakeJob, model_id: str) -> None:
    with pytest.raises(ValidationError, match="model_id"):
        job(model_id=model_id)


def test_the_parent_gets_neither_torch_nor_evalscope_from_a_job() -> None:
    code = "import sys, harness.processes.jobs; print({'torch', 'evalscope', 'llamafactory'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
