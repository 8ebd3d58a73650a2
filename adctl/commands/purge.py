"""Delete what is kept no longer: clicks and their keys past their window, old rejected rows, states of years ago."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, retention
from adctl.adapters.store.time_travel import KNOWN_FOR
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Fact, Kind, Report

_LABELS = {
    "matching_keys": "matching keys",
    "click_tracking": "clicks",
    "conversions": "conversions",
    "email_keys": "e-mail keys of clicks",
    "rejected_rows": "rejected rows",
    "earlier_rows": "rows as they were long ago",
}


def run(engine: Engine, profile: AccountProfile, *, clicks: timedelta, rejects: timedelta, dry_run: bool) -> Report:
    """`clicks` and `rejects` are the ages from which they go. Attributions stay; a second run deletes nothing."""
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        counts = retention.purge(
            connection,
            profile.account,
            clicks_since=now - clicks,
            rejects_since=now - rejects,
            earlier_since=now - KNOWN_FOR,
            dry_run=dry_run,
        )
    total = sum(counts.values())
    verb = "would be deleted" if dry_run else "deleted"
    return Report(
        command="purge",
        account=profile.account,
        dry_run=dry_run,
        summary=f"{counted(total, 'row')} {verb}." if total else "No changes.",
        facts=tuple(Fact(key=k, label=_LABELS[k], value=count, kind=Kind.COUNT) for k, count in counts.items()),
    )
