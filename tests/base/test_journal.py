from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from harness.devices.journal import read_readings
from harness.devices.reading import Reading

READING = Reading(time=1.25, sensor="nvml", chip=3, device_used_mib=0.1, power_watts=None)

# A limit on the file's size cuts a line short as a disk does that fills up.
FILL_UP = """
import resource, signal, sys
from pathlib import Path
from harness.devices.journal import Journal
from harness.devices.reading import Reading
journal, reading = Journal(Path(sys.argv[1])), Reading(time=1.25, sensor="nvml", chip=3, device_used_mib=0.1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal.append([reading])
limit = Path(sys.argv[1]).stat().st_size + 10
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        journal.append([reading])
    except OSError as error:
        print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append([reading])
"""


def test_a_disk_that_fills_up_in_a_line_spoils_only_that_line(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "readings.jsonl"
    said = subprocess.run(
        [sys.executable, "-c", FILL_UP, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert said.stdout.splitlines() == ["no room for the whole line", "File too large"]
    assert read_readings(path) == [READING, READING]


def test_garbage_and_half_lines_are_skipped(tmp_path: Path) -> None:
    line = READING.model_dump_json()
    path = tmp_path / "readings.jsonl"
    path.write_bytes(
        f'{line}\n\nnot json\n{{"time": "x"}}\n'.encode() + b"\xff\xfe\n" + f"{line}\n{line[:20]}".encode()
    )
    assert read_readings(path) == [READING, READING]


def test_a_missing_file_has_no_readings(tmp_path: Path) -> None:
    assert read_readings(tmp_path / "readings.jsonl") == []
