"""Asynchronous reports that Meta is making, and until when Meta wants to be left alone: both outlive a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from adctl.adapters.store.accounts import now
from adctl.domain.ids import Account
from adctl.domain.insights import InsightPart


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReport:
    """A part of a range that is to be read; without `report_run_id` nobody has asked Meta for it yet."""

    part: InsightPart
    wanted_at: datetime
    report_run_id: str | None = None
    requested_at: datetime | None = None


def pending(connection: Connection, account: Account) -> tuple[PendingReport, ...]:
    """What is left to read, oldest days first."""
    rows = connection.execute(
        text(
            """
            select since, until, nullif(campaign_id, '') as campaign_id, wanted_at, report_run_id, requested_at
            from insight_reports where account = :account order by since, until, campaign_id
            """
        ),
        {"account": account},
    )
    return tuple(
        PendingReport(
            part=InsightPart(since=row.since, until=row.until, campaign_id=row.campaign_id),
            wanted_at=row.wanted_at,
            report_run_id=row.report_run_id,
            requested_at=row.requested_at,
        )
        for row in rows
    )


def want(connection: Connection, account: Account, parts: Sequence[InsightPart], wanted_at: datetime) -> None:
    """Adds parts that a run wants to read."""
    for part in parts:
        connection.execute(
            text(
                """
                insert into insight_reports (account, since, until, campaign_id, wanted_at)
                values (:account, :since, :until, :campaign_id, :wanted_at)
                """
            ),
            {**_key(account, part), "wanted_at": wanted_at},
        )


def requested(connection: Connection, account: Account, part: InsightPart, report_run_id: str, at: datetime) -> None:
    """Keeps the report's id, so that the next run asks for it instead of starting another."""
    connection.execute(
        text(
            """
            update insight_reports set report_run_id = :report_run_id, requested_at = :at
            where (account, since, until, campaign_id) = (:account, :since, :until, :campaign_id)
            """
        ),
        {**_key(account, part), "report_run_id": report_run_id, "at": at},
    )


def done(connection: Connection, account: Account, part: InsightPart) -> None:
    """Forgets a part: it was read, or smaller ones take its place."""
    connection.execute(
        text(
            """
            delete from insight_reports
            where (account, since, until, campaign_id) = (:account, :since, :until, :campaign_id)
            """
        ),
        _key(account, part),
    )


def drop(connection: Connection, account: Account, wanted_before: datetime) -> None:
    """Forgets what was wanted so long ago that it is better read anew."""
    connection.execute(
        text("delete from insight_reports where account = :account and wanted_at < :before"),
        {"account": account, "before": wanted_before},
    )


def note_waits(connection: Connection, account: Account, waits: Mapping[str, int]) -> None:
    """Keeps for how many seconds from now each use case must rest; an account not yet known has nothing to keep."""
    at = now(connection)
    for use_case, seconds in waits.items():
        connection.execute(
            text(
                """
                insert into meta_waits (account, use_case, not_before, noted_at)
                select a.account, :use_case, :not_before, :at from accounts a where a.account = :account
                on conflict (account, use_case) do update
                  set not_before = excluded.not_before, noted_at = excluded.noted_at
                """
            ),
            {
                "account": account,
                "use_case": use_case,
                "not_before": at + timedelta(seconds=seconds),
                "at": at,
            },
        )


def waits(connection: Connection, account: Account) -> dict[str, datetime]:
    """Use case -> when Meta may be asked again; only those that must still wait."""
    rows = connection.execute(
        text(
            """
            select use_case, not_before from meta_waits
            where account = :account and not_before > adctl_now() order by not_before
            """
        ),
        {"account": account},
    )
    return {row.use_case: row.not_before for row in rows}


def _key(account: Account, part: InsightPart) -> dict[str, object]:
    return {
        "account": account,
        "since": part.since,
        "until": part.until,
        "campaign_id": part.campaign_id or "",
    }
