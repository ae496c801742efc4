"""A report in Chinese: every word of it, the same figures, and figures that fall back to English without a font."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text as DrawnText
from typer.testing import CliRunner

import harness.report.text
from harness.cli import app
from harness.comparison.judging import Reason
from harness.config.schema import LANGUAGES
from harness.report.content import document
from harness.report.document import Document, Number
from harness.report.figures import theme
from harness.report.figures.intervals import intervals
from harness.report.figures.losses import losses
from harness.report.figures.memory import memory
from harness.report.figures.tradeoff import tradeoff
from harness.report.html import to_html
from harness.report.markdown import to_markdown
from harness.report.questions import browser
from harness.report.render import render
from harness.report.text import languages, text_in
from harness.report.traces import memory_traces
from harness.report.verdict import lines
from tests.builders import RunBuilder, questions
from tests.report.pages import findings_of
from tests.report.scenes import SCENES

CHINESE = text_in("zh")
TERMS = {
    *(
        "A3",
        "CANN",
        "CPU",
        "CUDA",
        "ECC",
        "GPU",
        "LLaMA-Factory",
        "evalscope",
        "oneDNN",
        "NPU",
        "QLoRA",
        "SwanLab",
        "cgroup",
        "harness",
        "torch",
    ),
    *("Bonett", "Cochran", "Cox", "Holm", "McNemar", "Price", "p", "t", "logits", "token"),
    *("C", "MiB", "UTC", "W", "Wh", "nat", "s"),
    *("Debian", "Fedora", "Ubuntu", "openEuler", "fonts-noto-cjk", "google-noto-sans-cjk-ttc-fonts"),
    *("comparison", "doctor", "dry_run", "info", "max_samples", "npu-smi", "report", "swanlab", "sync", "zh-CN"),
}
"""Names, units, symbols, and what somebody types: those a Chinese engineer writes in Latin letters."""
OF_THE_RUNS = (
    *("made for tests", "quantization state", "tried to allocate 9 GiB", "cgroup", "Chip", "Question"),
    *("RuntimeError", "firmware", "runtime", "python", "float32"),
)
"""What records hold in Latin letters, whatever the report's language."""


def constants(language: str) -> Iterator[str]:
    """The texts in the files of a language, without what documents them and the keys of their tables."""
    folder = Path(harness.report.text.__file__).parent / language
    # Diagnoses quote what is to be typed.
    for path in sorted(set(folder.glob("*.py")) - set(folder.glob("*diagnoses.py"))):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        no_text = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        no_text |= {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
        no_text |= {id(node.format_spec) for node in nodes if isinstance(node, ast.FormattedValue)}
        specs = [node.format_spec for node in nodes if isinstance(node, ast.FormattedValue) and node.format_spec]
        no_text |= {id(inner) for spec in specs for inner in ast.walk(spec)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in no_text:
                yield node.value


def without_holes(text: str) -> list[str]:
    try:
        return [piece for piece, *_ in Formatter().parse(text)]
    except ValueError:  # A brace that is part of the text.
        return [text]


@cache
def english_phrases() -> frozenset[str]:
    """Every piece of an English sentence that has two words or more, and that Chinese does not use too."""
    pieces = {piece.strip() for text in constants("en") for piece in without_holes(text)}
    own = "\n".join(constants("zh"))
    return frozenset(
        piece for piece in pieces if len(re.findall("[A-Za-z]{2,}", piece)) > 1 and piece not in own and " " in piece
    )


def latin(text: str) -> list[str]:
    """Runs of two Latin words or more, such as a sentence has."""
    for words in OF_THE_RUNS:
        text = text.replace(words, "中")
    runs = re.findall(r"[A-Za-z][\w-]*(?: [A-Za-z][\w-]*)+", text)
    return [run for run in runs if not set(run.split()) <= TERMS]


def made(name: str, folder: Path) -> Path:
    SCENES[name](folder / name)
    return folder / name


def in_both(folder: Path) -> tuple[Document, Document]:
    findings = findings_of(folder)
    english, chinese = (document(findings, text_in(language), {}) for language in ("en", "zh"))
    return english, chinese


def test_the_languages_of_the_key_are_those_that_there_are() -> None:
    assert list(LANGUAGES) == languages()


def test_what_is_said_in_chinese_has_no_latin_word_but_names_units_and_what_somebody_types() -> None:
    said = "\n".join(piece for text in constants("zh") for piece in without_holes(text))
    typed = re.sub(r"\w+(?:[./]\w+)*\.(?:md|csv|jsonl)|\w+\.\w+", "", said)
    assert sorted(set(re.findall(r"[A-Za-z][A-Za-z\d_-]*", typed)) - TERMS) == []


def test_chinese_sentences_have_chinese_punctuation_and_blanks_beside_latin_words() -> None:
    said = [piece for text in constants("zh") for piece in without_holes(text)]
    assert [text for text in said if re.search(r"[一-鿿][,;:!?()]|[,;:!?()][一-鿿]", text)] == []
    assert [text for text in said if re.search(r"[一-鿿][A-Za-z0-9]|[A-Za-z0-9%][一-鿿]", text)] == []
    assert [text for text in said if re.search(r"[，；：。（）、] | [，；：。（）、]|\w\.$", text)] == []


@pytest.mark.parametrize("name", SCENES)
def test_no_english_sentence_is_left_and_the_figures_are_the_same(name: str, tmp_path: Path) -> None:
    english, chinese = in_both(made(name, tmp_path))
    shown = to_markdown(chinese).replace("\\", "")
    prose = re.sub(r"```.*?```", "", shown, flags=re.DOTALL)
    assert [phrase for phrase in english_phrases() if phrase in prose] == []
    assert latin(prose) == []
    assert re.findall(r".{,9}(?:[一-鿿][A-Za-z\d]|[A-Za-z\d%][一-鿿]).{,9}", prose) == []
    assert "None" not in shown
    assert [section.key for section in chinese.sections] == [section.key for section in english.sections]
    for ours, theirs in zip(chinese.tables(), english.tables(), strict=True):
        assert (ours.key, len(ours.headers)) == (theirs.key, len(theirs.headers))
        assert [[figures_of(cell) for cell in row] for row in ours.rows] == [
            [figures_of(cell) for cell in row] for row in theirs.rows
        ]
    first = ["\n".join(lines(each.sections[0], text)) for each, text in ((english, text_in("en")), (chinese, CHINESE))]
    there, here = (set(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)) for text in first)
    assert there <= here


def figures_of(cell: object) -> object:
    """What a cell is computed with, if it is a figure."""
    if isinstance(cell, Number):
        return cell.values
    return cell if isinstance(cell, int) else cell is None


def test_the_first_screen_reads_as_chinese(tmp_path: Path) -> None:
    _, chinese = in_both(made("three_seeds", tmp_path))
    said = "\n".join(lines(chinese.sections[0], CHINESE))
    for words in (
        "显存占用最低：qlora。检验表明它优于 lora。显存峰值（扣除运行前占用）：qlora 9,272 MiB、lora 17,331 MiB。",
        "- 无法判定：准确率比 lora 的 80.5% 低 5.0 个百分点，95% 置信区间 ",
        "- 更优：显存峰值（扣除运行前占用）为 lora 的 0.53 倍（lora 为 17,331 MiB），95% 置信区间 0.53 至 0.54；",
        "- 更差：单步耗时（不含预热）为 lora 的 1.17 倍（lora 为 1.02 s），",
        "每组只有 3 个种子，属于预实验",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("right", "told"),
    [(20, "比 lora 的 30.0% 低 10.0 个"), (40, "比 lora 的 30.0% 高 10.0 个"), (30, "与 lora 的 30.0% 相差 0.0 个")],
)
def test_the_direction_of_a_difference_is_a_word(right: int, told: str, tmp_path: Path) -> None:
    for arm, count in (("lora", 30), ("qlora", right)):
        asked = questions(100, [index < count for index in range(100)])
        RunBuilder(tmp_path / "made", arm, 0, quantized=arm == "qlora", answers=asked).write()
    _, chinese = in_both(tmp_path / "made")
    (said,) = [line for line in lines(chinese.sections[0], CHINESE) if "：准确率" in line and line.lstrip()[0] == "-"]
    assert f"：准确率{told}百分点" in said


def test_every_reason_and_its_repair_is_told_where_english_tells_it(tmp_path: Path) -> None:
    (comparison,) = findings_of(made("one_seed", tmp_path)).comparisons
    paired, english = comparison.differences[0], text_in("en")
    for reason in Reason:
        assert re.search("[一-鿿]", CHINESE.reason(reason, paired))
        repairs = CHINESE.repair(reason, ["qlora"]), english.repair(reason, ["qlora"])
        assert (repairs[0] is None) == (repairs[1] is None)


def test_memory_of_a_chip_and_of_the_host_have_words_of_their_own(tmp_path: Path) -> None:
    for device, its, other in (("cuda", "显存占用最低", "内存占用最低"), ("cpu", "内存占用最低", "显存占用最低")):
        for seed in range(3):
            for arm, peak in (("lora", 600.0 + seed), ("qlora", 300.0 + seed)):
                quantized = arm == "qlora"
                RunBuilder(tmp_path / device, arm, seed, device=device, quantized=quantized, peak_mib=peak).write()
        _, chinese = in_both(tmp_path / device)
        said = "\n".join(lines(chinese.sections[0], CHINESE))
        assert its in said
        assert other not in said


def test_the_page_and_its_browser_are_chinese(tmp_path: Path) -> None:
    findings = findings_of(made("three_seeds", tmp_path))
    chinese = document(findings, CHINESE, {})
    page = to_html(chinese, tmp_path, browser(findings.arms, CHINESE), CHINESE)
    assert '<html lang="zh-CN">' in page
    body = re.sub(r"<(script|style|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", "\n", body)
    labels = "\n".join(re.findall(r'(?:aria-label|alt|title)="([^"]*)"', body))
    assert latin(f"{shown}\n{labels}") == []
    assert {"搜索", "仅甲组答对", "显示更多", "目录"} <= set(re.findall("[一-鿿]+", page))
    assert '"right": "对"' in page


# Figures.


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A font made for tests that has every letter of the Chinese texts; it is there once it is added."""
    letters = sorted({letter for text in constants("zh") for letter in text if ord(letter) > 0x2000})
    names = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    pen = TTGlyphPen(None)
    for place, corner in enumerate(((50, 0), (50, 800), (850, 800), (850, 0))):
        (pen.lineTo if place else pen.moveTo)(corner)
    pen.closePath()
    box = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, box))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 50)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Made For Tests", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "made.ttf")
    monkeypatch.setattr(theme, "FONTS", ("DejaVu Sans", "Made For Tests"))
    known = list(font_manager.fontManager.ttflist)
    yield tmp_path / "made.ttf"
    font_manager.fontManager.ttflist = known


def test_without_a_font_the_figures_are_in_english_and_the_report_says_which_package_brings_one(
    tmp_path: Path, fonts: Path
) -> None:
    folder = made("one_seed", tmp_path)
    report = tmp_path / "report"
    told, drawn = [], []
    for font in (None, fonts):
        if font is not None:
            font_manager.fontManager.addfont(font)
        told.append(render([folder], report, language="zh").path.read_text(encoding="utf-8"))
        drawn.append((report / "figures" / "intervals.png").read_bytes())
    assert "> 本机没有中文字体，因此图中文字为英文。请安装字体软件包 fonts-noto-cjk（Debian、Ubuntu）" in told[0]
    assert "字体" not in told[1]
    assert drawn[0] != drawn[1]


def test_a_font_that_was_installed_since_matplotlib_looked_is_found(
    fonts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not theme.can_draw("优化器步数")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(fonts.with_name("none.ttf")), str(fonts)])
    theme._add_new_fonts.cache_clear()
    assert theme.can_draw("优化器步数")


@pytest.mark.parametrize("name", ["four_arms", "diverged", "out_of_memory"])
def test_every_word_in_a_figure_is_chinese(name: str, tmp_path: Path) -> None:
    findings = findings_of(made(name, tmp_path))
    quantity, traces = memory_traces(findings.sweep.runs)
    drawn = (
        tradeoff(findings.arms, CHINESE, theme.LIGHT),
        intervals(findings.arms, findings.comparisons, findings.margins, CHINESE, theme.LIGHT),
        losses(findings.arms, CHINESE, theme.LIGHT),
        memory(quantity, traces, CHINESE, theme.LIGHT),
    )
    labels = {arm.label for arm in findings.arms}
    for figure in drawn:
        assert figure is not None
        said = {artist.get_text() for artist in figure.findobj(DrawnText)} - labels
        words = {text for text in said if re.search("[A-Za-z]{3,}", text)}
        assert all(re.search("[一-鿿]", text) or text == "MiB" for text in words), words
        assert latin("\n".join(words)) == []
        assert any(re.search("[一-鿿]", text) for text in said)


# The commands.


def test_the_commands_speak_the_language_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = tmp_path / "old", tmp_path / "new"
    for seed in range(3):
        for folder, seconds in ((old, 1.0), (new, 2.0)):
            RunBuilder(folder, "lora", seed, step_seconds=seconds + 0.01 * seed).write()
    RunBuilder(new, "qlora", 0, quantized=True).write()
    compared = CliRunner().invoke(app, ["compare", str(old), str(new), "--language", "zh"])
    assert compared.exit_code == 1
    assert "变差：单步耗时（不含预热） 1.01 -> 2.01" in compared.output
    assert "qlora：只出现在新扫描中（1 次运行）" in compared.output
    assert latin(compared.output) == []
    reported = CliRunner().invoke(app, ["report", str(old), "--language", "zh"])
    assert reported.exit_code == 0
    assert "只运行了 lora 一组（完成 3 次），没有可比较的对象。" in reported.output
    assert (tmp_path / "reports" / "old" / "report.md").read_text(encoding="utf-8").startswith("# 对比报告：old\n")
