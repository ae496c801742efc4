"""A shell script as the commands that it starts: read, and never run.

Quotes, continued lines, variables, arrays, redirections and here-documents are a shell's (POSIX, and of bash what
training scripts use), which shlex knows in part. Branches are taken as if each were gone through, and of a loop what it
goes through is known.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath

from harness.compose.document import Block

UNKNOWN = re.compile(r"\$\{(\w+|[@*#?!$-])[^}]*\}|\$\(.*?\)|`[^`]*`", re.DOTALL)
"""What stays in a word where the script gives it no value: `${NAME}`, and what a command would print."""
_NAME = r"[A-Za-z_]\w*"
_ASSIGNMENT = re.compile(rf"({_NAME})(\+?)=")
_VARIABLE = re.compile(rf"\{{({_NAME}|[\d@*#?!-])(\[[@*]\])?(?::?([-=])([^}}]*))?\}}|({_NAME}|[\d@*#?!$-])")
_REDIRECTION = re.compile(r"&>>?|<<<|<<-?|<>|>>|>\||[<>]&|[<>]")
_PROMPT = re.compile(r"^[ \t]*(?:\([\w.-]+\)[ \t]*)?(?:\[?[\w.-]+@[^\n\]#$]*\]?[^\s#$]*[#$]|[$%])[ \t]+", re.MULTILINE)
"""`root@host:~#`, `(base) [user@host folder]$` or `$`, as documents have it before a command."""
_NOTEBOOK = re.compile(r"^[ \t]*!(?=\S)", re.MULTILINE)
_WINDOWS = re.compile(r"[ \t][`^][ \t]*\n")
"""The end of a continued line in PowerShell and in cmd.exe, as LLaMA-Factory's web page writes commands there."""
_KEYWORDS = ("do", "then", "else", "elif", "if", "while", "until", "time", "{", "!")
_ARRAY = re.compile(rf"({_NAME})(\+?)=\(")
_WHOLE_ARRAY = re.compile(rf"\$\{{({_NAME})\[@\]\}}")
_CONTINUED = re.compile(r"\\[ \t]*\n")


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


@dataclass
class _State:
    variables: dict[str, list[str]]
    exported: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    loops: dict[str, str] = field(default_factory=dict)


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


class _Reader:
    """Goes through a text once, from its start to its end."""

    def __init__(self, text: str, line: int, state: _State) -> None:
        self._text = _WINDOWS.sub(" \\\\\n", _NOTEBOOK.sub("", _PROMPT.sub("", text)))
        self._line = line
        """That of `_counted`."""
        self._at = self._counted = 0
        self._state = state
        self._piped = ""
        self._mistakes: list[str] = []

    def commands(self) -> Iterator[Command]:
        while self._at < len(self._text):
            command = self._command()
            if command is not None:
                yield command

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _command(self) -> Command | None:
        """The next simple command that is no assignment, export or writing of a file, which change the state."""
        words: list[str] = []
        target, is_added, documents, operator = None, False, list[_Document](), ""
        self._skip_blanks()
        line, self._mistakes = self._here(), []
        while self._at < len(self._text):
            character = self._text[self._at]
            redirection = _REDIRECTION.match(self._text, self._at)
            if character == "#":
                self._at = self._end_of_line()
            elif redirection:
                self._at = redirection.end()
                self._skip_blanks()
                start = self._at
                (name, *_) = self._word() or [""]
                if redirection[0] in ("<<", "<<-"):
                    quoted = any(quote in self._text[start : self._at] for quote in "'\"\\")
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
                self._state.variables[array[1]] = [*before, *self._until_parenthesis()]
            else:
                more = self._word()
                # The number of what is redirected, as in 2>&1, is no word.
                if not (len(more) == 1 and more[0].isdigit() and self._text[self._at : self._at + 1] in ("<", ">")):
                    words += more
            self._skip_blanks()
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
        return self._done(line, words, written, target, is_added)

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _next_line(self) -> str:
        """The line that is read next, which then has been read."""
        end = self._end_of_line()
        line, self._at = self._text[self._at : end], min(end + 1, len(self._text))
        return line

    def _read_document(self, document: _Document) -> None:
        lines = []
        while self._at < len(self._text):
            line = self._next_line()
            # Pasted from a page, the last line is as far in as the others.
            if line.strip() == document.end:
                break
            lines.append(line.lstrip("\t") if document.is_indented else line)
        text = textwrap.dedent("".join(f"{line}\n" for line in lines))
        document.text = text if document.is_literal else self._filled(text)

    def _done(self, line: int, words: list[str], written: str, target: str | None, is_added: bool) -> Command | None:
        state = self._state
        while words and words[0] in _KEYWORDS:
            words = words[1:]
        assigned: dict[str, str] = {}
        while words and (match := _ASSIGNMENT.match(words[0])):
            assigned[match[1]] = self._assigned(match, words[0])
            words = words[1:]
        if not words:
            for name, value in assigned.items():
                self._set(name, value)
            return None
        name, given = words[0], words[1:]
        if name in ("export", "declare", "typeset", "local", "readonly", "set"):
            # `set NAME=VALUE` is cmd.exe's; a shell's sets no variable of that name.
            exports = name in ("export", "set") or "-x" in given
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
        elif name in ("cat", "echo", "tee") and (target or (name == "tee" and given)):
            file = normpath(PurePosixPath(state.folder) / str(given[-1] if name == "tee" else target))
            before = state.files.get(file, "") if is_added or "-a" in given else ""
            state.files[file] = before + written
        elif name in ("cd", "pushd") and given:
            state.folder = normpath(PurePosixPath(state.folder) / given[0])
            return self._made(line, words, assigned)
        else:
            return self._made(line, words, assigned)
        return None

    def _made(self, line: int, words: list[str], assigned: dict[str, str]) -> Command:
        state = self._state
        environment, files, loops = {**state.exported, **assigned}, dict(state.files), dict(state.loops)
        return Command(line, words, environment, files, state.folder, loops, self._mistakes)

    def _assigned(self, match: re.Match[str], word: str) -> str:
        before = " ".join(self._state.variables.get(match[1], [])) if match[2] else ""
        return before + word[match.end() :]

    def _set(self, name: str, value: str) -> None:
        self._state.variables[name] = [value]
        if name in self._state.exported:
            self._state.exported[name] = value

    def _skip_blanks(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif broken := _CONTINUED.match(self._text, self._at):
                self._mistakes.append(
                    f"line {self._here()}: a blank stands behind the backslash, where a shell ends the command; "
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
        pieces, is_word = [""], False
        is_assignment = _ASSIGNMENT.match(self._text, self._at) is not None
        while self._at < len(self._text):
            character = self._text[self._at]
            if self._text.startswith("\\\n", self._at):
                self._at += 2
                continue
            if character in " \t\n;&|()<>" or _CONTINUED.match(self._text, self._at):
                break
            self._at += 1
            if character == "'" and (end := self._text.find("'", self._at)) >= 0:
                pieces[-1] += self._text[self._at : end]
                self._at, is_word = end + 1, True
            elif character == '"' and (end := _closing(self._text, self._at)) >= 0:
                array = _WHOLE_ARRAY.fullmatch(self._text, self._at, end)
                listed = self._state.variables.get(array[1]) if array else None
                if listed is None:
                    pieces[-1], is_word = pieces[-1] + self._in_quotes(self._text[self._at : end]), True
                else:
                    pieces[-1:] = listed or [pieces[-1]]
                    is_word = is_word or bool(listed)
                self._at = end + 1
            elif character in "'\"":
                self._mistakes.append(f"line {self._here()}: a quote ({character}) is opened and never closed")
                pieces[-1], is_word = pieces[-1] + character, True
            elif character == "\\":
                pieces[-1] += self._text[self._at : self._at + 1]
                self._at, is_word = self._at + 1, True
            elif character in "$`":
                value = self._value(character)
                is_whole = is_assignment or any(UNKNOWN.fullmatch(part) for part in value)
                split = [" ".join(value)] if is_whole else [part for whole in value for part in whole.split()]
                if split:
                    pieces[-1] += split[0]
                    pieces += split[1:]
                    is_word = True
            else:
                pieces[-1], is_word = pieces[-1] + character, True
        return pieces if is_word else []

    def _value(self, character: str) -> list[str]:
        """What an expansion stands for, whose first character has been read; itself, where nothing says."""
        start = self._at - 1
        if character == "`":
            end = self._text.find("`", self._at)
            self._at = len(self._text) if end < 0 else end + 1
        elif self._text.startswith("(", self._at):
            depth = 0
            while self._at < len(self._text):
                depth += {"(": 1, ")": -1}.get(self._text[self._at], 0)
                self._at += 1
                if depth == 0:
                    break
        elif variable := _VARIABLE.match(self._text, self._at):
            self._at = variable.end()
            return self._variable(variable)
        return [self._text[start : self._at]]

    def _variable(self, match: re.Match[str]) -> list[str]:
        name, default = match[1] or match[5], match[4]
        known = self._state.variables.get(name)
        if default is not None and not any(known or ()):
            return [self._filled(default)]
        return [f"${{{name}}}"] if known is None else known

    def _in_quotes(self, text: str) -> str:
        """The content of double quotes."""
        return self._filled(re.sub(r"\\\n", "", text), escapes='"$`\\')

    def _filled(self, text: str, escapes: str = "$`\\") -> str:
        """A text with its variables filled in, as in double quotes and here-documents."""

        def fill(match: re.Match[str]) -> str:
            if match[0].startswith("\\"):
                return match[0][1:] if match[0][1] in escapes else match[0]
            variable = _VARIABLE.fullmatch(match[0], 1)
            return " ".join(self._variable(variable)) if variable else match[0]

        return re.sub(rf"\\.|\$(?:{_VARIABLE.pattern})", fill, text)


def _closing(text: str, start: int) -> int:
    """Where the double quote that was opened is closed; -1: nowhere."""
    match = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL).match(text, start)
    return match.end() - 1 if match else -1


def _echoed(words: list[str]) -> str:
    """What `echo` prints."""
    given = words[1:]
    escaped = bool(given) and given[0] in ("-e", "-ne", "-en")
    while given and given[0] in ("-e", "-n", "-ne", "-en"):
        given = given[1:]
    text = " ".join(given) + "\n"
    return text.replace("\\n", "\n").replace("\\t", "\t") if escaped else text
