"""What every command of the loop promises: one document, one run at a time, and refusals that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.cli.job import Invocation, Job
from adctl.cli.running import run_job
from adctl.domain.report import Report
from tests.builders import Loop
from tests.conftest import CommandLine, Outcome

EXPORT = "ad_id,adset_id,campaign_id,impressions,clicks,spend\n31,21,11,1,1,1\n"
MANY = 6
RUN = UUID(int=1)
CONFLICT = UUID(int=2)
DONE = Report(command="job", summary="No changes.")
LOOP: Mapping[str, Sequence[str]] = {
    "sync-meta": (),
    "sync-hubspot": (),
    "ingest-ads": ("export.csv",),
    "ingest-crm": (),
    "decide": (),
    "enqueue": (),
    "execute": (),
    "index-winners": (),
}
COMMANDS: Mapping[str, Sequence[str]] = {
    **LOOP,
    "reconcile": (),
    "changes approve": ("--all", "--yes"),
    "changes cancel": ("--all", "--yes", "--reason", "over"),
    "changes resolve": (str(CONFLICT), "--as", "cancelled", "--reason", "over"),
    "undo": ("--run", str(RUN)),
}
# Those of people that leave no row in the ledger and wait for nobody.
READINGS: Mapping[str, Sequence[str]] = {
    "changes list": (),
    "changes show": (str(CONFLICT),),
    "audit head": (),
    "audit list": (),
    "audit verify": (),
}


@pytest.fixture
def adctl(loop: Loop) -> CommandLine:
    """The command line on a small account, with an export in its folder."""
    (loop.folder / "export.csv").write_text(EXPORT)
    return loop.command_line()


def run_each(
    adctl: CommandLine, *arguments: str, names: Iterable[str] = COMMANDS, **variables: str
) -> dict[str, Outcome]:
    """Commands with these arguments, two at a time: they are processes of their own."""
    line = CommandLine(folder=adctl.folder, environment={**adctl.environment, **variables})
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda name: line(*name.split(), *{**COMMANDS, **READINGS}.get(name, ()), *arguments), names)
        return dict(zip(names, found, strict=True))


def use(loop: Loop) -> None:
    """RUN has paused an ad, which may be undone; CONFLICT is a change whose ad set a person has changed since."""
    ad = next(one for one in loop.sandbox.world.tree.ads if one.status == "ACTIVE")
    node = loop.owners()[0]
    assert node.daily_budget is not None
    loop.queue(ad, "PAUSED", run_id=RUN)
    loop.queue(node, node.daily_budget * 11 // 10, change_id=CONFLICT)
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    loop.execute()


def assert_one_sentence(outcome: Outcome) -> None:
    """A line that names the thing, with the fix in brackets, and no traceback."""
    assert outcome.out == ""
    assert outcome.err.startswith("adctl: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.rstrip().endswith(")")


def test_a_dry_run_prints_one_json_document_and_writes_nothing_anywhere(loop: Loop, adctl: CommandLine) -> None:
    use(loop)
    before, sent = loop.digest(), len(loop.posts())
    for name, outcome in run_each(adctl, "--dry-run", "--json").items():
        assert outcome.code == 0, (name, outcome)
        document = json.loads(outcome.out)
        assert (document["command"], document["dry_run"], document["account"]) == (name, True, "main")
        assert document["summary"]
        assert outcome.out.count("\n") == 1
    assert loop.digest() == before
    assert len(loop.posts()) == sent


def test_what_only_reads_prints_one_json_document_and_writes_nothing(loop: Loop, adctl: CommandLine) -> None:
    use(loop)
    before = loop.digest()
    for name, outcome in run_each(adctl, "--json", names=READINGS).items():
        assert (outcome.code, outcome.document["command"], outcome.out.count("\n")) == (0, name, 1), outcome
    assert loop.digest() == before


def test_an_overlapping_run_exits_75_and_says_so(loop: Loop, adctl: CommandLine) -> None:
    with loop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holder:
        for name in COMMANDS:
            key = {"name": f"adctl.job.{name}/main"}
            holder.execute(text("select pg_advisory_lock(hashtextextended(:name, 0))"), key)
        for name, outcome in run_each(adctl).items():
            assert outcome.code == 75, (name, outcome)
            assert f"{name} of account 'main' is already running" in outcome.err
            assert_one_sentence(outcome)
    assert loop.rows("job_runs") == []


def test_an_unknown_account_exits_78_and_names_the_known_ones(adctl: CommandLine) -> None:
    for name, outcome in run_each(adctl, "--account", "nobody", names=LOOP).items():
        assert outcome.code == 78, (name, outcome)
        assert "account 'nobody': not configured (known: main)" in outcome.err
        assert_one_sentence(outcome)


def test_an_unreachable_database_exits_69_and_says_what_to_check(adctl: CommandLine) -> None:
    nowhere = "postgresql://adctl@127.0.0.1:1/adctl"
    for name, outcome in run_each(adctl, names=LOOP, ADCTL_DATABASE_URL=nowhere).items():
        assert outcome.code == 69, (name, outcome)
        assert "check ADCTL_DATABASE_URL" in outcome.err
        assert_one_sentence(outcome)
    assert adctl("migrate", ADCTL_DATABASE_URL=nowhere).code == 69


@pytest.mark.parametrize(
    ("name", "variable"),
    [("sync-meta", "ADCTL_META_TOKEN"), ("execute", "ADCTL_META_TOKEN"), ("sync-hubspot", "ADCTL_HUBSPOT_TOKEN")],
)
def test_a_missing_token_exits_78_and_names_its_variable(loop: Loop, name: str, variable: str) -> None:
    adctl = loop.command_line()
    del adctl.environment[variable]
    outcome = adctl(name)
    assert outcome.code == 78
    assert f"{variable}: not set" in outcome.err
    assert_one_sentence(outcome)


@pytest.mark.parametrize(("name", "variable"), [("sync-meta", "ADCTL_META_TOKEN"), ("execute", "ADCTL_META_TOKEN")])
def test_a_token_that_meta_refuses_exits_77_and_is_not_repeated(loop: Loop, name: str, variable: str) -> None:
    if name == "execute":
        node = loop.owners()[0]
        loop.queue(node, (node.daily_budget or 0) * 11 // 10)
    adctl = loop.command_line()
    adctl.environment[variable] = "EAAcanary0000token"
    outcome = adctl(name)
    assert outcome.code == 77
    assert "renew the token" in outcome.err
    assert "EAAcanary0000token" not in outcome.err + outcome.out
    assert loop.posts() == []


def test_every_run_leaves_a_row_in_the_ledger_with_how_it_ended(loop: Loop, adctl: CommandLine) -> None:
    use(loop)
    done = run_each(adctl)
    ledger = {row["job"]: row for row in loop.rows("job_runs")}
    assert {name: (o.code, o.err) for name, o in done.items() if o.code} == {}
    assert set(ledger) == set(COMMANDS)
    for name, outcome in done.items():
        assert ledger[name]["exit_code"] == outcome.code == 0, (name, outcome)
        assert ledger[name]["ended_at"] is not None
        assert ledger[name]["summary"] in outcome.out


def test_a_run_that_loses_its_database_is_closed_as_lost_by_the_next(loop: Loop) -> None:
    def lose(job: Job) -> Report:
        with transaction(job.engine) as connection:
            connection.execute(
                text("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()")
            )
        return DONE

    invocation = Invocation(command="decide")
    with pytest.raises(DBAPIError):
        run_job(invocation, loop.settings, "main", lose)
    loop.advance(hours=1)
    run_job(replace(invocation, command="enqueue"), loop.settings, "main", lambda _: DONE)
    lost, other = sorted(loop.rows("job_runs"), key=lambda row: row["job"])
    assert (lost["job"], lost["ended_at"], other["exit_code"]) == ("decide", None, 0), "only its own next run closes it"
    run_job(invocation, loop.settings, "main", lambda _: DONE)
    ended = {row["run_id"]: row for row in loop.rows("job_runs")}
    again = ended.pop(lost["run_id"])
    assert (again["exit_code"], again["ended_at"]) == (None, loop.sandbox.world.now)
    assert again["summary"].startswith("lost: it never told how it ended; found by run ")
    assert {row["summary"] for row in ended.values()} == {"No changes."}


def test_jobs_that_begin_a_month_at_once_do_not_stop_each_other(loop: Loop) -> None:
    together = Barrier(MANY)

    def begin(number: int) -> str:
        together.wait()
        return run_job(Invocation(command=f"job-{number}"), loop.settings, "main", lambda _: DONE).summary

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(begin, range(MANY))) == ["No changes."] * MANY
    assert len(loop.rows("job_runs")) == MANY


def test_pending_migrations_refuse_an_export_a_look_and_a_step_back(
    empty_database_url: str, adctl: CommandLine
) -> None:
    names = ("ingest-ads", "undo", "audit verify")
    for name, outcome in run_each(adctl, names=names, ADCTL_DATABASE_URL=empty_database_url).items():
        assert outcome.code == 78, (name, outcome)
        assert "run adctl migrate" in outcome.err
        assert_one_sentence(outcome)
