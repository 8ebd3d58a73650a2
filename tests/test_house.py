"""The house rules, kept by tools: style, types, import contracts, and the few that no tool knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import ROOT

_LINES_PER_FILE = 400
_LINES_PER_FUNCTION = 50
# A drawer for everything is where rules go to die; a file is named after what it holds.
_DRAWERS = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "services"}
_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def _keeps(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_finds_nothing() -> None:
    _keeps("-m", "ruff", "check", "--quiet")


def test_every_file_is_formatted() -> None:
    _keeps("-m", "ruff", "format", "--check", "--diff", "--quiet")


def test_mypy_is_strict_and_content() -> None:
    _keeps("-m", "mypy")


def test_every_room_imports_only_what_its_contract_allows() -> None:
    _keeps("-c", _LINT_IMPORTS, "--no-logo")


def _modules(*folders: str) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path


def test_no_file_outgrows_its_room() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in _modules("adctl")}
    assert {name: lines for name, lines in lengths.items() if lines > _LINES_PER_FILE} == {}


def test_no_module_is_a_drawer() -> None:
    assert [name for name, path in _modules("adctl", "tests") if {*Path(name).parts[:-1], path.stem} & _DRAWERS] == []


def test_every_file_says_what_it_is() -> None:
    silent = [name for name, path in _modules("adctl", "tests") if _is_silent(path.read_text())]
    assert silent == []


def _is_silent(source: str) -> bool:
    return bool(source.strip()) and ast.get_docstring(ast.parse(source)) is None


def test_no_function_runs_over_a_page() -> None:
    long = [
        f"{name}:{function.lineno} {function.name}"
        for name, path in _modules("adctl", "tests")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (function.end_lineno or 0) - function.lineno >= _LINES_PER_FUNCTION
    ]
    assert long == []
