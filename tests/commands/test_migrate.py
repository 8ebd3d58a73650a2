"""Migrations: ordered, once, under a lock, and honest about edited files."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from adctl.adapters import migrations
from adctl.adapters.db import open_engine
from adctl.cli.job import Invocation
from adctl.cli.running import run_job
from adctl.commands import migrate
from adctl.errors import BusyError, ConfigurationError
from tests.builders import ACCOUNT, Loop
from tests.conftest import CommandLine


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    first = migrate.run(engine)
    second = migrate.run(engine)
    assert first.summary == f"{len(migrations.available())} migrations applied."
    assert second.summary == "No changes."


def test_a_dry_run_lists_what_is_pending_and_applies_nothing(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    report = migrate.run(engine, dry_run=True)
    assert {row["state"] for row in report.tables[0].rows} == {"pending"}
    with engine.connect() as connection:
        assert connection.scalar(text("select to_regclass('accounts')")) is None


def test_of_five_at_once_one_applies(empty_database_url: str) -> None:
    def one(_: int) -> str:
        return migrate.run(open_engine(empty_database_url)).summary

    with ThreadPoolExecutor(5) as pool:
        summaries = sorted(pool.map(one, range(5)))
    assert summaries.count("No changes.") == 4
    assert summaries[0].endswith("migrations applied.")


def _copied(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    shutil.copytree(migrations.folder(), folder)
    return folder


def test_an_edited_applied_file_is_refused_by_name(database_url: str, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    (folder / "0002_meta.sql").write_text("select 1;\n")
    with open_engine(database_url).connect() as connection, pytest.raises(ConfigurationError) as refused:
        migrations.status(connection, migrations.available(folder))
    assert "sql/0002_meta.sql was edited" in str(refused.value)


def test_a_database_ahead_of_this_version_is_refused(database_url: str, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    last = sorted(folder.glob("*.sql"))[-1]
    last.unlink()
    with open_engine(database_url).connect() as connection, pytest.raises(ConfigurationError) as refused:
        migrations.status(connection, migrations.available(folder))
    assert last.name in str(refused.value)


def test_a_failing_file_leaves_nothing_of_itself(empty_database_url: str, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04}_broken.sql").write_text("create table half (id int);\nselect no_such_function();\n")
    engine = open_engine(empty_database_url)
    with pytest.raises(ConfigurationError) as refused:
        migrations.migrate(engine, migrations.available(folder))
    assert f"{number:04}_broken.sql" in str(refused.value)
    with engine.connect() as connection:
        assert connection.scalar(text("select to_regclass('half')")) is None
        assert connection.scalar(text("select to_regclass('accounts')")) is not None
        assert connection.scalar(text("select count(*) from schema_migrations")) == number - 1


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["first.sql"]])
def test_gaps_repeats_and_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;\n")
    with pytest.raises(ConfigurationError):
        migrations.available(tmp_path)


def test_a_job_running_elsewhere_keeps_a_migration_waiting(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_LOCK_WAIT_SECONDS", 0.2)
    engine = open_engine(database_url)
    with engine.connect() as holder:
        holder.execute(text("select pg_advisory_lock_shared(hashtextextended('adctl.migrations', 0))"))
        with pytest.raises(BusyError):
            migrations.migrate(engine, migrations.available())


def test_a_job_that_a_newer_adctl_migrated_under_refuses_before_it_does_anything(loop: Loop) -> None:
    # given a migration that is done between the job's look at the schema and its lock
    def migrate_first(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "pg_try_advisory_lock_shared" in statement:
            loop.run_sql("insert into schema_migrations (version, name, checksum) values (9999, '9999_newer.sql', '')")

    event.listen(Engine, "before_cursor_execute", migrate_first)
    try:
        with pytest.raises(ConfigurationError, match=r"9999_newer\.sql, which this adctl does not know"):
            run_job(Invocation(command="execute"), loop.settings, ACCOUNT, lambda job: pytest.fail("it ran"))
    finally:
        event.remove(Engine, "before_cursor_execute", migrate_first)
    assert loop.rows("job_runs") == []


def test_every_command_refuses_while_migrations_are_pending(empty_database_url: str, tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path, environment={"ADCTL_DATABASE_URL": empty_database_url})
    adctl.configure('[accounts.main]\nmeta_ad_account = "act_1"\ncurrency = "USD"\ntimezone = "UTC"\n')
    for command in ("sync-meta", "sync-hubspot", "ingest-crm", "decide", "enqueue", "execute", "index-winners"):
        outcome = adctl(command)
        assert outcome.code == 78, outcome
        assert "run adctl migrate" in outcome.err


def test_the_status_lists_every_file(adctl: CommandLine) -> None:
    outcome = adctl("migrate", "--status", "--json")
    assert outcome.code == 0
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    assert [row["state"] for row in tables["migrations"]] == ["applied"] * len(migrations.available())
