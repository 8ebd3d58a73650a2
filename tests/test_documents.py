"""What the documents promise: every command line in them is one that adctl takes, and cron's lines do as they say."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from adctl import __version__
from adctl.settings import Settings
from tests.command_lines import Words, adctl_lines, help_of
from tests.warm import ROOT

_README = (ROOT / "README.md").read_text()
_CRONTAB = (ROOT / "crontab.example").read_text()
_SETTING = re.compile(r"[A-Za-z_]\w*\s*=")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
# Folders of one machine; Homebrew's prefix is the same on every Mac.
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root|opt(?!/homebrew)|tmp/venvs)/")


def _cron_lines() -> Iterator[tuple[list[str], str]]:
    """The five fields and the command of each line that is neither comment nor setting."""
    for line in _CRONTAB.splitlines():
        if line.strip() and not line.startswith("#") and not _SETTING.match(line):
            *fields, command = line.split(maxsplit=5)
            yield fields, command


_CRON = tuple(_cron_lines())
_COMMANDS = tuple(command for _, command in _CRON)


def _valid(field: str, low: int, high: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        numbers = (
            [low, high] if span == "*" else [int(number) if number.isdigit() else -1 for number in span.split("-")]
        )
        if not (len(numbers) <= 2 and all(low <= number <= high for number in numbers) and numbers == sorted(numbers)):
            return False
        if "/" in part and not (step.isdigit() and 0 < int(step) <= high and len(numbers) == 2):
            return False
    return True


def test_a_field_that_cron_would_refuse_is_noticed() -> None:
    hour = (0, 23)
    assert all(_valid(field, *hour) for field in ("*", "*/5", "6-22", "0,12", "6-22/2"))
    assert not any(_valid(field, *hour) for field in ("24", "22-6", "5/5", "*/0", "x", "", "1-2-3", "-1"))


@pytest.mark.parametrize(("fields", "command"), _CRON, ids=_COMMANDS)
def test_a_line_of_the_crontab_is_one_that_cron_takes(fields: list[str], command: str) -> None:
    assert len(fields) == 5
    assert all(_valid(field, low, high) for field, (low, high) in zip(fields, _RANGES, strict=True))
    # Cron ends the command at a bare percent sign and feeds it the rest.
    assert "%" not in command
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_line_of_the_crontab_runs_commands_that_exist(command: str) -> None:
    found = list(adctl_lines(command))
    assert len(found) == command.count("adctl")
    for words in found:
        assert help_of(words)[0] == 0, words


def test_the_crontab_chains_the_whole_loop() -> None:
    chained = [words[0] for command in _COMMANDS for words in adctl_lines(command)]
    assert list(dict.fromkeys(chained)) == [
        "sync-meta",
        "sync-hubspot",
        "ingest-crm",
        "decide",
        "enqueue",
        "execute",
        "index-winners",
        "purge",
    ]


def _ticked(command: str, folder: Path, ends: int) -> tuple[str, str]:
    """What cron would mail, and the log, when every `adctl` says its arguments and ends with `ends`."""
    stand_in = folder / "adctl"
    stand_in.write_text(f'#!/bin/sh\necho "ran $*"\nexit {ends}\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.defpath}", "LOG": "adctl.log"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr, (folder / "adctl.log").read_text()


@pytest.mark.parametrize("command", _COMMANDS)
def test_cron_mails_nothing_for_success_and_nothing_for_busy(command: str, tmp_path: Path) -> None:
    for ends in (0, 75):
        mail, log = _ticked(command, tmp_path, ends)
        assert mail == ""
        assert f"ran {next(adctl_lines(command))[0]}" in log


@pytest.mark.parametrize("command", _COMMANDS)
def test_cron_mails_the_end_of_the_log_for_a_failure_and_the_chain_stops(command: str, tmp_path: Path) -> None:
    mail, log = _ticked(command, tmp_path, 69)
    assert f"ran {next(adctl_lines(command))[0]}" in mail
    assert log.count("ran ") == 1


def _fenced() -> Iterator[str]:
    """The lines of README's fenced blocks that a person types."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", _README, re.MULTILINE | re.DOTALL):
        for line in body.splitlines():
            if language == "sh":
                yield line
            elif language == "console" and line.startswith("$ "):
                yield line.removeprefix("$ ")
            elif language == "ini" and line.startswith("ExecStart="):
                yield line.removeprefix("ExecStart=")


def _inline() -> Iterator[Words]:
    """README's `adctl …` in running text, where `a | b` names alternatives for the last word."""
    prose = re.sub(r"^```.*?^```", "", _README, flags=re.MULTILINE | re.DOTALL)
    for text in re.findall(r"`adctl ([^`]+)`", prose):
        first, *others = text.split("|")
        words = tuple(first.split())
        yield words
        yield from ((*words[:-1], *other.split()) for other in others)


_TYPED = tuple(dict.fromkeys([*(words for line in _fenced() for words in adctl_lines(line)), *_inline()]))


@pytest.mark.parametrize("words", _TYPED, ids=" ".join)
def test_a_command_line_in_the_readme_is_one_that_adctl_takes(words: Words) -> None:
    assert help_of(words)[0] == 0


def _units() -> Iterator[configparser.ConfigParser]:
    for body in re.findall(r"^```ini\n(.*?)^```", _README, re.MULTILINE | re.DOTALL):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case of its keys
        unit.read_string(body)
        yield unit


def test_the_units_of_the_readme_keep_what_systemd_must_know() -> None:
    service, timer = _units()
    # What is busy or held back has not failed; a run outlives its own deadline, its stop the write in hand.
    assert service["Service"]["SuccessExitStatus"] == "75"
    deadline = int(service["Service"]["ExecStart"].rpartition("--deadline ")[2])
    assert deadline < 60 * int(service["Service"]["TimeoutStartSec"].removesuffix("min"))
    assert Settings(data_dir=ROOT).http.write_deadline_seconds < 60 * int(
        service["Service"]["TimeoutStopSec"].removesuffix("min")
    )
    assert service["Service"]["KillMode"] == "mixed"
    # A local time that does not exist on a night in March would skip that night's run.
    assert timer["Timer"]["OnCalendar"].endswith(" UTC")


def test_the_readme_starts_with_the_line_that_runs_the_demo() -> None:
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/adctl demo" in list(_fenced())


def _run_ci(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir(exist_ok=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    (folder / "README.md").write_text(readme)
    return subprocess.run(
        [folder / ".ci" / "run"], cwd="/", input="typed\n", capture_output=True, text=True, check=False
    )


def test_ci_runs_the_lines_of_the_readme_that_name_the_tests_and_the_proofs(tmp_path: Path) -> None:
    # The real README with the work taken out of its lines: what is left tells where, how and in which order they ran.
    tests = next(line for line in _fenced() if "pytest" in line)
    assert tests == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"
    proofs = ".venv/bin/python -m tests.chaos"
    readme = _README.replace(tests, 'echo "pytest in $PWD, CI=$CI" && ! read -r anything')
    done = _run_ci(tmp_path, readme.replace(proofs, 'echo "tests.chaos in $PWD"'))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1::2] == [f"pytest in {tmp_path}, CI=true", f"tests.chaos in {tmp_path}"]


def test_ci_fails_with_its_lines_and_without_one(tmp_path: Path) -> None:
    proofs = "```sh\necho tests.chaos; (exit 6)\n```\n"
    assert _run_ci(tmp_path, "```sh\n(exit 5) && echo pytest\n```\n" + proofs).returncode == 5
    assert _run_ci(tmp_path, "```sh\necho pytest\n```\n" + proofs).returncode == 6
    lost = _run_ci(tmp_path, "Run pytest.\n")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "README.md" in lost.stderr


def test_the_changelog_tells_of_this_version() -> None:
    titles = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] in ("Unreleased", __version__)


def _project_files() -> Iterator[Path]:
    for place in ("adctl", "sql", "tests", ".ci", "README.md", "CHANGELOG.md", "crontab.example", "pyproject.toml"):
        found = ROOT / place
        yield from (path for path in (found.rglob("*") if found.is_dir() else [found]) if path.is_file())


def test_no_path_of_one_machine_stands_in_the_project() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in _project_files()
        if "__pycache__" not in path.parts
        for line in path.read_text(errors="replace").splitlines()
        if _MACHINE_PATH.search(line)
    ]
    assert named == []
