"""A script is read as a shell reads it, which stands beside it here."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compose.document import Block, blocks
from harness.compose.shell_script import Command, commands, unknown

BASH = shutil.which("bash")

SCRIPTS = {
    "continued lines and tabs": "run --a 1 \\\n\t--b 2 \\\n    --c 3\nrun again\n",
    "lines continued within a word": "run --a\\\n 1 --b\\\n2 \"c\\\nd\" 'e\\\nf'\n",
    "quotes": """X=1; run 'a $X b' "c \\"d\\" $X" e\\ f "" g''h""",
    "a sign of comment within a word": "X=5; run exp#1 a # b c\nrun $X#2",
    "changed variables": "P=/a/b/c.tar.gz; E=; run ${P%/} ${P%/*} ${P##*/} ${P#*/} ${P%%.*} ${P/b/X} ${P//a/X} "
    '${E:+y} ${P:+y} ${E:-${P}} ${N:=$P} $N ${P:?msg} "${P%.gz}" ${P#[!x]}',
    "variables": 'M=/m/q; D="a b"; run $M/x ${M}y "$D" $D "${D}z" ${NONE:-def} ${M:-other} "${NONE-x}"',
    "a variable of many words": 'args="--a 1 --b 2"\nargs+=" --c"\nrun $args "$args"',
    "an empty variable": 'E=; run a $E b "$E"',
    "arrays": 'A=(--a "x y" # why\n  --b\n)\nrun "${A[@]}" ${A[@]}',
    "arrays that grow": 'A=()\nrun "${A[@]}" a\nA+=(b)\nA+=("c d")\nrun "${A[@]}"',
    "exports": "export P=1 Q='2 3'\nexport R\nrun $P $Q",
    "redirections": "run a > /dev/null 2>&1\nrun b 2> /dev/null >> log\nrun c &> /dev/null &",
    "pipes and lists": "run a | cat; run b && run c; (run d)",
    "branches": "if true; then\n  run a\nfi\n{ run b; }\nfor n in 1; do run c; done",
    "a document as it is": "N=5\ncat <<'EOF' > f.yaml\na: $N\nEOF\nrun f.yaml\n",
    "a document with tabs, piped": "cat <<-EOF | tee f.yaml > /dev/null\n\ta: 1\n\tEOF\nrun b\n",
    "several lines in quotes": 'echo "a: 1\n\nb: \\"x\\" # c" > f.yaml && run f.yaml',
    "Windows line ends": "run --a 1 \\\r\n  --b 2\r\nrun c\r\n",
    "Chinese": "run --a 你好 '数据 集'",
}
RUN = """exec 3>&1; run() { printf '%s\\0' "$#" "$@" >&3; }; """
"""Prints how many words it gets, and them, wherever its own output goes."""


def told(text: str) -> list[Command]:
    return list(commands(blocks(text.replace("\r\n", "\n")), {}))


@pytest.mark.skipif(BASH is None, reason="bash is not here")
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_a_program_would_get_the_same_words_from_bash(script: str, tmp_path: Path) -> None:
    text = RUN + script.replace("\r\n", "\n") + "\nwait"
    done = subprocess.run(["bash", "-c", text], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path)
    ours = [[str(len(each.words) - 1), *each.words[1:]] for each in told(script) if each.words[0] == "run"]
    assert "".join(f"{word}\0" for words in ours for word in words) == done.stdout


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12), max_size=6))
def test_quoted_words_come_back_whatever_they_hold(words: list[str]) -> None:
    (command,) = commands([Block(1, f"run {shlex.join(words)}\n", is_shell=True)], {})
    assert command.words == ["run", *words]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab \n\t'\"\\$`{}()[]<>|&;#=!@-EOF"), max_size=60))
def test_no_text_keeps_the_reader_from_its_end(text: str) -> None:
    assert all(command.words for command in told(text))


def test_what_a_script_writes_is_known_by_its_name() -> None:
    script = (
        "cd app\necho 'x: 1' > y.yaml\necho 'z: 2' >> y.yaml\n"
        "cat << EOF > x.yaml\n  a: $HERE/m\n  b: ${GONE}\nEOF\necho '{\"d\": 1}' > ../data/info.json\nrun\n"
    )
    command = list(commands([Block(1, script, is_shell=True)], {"HERE": "/h"}))[-1]
    assert command.files == {
        "app/y.yaml": "x: 1\nz: 2\n",
        "app/x.yaml": "a: /h/m\nb: ${GONE}\n",
        "data/info.json": '{"d": 1}\n',
    }
    assert command.folder == "app"


def test_the_environment_is_what_is_exported_and_what_stands_in_front() -> None:
    script = "A=1\nexport B=2\nC=3 D='4 5' run x\nunset B\nrun y\n"
    first, second = told(script)
    assert first.environment == {"B": "2", "C": "3", "D": "4 5"}
    assert second.environment == {}


def test_what_nothing_gives_a_value_stays_visible() -> None:
    *_, command = told('run $MODEL "${DATA}/x" $(date +%F) `pwd` $1 "$@" ${2:?give a file} ${MODEL%/} %MODEL%')
    unknown_words = ["${MODEL}", "${DATA}/x", "$(date +%F)", "`pwd`", "${1}", "${@}", "${2}", "${MODEL}", "%MODEL%"]
    assert command.words[1:] == unknown_words
    assert all(unknown(word) for word in unknown_words)
    assert unknown("${1}") == "$1 is given to the script or function as it is started"


@pytest.mark.parametrize(
    ("script", "words", "line"),
    [
        ("a\nOUT=$(run x)", ["run", "x"], 2),
        ("OUT=`run x`", ["run", "x"], 1),
        ('y "\nz $(cd d &&\n run "$(pwd)/x")"', ["run", "$(pwd)/x"], 3),
        ('eval "a \\\n b\nrun x"', ["run", "x"], 3),
        ("CMD='run x'\neval $CMD", ["run", "x"], 2),
        ("cat <<EOF > f\na\n$(run x)\nEOF\n", ["run", "x"], 3),
    ],
)
def test_a_command_within_another_is_found_with_its_line(script: str, words: list[str], line: int) -> None:
    (command,) = [each for each in told(script) if each.words[0] == "run"]
    assert (command.words, command.line) == (words, line)


def test_each_branch_is_told_and_what_it_sets() -> None:
    script = (
        "if [ a ] &&\n   [ b ]; then\n  M=1\n  run $M\nelif [ c ]; then run c\nelse\n  run d\nfi\nrun $M\n"
        "M=2\nrun $M\ncase $1 in\n  x|y) run e;;\n  *)\n    run f\n    ;;\nesac\nrun g\nf() {\n  run h\n}\n"
    )
    found = [each for each in told(script) if each.words[0] == "run"]
    assert {each.words[1]: each.conditions for each in found if each.line not in (9, 11)} == {
        "1": ["line 4: in a branch: `if [ a ] && [ b ]`; the command is for where that holds"],
        "c": ["line 5: in a branch: `elif [ c ]`; the command is for where that holds"],
        "d": ["line 7: in a branch: `else of elif [ c ]`; the command is for where that holds"],
        "e": ["line 13: in a branch: `case ${1} in x|y)`; the command is for where that holds"],
        "f": ["line 15: in a branch: `case ${1} in *)`; the command is for where that holds"],
        "g": [],
        "h": [],
    }
    later = {each.line: each.conditions for each in found}
    assert later[9] == ["M: is set in a branch: `if [ a ] && [ b ]`; another value may hold where that does not"]
    assert later[11] == []


@pytest.mark.parametrize(
    "script",
    [
        '$env:A="0,1"; run $env:A',
        "$Env:A = '0,1'\nrun $env:A",
        "set A=0,1\nrun %A%",
        'SET "A=0,1"\nrun "%A%"',
        "set A=0,1 && run %A%",
        "setenv A 0,1\nrun $A",
        "set -gx A 0,1\nrun $A",
    ],
)
def test_other_shells_set_variables_too(script: str) -> None:
    (command,) = told(script)
    assert (command.words, command.environment) == (["run", "0,1"], {"A": "0,1"})


@pytest.mark.parametrize("text", ["$(" * 5000, "${a:-" * 5000, "eval " * 5000, "`$(" * 999, "if x; then\n" * 5000])
def test_what_is_opened_again_and_again_is_read_to_its_end(text: str) -> None:
    assert all(command.words for command in told(text))


@pytest.mark.parametrize("more", ["A=$A$A\n", "A=($A $A)\n", "A+=$A\n"])
def test_a_value_that_doubles_line_by_line_is_unknown_before_it_fills_the_memory(more: str) -> None:
    (command,) = told(f"A=value\n{more * 40}run $A ${{A[{'9' * 5000}]}}")
    assert command.words[1].startswith("${A}")
    assert len(command.words[1]) < 2**20


def test_a_loop_is_known_by_what_it_goes_through() -> None:
    (command,) = [each for each in told("for lr in 1e-4 5e-5; do\n  run --lr $lr\ndone") if each.words[0] == "run"]
    assert command.words == ["run", "--lr", "${lr}"]
    assert command.loops == {"lr": "1e-4 5e-5"}


def test_a_blank_behind_a_backslash_and_an_open_quote_are_told_with_their_line() -> None:
    first, second = told("run --a 1 \\ \n  --b 2\nrun it's\n")
    assert first.mistakes == [
        "line 1: a blank stands behind the backslash, where a shell ends the command; take it out"
    ]
    assert second.mistakes == ["line 3: a quote (') is opened and never closed"]
    (commented,) = told("run --a 1 \\  # why\n  --b 2\n")
    assert commented.mistakes == [
        "line 1: a comment stands behind the backslash, where a shell ends the command; take it out"
    ]
    (unclosed,) = told("run\\\n $(date")
    assert unclosed.mistakes == ["line 2: $( is opened and never closed"]


def test_lines_are_continued_as_windows_shells_do_it_too() -> None:
    for sign in "`^":
        first, second = told(f"set A=1\nrun --a 1 {sign}\n  --b 2\nrun c\n")
        assert (first.words, first.environment) == (["run", "--a", "1", "--b", "2"], {"A": "1"})
        assert second.words == ["run", "c"]


@pytest.mark.parametrize(
    "prompt",
    [
        "$ ",
        "% ",
        "PS C:\\x> ",
        "C:\\LLaMA Factory>",
        "root@host-1:~# ",
        "(base) me@host:~/LLaMA-Factory$ ",
        "[root@node data]# ",
        "!",
    ],
)
def test_the_prompt_of_a_terminal_is_no_part_of_a_command(prompt: str) -> None:
    (command,) = told(f"{prompt}A=1 run x\n")
    assert command.words == ["run", "x"]
    assert command.environment == {"A": "1"}


def test_the_prompt_of_a_continued_line_is_no_redirection() -> None:
    (command,) = told("$ run a \\\n> --b c \\\n> --d > log\n")
    assert command.words == ["run", "a", "--b", "c", "--d"]


MARKDOWN = """# How

Don't run `this`.

```bash
export A=1
cd here
```

Save this as `conf/first.yaml`:

```yaml
a: 1
```

> to be kept in conf/second.yml

  ```shell
  run x
  ```
"""
DIRECTIVES = """How
===

It isn't hard.

.. code-block:: shell

  cat << EOF > x.yaml
  a: 1
  EOF

.. code-block::

  run x.yaml

The end isn't near.
"""


def test_only_the_code_of_a_document_is_read_in_one_shell() -> None:
    code = blocks(MARKDOWN)
    assert [(block.line, block.is_shell, sorted(block.names)) for block in code] == [
        (6, True, ["first.yaml"]),
        (13, False, ["first.yaml", "second.yml"]),
        (19, True, ["second.yml"]),
    ]
    *_, command = commands([block for block in code if block.is_shell], {})
    assert (command.line, command.words, command.environment) == (19, ["run", "x"], {"A": "1"})
    *_, command = told(DIRECTIVES)
    assert (command.line, command.files) == (14, {"x.yaml": "a: 1\n"})


OPTIONS = """
.. code-block:: yaml
   :linenos:
   :caption: my.yaml

   a: 1
"""


@pytest.mark.parametrize(
    ("document", "block"),
    [
        (OPTIONS, (5, False, ["my.yaml"], "a: 1")),
        ("x\n\n> ```yaml\n> # my.yaml\n> a:\n>   - b\n> ```\n\ny\n", (4, False, ["my.yaml"], "# my.yaml\na:\n  - b")),
        ("> Run it:\n>\n> ```bash\n> run x\n> ```\n", (4, True, [], "run x")),
        ('```yaml title="my.yaml"\na: 1\n```\n', (2, False, ["my.yaml"], "a: 1")),
        ("```{.bash}\nrun\N{NO-BREAK SPACE}x\n````\n", (2, True, [], "run x")),
        ("Say:\n\n~~~sh\nrun x\n", (4, True, [], "run x")),
    ],
)
def test_a_block_is_found_however_a_document_marks_it(document: str, block: tuple[int, bool, list[str], str]) -> None:
    (found,) = blocks(document)
    assert (found.line, found.is_shell, sorted(found.names), found.text.strip()) == block


def test_the_cells_of_a_notebook_are_its_code() -> None:
    cells = [
        ("markdown", "Run `!nothing`"),
        ("code", 'import os\nos.environ["A"] = "1"  # chips\n%env B=2\n%cd app\nprint(1)'),
        ("code", "%%writefile conf/my.yaml\na: 1\n"),
        ("code", "!run x \\\n  --b 'it'"),
        ("code", "%%bash\nrun y\n"),
    ]
    notebook = {"cells": [{"cell_type": kind, "source": text.splitlines(keepends=True)} for kind, text in cells]}
    text = json.dumps(notebook, indent=1)
    code = blocks(text)
    assert [(block.is_shell, sorted(block.names)) for block in code] == [
        (True, []),
        (False, ["my.yaml"]),
        (True, []),
        (True, []),
    ]
    _, first, second = commands([block for block in code if block.is_shell], {})
    assert (first.words, first.environment, first.folder) == (["run", "x", "--b", "it"], {"A": "1", "B": "2"}, "app")
    assert "!run x" in text.splitlines()[first.line - 1]
    assert "run y" in text.splitlines()[second.line - 1]
