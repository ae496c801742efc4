"""A process that reads as a run does: `python -m tests.devices.ascend.reader FOLDER INTERVAL ANSWERS`.

It begins when it is sent a line, and prints one line of JSON a read until it has so many answers. `--holding`: with a
query that never ends. `--file-bytes`: on a disk that has no more room than that for a file."""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from harness.devices.ascend.query import NpuSmiQuery, Query
from harness.devices.ascend.shared_driver import SharedDriver
from harness.devices.npu_smi import InfoTable
from harness.devices.reading import SensorError


class HoldingQuery:
    """As a library that hangs in a call."""

    name = "dcmi"
    source = "libdcmi.so"

    def ask(self, lock: int) -> InfoTable:
        print("holding", flush=True)
        while True:
            time.sleep(3600)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("interval", type=float)
    parser.add_argument("answers", type=int)
    parser.add_argument("--timeout", type=float, default=20.0)
    parser.add_argument("--holding", action="store_true")
    parser.add_argument("--file-bytes", type=int)
    options = parser.parse_args()
    if options.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_bytes, options.file_bytes))
    query: Query = HoldingQuery() if options.holding else NpuSmiQuery(options.timeout)
    driver = SharedDriver(query, options.interval, options.folder)
    print("ready", flush=True)
    input()
    answers = 0
    while answers < options.answers:
        began = time.monotonic()
        try:
            answer = driver.read()
            told: dict[str, object] = {} if answer is None else {"asked": answer.asked}
            answers += len(told)
        except SensorError as error:
            told = {"error": str(error)}
        print(json.dumps({"began": began, **told}), flush=True)
        time.sleep(max(0.0, began + options.interval - time.monotonic()))


if __name__ == "__main__":
    main()
