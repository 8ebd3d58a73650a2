"""Tell monitoring how the loop stands: jobs, freshness, the queue and the money in play, of every account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, changes, exposure, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import State
from adctl.domain.metrics import Gauge

_DAY = timedelta(hours=24)
_STARTED = "adctl_job_last_start_timestamp_seconds"
_SUCCEEDED = "adctl_job_last_success_timestamp_seconds"
_EXIT = "adctl_job_last_exit_code"
_CRASHED = "adctl_job_crashed"
_READ = "adctl_source_read_until_timestamp_seconds"
_CHANGES = "adctl_changes"
_OLDEST = "adctl_changes_oldest_timestamp_seconds"
_BUDGET = "adctl_daily_budget_minor_units"
_RAISED = "adctl_raised_24h_minor_units"
_CAP = "adctl_raise_cap_24h_minor_units"
_HALTED = "adctl_halted"

_SAYS = {
    _STARTED: "When the newest run of a job began.",
    _SUCCEEDED: "When the newest run of a job that ended with 0 began.",
    _EXIT: "Exit code of the newest run that has ended.",
    _CRASHED: "1 when the newest run died without an end.",
    _READ: "How far a source has been read.",
    _CHANGES: "Changes of the queue by state.",
    _OLDEST: "When the change that has been in its state for longest came into it; open states only.",
    _BUDGET: "Sum of all daily budgets in force.",
    _RAISED: "Raises authorised in the last 24 hours.",
    _CAP: "Most that may be raised in 24 hours; missing: not set, nothing is sent.",
    _HALTED: "1 when sending is halted.",
}


def run(engine: Engine, watched: Sequence[tuple[AccountProfile, int | None]]) -> tuple[Gauge, ...]:
    """The figures of every account, each with its cap on raises in minor units. Reads only."""
    gauges = {name: Gauge(name=name, says=says) for name, says in _SAYS.items()}
    with transaction(engine, read_only=True) as connection:
        now = accounts.now(connection)
        for profile, cap in watched:
            _jobs(connection, profile, gauges)
            _queue(connection, profile, gauges)
            _money(connection, profile, cap, now, gauges)
    return tuple(gauges.values())


def _jobs(connection: Connection, profile: AccountProfile, gauges: Mapping[str, Gauge]) -> None:
    account = profile.account
    for run_ in runs.last_runs(connection, account):
        gauges[_STARTED].add(run_.started_at.timestamp(), account=account, job=run_.job)
        gauges[_CRASHED].add(run_.exit_code is None and not run_.alive, account=account, job=run_.job)
        if run_.exit_code is not None:
            gauges[_EXIT].add(run_.exit_code, account=account, job=run_.job)
    for job, at in runs.last_successes(connection, account).items():
        gauges[_SUCCEEDED].add(at.timestamp(), account=account, job=job)
    for source, until in runs.watermarks(connection, account).items():
        gauges[_READ].add(until.timestamp(), account=account, source=source)


def _queue(connection: Connection, profile: AccountProfile, gauges: Mapping[str, Gauge]) -> None:
    counts = changes.counts(connection, profile.account)
    for state in State:
        gauges[_CHANGES].add(counts.get(state.value, 0), account=profile.account, state=state.value)
    for state_name, since in changes.oldest_open(connection, profile.account).items():
        gauges[_OLDEST].add(since.timestamp(), account=profile.account, state=state_name)


def _money(
    connection: Connection, profile: AccountProfile, cap: int | None, now: datetime, gauges: Mapping[str, Gauge]
) -> None:
    account, currency = profile.account, profile.currency
    gauges[_BUDGET].add(exposure.daily_budget(connection, account), account=account, currency=currency)
    gauges[_RAISED].add(exposure.raised_since(connection, account, now - _DAY), account=account, currency=currency)
    if cap is not None:
        gauges[_CAP].add(cap, account=account, currency=currency)
    gauges[_HALTED].add(exposure.halt(connection, account) is not None, account=account)
