"""Small faults put into the code that guards money: one operator, comparison, constant, condition or lock at a time."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module's whole new text, or the statement that replaces or drops the function, trigger or index `part` of SQL;
    `name` tells the same fault again as long as its line stays as it is.
    """

    path: str
    line: int
    name: str
    source: str
    part: str = ""


_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
_SQL_SWAPS = (
    (r" <= ", " < "),
    (r" >= ", " > "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" <> ", " = "),
    # An account's own rows are a matter of the next line.
    (r"(?<!account) = ", " <> "),
    (r"\w+\.account = [\w.]+", "true"),
    (r"\bis null", "is not null"),
    (r"\bis not null", "is null"),
    (r"\bis not true", "is true"),
    (r"(?<= )and(?= )", "or"),
    (r"(?<= )or(?= )", "and"),
    (r"not exists", "exists"),
    (r"(?<!not )exists", "not exists"),
    (r"is distinct from", "is not distinct from"),
    (r"is not distinct from", "is distinct from"),
    (r" for update( skip locked)?", ""),
    (r" skip locked", ""),
    (r" for share", ""),
    (r"'1 hour'", "'59 minutes'"),
    (r"'24 hours'", "'23 hours'"),
    (r"\+ 1\b", "+ 2"),
    (r" - 1\b", ""),
    (r"(?<!not )\bin \(", "not in ("),
    (r"\bnot in \(", "in ("),
    (r"(?<!not )\bbetween\b", "not between"),
    (r"\bnot between\b", "between"),
    # What is forgotten, is said of a row without one of its fields, or stays set when the transaction is over.
    (r"(?<=[ (])p_(?:row|change)\.\w+(?=::text|[,)])", "null"),
    (r" at time zone 'UTC'", ""),
    (r"' '", "''"),
    (r"(?<=, )true(?=\))", "false"),
    (r" \+ (?=p_|interval|v_)", " - "),
    (r"(?<=\w) - (?=p_|interval|v_)", " + "),
    (r"\bleast\(", "greatest("),
    (r"\bgreatest\(", "least("),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
    (r" desc\b", " asc"),
)

# What is assigned is no condition.
_ASSIGNED = re.compile(r"\bset (?!_).*?(?= where |$)")

_FUNCTION = re.compile(r"^create function (\w+).*?^\$\$;", re.MULTILINE | re.DOTALL)
_TRIGGER = re.compile(r"^create trigger (\w+) .*?\bon (\w+).*?;", re.MULTILINE | re.DOTALL)
_UNIQUE = re.compile(r"^create unique index (\w+) ", re.MULTILINE)


def numbered(mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """The same with names that tell equal lines apart."""
    seen: Counter[str] = Counter()
    for mutant in mutants:
        seen[mutant.name] += 1
        again = seen[mutant.name]
        yield mutant if again == 1 else replace(mutant, name=f"{mutant.name} ({again})")


def of_python(root: Path, path: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    source = (root / path).read_text()
    tree = ast.parse(source)
    lines = source.splitlines()
    # What a dataclass is declared to be is the type checker's business; a strict zip only tells of a bug.
    declared = {
        part
        for node in ast.walk(tree)
        for decorator in getattr(node, "decorator_list", [])
        for part in ast.walk(decorator)
    } | {node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "strict"}
    for number, node in enumerate(ast.walk(tree)):
        for change in range(0 if node in declared else len(_changes(node))):
            copy = deepcopy(tree)
            twin = next(other for place, other in enumerate(ast.walk(copy)) if place == number)
            told = _apply(twin, change)
            line = getattr(node, "lineno", 0)
            name = f"{path}: {lines[line - 1].strip()} [{told} at {getattr(node, 'col_offset', 0)}]"
            yield Mutant(path=path, line=line, name=name, source=ast.unparse(copy))


def _changes(node: ast.AST) -> list[str]:
    """What can be changed in a node, in words."""
    match node:
        case ast.Compare():
            return [type(op).__name__ for op in node.ops if type(op) in _COMPARISONS]
        case ast.BoolOp():
            return [type(node.op).__name__]
        case ast.BinOp() if type(node.op) in _OPERATORS:
            return [type(node.op).__name__]
        case ast.UnaryOp(op=ast.Not()):
            return ["Not"]
        case ast.Constant(value=bool()):
            return ["flag"]
        case ast.Constant(value=int()):
            return ["number"]
        case ast.Name(id="min" | "max"):
            return ["min/max"]
    return []


def _apply(node: ast.AST, change: int) -> str:
    """Changes a node in place; what was changed."""
    told = _changes(node)[change]
    match node:
        case ast.Compare():
            place = [index for index, op in enumerate(node.ops) if type(op) in _COMPARISONS][change]
            node.ops[place] = _COMPARISONS[type(node.ops[place])]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.BinOp():
            node.op = _OPERATORS[type(node.op)]()
        case ast.UnaryOp():
            # Twice not: the same, without one not.
            node.operand = ast.UnaryOp(op=ast.Not(), operand=node.operand)
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.Name():
            node.id = "max" if node.id == "min" else "min"
    return told


def of_sql(root: Path, path: str) -> Iterator[Mutant]:
    """Every mutant of a file's functions and triggers, as the statement that puts it in the place of the right one, and
    one without each trigger and each unique index; comments and messages are left alone.
    """
    text = (root / path).read_text()
    for found in sorted([*_FUNCTION.finditer(text), *_TRIGGER.finditer(text)], key=lambda found: found.start()):
        lines = found[0].splitlines()
        first = text.count("\n", 0, found.start()) + 1
        for number, line in enumerate(lines):
            for told, changed in _swaps(line):
                source = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
                yield Mutant(
                    path=path,
                    line=first + number,
                    name=f"{found[1]}: {line.strip()} [{told}]",
                    source=source.replace("create ", "create or replace ", 1),
                    part=found[1],
                )
    for kind, what in ((_TRIGGER, "trigger {} on {}"), (_UNIQUE, "index {}")):
        for found in kind.finditer(text):
            gone, first = "drop " + what.format(*found.groups()), text.count("\n", 0, found.start()) + 1
            yield Mutant(path=path, line=first, name=f"{found[1]}: {gone}", source=gone, part=found[1])


def _swaps(line: str) -> Iterator[tuple[str, str]]:
    """What can be changed in a line, in words, and the line with it."""
    if line.lstrip().startswith(("--", "raise", "create function")) or "errcode" in line:
        return
    assigned = _ASSIGNED.search(line)
    for pattern, instead in _SQL_SWAPS:
        for place, found in enumerate(re.finditer(pattern, line), start=1):
            if found.group() == " = " and assigned is not None and assigned.start() < found.start() < assigned.end():
                continue
            told = f"{found.group().strip()} → {instead.strip() or 'nothing'}, {place}"
            yield told, line[: found.start()] + instead + line[found.end() :]
