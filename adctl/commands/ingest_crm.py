"""Take CRM exports in, and tie every deal to the ad it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.ad_performances import read_ad_performances
from adctl.adapters.crm_export import read_crm_export
from adctl.adapters.db import transaction
from adctl.adapters.physical_lines import Source
from adctl.adapters.store import accounts, attributions, deals, revenue, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.attribution import Attribution, Method, attribute
from adctl.domain.deals import Deal
from adctl.domain.exports import CrmExport, StageNames
from adctl.domain.ids import AdId
from adctl.domain.mapping_report import mapping_table
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.domain.revenue import RevenueBook, StageValue, UnmappedStage, revenue_book


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmFile:
    """A file to take in: an export of deals, or the bulk shape of absolute values per ad."""

    source: Source
    is_performances: bool = False
    columns: Mapping[str, str] | None = None
    stage_names: StageNames | None = None


def run(
    engine: Engine,
    profile: AccountProfile,
    file: CrmFile | None,
    configured: Sequence[StageValue],
    *,
    as_of: datetime | None = None,
    window: timedelta = timedelta(days=7),
    dry_run: bool = False,
) -> Report:
    """Stores the file (all or nothing), then attributes every deal and values it at its current stage.

    Without a file it works on what sync-hubspot has read. The same again changes nothing. Exit code 3 when deals stand
    in stages without a value: they are named, and count as nothing until they are mapped.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = as_of or accounts.now(connection)
    export, performances = _read(profile, file, now)
    with transaction(engine, read_only=dry_run) as connection:
        written = 0
        if not dry_run:
            accounts.ensure(connection, profile)
            written = revenue.record_configured(connection, profile.account, configured, now)
            written += _store(connection, profile, export, performances, now)
        found = _attribute(connection, profile, window)
        known = attributions.known_ads(connection, profile.account)
        unknown = [ad_id for ad_id in performances if ad_id not in known]
        if not dry_run:
            written += attributions.upsert(connection, profile.account, found, now)
        book = revenue_book(
            _live(connection, profile, export if dry_run else None),
            revenue.stage_values(connection, profile.account, planned=configured if dry_run else (), at=now),
            at=now,
            currency=profile.currency,
        )
    return _report(profile, export, performances, unknown, found, book, written, dry_run=dry_run)


def _read(profile: AccountProfile, file: CrmFile | None, now: datetime) -> tuple[CrmExport | None, Mapping[AdId, int]]:
    if file is None:
        return None, {}
    if file.is_performances:
        return None, dict(read_ad_performances(file.source, profile.currency))
    export = read_crm_export(
        file.source,
        currency=profile.currency,
        as_of=now,
        zone=ZoneInfo(profile.timezone),
        stage_names=file.stage_names or StageNames(),
        overrides=file.columns,
    )
    return export, {}


def _store(
    connection: Connection,
    profile: AccountProfile,
    export: CrmExport | None,
    performances: Mapping[AdId, int],
    now: datetime,
) -> int:
    written = 0
    if export is not None:
        written += deals.upsert_deals(connection, profile.account, export.deals, source="file", read_at=now)
        written += deals.insert_moves(connection, profile.account, export.moves)
        runs.advance_watermark(connection, profile.account, "crm.file", now)
    if performances:
        written += attributions.upsert_performances(connection, profile.account, performances, now)
        runs.advance_watermark(connection, profile.account, "crm.file", now)
    return written


def _live(connection: Connection, profile: AccountProfile, unstored: CrmExport | None) -> Iterable[Deal]:
    """The deals that count; a dry run's file stands in the place of what it would replace."""
    found = {deal.deal_id: deal for deal in deals.live(connection, profile.account)}
    return {**found, **{deal.deal_id: deal for deal in unstored.deals}}.values() if unstored else found.values()


def _attribute(connection: Connection, profile: AccountProfile, window: timedelta) -> list[Attribution]:
    known = attributions.known_ads(connection, profile.account)
    touches = attributions.touches(connection, profile.account)
    return [
        attribute(lead, known_ads=known, touches=touches, window=window)
        for lead in attributions.leads(connection, profile.account)
    ]


def _report(
    profile: AccountProfile,
    export: CrmExport | None,
    performances: Mapping[AdId, int],
    unknown: Sequence[AdId],
    found: Sequence[Attribution],
    book: RevenueBook,
    written: int,
    *,
    dry_run: bool,
) -> Report:
    methods = Counter(a.method for a in found)
    unmapped = Counter((p.pipeline, p.stage) for p in book.problems if isinstance(p, UnmappedStage))
    foreign = len(book.problems) - sum(unmapped.values())
    unattributed = methods[Method.NONE] / len(found) if found else 0.0
    facts = [
        Fact(key="rows", label="rows read", value=export.totals.rows if export else len(performances), kind=Kind.COUNT),
        Fact(key="deals", label="deals", value=len(found), kind=Kind.COUNT),
        *(Fact(key=m.value, label=m.value, value=methods[m], kind=Kind.COUNT) for m in Method if methods[m]),
        Fact(key="unattributed", label="unattributed share", value=round(unattributed, 4), kind=Kind.PERCENT),
        Fact(key="synthetic", label="synthetic revenue", value=sum(r.value for r in book.revenues), kind=Kind.MONEY),
        Fact(key="won", label="of it won", value=sum(r.cash for r in book.revenues), kind=Kind.MONEY),
        Fact(key="written", label="rows written", value=written, kind=Kind.COUNT),
    ]
    if performances:
        facts.append(Fact(key="unknown_ads", label="ads not known", value=len(unknown), kind=Kind.COUNT))
    if export:
        facts.append(Fact(key="file_won", label="won in the file", value=export.totals.won_value, kind=Kind.MONEY))
    notes = list(export.notes) if export else []
    if foreign:
        notes.append(f"{foreign} won deals are in another currency than {profile.currency} and count as nothing.")
    if unknown:
        notes.append(f"{len(unknown)} ads of the file are not known: run adctl sync-meta.")
    return Report(
        command="ingest-crm",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(len(found), written, len(unmapped), dry_run=dry_run),
        facts=tuple(facts),
        tables=(*_file_tables(export), _unmapped_table(unmapped), *_unknown_ads(unknown)),
        notes=tuple(notes),
        exit_code=3 if unmapped or foreign else 0,
    )


def _file_tables(export: CrmExport | None) -> tuple[Table, ...]:
    if export is None:
        return ()
    stages = Table(
        key="stages",
        title="Stages in the file",
        columns=(
            Column(key="pipeline", label="pipeline"),
            Column(key="stage", label="stage"),
            Column(key="outcome", label="outcome"),
            Column(key="deals", label="deals", kind=Kind.COUNT),
            Column(key="value", label="amounts", kind=Kind.MONEY),
        ),
        rows=tuple(
            {
                "pipeline": s.pipeline,
                "stage": s.stage,
                "outcome": s.outcome.value,
                "deals": s.deals,
                "value": s.value,
            }
            for s in export.totals.stages
        ),
    )
    return stages, mapping_table(export.mapping)


def _unmapped_table(unmapped: Counter[tuple[str, str]]) -> Table:
    return Table(
        key="unmapped_stages",
        title="Stages without a value",
        columns=(
            Column(key="pipeline", label="pipeline"),
            Column(key="stage", label="stage"),
            Column(key="deals", label="deals", kind=Kind.COUNT),
        ),
        rows=tuple({"pipeline": p, "stage": s, "deals": n} for (p, s), n in sorted(unmapped.items())),
        empty="Every stage has a value.",
    )


def _unknown_ads(unknown: Sequence[AdId]) -> tuple[Table, ...]:
    if not unknown:
        return ()
    columns = (Column(key="ad_id", label="ad"),)
    rows = tuple({"ad_id": ad_id} for ad_id in unknown)
    return (Table(key="unknown_ads", title="Ads that are not known", columns=columns, rows=rows, shown=10),)


def _summary(count: int, written: int, unmapped: int, *, dry_run: bool) -> str:
    trouble = f" {unmapped} stages have no value: add them to adctl.toml." if unmapped else ""
    if dry_run:
        return f"{count} deals stored; nothing written.{trouble}"
    changes = f"{written} rows new or changed." if written else "No changes."
    return f"{count} deals attributed. {changes}{trouble}"
