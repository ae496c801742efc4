"""A sweep's report is in the language that its key names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.display import make_display
from harness.execution.build_record import Progress, build_record
from harness.execution.sweep import Sweep
from harness.runs import store
from tests.planning import specs_of


@pytest.mark.parametrize(("overrides", "title"), [((), "# Comparison: "), (("report.language=zh",), "# 对比报告：")])
def test_a_sweep_reports_in_the_language_of_its_key(
    overrides: tuple[str, ...], title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    specs = specs_of("sweeps=quickstart", "device=cpu", "seed=0", *overrides)
    for spec in specs:
        spec.folder.path.mkdir(parents=True)
        store.write(spec.folder, build_record(spec, Progress()))
    assert Sweep(specs, make_display).report() is True
    report = (tmp_path / "reports" / "quickstart" / "report.md").read_text(encoding="utf-8")
    assert report.startswith(f"{title}quickstart\n")
