"""The number that a written answer comes to, however it is written."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MARK = "####"
_NEXT_QUESTION = re.compile(
    r"\n\s*\**\s*(?:"
    r"(?:next |new |another )?(?:question|problem|q|human|user|instruction)\b\s*\d*|问题|题目|下一题|问|用户"
    r")\s*\d*\**\s*[:：.]",
    re.IGNORECASE,
)
"""Where a model that knows no end goes on to ask itself something else."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_SAID = re.compile(
    r"(?:\banswer\b(?:\s+is|\s+would\s+be|\s+equals)?|答案(?:应该)?(?:是|为|等于)?|结果(?:是|为)|\bresult\s+is)\s*[:：=]?",
    re.IGNORECASE,
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}")
_CURRENCY = r"(?:[$£€¥₩₹]|US\$|RMB|USD|CNY)"
_LONGEST = 4000
"""Characters of a number; a model may repeat a digit, and Python converts no more than 4,300."""
_NUMBER = re.compile(
    rf"(?P<sign>-\s*)?(?:{_CURRENCY}\s*)?(?P<inner>-\s*)?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?P<part>\.\d+)?(?P<power>[eE][+-]?\d+\b)?"
    r"(?:\s*/\s*(?P<below>\d+)(?![\d.]*\s*/))?(?P<unit>\s*[万亿])?"
)
_UNITS = {"万": 10**4, "亿": 10**8}


def final_number(answer: str) -> Fraction | None:
    """Return the number that an answer gives as its last word; None: it gives none.

    Of what stands before a further question: the number after `####`, the first where there are several, as the
    authors of GSM8K and lm-evaluation-harness take it; else what is in the last \\boxed{}; else what follows the last
    "the answer is" (答案是); else the last number."""
    text = _NEXT_QUESTION.split(_plain(answer), maxsplit=1)[0]
    places = [*_after_mark(text), *_in_boxes(text), *reversed([text[found.end() :] for found in _SAID.finditer(text)])]
    for place in places:
        # What a sum comes to stands last in it.
        line = place.strip().partition("\n")[0]
        found = _numbers(line.rpartition("=")[2]) or _numbers(line)
        if found:
            return found[0]
    every = _numbers(text)
    return every[-1] if every else None


def number(text: str) -> Fraction | None:
    """Return the one number that a text is; None: it is none, or more than one number."""
    found = _numbers(_plain(text))
    return found[0] if len(found) == 1 else None


def written(value: Fraction) -> str:
    """Return a number as text: 1234, 0.5, and 1/3 where no decimals end it."""
    if value.denominator == 1:
        return str(value.numerator)
    decimals = f"{float(value):.10g}"
    return decimals if Fraction(decimals) == value else str(value)


def _plain(text: str) -> str:
    """Return text in ASCII digits and signs, without LaTeX, bold and the like around its numbers."""
    # Spaces that stand between thousands, in type and in LaTeX.
    text = re.sub(r"(?<=\d)(?:[\u00a0\u2009\u202f]|\\[,!;: ])(?=\d{3})", "", text)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub("[\u2212\u2012\u2013\u2014\ufe63]", "-", text)
    text = _LATEX_FRACTION.sub(r" \1/\2 ", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 ", text)
    text = text.replace("{,}", ",").replace(r"\$", "$").replace(r"\%", "%")
    return re.sub(r"\*\*|__|`|\\[()\[\],!;]", "", text)


def _after_mark(text: str) -> list[str]:
    """Return what stands after the first mark, and where there is nothing, on the next line."""
    _, mark, rest = text.partition(MARK)
    return [rest.lstrip("#")] if mark else []


def _in_boxes(text: str) -> list[str]:
    """Return what is in each box, the last first."""
    return [_up_to_its_brace(text[found.end() :]) for found in reversed(list(_BOXED.finditer(text)))]


def _up_to_its_brace(text: str) -> str:
    depth = 1
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[:place]
    return text


def _numbers(text: str) -> list[Fraction]:
    return [
        _value(found, text)
        for found in _NUMBER.finditer(text)
        if (found["whole"] or found["part"]) and len(found[0]) <= _LONGEST
    ]


def _value(found: re.Match[str], text: str) -> Fraction:
    whole, part, power = found["whole"] or "0", found["part"] or "", found["power"] or ""
    value = Fraction(f"{whole.replace(',', '')}{part}{power if len(power) < 5 else ''}")
    if below := int(found["below"] or 1):
        value /= below
    value *= _UNITS.get((found["unit"] or "").strip(), 1)
    return -value if found["inner"] or (found["sign"] and _is_sign(found["sign"], text[: found.start()])) else value


def _is_sign(minus: str, before: str) -> bool:
    """Tell the sign of a number from 20 - 2, a range 3-4 and a dash between words: those stand close to what is before
    them, or apart from what is after."""
    near = before if minus == "-" else before.rstrip()
    return not near[-1:].isalnum() and near[-1:] not in (")", "]", "%")
