"""Runs the tests of the guards against each mutant of them: a forked process each, beside one PostgreSQL."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from tests.conftest import Server, make_template, serving
from tests.mutation.mutants import Mutant, numbered, of_python, of_sql
from tests.mutation.targets import PYTHON, SQL, tests_of, words_of
from tests.warm import ROOT

EQUIVALENT = Path(__file__).parent / "equivalent.txt"
# A mutant that hangs is noticed too, and told, for on a busy machine it may have been but slow.
_SECONDS = 300
_SURVIVED, _FAILED, _STILLBORN = 0, (3, 4, 5), 70
_PRELOADED = ("sqlalchemy.dialects.postgresql.psycopg", "psycopg", "hypothesis", "zoneinfo")


class _Instead(MetaPathFinder):
    """Finds one module's mutated source in the place of its file."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return spec_from_loader(fullname, _Loader(fullname, self._mutant))


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, mutant: Mutant) -> None:
        super().__init__(fullname, str(ROOT / mutant.path))
        self._source = mutant.source

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        return compile(self._source, self.path, "exec")


class _LikeliestFirst:
    """Sorts the tests, for the first one that fails ends it all."""

    def __init__(self, mutant: Mutant | None) -> None:
        self._words = () if mutant is None else words_of(mutant)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: [word not in item.name for word in self._words])


def mutants(kind: str) -> list[Mutant]:
    """Every mutant; of SQL those first that are nearest to the sending, which stand last."""
    found: list[Mutant] = []
    if kind in ("python", "all"):
        found += [mutant for path in PYTHON for mutant in of_python(ROOT, path)]
    if kind in ("sql", "all"):
        found += reversed([mutant for path in SQL for mutant in of_sql(ROOT, path)])
    return list(numbered(found))


def _run_tests(mutant: Mutant | None, tests: Sequence[str], server: Server, log: Path) -> None:
    """Judges one mutant (None: the code as it is) in this forked process, and ends it."""
    signal.alarm(0 if mutant is None else _SECONDS)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {
        "ADCTL_TEST_DATABASE_URL": server.admin,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(log.parent),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    # The tests of pure code need no PostgreSQL, and so nothing of what prepares it.
    pure = not any(test.startswith("tests/adapters") for test in tests)
    options = ["-x", "-q", "--assert=plain", "-o", "addopts=", "-p", "no:cacheprovider"]
    code = _FAILED[0]
    try:
        if mutant is not None and mutant.path in SQL:
            os.environ["ADCTL_TEST_TEMPLATE"] = _template(mutant, server)
        elif mutant is not None:
            sys.meta_path.insert(0, _Instead(mutant))
            for name in [name for name in sys.modules if name.partition(".")[0] in ("adctl", "tests")]:
                del sys.modules[name]
        alone = ["--noconftest"] if pure else []
        code = int(pytest.main([*options, *alone, *tests], plugins=[_LikeliestFirst(mutant)]))
    except psycopg.Error:
        code = _STILLBORN
    finally:
        # Whatever happened, what this process shares with the one it was forked from is not for it to end.
        os._exit(code)


def _template(mutant: Mutant, server: Server) -> str:
    """A migrated database with the mutated function. Raises psycopg.Error when PostgreSQL does not take it."""
    name = f"adctl_template_{os.getpid()}"
    server.create(name, os.environ["ADCTL_TEST_TEMPLATE"])
    with psycopg.connect(server.url(name)) as connection:
        connection.execute(mutant.source.encode())
    return name


def _drop_databases(server: Server, pid: int) -> None:
    with psycopg.connect(server.admin, autocommit=True) as connection:
        rows = connection.execute(
            "select datname from pg_database where datname ~ %s", (rf"^adctl_(test|template)_{pid}(_|$)",)
        ).fetchall()
    for (name,) in rows:
        server.drop(name)


def _verdict(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) != signal.SIGALRM else "hung"
    code = os.WEXITSTATUS(status)
    if code in _FAILED:
        raise RuntimeError(f"pytest could not run: exit {code}")
    return {_SURVIVED: "survived", _STILLBORN: "stillborn"}.get(code, "killed")


def verdicts(chosen: Sequence[Mutant], server: Server, jobs: int, folder: Path) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with killed, survived, or stillborn when the database does not even take it; as they end."""
    waiting, running = list(reversed(chosen)), dict[int, Mutant]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            pid = os.fork()
            if not pid:
                _run_tests(mutant, tests_of(mutant), server, folder / f"{os.getpid()}.log")
            running[pid] = mutant
        pid, status = os.wait()
        if pid in running:
            _drop_databases(server, pid)
            yield running.pop(pid), _verdict(status)


def _must_pass(chosen: Sequence[Mutant], server: Server, folder: Path) -> None:
    """Every test that is to kill passes on the code as it is."""
    tests = list(dict.fromkeys(test for mutant in chosen for test in tests_of(mutant)))
    pid = os.fork()
    if not pid:
        _run_tests(None, tests, server, folder / "whole.log")
    _, status = os.waitpid(pid, 0)
    _drop_databases(server, pid)
    if status:
        sys.exit(f"the tests fail without any fault:\n{(folder / 'whole.log').read_text()[-3000:]}")


def _preload(chosen: Sequence[Mutant], folder: Path) -> None:
    """Imports what each run would import anew although no mutant changes it, and compiles the rest but once."""
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(folder / "compiled")
    tests = {test for mutant in chosen if mutant.path in SQL for test in tests_of(mutant)}
    modules = [test.removesuffix(".py").replace("/", ".") for test in sorted(tests)]
    for name in (*_PRELOADED, *modules):
        importlib.import_module(name)
    # Nor is a fork to copy the pages of all that, which it does when its garbage collector looks through it.
    gc.freeze()


def _listed() -> dict[str, str]:
    lines = EQUIVALENT.read_text().splitlines()
    return {name: reason for name, _, reason in (line.partition("  # ") for line in lines if line)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=("python", "sql", "all"), default="all")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th mutant")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="mutants whose name contains one of these, at once")
    asked = parser.parse_args()
    listed, everything, begun = _listed(), mutants(asked.kind), time.monotonic()
    chosen = [mutant for mutant in everything if any(word in mutant.name for word in asked.only or ("",))]
    chosen = chosen[:: asked.every]
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory) / "server") as server:
        _preload(chosen, Path(directory))
        os.environ["ADCTL_TEST_TEMPLATE"] = make_template(server)
        if not asked.only:
            _must_pass(chosen, server, Path(directory))
        for mutant, found in verdicts(chosen, server, asked.jobs, Path(directory)):
            word = _word(found, mutant.name in listed)
            tally[word] += 1
            if word not in ("killed", "equivalent", "stillborn"):
                sys.stdout.write(f"{word.upper()}  line {mutant.line}  {mutant.name}\n")
                sys.stdout.flush()
    # Telling the names takes seconds, which a few mutants are not worth.
    gone = [] if asked.only else sorted(listed.keys() - {mutant.name for mutant in mutants("all")})
    sys.stdout.writelines(f"LISTED, BUT NO MUTANT  {name}\n" for name in gone)
    figures = ", ".join(f"{count} {word}" for word, count in sorted(tally.items()))
    sys.stdout.write(f"{len(chosen)} mutants in {time.monotonic() - begun:.0f} s: {figures}\n")
    return 1 if gone or tally["survived"] or tally["listed, but killed"] else 0


def _word(found: str, listed: bool) -> str:
    if not listed:
        return found
    return "equivalent" if found == "survived" else f"listed, but {found}"
