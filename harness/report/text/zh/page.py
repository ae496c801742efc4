"""What the HTML page says beside the document, in Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.text.en import page as english


class PageTexts(english.PageTexts):
    """Controls of the page and of its browser of questions."""

    CONTENTS = "目录"
    NUMBER_HEADER = "行"
    BROWSER: Mapping[str, str] = {
        "search": "搜索",
        "first": "甲组",
        "second": "乙组",
        "kind": "显示",
        "more": "显示更多",
    }
    BROWSER_KINDS: Mapping[str, str] = {
        "all": "全部题目",
        "flips": "两组对错不同的题目",
        "first": "仅甲组答对",
        "second": "仅乙组答对",
        "both": "两组都答对",
        "neither": "两组都答错",
    }
    BROWSER_HEADERS: Sequence[str] = ("运行（组，种子）", "对错", "提取的答案", "生成内容")
    BROWSER_FOUND = "共 {all} 题，符合条件 {found} 题"
    BROWSER_EXPECTED = "参考答案：{}"
    RIGHT_WRONG: Mapping[bool, str] = {True: "对", False: "错"}
    BROWSER_OTHERS = "以下运行未列入，因为题目不同或答案文件无法读取：{runs}。"
    BROWSER_CUT = "每个回答最多显示 {characters:,} 个字符；全文见各运行的 {file}。"
    BROWSER_FIRST_RUNS = "共 {all:,} 次运行，这里列出前 {shown:,} 次；其余的回答见各自的文件夹。"
