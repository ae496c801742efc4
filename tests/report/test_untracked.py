"""A report names the runs that SwanLab did not follow to their end, why, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.content import document
from harness.report.markdown import to_markdown
from harness.report.text import text_in
from harness.report.text.zh import tracking_diagnoses
from harness.runs import store
from harness.runs.folder import RunFolder
from harness.runs.record import Tracking
from harness.tracking.symptoms import CAUSES, diagnose
from tests.builders import RunBuilder
from tests.report.pages import findings_of


def tracked(folder: Path, seed: int, tracking: Tracking) -> None:
    made = RunBuilder(folder, "lora", seed)
    made.write()
    store.write(RunFolder(made.folder), made.record().model_copy(update={"tracking": tracking}))


def failed(problem: str, **more: object) -> Tracking:
    return Tracking(mode="cloud", problem=problem, diagnosis=diagnose(problem, [])).model_copy(update=more)


def told(folder: Path, language: str) -> list[str]:
    shown = to_markdown(document(findings_of(folder), text_in(language), {})).replace("\\", "")
    return [line.removeprefix("- ") for line in shown.splitlines() if "SwanLab" in line]


def test_runs_that_failed_for_one_reason_are_one_line(tmp_path: Path) -> None:
    tracked(tmp_path, 0, failed("ReadTimeoutError: a", kept_in="outputs/s/swanlog/run-0", missing_losses=3))
    tracked(tmp_path, 1, failed("ReadTimeoutError: b", kept_in="outputs/s/swanlog/run-1", missing_losses=4))
    tracked(tmp_path, 2, failed("OSError: No space left on device"))
    tracked(tmp_path, 3, Tracking(mode="cloud"))
    tracked(tmp_path, 4, Tracking(mode="cloud", problem="as an older version wrote it"))
    network, disk, older = told(tmp_path, "en")
    assert network == (
        "SwanLab did not follow lora, seed 0; lora, seed 1 to the end: SwanLab's server does not answer "
        "(ReadTimeoutError: a). At least 7 of their losses are missing there; the runs' own files have them all. "
        "Fix: tracking=local and tracking=offline need no network; behind a proxy export "
        "HTTPS_PROXY=http://HOST:PORT. What it kept is sent by: swanlab sync outputs/s/swanlog/run-0 "
        "outputs/s/swanlog/run-1"
    )
    assert disk.startswith("SwanLab did not follow lora, seed 2 to the end: the disk is full (")
    assert "missing" not in disk
    assert older == "SwanLab did not follow lora, seed 4 to the end: as an older version wrote it."
    network, disk, older = told(tmp_path, "zh")
    assert network == (
        "SwanLab 没有完整跟踪 lora（种子 0）、lora（种子 1）：SwanLab 服务器没有应答（ReadTimeoutError: a）。"
        "其中至少缺少 7 个损失值；运行自身的文件是完整的。"
        "解决办法：tracking=local 和 tracking=offline 不需要网络；使用代理时 export HTTPS_PROXY=http://HOST:PORT。"
        "已保存的部分可这样上传：swanlab sync outputs/s/swanlog/run-0 outputs/s/swanlog/run-1"
    )
    assert disk.startswith("SwanLab 没有完整跟踪 lora（种子 2）：磁盘已满（")
    assert older == "SwanLab 没有完整跟踪 lora（种子 4）：as an older version wrote it。"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_runs_that_were_tracked_are_not_spoken_of(language: str, tmp_path: Path) -> None:
    tracked(tmp_path, 0, Tracking(mode="local"))
    tracked(tmp_path, 1, Tracking(mode="disabled"))
    assert told(tmp_path, language) == []


def test_every_cause_is_told_in_chinese_with_what_helps() -> None:
    assert set(tracking_diagnoses.CAUSES) == set(CAUSES)
