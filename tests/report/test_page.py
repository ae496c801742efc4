"""report.html in a real Chromium: with mouse, keyboard and a screen reader's eyes; dark, small and printed."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report.render import render
from tests.builders import RunBuilder, questions

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

ARMS, SEEDS, QUESTIONS = ("lora", "qlora"), (0, 1, 2), 120


def answers(arm: str, seed: int) -> list[bool]:
    """lora is right on all but every third question, qlora on all but every fourth, and each seed misses one more."""
    step = 3 if arm == "lora" else 4
    return [index % step != 0 and index != seed for index in range(QUESTIONS)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "made"
    for seed in SEEDS:
        for arm in ARMS:
            asked = questions(QUESTIONS, answers(arm, seed), answer=f"</script><b>{arm} {seed}</b>")
            RunBuilder(folder, arm, seed, quantized=arm == "qlora", answers=asked).write()
    return render([folder], folder.parent / "report").path.parent / "report.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Any]:
    """The report, opened from disk; whatever its own rules refuse, or its script trips over, fails the test."""
    context = chromium.new_context()
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert problems == []


def flips(first: str, second: str) -> list[int]:
    """Questions that some seed of `first` answers right and `second` with that seed does not."""
    return [
        index
        for index in range(QUESTIONS)
        if any(answers(first, seed)[index] and not answers(second, seed)[index] for seed in SEEDS)
    ]


def rows(page: Any) -> int:
    return int(page.locator("#questions-browser details").count())


def test_it_asks_the_network_for_nothing(chromium: Any, report: Path) -> None:
    context = chromium.new_context(offline=True)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    opened.goto(report.as_uri())
    assert set(asked) <= {"file", "data"}
    assert asked.count("file") == 1
    assert all(opened.locator("img").evaluate_all("images => images.map(image => image.naturalWidth > 0)"))
    context.close()


def test_the_table_of_runs_is_put_in_order_by_a_click_and_by_the_keyboard(page: Any) -> None:
    table = page.locator("#runs table.sortable").first
    titles = table.locator("thead th").all_inner_texts()
    column = titles.index("Seed")
    head, cells = table.locator("thead th").nth(column), table.locator(f"tbody tr > :nth-child({column + 1})")
    button = head.get_by_role("button", name="Seed")
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert cells.all_inner_texts() == ["0", "0", "1", "1", "2", "2"]
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert cells.all_inner_texts() == ["2", "2", "1", "1", "0", "0"]


def test_questions_are_searched_and_filtered_by_how_they_flip(page: Any) -> None:
    from playwright.sync_api import expect

    browser = page.locator("#questions-browser")
    assert rows(page) == 50
    assert f"{QUESTIONS} of {QUESTIONS}" in browser.get_by_role("status").inner_text()
    browser.get_by_role("button", name="Show more").click()
    assert rows(page) == 100
    for kind, wanted in (("first", flips("qlora", "lora")), ("second", flips("lora", "qlora"))):
        browser.get_by_label("Show", exact=True).select_option(kind)
        expect(browser.get_by_role("status")).to_contain_text(f"{len(wanted)} of {QUESTIONS}")
    browser.get_by_label("Show", exact=True).select_option("all")
    browser.get_by_role("searchbox", name="Search").fill("Question 117,")
    expect(browser.locator("details")).to_have_count(1)


def test_an_opened_question_shows_what_every_run_answered(page: Any) -> None:
    summary = page.locator("#questions-browser summary").nth(4)
    summary.focus()
    page.keyboard.press("Enter")
    opened = page.locator("#questions-browser details").nth(4)
    opened.locator("table").wait_for()
    shown = opened.locator("tbody tr").all_inner_texts()
    assert len(shown) == len(ARMS) * len(SEEDS)
    for text, (arm, seed) in zip(shown, [(arm, seed) for arm in ARMS for seed in SEEDS], strict=True):
        assert text.startswith(f"{arm}, {seed}")
        assert ("right" if answers(arm, seed)[4] else "wrong") in text
        assert f"</script><b>{arm} {seed}</b>" in text


def test_a_screen_reader_is_told_what_everything_is(page: Any) -> None:
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    names = page.locator("input, select, button, [role=region]").evaluate_all(
        "all => all.map(each => each.labels?.[0]?.textContent || each.getAttribute('aria-label') || each.innerText)"
    )
    assert all(name.strip() for name in names)
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_dark_page_has_dark_figures(page: Any) -> None:
    def background() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    def figure() -> str:
        return str(page.locator("picture img").first.evaluate("image => image.currentSrc"))

    light = background(), figure()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("before => document.querySelector('picture img').currentSrc !== before", arg=light[1])
    assert background() < 150 < light[0]


def test_a_phone_need_not_scroll_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_on_paper_it_is_light_and_without_controls(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("#questions-browser").is_visible()
    assert page.pdf()[:4] == b"%PDF"
