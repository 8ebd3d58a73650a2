"""Take an Ads Manager export in: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.files.ads_export import read_ads_export
from adctl.adapters.files.opened_files import Limits, Source, rereadable
from adctl.adapters.store import accounts, entities, insights, rejects, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.entities import Ad, AdSet, Campaign
from adctl.domain.exports import AdsExport
from adctl.domain.mapping_report import mapping_table, rejects_table
from adctl.domain.rejects import KeptRows, Quarantine
from adctl.domain.report import Cell, Fact, Kind, Report
from adctl.errors import InputRejectedError

# A file says nothing of status: decisions treat such an ad as running, and none is sent before sync-meta has seen it.
_UNKNOWN = "UNKNOWN"


def run(
    engine: Engine,
    profile: AccountProfile,
    source: Source | KeptRows,
    *,
    as_of: date | None = None,
    columns: Mapping[str, str] | None = None,
    max_rejects: int = 0,
    limits: Limits | None = None,
    run_id: UUID | None = None,
    dry_run: bool = False,
) -> Report:
    """Stores the file's readings in one transaction; the same file again changes nothing.

    A file without dates is a reading of the account day `as_of` (today when not given). Up to `max_rejects` bad rows
    are set aside, and the exit code is 3. Raises InputRejectedError naming line and column with nothing written, also
    when the file covers days that are stored otherwise.
    """
    quarantine, bounds = Quarantine(max_rejects), limits or Limits()
    with transaction(engine, read_only=dry_run) as connection:
        now = accounts.now(connection)
        accounts.check_pinned(connection, profile)
    today = profile.day(now, as_of)
    with nullcontext(source) if isinstance(source, KeptRows) else rereadable(source, bounds) as file:
        export = read_ads_export(
            file,
            currency=profile.currency,
            as_of=today,
            overrides=columns,
            limits=bounds,
            quarantine=quarantine,
        )
        with transaction(engine, read_only=dry_run) as connection:
            _refuse_counting_twice(connection, profile, export)
            written = 0 if dry_run else _store(connection, profile, export)
            if not dry_run:
                origin = rejects.Origin(kind="ads", source=file, run_id=run_id, day=today)
                written += rejects.keep(connection, profile.account, quarantine, origin, privacy=None, at=now)
    return _report(profile, export, quarantine, today, written, dry_run=dry_run)


def _refuse_counting_twice(connection: Connection, profile: AccountProfile, export: AdsExport) -> None:
    clash = insights.overlapping(connection, profile.account, export.insights)
    if clash:
        ad_id, first_day, day = clash
        raise InputRejectedError(
            f"ad {ad_id} is already stored for {first_day} to {day}, and this file covers some of these days otherwise",
            fix="they would count twice: export the same periods as before, or give another --as-of",
        )


def _store(connection: Connection, profile: AccountProfile, export: AdsExport) -> int:
    accounts.ensure(connection, profile)
    now = accounts.now(connection)
    added = entities.add_missing(
        connection,
        profile.account,
        campaigns=[
            Campaign(
                campaign_id=c.campaign_id,
                name=c.name or c.campaign_id,
                status=_UNKNOWN,
                effective_status=_UNKNOWN,
            )
            for c in export.campaigns
        ],
        ad_sets=[
            AdSet(
                ad_set_id=a.ad_set_id,
                campaign_id=a.campaign_id,
                name=a.name or a.ad_set_id,
                status=_UNKNOWN,
                effective_status=_UNKNOWN,
            )
            for a in export.ad_sets
        ],
        ads=[
            Ad(
                ad_id=a.ad_id,
                ad_set_id=a.ad_set_id,
                campaign_id=a.campaign_id,
                name=a.name or a.ad_id,
                status=_UNKNOWN,
                effective_status=_UNKNOWN,
            )
            for a in export.ads
        ],
        read_at=now,
    )
    written = added + insights.upsert(connection, profile.account, export.insights, now)
    runs.advance_watermark(connection, profile.account, "meta.insights", now)
    return written


def _report(
    profile: AccountProfile, export: AdsExport, quarantine: Quarantine, today: date, written: int, *, dry_run: bool
) -> Report:
    totals = export.totals
    rejected = tuple(_rejected(quarantine))
    counts = (
        ("rows", "rows read", totals.rows + len(rejected)),
        *((("accepted", "accepted", totals.rows), ("rejected", "rejected", len(rejected))) if rejected else ()),
        ("ads", "ads", len(export.ads)),
        ("ad_sets", "ad sets", len(export.ad_sets)),
        ("campaigns", "campaigns", len(export.campaigns)),
        ("impressions", "impressions", totals.impressions),
        ("clicks", "clicks", totals.clicks),
        ("leads", "leads", totals.leads),
        ("purchases", "purchases", totals.purchases),
        ("written", "rows written", written),
    )
    notes = list(export.notes)
    if not export.dated:
        notes.append(f"The file has no dates: every row is a reading of {today}.")
    if export.total_checked:
        notes.append("The file's own total equals the sum of its rows.")
    if rejected and not dry_run:
        notes.append(f"{counted(len(rejected), 'row')} set aside: adctl rejects list")
    return Report(
        command="ingest-ads",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(totals.rows, len(rejected), written, dry_run=dry_run),
        facts=(
            *(Fact(key=key, label=label, value=value, kind=Kind.COUNT) for key, label, value in counts),
            Fact(key="spend", label="spend", value=totals.spend, kind=Kind.MONEY),
        ),
        tables=(mapping_table(export.mapping), *((rejects_table(rejected),) if rejected else ())),
        notes=tuple(notes),
        exit_code=3 if rejected else 0,
    )


def _rejected(quarantine: Quarantine) -> Iterator[Mapping[str, Cell]]:
    for row in quarantine.presentable(None):
        yield {"kind": "ads", "line": row.line, "column": row.column, "reason": row.reason}


def _summary(rows: int, rejected: int, written: int, *, dry_run: bool) -> str:
    bad = f" {counted(rejected, 'row')} rejected." if rejected else ""
    if dry_run:
        return f"{counted(rows, 'good row')}; nothing written.{bad}"
    told = f", {written:,} new or changed" if written else ". No changes"
    return f"{counted(rows, 'row')} read{told}.{bad}"
