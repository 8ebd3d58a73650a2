"""Runs the tests of the guards against each mutant of them, in copies of the project, beside one PostgreSQL."""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Server, serving
from tests.mutation.mutants import Mutant, of_python, of_sql
from tests.warm import ROOT

EQUIVALENT = Path(__file__).parent / "equivalent.txt"
_PYTHON = (
    "adctl/domain/changes.py",
    "adctl/domain/money.py",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "adctl/domain/guards").glob("*.py"))),
)
_PYTHON_TESTS = ("tests/domain/guards", "tests/domain/test_money.py", "tests/domain/test_changes.py")
_SQL = "sql/0005_changes.sql"
_SQL_BEGIN = "create function change_is_settled"
_SQL_TESTS = ("tests/adapters/store",)
# A mutant that hangs is noticed too.
_SECONDS = 300


def mutants(kind: str) -> Iterator[tuple[Mutant, tuple[str, ...]]]:
    """Each mutant with the tests that should notice it."""
    if kind in ("python", "all"):
        for path in _PYTHON:
            for mutant in of_python(ROOT, path):
                yield mutant, _PYTHON_TESTS
    if kind in ("sql", "all"):
        for mutant in of_sql(ROOT, _SQL, _SQL_BEGIN):
            yield mutant, _SQL_TESTS


def verdict(mutant: Mutant, tests: tuple[str, ...], project: Path, server: Server) -> str:
    """killed, survived, or stillborn when the database does not even take it."""
    place = project / mutant.path
    original = place.read_text()
    place.write_text(mutant.source)
    try:
        present = [test for test in tests if (project / test).exists()]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *present],
            cwd=project,
            env={**os.environ, "ADCTL_TEST_DATABASE_URL": server.admin, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        place.write_text(original)
    if done.returncode == 0:
        return "survived"
    return "stillborn" if "SyntaxError" in done.stdout or "UndefinedFunction" in done.stdout else "killed"


def _copy(folder: Path) -> Path:
    """A copy of the project to break."""
    for name in ("adctl", "sql", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=("python", "sql", "all"), default="all")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th mutant")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    asked = parser.parse_args()
    known = {line.partition("  # ")[0] for line in EQUIVALENT.read_text().splitlines()}
    chosen = [pair for pair in mutants(asked.kind) if asked.only in pair[0].name][:: asked.every]
    tally: Counter[str] = Counter()
    projects: queue.Queue[Path] = queue.Queue()
    with ExitStack() as stack:
        server = stack.enter_context(serving(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for _ in range(asked.jobs):
            projects.put(_copy(Path(stack.enter_context(tempfile.TemporaryDirectory()))))

        def judge(pair: tuple[Mutant, tuple[str, ...]]) -> None:
            project = projects.get()
            try:
                found = verdict(*pair, project, server)
            finally:
                projects.put(project)
            if found == "survived" and pair[0].name in known:
                found = "equivalent"
            tally[found] += 1
            if found == "survived":
                sys.stdout.write(f"SURVIVED  {pair[0].line}  {pair[0].name}\n")
                sys.stdout.flush()

        list(stack.enter_context(ThreadPoolExecutor(asked.jobs)).map(judge, chosen))
    sys.stdout.write(", ".join(f"{count} {found}" for found, count in sorted(tally.items())) + "\n")
    return 1 if tally["survived"] else 0
