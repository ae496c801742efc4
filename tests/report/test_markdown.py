"""A document as Markdown: text that came from anywhere is shown and not obeyed."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from harness.report.document import (
    Bullets,
    Choices,
    Code,
    Document,
    Number,
    Paragraph,
    Picture,
    Questions,
    Section,
    Strong,
    Table,
    Warned,
)
from harness.report.markdown import escape, inline, to_markdown

HOSTILE = [
    *("# head", "- item", "1. item", "+ item", "---", "===", "> quote", "```", "| a | b |", "* x *", "**x**"),
    *("[a](b)", "<b>x</b>", "![a](b)", "~~~", "$x$", "a\n# b", "\\", "&amp;", "1) item", "_x_"),
]


def shown(markdown: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_paragraph_stays_a_paragraph(text: str) -> None:
    page = shown(to_markdown(Document("t", "en", [Section("s", "S", [Paragraph(text), Paragraph("after")])])))
    body = page.split("<h2>S</h2>")[1]
    assert body.count("<p>") == 2, body
    for tag in ("<ul>", "<ol>", "<hr", "<blockquote>", "<pre>", "<table>", "<em>", "<strong>", "<a ", "<img", "<b>"):
        assert tag not in body, body


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_stays_a_cell(text: str) -> None:
    table = Table("", ["a", "b"], [[text, "x"], [[Strong(text)], "y"]])
    page = shown(to_markdown(Document("t", "en", [Section("s", "S", [table])])))
    assert page.count("<td>") == 4, page


def test_every_block_has_its_form() -> None:
    blocks = [
        Choices(["Purpose", "Arm", "Why"], [("Fastest", [Strong("lora")], "a rule")]),
        Bullets([[Strong("Better"), ": memory"], "two"]),
        Warned("beware"),
        Code(["a", "```", "b"]),
        Table("runs", ["Arm", "s"], [["lora", Number("1.0", (1.0,))], ["qlora", None]], True, False, 1, "1 more"),
        Picture("figures/a.png", "what it shows"),
        Questions([Paragraph("one question")]),
        Section("inner", "Inner", [Paragraph("deeper")]),
    ]
    assert to_markdown(Document("Title", "en", [Section("s", "Section", blocks)])) == "\n\n".join(
        [
            "# Title",
            "## Section",
            "| Purpose | Arm | Why |\n| --- | --- | --- |\n| Fastest | **lora** | a rule |",
            "- **Better**: memory\n- two",
            "> beware",
            "````text\na\n```\nb\n````",
            "| Arm | s |\n| --- | ---: |\n| lora | 1.0 |",
            "1 more",
            "![what it shows](figures/a.png)",
            "one question",
            "### Inner",
            "deeper\n",
        ]
    )


def test_strong_pieces_keep_the_blanks_and_line_breaks_around_them() -> None:
    assert inline(["a ", Strong("b"), " c"]) == "a **b** c"
    assert inline([Strong("fail"), "\n", "said", "\nmore"]) == "**fail**<br>said<br>more"
    assert inline([Strong(""), "x"]) == "x"


def test_what_is_obeyed_or_hidden_is_shown_as_a_code_and_colours_are_gone() -> None:
    assert escape("a\x1b[31mb\u202ec\x07\r\nd") == r"ab\\u202ec\\u0007<br>d"


def test_what_fills_a_page_is_cut_and_said_to_be() -> None:
    blocks = [
        Paragraph("x" * 2**20),
        Code(["y" * 2**20, "end"]),
        Table("", ["z" * 2**20], [["w" * 2**20]]),
        Warned([Strong("v" * 2**20)]),
    ]
    page = to_markdown(Document("t" * 2**20, "en", [Section("s", "u" * 2**20, blocks)]))
    assert len(page) < 7 * 4200
    assert page.count("1,044,576 characters") == 7
    assert "end" in page
