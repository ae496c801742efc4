"""How quick report.html is with every answer of 10 arms, 10 seeds and 1,319 questions in it, in a real Chromium.

    python benchmarks/page.py [--chromium PROGRAM]

Writes made-up runs into a temporary folder, renders them, and prints the page's size and the median of five times:
until it can be used, for a search, for a filter by flips, for opening a question.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # in place of this folder, whose statistics.py would hide Python's own

import numpy as np  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from harness.report.render import render  # noqa: E402
from tests.builders import RunBuilder, questions  # noqa: E402

ARMS, SEEDS, QUESTIONS, ROUNDS = 10, 10, 1319, 5
ANSWER = "Step by step: first we count what is given, then we add what is missing, and last we check the sum. " * 4


def write(folder: Path) -> None:
    """Write the runs; an answer is as long as a worked one of GSM8K."""
    for arm in range(ARMS):
        for seed in range(SEEDS):
            right = 0.5 + 0.04 * arm
            name = "lora" if arm == 0 else f"qlora{arm}"
            method = {"name": name, "rank": 8 * (arm + 1), "quantization": "none"}
            answers = questions(QUESTIONS, right, seed=100 * arm + seed, answer=ANSWER)
            RunBuilder(folder, name, seed, quantized=arm > 0, answers=answers, config={"method": method}).write()


def seconds(act: Callable[[], object]) -> float:
    """Return the median time of ROUNDS tries."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def measure(page: Page, address: str) -> dict[str, float]:
    """Return seconds by what was done."""
    rows = page.locator("#questions-browser details")

    def load() -> None:
        page.goto(address)
        rows.nth(49).wait_for()

    # A search waits 0.12 s for the next letter; what is timed is what follows, by the event that it listens to.
    def run(script: str) -> Callable[[], object]:
        return lambda: page.evaluate(script)

    def search(text: str, kind: str) -> str:
        return (
            "() => new Promise(done => {"
            "const form = document.querySelector('#questions-browser form');"
            f"form.elements.search.value = '{text}'; form.elements.kind.value = '{kind}';"
            "const seen = new MutationObserver(() => { seen.disconnect(); requestAnimationFrame(done); });"
            "seen.observe(document.querySelector('#questions-browser .list'), { childList: true });"
            "form.dispatchEvent(new Event('input')); })"
        )

    def opened() -> None:
        page.goto(address)
        start = time.perf_counter()
        rows.nth(25).locator("summary").click()
        rows.nth(25).locator("tbody tr").nth(ARMS * SEEDS - 1).wait_for()
        unpacked.append(time.perf_counter() - start)

    unpacked: list[float] = []
    loaded = seconds(load)
    searched = seconds(run(search("1000", "all")))
    page.evaluate(search("", "all"))
    flipped = seconds(run(search("", "flips")))
    for _ in range(ROUNDS):
        opened()
    waits = 0.12
    return {
        "until it can be used": loaded,
        "a search": searched - waits,
        "a filter by flips": flipped - waits,
        "opening a question": float(np.median(unpacked)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        write(Path(place) / "made")
        report = render([Path(place) / "made"], Path(place) / "report").path.with_name("report.html")
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        found = measure(browser.new_page(), report.as_uri())
        browser.close()
        print(f"{ARMS} arms, {SEEDS} seeds, {QUESTIONS:,} questions: {report.stat().st_size / 2**20:.1f} MiB")
        for what, taken in found.items():
            print(f"{what:24} {1000 * taken:7.0f} ms")


if __name__ == "__main__":
    main()
