"""What `adctl --help` offers, and the command lines of adctl that stand in a text for people."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from typer.testing import CliRunner

from adctl.cli import app

Words = tuple[str, ...]

_COMMAND = re.compile(r"^  ([a-z][a-z-]*)(?:  |$)", re.MULTILINE)
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_REDIRECTION = re.compile(r"\d*(?:>>|>&|>|<)\s*(?:\"[^\"]*\"|[^\s;&|()]+)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = "();&|"
# Words that may stand before the command proper.
_BEFORE = {"!", "{", "do", "else", "exec", "if", "nice", "sudo", "then", "time", "until", "while"}


def help_of(words: Sequence[str]) -> tuple[int, str]:
    """Exit code and text of `adctl WORDS --help`: 2 for an unknown command or option, else the command's help.

    The parser reads all options before it answers, so the code says whether the line is one that adctl understands.
    """
    answer = CliRunner().invoke(app, [*words, "--help"], prog_name="adctl")
    return answer.exit_code, answer.output


def commands(above: Words = ()) -> Iterator[Words]:
    """Every command and group below `above`, groups before what they hold."""
    _, text = help_of(above)
    for name in _COMMAND.findall(text.partition("\nCommands:\n")[2]):
        yield (*above, name)
        yield from commands((*above, name))


def adctl_lines(shell: str) -> Iterator[Words]:
    """The arguments of each `adctl` that a line of shell runs, whatever path it is called by."""
    for inner in _SUBSTITUTION.findall(shell):
        yield from adctl_lines(inner)
    outer = _REDIRECTION.sub(" ", _SUBSTITUTION.sub("substituted", shell))
    lexer = shlex.shlex(outer, posix=True, punctuation_chars=_OPERATORS)
    lexer.commenters = "#"
    part: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set(_OPERATORS):
            part.append(word)
            continue
        yield from _of_adctl(part)
        part = []


def _of_adctl(part: Sequence[str]) -> Iterator[Words]:
    words = list(part)
    while words and (words[0] in _BEFORE or _ASSIGNMENT.match(words[0])):
        del words[0]
    if words and words[0].rpartition("/")[2] == "adctl":
        yield tuple(words[1:])
