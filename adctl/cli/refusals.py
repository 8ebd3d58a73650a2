"""What the parser refuses of a command line, said as adctl's other refusals: the thing, its value, what to write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, cast, get_args, get_type_hints

import typer
from typer.models import ParameterInfo

from adctl.cli.job import Invocation
from adctl.cli.showing import show_error
from adctl.errors import UsageError

# The parser's class of all wrong use. Typer names only this child of it, and has moved the parser before.
WrongUse = cast("type[Exception]", typer.BadParameter.__base__)

_EXTRA = re.compile(r"Got unexpected extra argument\S* \((.*)\)")
_OF_OPTION = re.compile(r"Option '([^']*)' (.*)")


def refuse(error: Any, words: Sequence[str], root: Any) -> int:
    """Prints what `error`, a WrongUse, says of the words behind the command `root`; the exit code."""
    # A group without a command: its help is the answer.
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return UsageError.exit_code
    path, rest = _command(error, words, root)
    if getattr(error, "param", None) is None:
        said = _of_word(error, path, rest)
    elif error.message:
        said = _of_value(error, rest)
    else:
        help_text = (error.param.help or "").rstrip(".")
        fix = f"{help_text[:1].lower()}{help_text[1:]}; see {path} --help"
        said = UsageError(f"{_name(error.param)}: missing", fix=fix)
    return show_error(Invocation(command="", as_json="--json" in words), said)


def _command(error: Any, words: Sequence[str], root: Any) -> tuple[str, list[str]]:
    """The command that the words ask for, and those behind its name."""
    path, rest, command = "adctl", list(words), root
    # Options of groups take no value, so that the words in front are the command.
    while rest and rest[0] in getattr(command, "commands", ()):
        command = command.commands[rest[0]]
        path = f"{path} {rest.pop(0)}"
    # `adctl why 1203` leaves the name of its command out.
    return path if error.ctx is None else error.ctx.command_path, rest


def _of_word(error: Any, path: str, rest: Sequence[str]) -> UsageError:
    """An option or command that nobody knows, or a word too many."""
    see = f"see {path} --help"
    if (nearest := getattr(error, "possibilities", ...)) is not ...:
        return UsageError(f"{error.option_name}: unknown option", fix=f"did you mean {nearest[0]}?" if nearest else see)
    if below := getattr(getattr(error.ctx, "command", None), "commands", None):
        matches = get_close_matches(rest[0], below, n=1)
        return UsageError(f"{rest[0]}: unknown command", fix=f"did you mean {path} {matches[0]}?" if matches else see)
    message = error.format_message().rstrip(".")
    if extra := _EXTRA.fullmatch(message):
        return UsageError(f"{extra[1]!r} is more than {path} takes", fix=see)
    return UsageError(_OF_OPTION.sub(r"\1: \2", message), fix=see)


def _of_value(error: Any, rest: Sequence[str]) -> UsageError:
    """A value that is no number in range or none of the choices, or that a reader of our own has refused."""
    param, command = error.param, error.ctx.command
    given = command.make_parser(error.ctx).parse_args(args=list(rest))[0].get(param.name, "")
    hints = list(_parts(get_type_hints(command.callback, include_extras=True)[param.name]))
    for kind in (one for one in hints if isinstance(one, type)):
        if kind in (int, float):
            info = next(one for one in hints if isinstance(one, ParameterInfo))
            value = f"{_name(param)}: {_unfit(kind, given)!r}"
            return _no_number(value, "whole number" if kind is int else "number", info, param.default)
        if issubclass(kind, StrEnum):
            return UsageError(
                f"{_name(param)}: {_unfit(kind, given)!r} is not known", fix=f"write one of {', '.join(kind)}"
            )
    what, _, fix = error.message.partition("; ")
    return UsageError(f"{_name(param)}: {what}", fix=fix)


def _name(param: Any) -> str:
    return str(max(param.opts, key=len) if param.param_type_name == "option" else param.metavar or param.name)


def _no_number(value: str, kind: str, info: ParameterInfo, default: object) -> UsageError:
    low, high = info.min, info.max
    span = "" if low is None else f" of {low:g} or more" if high is None else f" from {low:g} to {high:.0f}"
    example = default if default is not None else 1 if low is None else low
    return UsageError(f"{value} is no {kind}{span}", fix=f"write one such as {example}")


def _parts(hint: object) -> Iterator[object]:
    """The hint and all that it is made of."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _unfit(kind: Any, given: str | Sequence[str]) -> str:
    """Of the given values the first that is none of this kind, else the first, which is out of range."""
    values = [given] if isinstance(given, str) else given
    for value in values:
        try:
            kind(value)
        except ValueError:
            return value
    return values[0]
