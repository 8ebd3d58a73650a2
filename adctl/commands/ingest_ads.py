"""Take an Ads Manager export in: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.ads_export import read_ads_export
from adctl.adapters.db import transaction
from adctl.adapters.physical_lines import Source
from adctl.adapters.store import accounts, entities, insights, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.entities import Ad, AdSet, Campaign
from adctl.domain.exports import AdsExport
from adctl.domain.mapping_report import mapping_table
from adctl.domain.report import Fact, Kind, Report
from adctl.errors import InputRejectedError

# A file says nothing of status: decisions treat such an ad as running, and none is sent before sync-meta has seen it.
_UNKNOWN = "UNKNOWN"


def run(
    engine: Engine,
    profile: AccountProfile,
    source: Source,
    *,
    as_of: date | None = None,
    columns: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Report:
    """Stores the file's readings in one transaction; the same file again changes nothing.

    A file without dates is a reading of the account day `as_of` (today when not given). Raises InputRejectedError
    naming line and column with nothing written, also when the file covers days that are stored otherwise.
    """
    with transaction(engine, read_only=dry_run) as connection:
        now = accounts.now(connection)
        accounts.check_pinned(connection, profile)
    today = as_of or now.astimezone(ZoneInfo(profile.timezone)).date()
    export = read_ads_export(source, currency=profile.currency, as_of=today, overrides=columns)
    with transaction(engine, read_only=dry_run) as connection:
        _refuse_counting_twice(connection, profile, export)
        written = 0 if dry_run else _store(connection, profile, export)
    return _report(profile, export, today, written, dry_run=dry_run)


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


def _report(profile: AccountProfile, export: AdsExport, today: date, written: int, *, dry_run: bool) -> Report:
    totals = export.totals
    counts = (
        ("rows", "rows read", totals.rows),
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
    return Report(
        command="ingest-ads",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(totals.rows, written, dry_run=dry_run),
        facts=(
            *(Fact(key=key, label=label, value=value, kind=Kind.COUNT) for key, label, value in counts),
            Fact(key="spend", label="spend", value=totals.spend, kind=Kind.MONEY),
        ),
        tables=(mapping_table(export.mapping),),
        notes=tuple(notes),
    )


def _summary(rows: int, written: int, *, dry_run: bool) -> str:
    if dry_run:
        return f"{rows} rows are good; nothing written."
    return f"{rows} rows read, {written} new or changed." if written else f"{rows} rows read. No changes."
