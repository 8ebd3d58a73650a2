"""Measures `decide` from PostgreSQL to decisions written: where the time goes, rows read a second, peak memory.

`python -m tests.bench.decide_million [--scale 1] [--policy bayes]` from the checkout. At scale 1 an account has
1,000,000 ads with 30 days of daily rows and 5,000,000 deals with their stage moves, on an embedded server of its own
(some 20 GB of disk for as long as it runs). The command runs in a process of its own, so that its peak memory is its
own; what it calls is timed, nothing else about it is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from adctl.adapters import migrations
from adctl.adapters.db import open_engine, transaction
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.adapters.store import accounts, decisions, history, revenue
from adctl.commands import decide
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Outcome
from adctl.domain.ids import Account
from adctl.domain.policies.catalogue import make_policy
from adctl.domain.policies.protocol import AdHistory, Policy, PolicyResult
from adctl.domain.revenue import StageValue

_ADS = 1_000_000
_DAYS = 30
_DEALS = 5_000_000
_NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
_DAY = date(2026, 3, 31)
_PROFILE = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="UTC"
)
_STAGES = (("lead", 0, "open"), ("qualified", 9_000, "open"), ("won", 60_000, "won"), ("lost", 0, "lost"))
# Five ads an ad set, ten ad sets a campaign; figures vary by arithmetic, no seed is needed.
_FILL = (
    """
    insert into campaigns select 'main', 'c' || n, 'c', 'ACTIVE', 'ACTIVE', null, null, null, %(now)s
    from generate_series(0, (%(ads)s - 1) / 50) n
    """,
    """
    insert into ad_sets
    select 'main', (23840000000000000 + n)::text, 'c' || n / 10, 's', 'ACTIVE', 'ACTIVE', 2000 + n %% 997,
      null, null, null, %(now)s
    from generate_series(0, (%(ads)s - 1) / 5) n
    """,
    """
    insert into ads
    select 'main', (23850000000000000 + n)::text, (23840000000000000 + n / 5)::text,
      'c' || n / 50, null, 'a', 'ACTIVE', 'ACTIVE', %(now)s - interval '40 days', null, %(now)s
    from generate_series(0, %(ads)s - 1) n
    """,
    "alter table insights drop constraint insights_pkey",
    """
    insert into insights (account, ad_id, day, first_day, ad_set_id, campaign_id, impressions, clicks, link_clicks,
      spend, leads, purchases, purchase_value, windows, read_at)
    select 'main', (23850000000000000 + n)::text, d.day, d.day,
      (23840000000000000 + n / 5)::text, 'c' || n / 50, 500 + (n * 31 + d.k * 17) %% 900,
      (n * 7 + d.k) %% 23, (n * 7 + d.k) %% 23, 200 + (n * 13 + d.k * 29) %% 800, 0, 0, 0, '7d_click', %(now)s
    from (select k, %(day)s::date - k as day from generate_series(0, %(days)s - 1) k) d,
      generate_series(0, %(ads)s - 1) n
    """,
    "alter table insights add primary key (account, ad_id, day)",
    """
    insert into deals (account, deal_id, pipeline, stage, amount, currency, created_at, modified_at, source, read_at)
    select 'main', n::text, 'default', (array['lead', 'qualified', 'won', 'lost'])[1 + n %% 4],
      case when n %% 4 = 2 then 20000 + n %% 90000 end, 'USD', %(now)s - (n %% 29 + 1) * interval '1 day', %(now)s,
      'hubspot', %(now)s
    from generate_series(0, %(deals)s - 1) n
    """,
    "alter table attributions drop constraint attributions_pkey",
    "drop index attributions_by_ad",
    """
    insert into attributions
    select 'main', n::text, (23850000000000000 + n * 7919::bigint %% %(ads)s)::text, 'url_param', 1, '{}',
      %(now)s, %(now)s
    from generate_series(0, %(deals)s - 1) n
    """,
    "alter table attributions add primary key (account, deal_id)",
    "create index attributions_by_ad on attributions (account, ad_id)",
    "alter table stage_moves drop constraint stage_moves_pkey",
    """
    insert into stage_moves
    select 'main', n::text, %(now)s - (n %% 29 + 1) * interval '1 day' * (1 - s / 4.0), 'default',
      (array['lead', 'qualified', 'won', 'lost'])[1 + s]
    from generate_series(0, %(deals)s - 1) n, generate_series(0, 3) s
    where s <= n %% 4 and not (n %% 4 = 3 and s = 2)
    """,
    "alter table stage_moves add primary key (account, deal_id, at, pipeline, stage)",
    "insert into crm_stages select 'main', 'default', s, s, p, o, %(now)s"
    " from unnest(%(stages)s::text[], %(outcomes)s::text[]) with ordinality as t (s, o, p)",
)


def fill(url: str, scale: float) -> None:
    engine = open_engine(url)
    migrations.migrate(engine, migrations.available())
    with transaction(engine) as connection:
        accounts.simulate(connection, _NOW)
        accounts.ensure(connection, _PROFILE)
        values = [
            StageValue(
                pipeline="default",
                stage=stage,
                value=value,
                confidence=1,
                outcome=Outcome(outcome),
                effective_from=_NOW,
            )
            for stage, value, outcome in _STAGES
        ]
        revenue.record_configured(connection, _PROFILE.account, values, _NOW)
    engine.dispose()
    parameters = {
        "now": _NOW,
        "day": _DAY,
        "days": _DAYS,
        "ads": max(round(_ADS * scale), 50),
        "deals": max(round(_DEALS * scale), 50),
        "stages": [stage for stage, _, _ in _STAGES],
        "outcomes": [outcome for _, _, outcome in _STAGES],
    }
    with psycopg.connect(url, autocommit=True) as raw:
        # Without looking up every row's account, and with the indexes made at the end.
        raw.execute(
            "set maintenance_work_mem = '512MB'; set timezone = 'UTC'; set session_replication_role = 'replica'"
        )
        for table in ("insights", "stage_moves", "decisions"):
            raw.execute("select ensure_months(%s, '2026-02-01', '2026-04-01')", (table,))
        for statement in _FILL:
            began = time.monotonic()
            raw.execute(statement, parameters if "%" in statement else None)
            _say(f"  {time.monotonic() - began:8.1f} s  {' '.join(statement.split())[:60]}")
        raw.execute("vacuum analyze")


Spent = dict[str, tuple[float, float, float]]


class _Clock:
    """Seconds by the clock, of this process's CPU, and of the CPU of all processes of its server."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            self._postmaster = _stat(connection.info.backend_pid)[1]

    def read(self) -> tuple[float, float, float]:
        stats = [_stat(int(folder.name)) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        ticks = sum(
            own + (gone if pid == self._postmaster else 0)
            for pid, parent, own, gone in stats
            if self._postmaster in (pid, parent)
        )
        return time.monotonic(), time.process_time(), ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[int, int, int, int]:
    """A process, its parent, and the ticks of CPU that it and its children that are gone have used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return pid, 0, 0, 0
    return pid, int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def _timed(spent: Spent, clock: _Clock, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, with what the clock says of it."""

    def measured(*arguments: Any, **named: Any) -> Any:
        began = clock.read()
        try:
            return work(*arguments, **named)
        finally:
            took = [now - then for now, then in zip(clock.read(), began, strict=True)]
            spent[name] = took[0], took[1], took[2]

    return measured


class _Measured:
    """The policy, with the time it takes and how many rows and deals it was given."""

    def __init__(self, policy: Policy, spent: Spent, clock: _Clock, rows: list[int]) -> None:
        self.name, self.version, self.parameters = policy.name, policy.version, policy.parameters
        self._decide = _timed(spent, clock, "policy", policy.decide)
        self._rows = rows

    def decide(self, past: AdHistory) -> PolicyResult:
        self._rows += [len(past.row_ad), len(past.deal_ad)]
        found: PolicyResult = self._decide(past)
        return found


def measure(url: str, policy: str) -> None:
    """Runs the command once in this process and prints what it took as JSON."""
    spent: Spent = {}
    rows: list[int] = []
    clock = _Clock(url)
    for module, name, title in (
        (history, "daily_rows", "read daily rows"),
        (history, "deal_columns", "read deals and moves"),
        (decide, "account_history", "load in all"),
        (decide, "plan_decisions", "plan"),
        (decisions, "record", "write decisions"),
    ):
        setattr(module, name, _timed(spent, clock, title, getattr(module, name)))
    engine = open_engine(url)
    take = vars(decide)["policy_of"]
    vars(decide)["policy_of"] = lambda *told: _Measured(take(*told), spent, clock, rows)
    chosen = make_policy(policy, {})
    report = _timed(spent, clock, "whole command", decide.run)(engine, _PROFILE, chosen, run_id=uuid4())
    engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    document = {"spent": spent, "rows": rows[0], "deals": rows[1], "peak": peak, "summary": report.summary}
    _say(json.dumps(document))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--policy", default="bayes")
    parser.add_argument("--measure", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.policy)
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "server").attach() as running:
        with psycopg.connect(running.libpq_url("postgres"), autocommit=True) as connection:
            connection.execute("create database bench template template0")
        url = running.libpq_url("bench")
        fill(url, given.scale)
        line = [sys.executable, "-m", "tests.bench.decide_million", "--measure", url, "--policy", given.policy]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    _say(found["summary"])
    for name, (seconds, own, server) in found["spent"].items():
        _say(f"  {seconds:8.1f} s, CPU {own:7.1f} s, of the server {server:7.1f} s  {name}")
    seconds, own, server = found["spent"]["read daily rows"]
    _say(
        f"{found['rows']:,} daily rows, {found['rows'] / seconds:,.0f} a second, {found['rows'] / (own + server):,.0f} "
        f"a second of CPU; {found['deals']:,} deals"
    )
    _say(f"peak memory of the command: {found['peak']:,.0f} MiB")


if __name__ == "__main__":
    main()
