"""Rows of files that were set aside, until they are loaded after all or dropped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from adctl.adapters.files.opened_files import Source
from adctl.adapters.files.records import digest
from adctl.domain.columns import Habits
from adctl.domain.dates import DateOrder
from adctl.domain.ids import Account
from adctl.domain.numerals import PLAIN, NumeralStyle
from adctl.domain.privacy import PrivacyKeys
from adctl.domain.rejects import KeptRows, Quarantine, RejectedRow

Settled = Literal["loaded", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where rows come from. `day` is the account day of a file without dates, `kind` one of the table's."""

    kind: str
    source: Source | KeptRows
    run_id: UUID | None
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Which file the rows come from, and how the rest of it is written."""

    kind: str
    file_name: str
    file_digest: bytes
    context: Mapping[str, str | None]
    run_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row as it lies in the quarantine; `cells` are None when not even its columns are known."""

    reject_id: int
    kind: str
    file_name: str
    file_digest: bytes
    row_number: int
    line: int
    column_name: str
    reason: str
    cells: Mapping[str, str] | None
    context: Mapping[str, str | None]
    rejected_at: datetime


_INSERT = text(
    """
    insert into rejected_rows as t (account, kind, file_name, file_digest, row_number, line, column_name, reason, cells,
      email, context, run_id, rejected_at)
    values (:account, :kind, :file_name, :file_digest, :row_number, :line, :column_name, :reason,
      cast(:cells as jsonb), :email, cast(:context as jsonb), :run_id, :at)
    on conflict (account, kind, file_digest, row_number) do update
      set reason = excluded.reason, column_name = excluded.column_name, line = excluded.line, settled_at = null,
        settled_as = null, run_id = excluded.run_id, rejected_at = excluded.rejected_at
    where (t.reason, t.column_name, t.line) is distinct from (excluded.reason, excluded.column_name, excluded.line)
    """
)


def add(connection: Connection, account: Account, batch: Batch, rows: Sequence[RejectedRow], at: datetime) -> int:
    """Stores the rows, their cells already without personal data; the same file again adds nothing."""
    written = 0
    for row in rows:
        cells = json.dumps(dict(row.cells), sort_keys=True) if row.whole else None
        written += connection.execute(
            _INSERT,
            {
                "account": account,
                "kind": batch.kind,
                "file_name": batch.file_name,
                "file_digest": batch.file_digest,
                "row_number": row.number,
                "line": row.line,
                "column_name": row.column,
                "reason": row.reason,
                "cells": cells,
                "email": row.email,
                "context": json.dumps(batch.context, sort_keys=True),
                "run_id": batch.run_id,
                "at": at,
            },
        ).rowcount
    return written


def keep(
    connection: Connection,
    account: Account,
    quarantine: Quarantine,
    origin: Origin,
    *,
    privacy: PrivacyKeys | None,
    at: datetime,
) -> int:
    """Keeps what the quarantine took; rows of an earlier quarantine that it did not take again are settled."""
    if isinstance(origin.source, KeptRows):
        return settle(connection, account, origin.source.loaded(quarantine), "loaded", at)
    habits = quarantine.habits
    if not quarantine.rows or habits is None:
        return 0
    batch = Batch(
        kind=origin.kind,
        file_name="-" if not isinstance(origin.source, Path) else origin.source.name,
        file_digest=digest(origin.source),
        context={
            "decimal": habits.numerals.decimal,
            "group": habits.numerals.group,
            "typed": "yes" if habits.numerals.plain else None,
            "dates": habits.date_order,
            "day": origin.day.isoformat() if origin.day else None,
        },
        run_id=origin.run_id,
    )
    return add(connection, account, batch, quarantine.presentable(privacy), at)


def kept_rows(rejects: Sequence[Reject]) -> KeptRows:
    """Rows of one file, ready to be read again."""
    context = rejects[0].context
    typed = context["typed"] is not None
    numerals = PLAIN if typed else NumeralStyle(decimal=context["decimal"], group=context["group"])
    order = context["dates"]
    habits = Habits(numerals=numerals, date_order=DateOrder(order) if order else None, since_epoch=typed)
    return KeptRows(
        rejects[0].file_name, habits, [(one.reject_id, one.line, one.cells) for one in rejects if one.cells is not None]
    )


def waiting(connection: Connection, account: Account, kind: str | None = None) -> tuple[Reject, ...]:
    """The rows that nobody has settled, oldest first."""
    rows = connection.execute(
        text(
            """
            select reject_id, kind, file_name, file_digest, row_number, line, column_name, reason, cells, context,
              rejected_at
            from rejected_rows
            where account = :account and settled_at is null and (cast(:kind as text) is null or kind = :kind)
            order by reject_id
            """
        ),
        {"account": account, "kind": kind},
    )
    return tuple(Reject(**row._mapping) for row in rows)


def settle(connection: Connection, account: Account, ids: Sequence[int], how: Settled, at: datetime) -> int:
    """Closes the rows; returns how many were still open."""
    return connection.execute(
        text(
            """
            update rejected_rows set settled_at = :at, settled_as = :how
            where account = :account and reject_id = any(:ids) and settled_at is null
            """
        ),
        {"account": account, "ids": list(ids), "how": how, "at": at},
    ).rowcount
