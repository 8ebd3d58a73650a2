"""The policy that the README writes, through the real commands: configured, in shadow, replayed, and when it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from adctl.adapters.timed_policies import TimedPolicies
from adctl.commands import backtest_worlds
from adctl.errors import InputRejectedError
from tests.builders import BLENDED, Loop, python_of_the_readme
from tests.conftest import CommandLine

OWN = "my_policies:CheapClicks"
HANGS = "import time; time.sleep(1e6)"


@pytest.fixture
def adctl(synced: Loop) -> CommandLine:
    """adctl as a process that finds the file of the README."""
    (synced.folder / "my_policies.py").write_text(python_of_the_readme("my_policies.py"))
    environment = {**synced.environment, "PYTHONPATH": str(synced.folder)}
    return CommandLine(folder=synced.folder, environment=environment)


def break_it(folder: Path, fault: str = "n = 1 // 0") -> int:
    """Returns the line that fails."""
    file = folder / "my_policies.py"
    lines = file.read_text().splitlines()
    place = lines.index("        n = len(history.ad_ids)")
    lines[place] = f"        {fault}"
    file.write_text("\n".join(lines))
    return place + 1


def test_it_decides_as_the_champion_of_an_account_and_in_its_back_test(synced: Loop, adctl: CommandLine) -> None:
    parameters = "[accounts.main.policy_parameters]\nleast_spend = 60\n"
    synced.configure(BLENDED, f'policy = "{OWN}"\n')
    synced.configure("[accounts.main]\n", f"{parameters}[accounts.main]\n")

    outcome = adctl("decide", "--json")

    assert outcome.code == 0, outcome.err
    rows = [row for row in synced.rows("decisions") if row["field"] == "status"]
    assert rows
    assert {row["policy"] for row in rows} == {OWN}
    assert all("clicks for" in row["reason"] and "clicks" in row["evidence"] for row in rows)
    assert adctl("decide").code == 0
    assert [row["parameters"] for row in synced.rows("model_registry")] == [{"least_spend": 60.0}]
    synced.advance(days=1)
    replayed = adctl("backtest", "--policy", f"{OWN}:least_spend=60", "--policy", "equal", "--json")
    assert replayed.code == 0, replayed.err
    assert "replayed" in str(replayed.document["summary"])


def test_it_meets_others_in_a_simulated_world(adctl: CommandLine) -> None:
    line = ("backtest", "--world", "small", "--seeds", "1", "--days", "8", "--json")

    outcome = adctl(*line, "--policy", OWN, "--policy", "equal")

    assert outcome.code == 0, outcome.err
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    assert [row["policy"] for row in tables["standings"]] == [OWN, "equal"]


def test_in_a_simulated_world_the_command_line_gives_it_its_time(synced: Loop, adctl: CommandLine) -> None:
    break_it(synced.folder, HANGS)

    outcome = adctl("backtest", "--world", "small", "--seeds", "1", "--policy", OWN, "--policy-seconds", "1")

    told = f"policy '{OWN}': no result after 1 s, it was stopped (--policy-seconds allows more)"
    assert (outcome.code, told in outcome.err) == (65, True), outcome.err


def test_it_decides_in_shadow_and_when_it_breaks_the_champion_decides_on(synced: Loop, adctl: CommandLine) -> None:
    registered = adctl("models", "register", "--policy", OWN, "--param", "least_spend=50", "--json")
    assert registered.code == 0, registered.err
    names = {row["role"]: row["name"] for row in synced.rows("model_registry")}
    assert names["challenger"].startswith("cheapclicks-")
    break_it(synced.folder)

    outcome = adctl("decide", "--json")

    assert outcome.code == 0, outcome.err
    assert f"did not decide: policy '{OWN}': decide raised ZeroDivisionError" in str(outcome.document["notes"])
    assert {row["policy"] for row in synced.rows("decisions")} == {"blended"}


def hurry(synced: Loop) -> None:
    synced.configure("[accounts.main]\n", "[accounts.main]\npolicy_seconds = 1\n")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (HANGS, "no result after 1 s, it was stopped (adctl.toml: policy_seconds)"),
        ("import re; re.match('(a*)*b', 'a' * 99)", "no result after 1 s, it was stopped"),
    ],
    ids=["sleeps", "hangs in C"],
)
def test_a_challenger_that_never_answers_is_left_behind(
    synced: Loop, adctl: CommandLine, fault: str, told: str
) -> None:
    assert adctl("models", "register", "--policy", OWN, "--name", "slow").code == 0
    hurry(synced)
    break_it(synced.folder, fault)

    outcome = adctl("decide", "--json")

    assert outcome.code == 0, outcome.err
    assert f"Challenger slow did not decide: policy '{OWN}': {told}" in str(outcome.document["notes"])
    assert {row["policy"] for row in synced.rows("decisions")} == {"blended"}


def test_a_champion_that_never_answers_ends_the_run_and_why_says_what_is_not_known(
    synced: Loop, adctl: CommandLine
) -> None:
    synced.configure(BLENDED, f'policy = "{OWN}"\n')
    assert adctl("decide").code == 0
    [ad, *_] = [row["entity_id"] for row in synced.rows("decisions") if row["field"] == "status"]
    hurry(synced)
    break_it(synced.folder, HANGS)

    decided = adctl("decide", "--redo")
    explained = adctl("why", str(ad))
    replayed = adctl("backtest", "--policy", OWN)

    told = f"policy '{OWN}': no result after 1 s, it was stopped (adctl.toml: policy_seconds)"
    assert (decided.code, decided.err.count("\n")) == (65, 1)
    assert told in decided.err
    assert (explained.code, f"What would flip it is not known: {told}." in explained.out) == (0, True), explained.err
    assert (replayed.code, told in replayed.err) == (65, True), replayed.err


def test_a_policy_that_never_answers_ends_the_simulated_worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_policies.py").write_text(python_of_the_readme("my_policies.py"))
    break_it(tmp_path, HANGS)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InputRejectedError, match="no result after 1 s, it was stopped"):
        backtest_worlds.run(["small"], [OWN], seeds=1, days=8, processes=1, make=TimedPolicies(1))


@pytest.mark.parametrize("where", ["import", "constructor"])
def test_a_policy_that_is_never_made_ends_who_needs_it_and_is_left_out_where_it_only_challenges(
    synced: Loop, adctl: CommandLine, where: str
) -> None:
    assert adctl("models", "register", "--policy", OWN, "--name", "slow").code == 0
    hurry(synced)
    file = synced.folder / "my_policies.py"
    if where == "import":
        file.write_text(f"{file.read_text()}\n{HANGS}\n")
    else:
        file.write_text(
            file.read_text().replace("    @property", f"    def __post_init__(self):\n        {HANGS}\n\n    @property")
        )

    shadowed = adctl("decide", "--json")
    asked = adctl("models", "register", "--policy", OWN, "--name", "another", "--param", "least_spend=1")
    promoted = adctl("models", "promote", "slow", "--force", "--reason", "no need to wait")
    synced.configure(BLENDED, f'policy = "{OWN}"\n')
    configured = adctl("decide", "--redo")

    told = f"policy '{OWN}': no result after 1 s, it was stopped (adctl.toml: policy_seconds)"
    assert shadowed.code == 0, shadowed.err
    assert f"Challenger slow did not decide: {told}" in str(shadowed.document["notes"])
    assert {row["policy"] for row in synced.rows("decisions")} == {"blended"}
    assert (asked.code, told in asked.err) == (2, True), asked.err
    assert (promoted.code, told in promoted.err) == (78, True), promoted.err
    assert (configured.code, told in configured.err) == (78, True), configured.err


def test_a_champion_that_fails_stops_the_decision_and_one_that_is_gone_too(synced: Loop, adctl: CommandLine) -> None:
    synced.configure(BLENDED, f'policy = "{OWN}"\n')
    line = break_it(synced.folder)

    failed = adctl("decide")
    (synced.folder / "my_policies.py").unlink()
    gone = adctl("decide")

    assert (failed.code, failed.err.count("\n")) == (65, 1)
    assert "decide raised ZeroDivisionError: integer division or modulo by zero" in failed.err
    assert f"my_policies.py, line {line})" in failed.err
    assert (gone.code, gone.err.count("\n")) == (78, 1)
    assert "No module named 'my_policies'" in gone.err
    assert synced.rows("decisions") == []


def test_a_challenger_spoils_no_report_by_printing_and_no_decision_by_dying(synced: Loop, adctl: CommandLine) -> None:
    assert adctl("models", "register", "--policy", OWN, "--param", "least_spend=50").code == 0
    file = synced.folder / "my_policies.py"
    whole = file.read_text()
    file.write_text(
        f'print("loading")\n{whole}'.replace(
            "        n = len(", "        import os; os.write(1, b'past'); print('looking')\n        n = len("
        )
    )
    printing = adctl("decide", "--dry-run", "--json")
    assert (printing.document["dry_run"], "looking" in printing.err) == (True, True)
    file.write_text(whole)
    break_it(synced.folder, "import os; os.kill(os.getpid(), 9)")

    dying = adctl("decide")

    assert (dying.code, "it ended with -9 and no result" in dying.out) == (0, True), dying.err
    assert {(row["policy"], row["shadow"]) for row in synced.rows("decisions")} == {("blended", False)}
    again = adctl("decide")
    assert (again.code, "No changes." in again.out) == (0, True), again.err


def test_a_back_test_of_the_models_takes_their_parameters_as_they_are_and_leaves_out_a_challenger_that_fails(
    synced: Loop, adctl: CommandLine
) -> None:
    file = synced.folder / "my_policies.py"
    file.write_text(f"{file.read_text()}\n\nclass Named(CheapClicks):\n    def __init__(self, label='a'):\n")
    with file.open("a") as more:
        more.write(
            "        object.__setattr__(self, 'label', label)\n        object.__setattr__(self, 'least_spend', 1.0)\n"
        )
        more.write("    @property\n    def parameters(self):\n        return {'label': self.label}\n")
    named = ("--policy", "my_policies:Named", "--param", "label=a,b=c", "--name", "named")
    assert adctl("models", "register", "--policy", OWN, "--name", "broken").code == 0
    registered = adctl("models", "register", *named)
    assert registered.code == 0, registered.err
    assert adctl("decide").code == 0
    synced.advance(days=3)
    synced.sync()
    whole = file.read_text()
    file.write_text(
        whole.replace("        n = len(", "        if type(self) is CheapClicks: n = 1 // 0\n        n = len(")
    )

    failing = adctl("backtest", "--horizon", "1", "--maturity", "1", "--json")
    asked = adctl("backtest", "--policy", OWN)
    file.write_text(whole.replace("class CheapClicks", "class Gone").replace("(CheapClicks)", "(Gone)"))
    gone = adctl("backtest", "--horizon", "1", "--maturity", "1", "--json")

    for outcome, told in ((failing, "decide raised ZeroDivisionError"), (gone, "has no attribute")):
        assert outcome.code == 0, outcome.err
        assert "Challenger broken is left out: " in str(outcome.document["notes"])
        assert told in str(outcome.document["notes"])
        tables = outcome.document["tables"]
        assert isinstance(tables, dict)
        players = [row["policy"] for row in tables["standings"]]
        assert players == ["blended", "named", "rules", "equal", "as it was", "hindsight"]
    assert (asked.code, "decide raised ZeroDivisionError" in asked.err) == (65, True), asked.err
