"""One account of a simulated world, a database for it, and every step of the loop at hand: real parts, real HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from adctl.adapters.crm_intake import Files
from adctl.adapters.db import open_engine, transaction
from adctl.adapters.files.opened_files import Source
from adctl.adapters.store import accounts, queue
from adctl.cli import steps
from adctl.cli.job import Job
from adctl.cli.vendors import meta
from adctl.cli.wiring import profile_of, send_limits, stage_values
from adctl.commands import execute, ingest_ads, ingest_crm
from adctl.commands.execute.reconcile import run as run_reconcile
from adctl.commands.ingest_crm import Switches
from adctl.domain.changes import NewChange
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account
from adctl.domain.report import Cell, Report, Table
from adctl.sandbox import Exchange, Sandbox
from adctl.sandbox.account_table import account_table
from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from adctl.settings import Settings, load
from tests.conftest import CommandLine
from tests.warm import ROOT

START = date(2026, 3, 2)
SMALL: Mapping[str, Any] = {"history_days": 8, "campaigns": 2, "ad_sets": 4, "ads": 8}
ACCOUNT = Account("main")
# What hangs is given up sooner than by default, and not so soon that a busy machine would be taken for one that hangs.
_HTTP = "[http]\nconnect_seconds = 5\nread_seconds = 5\nwrite_deadline_seconds = 10\n"
_TABLES = text(
    """
    select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition order by relname
    """
)
# What tells of runs, not of what they did.
LEDGER = frozenset({"job_runs", "sync_watermarks"})


@dataclass(slots=True, kw_only=True)
class Loop:
    """A sandbox, a migrated database whose clock is the world's, and the configuration that ties them together."""

    sandbox: Sandbox
    engine: Engine
    database_url: str
    folder: Path
    toml: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ADCTL_DATABASE_URL": self.database_url,
            "ADCTL_DATA_DIR": str(self.folder / "data"),
            "ADCTL_META_TOKEN": self.sandbox.meta_token,
            "ADCTL_HUBSPOT_TOKEN": self.sandbox.hubspot_token,
            "ADCTL_META_BASE_URL": self.sandbox.meta_url,
            "ADCTL_HUBSPOT_BASE_URL": self.sandbox.hubspot_url,
        }

    @property
    def settings(self) -> Settings:
        return load(environ=self.environment, flags={"config": self.folder / "adctl.toml"})

    def configure(self, old: str = "", new: str = "") -> None:
        """Writes adctl.toml, with a part of it replaced from now on."""
        assert old in self.toml
        self.toml = self.toml.replace(old, new) if old else self.toml
        (self.folder / "adctl.toml").write_text(self.toml)

    def command_line(self) -> CommandLine:
        """`adctl` as a process, on this account."""
        return CommandLine(folder=self.folder, environment=self.environment)

    def advance(self, **span: float) -> None:
        """Moves the world and the database's clock on by a timedelta's keywords."""
        self.sandbox.advance_to(self.sandbox.world.now + timedelta(**span))
        self.set_clock(self.sandbox.world.now)

    def set_clock(self, at: datetime) -> None:
        """Sets the database's clock, wherever the world's stands."""
        with transaction(self.engine) as connection:
            accounts.simulate(connection, at)

    def owners(self) -> list[Campaign | AdSet]:
        """The campaigns and ad sets that own a daily budget."""
        tree = self.sandbox.world.tree
        nodes: list[Campaign | AdSet] = [*tree.campaigns, *tree.ad_sets]
        return [one for one in nodes if one.daily_budget is not None]

    def job(self, *, dry_run: bool = False) -> Job:
        settings = self.settings
        account = settings.account(ACCOUNT)
        return Job(
            settings=settings,
            account=account,
            profile=profile_of(account),
            engine=self.engine,
            run_id=uuid4(),
            dry_run=dry_run,
        )

    def sync_meta(self, *, dry_run: bool = False, days: int = 28) -> Report:
        return steps.sync_meta(self.job(dry_run=dry_run), days=days)

    def sync_hubspot(self, *, dry_run: bool = False, full: bool = False) -> Report:
        return steps.sync_hubspot(self.job(dry_run=dry_run), full=full)

    def sync(self) -> None:
        """Everything up to the decision."""
        self.sync_meta()
        self.sync_hubspot()
        self.ingest_crm()

    def ingest_ads(self, source: Source, *, as_of: date | None = None, dry_run: bool = False) -> Report:
        return ingest_ads.run(self.engine, self.job().profile, source, as_of=as_of, dry_run=dry_run)

    def ingest_crm(self, file: ingest_crm.CrmFile | None = None, *, dry_run: bool = False) -> Report:
        job = self.job()
        return ingest_crm.run(self.engine, job.profile, file, stage_values(job.account), dry_run=dry_run)

    def take_in(self, files: Files, *, dry_run: bool = False, switches: Switches | None = None) -> Report:
        """ingest-crm with clicks, conversions, an allowance for bad rows, a privacy key."""
        job = self.job()
        return ingest_crm.run(
            self.engine,
            job.profile,
            None,
            stage_values(job.account),
            files=files,
            switches=switches or Switches(),
            dry_run=dry_run,
        )

    def decide(self, *, dry_run: bool = False, redo: bool = False, as_of: date | None = None) -> Report:
        return steps.decide(self.job(dry_run=dry_run), as_of=as_of, redo=redo)

    def enqueue(
        self, *, dry_run: bool = False, as_of: date | None = None, plan: Path | None = None, out: Path | None = None
    ) -> Report:
        return steps.enqueue(self.job(dry_run=dry_run), as_of=as_of, plan=plan, out=out)

    def execute(
        self,
        *,
        dry_run: bool = False,
        limit: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = lambda seconds: None,
    ) -> Report:
        job = self.job()
        with meta(job) as platform:
            return execute.run(
                self.engine,
                job.profile,
                platform,
                send_limits(job),
                worker="tests/1",
                dry_run=dry_run,
                limit=limit,
                stop=stop,
                sleep=sleep,
            )

    def reconcile(self, *, dry_run: bool = False, stop: Callable[[], bool] = lambda: False) -> Report:
        job = self.job()
        with meta(job) as platform:
            return run_reconcile(self.engine, job.profile, platform, send_limits(job), dry_run=dry_run, stop=stop)

    def queue(
        self,
        node: Campaign | AdSet | Ad,
        target: int | str,
        *,
        jitter_ms: int = 0,
        run_id: UUID | None = None,
        change_id: UUID | None = None,
    ) -> None:
        """Puts one change of what the object holds now into the queue."""
        wanted = _new_change(node, target, jitter_ms, change_id or uuid4())
        with transaction(self.engine) as connection:
            accounts.ensure(connection, self.job().profile)
            added = queue.enqueue(
                connection,
                ACCOUNT,
                run_id or uuid4(),
                [wanted],
                expire=timedelta(days=1),
            )
        assert added == 1

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table."""
        with transaction(self.engine, read_only=True) as connection:
            return [dict(row) for row in connection.execute(text(f"select * from {table}")).mappings()]

    def value(self, statement: str, **parameters: object) -> Any:
        """The one value of a query."""
        with transaction(self.engine, read_only=True) as connection:
            return connection.scalar(text(statement), parameters)

    def run_sql(self, statement: str, **parameters: object) -> None:
        with transaction(self.engine) as connection:
            connection.execute(text(statement), parameters)

    def digest(self, without: frozenset[str] = frozenset()) -> dict[str, str]:
        """A digest of every row, table by table."""
        return digest(self.engine, without)

    def posts(self) -> list[Exchange]:
        """What reached Meta and could have changed something."""
        return [one for one in self.sandbox.meta_log if one.method != "GET"]


def _new_change(node: Campaign | AdSet | Ad, target: int | str, jitter_ms: int, change_id: UUID) -> NewChange:
    ad_set = node.ad_set if isinstance(node, Ad) else node if isinstance(node, AdSet) else None
    campaign = ad_set.campaign if ad_set else node
    field = Field.DAILY_BUDGET if isinstance(target, int) else Field.STATUS
    expected = getattr(node, field.value)
    assert expected is not None
    return NewChange(
        change_id=change_id,
        decision_id=change_id,
        decision_day=START,
        kind={Campaign: EntityKind.CAMPAIGN, AdSet: EntityKind.AD_SET, Ad: EntityKind.AD}[type(node)],
        entity_id=node.id,
        campaign_id=campaign.id,
        ad_set_id=ad_set.id if ad_set else None,
        field=field,
        expected=expected,
        target=target,
        wanted=target if isinstance(target, int) else None,
        reason="a test wants it",
        clipped_by=(),
        fuzz_ppm=0,
        jitter_ms=jitter_ms,
    )


def digest(engine: Engine, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """A digest of every row of a database, table by table; the clock that tests move is none of it."""
    with transaction(engine, read_only=True) as connection:
        names = [name for name in connection.scalars(_TABLES) if name not in {*without, "simulated_clock"}]
        return {
            name: str(connection.scalar(text(f"select md5(string_agg(t::text, '|' order by t::text)) from {name} t")))
            for name in names
        }


# The loops of tests are decided by the rule that kills on little evidence, so that every guard has something to judge.
BLENDED = 'policy = "blended"\n'


@contextmanager
def loop_on(database_url: str, folder: Path, *, stand_ins: type[Sandbox] = Sandbox, **options: Any) -> Iterator[Loop]:
    """A loop at six in the morning (UTC 5:00) of a seeded world's first day; options as in WorldOptions."""
    with stand_ins.start(**{"seed": 3, "start": START, **options}) as sandbox:
        engine = open_engine(database_url)
        toml = f"{_HTTP}\n{account_table(sandbox.world, ACCOUNT)}".replace(
            "[accounts.main]\n", f"[accounts.main]\n{BLENDED}", 1
        )
        toml = toml.replace("[accounts.main.limits]\n", "[accounts.main.limits]\nmin_confidence = 0.60\n", 1)
        loop = Loop(sandbox=sandbox, engine=engine, database_url=database_url, folder=folder, toml=toml)
        loop.configure()
        loop.advance(hours=6)
        yield loop
        engine.dispose()


def fact(report: Report, key: str) -> Cell:
    """One figure of a report."""
    return next(one.value for one in report.facts if one.key == key)


def table(report: Report, key: str) -> Table:
    """One table of a report."""
    return next(one for one in report.tables if one.key == key)


def python_of_the_readme(file: str) -> str:
    """The module of that name that the README writes."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (module,) = [one for one in found if one.startswith(f'"""{file}')]
    return str(module)
