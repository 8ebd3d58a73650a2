"""The package: what is built holds all it needs, and works where nothing else of the project is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.warm import ROOT

_SQL = sorted(path.name for path in (ROOT / "sql").glob("*.sql"))
_DATA = sorted(path.name for path in (ROOT / "adctl" / "data").iterdir() if path.is_file())


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An sdist, a wheel made from it, and a wheel made from the checkout."""

    sdist: Path
    wheel: Path
    wheel_of_checkout: Path


def _build(folder: Path, *kind: str) -> Path:
    # Without isolation nothing is downloaded: the backend is a dependency of the tests.
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *kind, "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    # Asked for no kind, build makes the sdist and then the wheel out of it.
    both = _build(folder / "both")
    (sdist,), (wheel,) = both.glob("*.tar.gz"), both.glob("*.whl")
    (wheel_of_checkout,) = _build(folder / "of_checkout", "--wheel").iterdir()
    return Built(sdist=sdist, wheel=wheel, wheel_of_checkout=wheel_of_checkout)


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_code_migrations_and_tables_and_nothing_of_the_tests(built: Built) -> None:
    names = set(_contents(built.wheel))
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "adctl").rglob("*.py")}
    assert code <= names
    assert {name.removeprefix("adctl/sql/") for name in names if name.startswith("adctl/sql/")} == set(_SQL)
    assert {name.removeprefix("adctl/data/") for name in names if name.startswith("adctl/data/")} == set(_DATA)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"adctl"}


def test_the_sdist_builds_the_wheel_that_the_checkout_builds(built: Built) -> None:
    assert _contents(built.wheel) == _contents(built.wheel_of_checkout)


def test_the_sdist_carries_the_tests_and_what_they_read(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "crontab.example", ".ci/run", "README.md", "LICENSE", "CHANGELOG.md"} <= names


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment that holds the wheel; the wheel's dependencies are lent by the one that runs the tests."""

    folder: Path
    home: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        variables = {"PATH": os.defpath, "HOME": str(self.home), "ADCTL_DATA_DIR": str(self.home / "data")}
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.home,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder, home = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("home")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", built.wheel],
        check=True,
    )
    # A folder that a .pth names comes after the environment's own, and the .pth files in it, such as that of an
    # editable adctl, stay unread.
    (own,) = (folder / "lib").glob("python*/site-packages")
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "lent.pth").write_text("".join(f"{path}\n" for path in sorted(lent)))
    return Installed(folder=folder, home=home)


def test_what_runs_is_the_wheel(installed: Installed) -> None:
    done = installed.run("python", "-c", "import adctl; print(adctl.__file__)")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).is_relative_to(installed.folder)


def test_the_installed_package_lists_its_migrations_on_an_embedded_server(installed: Installed) -> None:
    done = installed.run("adctl", "migrate", "--dry-run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (table,) = json.loads(done.stdout)["tables"].values()
    assert [(row["name"], row["state"]) for row in table] == [(name, "pending") for name in _SQL]


def test_the_installed_package_migrates_and_finds_nothing_to_do_the_second_time(installed: Installed) -> None:
    first, second = installed.run("adctl", "migrate"), installed.run("adctl", "migrate")
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"{len(_SQL)} migrations applied." in first.stdout
    assert "No changes." in second.stdout
