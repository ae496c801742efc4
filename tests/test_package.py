"""The wheel holds what a checkout holds: it works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as pip would lay them out."""
    build = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(build), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = build.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(build / "site")
    return build / "site"


def test_the_wheel_plans_the_quickstart_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            # Without the checkout, where that is installed: Hydra would find the sweeper there.
            f"import sys; sys.path = [path for path in sys.path if path != {str(ROOT)!r}]\n"
            "from harness.cli import app; app()",
            "sweep",
            "quickstart",
            "dry_run=true",
            "seed=0",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (train_yaml, _) = tmp_path.glob("outputs/quickstart/*/train.yaml")
    assert f"model_name_or_path: {installed / 'harness' / 'models' / 'tiny'}" in train_yaml.read_text()


def test_the_wheel_has_the_reports_templates_the_sweeper_and_the_console_script(installed: Path) -> None:
    # A namespace that other plugins of Hydra's share.
    assert [file.name for file in (installed / "hydra_plugins").iterdir()] == ["harness_sweeper.py"]
    assert (installed / "harness" / "report" / "templates" / "report.html.j2").is_file()
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "harness = harness.cli:app" in entry_points.read_text()


def test_the_shipped_base_is_at_most_4_mb() -> None:
    folder = ROOT / "harness" / "models" / "tiny"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 4_000_000
