"""The rows of files that were set aside: list them, drop them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, rejects
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.errors import UsageError


def waiting(engine: Engine, profile: AccountProfile) -> Report:
    """Every row that is neither loaded nor dropped, oldest first."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        found = rejects.waiting(connection, profile.account)
    return Report(
        command="rejects list",
        account=profile.account,
        summary=f"{counted(len(found), 'row')} set aside." if found else "No row is set aside.",
        facts=(Fact(key="rejects", label="rejected rows", value=len(found), kind=Kind.COUNT),),
        tables=(_table(found),),
    )


def drop(engine: Engine, profile: AccountProfile, ids: Sequence[int], *, everything: bool, dry_run: bool) -> Report:
    """Closes the rows for good. Raises UsageError for an id that does not wait."""
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        open_ids = [one.reject_id for one in rejects.waiting(connection, profile.account)]
        chosen = open_ids if everything else list(ids)
        unknown = sorted(set(chosen) - set(open_ids))
        if unknown:
            raise UsageError(f"no row {unknown[0]} is set aside", fix="adctl rejects list")
        count = len(chosen)
        if not dry_run:
            count = rejects.settle(connection, profile.account, chosen, "dropped", accounts.now(connection))
    return Report(
        command="rejects drop",
        account=profile.account,
        dry_run=dry_run,
        summary=f"{counted(count, 'row')} dropped." if count else "No changes.",
        facts=(Fact(key="dropped", label="dropped", value=count, kind=Kind.COUNT),),
    )


def _table(found: Sequence[rejects.Reject]) -> Table:
    return Table(
        key="rejects",
        title="Rejected rows",
        columns=(
            Column(key="id", label="id", kind=Kind.COUNT),
            Column(key="kind", label="kind"),
            Column(key="file", label="file"),
            Column(key="line", label="line", kind=Kind.COUNT),
            Column(key="column", label="column"),
            Column(key="reason", label="reason"),
            Column(key="rejected_at", label="since", kind=Kind.TIME),
        ),
        rows=tuple(
            {
                "id": one.reject_id,
                "kind": one.kind,
                "file": one.file_name,
                "line": one.line,
                "column": one.column_name,
                "reason": one.reason,
                "rejected_at": one.rejected_at,
            }
            for one in found
        ),
        empty="No row is set aside.",
    )
