"""A shell script as the commands that it starts: read, and never run.

Quotes, continued lines, variables, arrays, redirections and here-documents are a shell's (POSIX, and of bash what
training scripts use), which shlex knows in part. Branches are taken as if each were gone through, and are told; of a
loop what it goes through is known.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import PurePosixPath
from posixpath import normpath

from harness.compose.document import Block

UNKNOWN = re.compile(r"\$\{[#!]?(\w+|[@*#?!$-])[^}]*\}|\$\(.*?\)|`[^`]*`|%([A-Za-z_]\w+)%", re.DOTALL)
"""What stays in a word where the script gives it no value: `${NAME}`, cmd.exe's %NAME%, and what a command would
print."""
_NAME = r"[A-Za-z_]\w*"
_ASSIGNMENT = re.compile(rf"({_NAME})(\+?)=")
_SPECIAL = r"[\d@*#?!$-]"
_VARIABLE = re.compile(rf"{_NAME}|{_SPECIAL}")
_BRACED = re.compile(rf"({_NAME}|\d+|{_SPECIAL})(\[(?:[@*]|\d{{1,9}})\])?(?:(:?[-=?+]|##?|%%?|//?)(.*))?", re.DOTALL)
_PERCENT = re.compile(rf"%({_NAME})%")
_PLAIN = re.compile(r"[^\s;&|()<>\\'\"$`%]+")
_REDIRECTION = re.compile(r"&>>?|<<<|<<-?|<>|>>|>\||[<>]&|[<>]")
_PROMPT = re.compile(
    r"^[ \t]*(?:\([\w.-]+\)[ \t]*)?(?:\[?[\w.-]+@[^\n\]#$]*\]?[^\s#$]*[#$]|[$%])[ \t]+"
    r"|^[ \t]*(?:PS )?[A-Za-z]:\\[^\n>]*>[ \t]*|(?<=\\\n)[ \t]*>[ \t]*(?=-)",
    re.MULTILINE,
)
"""`root@host:~#`, `(base) [user@host folder]$`, `$` or `PS C:\\>`, as documents have it before a command, and the `>`
before an option on a continued line."""
_NOTEBOOK = re.compile(r"^[ \t]*!(?=\S)", re.MULTILINE)
_WINDOWS = re.compile(r"[ \t][`^][ \t]*\n")
"""The end of a continued line in PowerShell and in cmd.exe, as LLaMA-Factory's web page writes commands there."""
_POWERSHELL = re.compile(r"\$env:(\w+)(?:[ \t]*(=)[ \t]*)?", re.IGNORECASE)
_KEYWORDS = ("do", "done", "then", "else", "elif", "if", "fi", "esac", "while", "until", "time", "{", "}", "!")
_HEAD = re.compile(r"\b(?:el)?if\s.+?(?=\s*(?:;|\n)\s*then\b)", re.DOTALL)
_FISH = re.compile(r"set -\w*x\w*")
_ARRAY = re.compile(rf"({_NAME})(\+?)=\(")
_WHOLE_ARRAY = re.compile(rf"\$\{{({_NAME})\[@\]\}}")
_LONGEST_VALUE = 2**16
"""Characters of a variable. One that doubles in each of a few lines would fill the memory; it counts as unknown."""
_DEEPEST = 20
"""How deep expansions, subshells and branches are followed: no script of people's goes so far."""
_CONTINUED = re.compile(r"\\(?:[ \t]*|[ \t]+(#)[^\n]*)\n")
_PATTERN = re.compile(r"(?:\s|#[^\n]*\n)*(?!esac\b)\(?([^()\n]*)\)")
"""Before the commands of a case."""
_TEXT_FOR_A_SHELL = re.compile(r"-[a-z]*c|eval")
"""What stands before it."""


@dataclass(frozen=True)
class Command:
    """A simple command, its words as the program would get them."""

    line: int
    words: list[str]
    environment: Mapping[str, str]
    """What the script exports above it, and what stands in front of it."""
    files: Mapping[str, str]
    """What the script has written above it, by its path from where the script was started."""
    folder: str
    """Where the script has gone, from where it was started; empty: nowhere."""
    loops: Mapping[str, str]
    """By variable, what a loop around it goes through."""
    mistakes: list[str]
    """What a shell makes otherwise of it than it looks."""
    conditions: list[str]
    """`what: in which branch`, of what is so where the script takes that one."""
    lines: list[int]
    """In which line each word begins."""
    starters: Sequence[str] = ()
    """The words that start a shell for it, as `bash -c`."""
    is_captured: bool = False
    """Whether it stands for what it prints, as in $(...)."""


@dataclass
class _State:
    variables: dict[str, list[str]]
    exported: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    loops: dict[str, str] = field(default_factory=dict)
    branches: list[str] = field(default_factory=list)
    """Those that are open, the innermost last."""
    branched: dict[str, str] = field(default_factory=dict)
    """By variable, the branch that has set it."""
    depth: int = 0
    """How many expansions and subshells are open."""

    def copy(self) -> _State:
        """Return that of a subshell, which sets no variable outside; what it writes stays."""
        return replace(self, variables=dict(self.variables), exported=dict(self.exported), branches=[*self.branches])


@dataclass
class _Document:
    """A here-document that begins behind the line."""

    end: str
    is_indented: bool
    is_literal: bool
    text: str = ""


def commands(blocks: Sequence[Block], variables: Mapping[str, str]) -> Iterator[Command]:
    """Yield the commands of a script, of which several blocks are run one after the other in one shell.

    `variables`: those that the script finds in its environment."""
    state = _State({name: [value] for name, value in variables.items()})
    for block in blocks:
        yield from _Reader(block.text, block.line, state).commands()


def commands_in_word(command: Command, place: int, variables: Mapping[str, str]) -> Iterator[Command]:
    """Yield the commands of the text that a command gives to another shell, its word at `place`."""
    known = {name: [value] for name, value in {**variables, **command.environment}.items()}
    state = _State(known, dict(command.environment), dict(command.files), command.folder, dict(command.loops))
    starters = [*command.starters, *command.words[:place]]
    for inner in _Reader(command.words[place], command.lines[place], state).commands():
        yield replace(inner, starters=starters, conditions=[*command.conditions, *inner.conditions])


def unknown(value: object) -> str | None:
    """Return why what stands in a value cannot be told; None where all of it can."""
    found = UNKNOWN.search(str(value))
    if found is None:
        return None
    variable = found[1] or found[2]
    if variable is None or not re.fullmatch(r"\w+|[@*]", variable):
        return "is known only once it runs"
    if not re.match(_NAME, variable):
        return f"${variable} is given to the script or function as it is started"
    return f"nothing gives {variable} a value"


class _Reader:
    """Goes through a text once, from its start to its end."""

    def __init__(self, text: str, line: int, state: _State) -> None:
        text = _PROMPT.sub("", _WINDOWS.sub(" \\\\\n", text))
        self._text = _POWERSHELL.sub(_variable_of_powershell, _NOTEBOOK.sub("", text))
        self._line = line
        """That of `_counted`."""
        self._at = self._counted = 0
        self._state = state
        self._piped = ""
        self._mistakes: list[str] = []
        self._conditions: list[str] = []
        self._expects_pattern = self._keeps_lines = False
        self._found: list[Command] = []

    def commands(self) -> Iterator[Command]:
        while self._at < len(self._text):
            self._command()
            yield from self._found
            self._found.clear()

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _command(self) -> None:
        """Read the next simple command. An assignment, an export or the writing of a file changes the state, and
        any other is found."""
        words: list[str] = []
        lines: list[int] = []
        target, is_added, documents, operator = None, False, list[_Document](), ""
        if self._expects_pattern and (pattern := _PATTERN.match(self._text, self._at)):
            head, _, _ = f"{self._state.branches[-1]} ".partition(" in ")
            self._state.branches[-1] = f"{head} in {pattern[1].strip()})"
            self._at = pattern.end()
        self._expects_pattern = False
        self._skip_blanks()
        line, start, self._mistakes, self._conditions = self._here(), self._at, [], []
        while self._at < len(self._text):
            character = self._text[self._at]
            redirection = _REDIRECTION.match(self._text, self._at)
            if character == "#":
                self._at = self._end_of_line()
            elif redirection:
                self._at = redirection.end()
                self._skip_blanks()
                named = self._at
                (name, *_) = self._word() or [""]
                if redirection[0] in ("<<", "<<-"):
                    quoted = any(quote in self._text[named : self._at] for quote in "'\"\\")
                    documents.append(_Document(name, redirection[0] == "<<-", quoted))
                elif redirection[0] in (">", ">>", ">|"):
                    target, is_added = name, redirection[0] == ">>"
            elif character in "\n;&|()":
                operator = character
                self._at += 1
                break
            elif (array := _ARRAY.match(self._text, self._at)) and not words:
                self._at = array.end()
                before = self._state.variables.get(array[1], []) if array[2] else []
                self._keep(array[1], [*before, *self._until_parenthesis()])
            else:
                place = self._here()
                self._keeps_lines = bool(words) and _TEXT_FOR_A_SHELL.fullmatch(words[-1]) is not None
                more = self._word()
                # The number of what is redirected, as in 2>&1, is no word.
                if not (len(more) == 1 and more[0].isdigit() and self._text[self._at : self._at + 1] in ("<", ">")):
                    words += more
                    lines += [place] * len(more)
                if words[:1] == ["case"] and more == ["in"]:
                    self._expects_pattern = True
                    break
            self._skip_blanks()
        if operator == ";" and self._text[self._at : self._at + 1] in (";", "&") and self._is_in_case():
            self._expects_pattern = True
            self._at += 1
        elif operator == "(" and self._text.startswith(")", self._at):
            # The head of a function, whose body is read where it stands.
            words, self._at = [], self._at + 1
        if documents:
            # What stands behind an operator on the line comes after its here-documents.
            rest = "" if operator == "\n" else self._next_line()
            for document in documents:
                self._read_document(document)
            if rest.strip():
                self._text = f"{self._text[: self._at]}{rest}\n{self._text[self._at :]}"
                self._line -= 1
        written = documents[-1].text if documents else self._piped
        written = _echoed(words) if words[:1] == ["echo"] else written
        self._piped = written if operator == "|" else ""
        self._done(line, self._without_keywords(words, start), lines, written, target, is_added)

    def _without_keywords(self, words: list[str], start: int) -> list[str]:
        """The words behind the keywords, of which some open, change and close a branch."""
        branches = self._state.branches
        while words and words[0] in _KEYWORDS:
            keyword, words = words[0], words[1:]
            head = _HEAD.search(self._text, start, start + 2000) if keyword in ("if", "elif") else None
            if head and keyword == "if":
                branches.append(" ".join(head[0].split()))
            elif branches and keyword in ("elif", "else"):
                branches[-1] = " ".join(head[0].split()) if head else f"else of {branches[-1]}"
            elif branches and keyword in ("fi", "esac"):
                branches.pop()
        if words[:1] == ["case"]:
            branches.append(" ".join(words))
            return []
        return words

    def _is_in_case(self) -> bool:
        return bool(self._state.branches) and self._state.branches[-1].startswith("case ")

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _next_line(self) -> str:
        """The line that is read next, which then has been read."""
        end = self._end_of_line()
        line, self._at = self._text[self._at : end], min(end + 1, len(self._text))
        return line

    def _read_document(self, document: _Document) -> None:
        line, lines = self._here(), []
        while self._at < len(self._text):
            text = self._next_line()
            # Pasted from a page, the last line is as far in as the others.
            if text.strip() == document.end:
                break
            lines.append(text.lstrip("\t") if document.is_indented else text)
        text = textwrap.dedent("".join(f"{line}\n" for line in lines))
        document.text = text if document.is_literal else self._filled(text, line)

    def _done(
        self, line: int, words: list[str], lines: list[int], written: str, target: str | None, is_added: bool
    ) -> None:
        state = self._state
        assigned: dict[str, str] = {}
        while words and (match := _ASSIGNMENT.match(words[0])):
            assigned[match[1]] = self._assigned(match, words[0])
            words = words[1:]
        if not words:
            for name, value in assigned.items():
                self._set(name, value)
            return
        name, given, lines = words[0], words[1:], lines[len(lines) - len(words) :]
        if name in ("export", "declare", "typeset", "local", "readonly") or name.lower() in ("set", "setenv"):
            # `set NAME=VALUE` is cmd.exe's, `set -x NAME VALUE` fish's, `setenv NAME VALUE` csh's; a POSIX `set` sets
            # no variable.
            exports = name not in ("declare", "typeset", "local", "readonly") or "-x" in given
            if name.lower() == "set" and given and _ASSIGNMENT.match(given[0]):
                given = [" ".join(given)]
            elif len(given) == (2 if name == "setenv" else 3) and (
                name == "setenv" or _FISH.fullmatch(" ".join(words[:2]))
            ):
                given = [f"{given[-2]}={given[-1]}"]
            for word in given:
                match = _ASSIGNMENT.match(word)
                if match:
                    self._set(match[1], self._assigned(match, word))
                if exports and (variable := match[1] if match else word) in state.variables:
                    state.exported[variable] = " ".join(state.variables[variable])
        elif name == "unset":
            for variable in given:
                state.variables.pop(variable, None)
                state.exported.pop(variable, None)
        elif name == "for" and given[1:2] == ["in"]:
            state.variables.pop(given[0], None)
            state.loops[given[0]] = " ".join(given[2:])
        elif name == "eval" and state.depth < _DEEPEST:
            state.depth += 1
            self._found += _Reader(" ".join(given), lines[bool(given)], state).commands()
            state.depth -= 1
        elif name in ("cat", "echo", "tee") and (target or (name == "tee" and given)):
            file = normpath(PurePosixPath(state.folder) / str(given[-1] if name == "tee" else target))
            before = state.files.get(file, "") if is_added or "-a" in given else ""
            state.files[file] = before + written
        else:
            if name in ("cd", "pushd") and given:
                state.folder = normpath(PurePosixPath(state.folder) / given[0])
            self._found.append(self._made(line, words, lines, assigned))

    def _made(self, line: int, words: list[str], lines: list[int], assigned: dict[str, str]) -> Command:
        state = self._state
        for name in state.exported:
            self._tell_branch(name)
        conditions = [
            f"line {line}: in a branch: `{branch}`; the command is for where that holds"
            for branch in state.branches[-_DEEPEST:]
        ]
        return Command(
            line,
            words,
            {**state.exported, **assigned},
            dict(state.files),
            state.folder,
            dict(state.loops),
            self._mistakes,
            [*conditions, *self._conditions],
            lines,
        )

    def _tell_branch(self, variable: str) -> None:
        """Note that a variable has its value by a branch, outside of it."""
        branch = self._state.branched.get(variable)
        told = f"{variable}: is set in a branch: `{branch}`; another value may hold where that does not"
        if branch is not None and branch not in self._state.branches[-_DEEPEST:] and told not in self._conditions:
            self._conditions.append(told)

    def _assigned(self, match: re.Match[str], word: str) -> str:
        before = " ".join(self._state.variables.get(match[1], [])) if match[2] else ""
        return before + word[match.end() :]

    def _keep(self, name: str, values: list[str]) -> None:
        if sum(map(len, values)) + len(values) > _LONGEST_VALUE:
            self._state.variables.pop(name, None)
        else:
            self._state.variables[name] = values

    def _set(self, name: str, value: str) -> None:
        self._keep(name, [value])
        if self._state.branches:
            self._state.branched[name] = self._state.branches[-1]
        else:
            self._state.branched.pop(name, None)
        if name in self._state.exported:
            self._state.exported[name] = value

    def _skip_blanks(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif broken := _CONTINUED.match(self._text, self._at):
                what = "comment" if broken[1] else "blank"
                self._mistakes.append(
                    f"line {self._here()}: a {what} stands behind the backslash, where a shell ends the command; "
                    "take it out"
                )
                self._at = broken.end()
            else:
                return

    def _until_parenthesis(self) -> Iterator[str]:
        """The words of an array."""
        while self._at < len(self._text) and self._text[self._at] != ")":
            if self._text[self._at] == "#":
                self._at = self._end_of_line()
            elif self._text[self._at] in " \t\n\\":
                self._skip_blanks()
                self._at += self._text[self._at : self._at + 1] == "\n"
            elif more := self._word():
                yield from more
            elif self._text[self._at : self._at + 1] not in ("", ")"):
                self._at += 1
        self._at += 1

    def _word(self) -> list[str]:
        """What stands up to the next blank or operator: several words where a variable holds some, none where it is
        empty."""
        pieces, is_word = [list[str]()], False
        is_assignment = _ASSIGNMENT.match(self._text, self._at) is not None
        while self._at < len(self._text):
            character = self._text[self._at]
            if self._text.startswith("\\\n", self._at):
                self._at += 2
                continue
            if character in " \t\n;&|()<>" or _CONTINUED.match(self._text, self._at):
                break
            if plain := _PLAIN.match(self._text, self._at):
                pieces[-1].append(plain[0])
                self._at, is_word = plain.end(), True
                continue
            self._at += 1
            if character == "'" and (end := self._text.find("'", self._at)) >= 0:
                pieces[-1].append(self._text[self._at : end])
                self._at, is_word = end + 1, True
            elif character == '"' and (end := _closing(self._text, self._at)) >= 0:
                array = _WHOLE_ARRAY.fullmatch(self._text, self._at, end)
                listed = self._state.variables.get(array[1]) if array else None
                if listed is None:
                    pieces[-1].append(self._filled(self._text[self._at : end], self._here(), escapes='"$`\\'))
                    is_word = True
                else:
                    pieces[-1:] = [[word] for word in listed] or [pieces[-1]]
                    is_word = is_word or bool(listed)
                self._at = end + 1
            elif character in "'\"":
                self._mistakes.append(f"line {self._here()}: a quote ({character}) is opened and never closed")
                pieces[-1].append(character)
                is_word = True
            elif character == "\\":
                pieces[-1].append(self._text[self._at : self._at + 1])
                self._at, is_word = self._at + 1, True
            elif character in "$`":
                value, self._at = self._value(self._text, self._at - 1, self._here())
                is_whole = is_assignment or any(UNKNOWN.fullmatch(part) for part in value)
                split = [" ".join(value)] if is_whole else [part for whole in value for part in whole.split()]
                if split:
                    pieces[-1].append(split[0])
                    pieces += [[word] for word in split[1:]]
                    is_word = True
            elif (variable := _PERCENT.match(self._text, self._at - 1)) and variable[1] in self._state.variables:
                pieces[-1].append(" ".join(self._state.variables[variable[1]]))
                self._at, is_word = variable.end(), True
            else:
                pieces[-1].append(character)
                is_word = True
        return ["".join(parts) for parts in pieces] if is_word else []

    def _value(self, text: str, start: int, line: int) -> tuple[list[str], int]:
        """What the expansion at `start` stands for, itself where nothing says, and where it ends.

        `line`: that of the start."""
        end: int | None
        if text[start] == "`":
            end = text.find("`", start + 1) + 1 or len(text)
            self._capture(text[start + 1 : end - 1], line)
        elif text[start + 1 : start + 2] in ("(", "{"):
            end = _end_of_brackets(text, start + 1)
            if end is None:
                self._mistakes.append(f"line {line}: {text[start : start + 2]} is opened and never closed")
                return [text[start:]], len(text)
            if text[start + 1] == "{" and (parts := _BRACED.fullmatch(text, start + 2, end - 1)):
                return self._braced(parts, line), end
            if text[start + 1] == "(" and text[start + 2] != "(":
                self._capture(text[start + 2 : end - 1], line)
        elif variable := _VARIABLE.match(text, start + 1):
            self._tell_branch(variable[0])
            return self._state.variables.get(variable[0], [f"${{{variable[0]}}}"]), variable.end()
        else:
            end = start + 1
        return [text[start:end]], end

    def _capture(self, text: str, line: int) -> None:
        """Read the commands of a text whose output is taken."""
        if self._state.depth < _DEEPEST:
            captured = _Reader(text, line, replace(self._state.copy(), depth=self._state.depth + 1)).commands()
            self._found += [replace(command, is_captured=True) for command in captured]

    def _braced(self, parts: re.Match[str], line: int) -> list[str]:
        """The value of ${...}."""
        name, index, operator, word = parts.groups()
        known = self._state.variables.get(name)
        if self._state.depth >= _DEEPEST:
            return [f"${{{name}}}"]
        self._tell_branch(name)
        if known and index and index[1:-1].isdigit():
            known = known[int(index[1:-1]) :][:1]
        is_given = known is not None and (any(known) or not (operator or "").startswith(":"))
        kind = (operator or "").removeprefix(":")
        if kind == "+":
            return [self._inner(word, line)] if is_given else []
        if kind in ("-", "=") and not is_given:
            value = self._inner(word, line)
            if kind == "=":
                self._set(name, value)
            return [value]
        if known is None or (kind == "?" and not is_given):
            return [f"${{{name}}}"]
        if kind in ("", "-", "=", "?") or UNKNOWN.search(" ".join(known)):
            return known
        return [_changed(value, kind, self._inner(word, line)) for value in known]

    def _inner(self, text: str, line: int) -> str:
        """The word in ${NAME:-word}."""
        self._state.depth += 1
        filled = self._filled(text, line)
        self._state.depth -= 1
        return filled

    def _filled(self, text: str, line: int, escapes: str = "$`\\") -> str:
        """A text, which begins in `line`, with its variables filled in, as in double quotes and here-documents."""
        pieces, at, counted = list[str](), 0, 0
        for match in _FILLED.finditer(text):
            if match.start() < at:
                continue
            line, counted = line + text.count("\n", counted, match.start()), match.start()
            pieces.append(text[at : match.start()])
            at = match.end()
            if match[0] == "\\\n":
                pieces.append(match[0] if self._keeps_lines else "")
            elif match[0].startswith("\\"):
                pieces.append(match[0][1:] if match[0][1] in escapes else match[0])
            elif match[0] == "%":
                variable = _PERCENT.match(text, match.start())
                known = self._state.variables.get(variable[1]) if variable else None
                pieces.append("%" if known is None else " ".join(known))
                at = at if variable is None or known is None else variable.end()
            else:
                value, at = self._value(text, match.start(), line)
                pieces.append(" ".join(value))
        return "".join([*pieces, text[at:]])


_FILLED = re.compile(r"\\.|[$`%]", re.DOTALL)
_IN_QUOTES = re.compile(r'\\.|"|\$\(', re.DOTALL)
_BRACKETS = {
    "(": re.compile(r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*"|[()]""", re.DOTALL),
    "{": re.compile(r"\\.|[{}]", re.DOTALL),
}


def _closing(text: str, start: int) -> int:
    """Where the double quote that was opened is closed; -1: nowhere."""
    while match := _IN_QUOTES.search(text, start):
        if match[0] == '"':
            return match.start()
        end = _end_of_brackets(text, match.start() + 1) if match[0] == "$(" else match.end()
        if end is None:
            return -1
        start = end
    return -1


def _end_of_brackets(text: str, start: int) -> int | None:
    """Right behind where the bracket at `start` is closed; None: nowhere."""
    depth = 0
    for match in _BRACKETS[text[start]].finditer(text, start):
        depth += (match[0] in "({") - (match[0] in ")}")
        if depth == 0:
            return match.end()
    return None


def _changed(value: str, kind: str, word: str) -> str:
    """A value without its shortest or longest beginning or end that a pattern matches, or with it replaced."""
    if kind in ("/", "//"):
        pattern, _, new = word.partition("/")
        return re.sub(_glob(pattern), lambda _: new, value, count=kind == "/")
    places = range(len(value) + 1) if kind in ("#", "%%") else range(len(value), -1, -1)
    is_start = kind.startswith("#")
    for place in places:
        if re.fullmatch(_glob(word), value[:place] if is_start else value[place:]):
            return value[place:] if is_start else value[:place]
    return value


def _glob(pattern: str) -> str:
    """A shell's pattern as a regular expression."""
    return translate(pattern).removesuffix(r"\Z")


def _variable_of_powershell(match: re.Match[str]) -> str:
    return f"export {match[1]}=" if match[2] else f"${{{match[1]}}}"


def _echoed(words: list[str]) -> str:
    """What `echo` prints."""
    given = words[1:]
    escaped = bool(given) and given[0] in ("-e", "-ne", "-en")
    while given and given[0] in ("-e", "-n", "-ne", "-en"):
        given = given[1:]
    text = " ".join(given) + "\n"
    return text.replace("\\n", "\n").replace("\\t", "\t") if escaped else text
