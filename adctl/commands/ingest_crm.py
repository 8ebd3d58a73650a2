"""Take CRM exports, clicks and conversions in, and tie every deal to the ad it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from adctl.adapters.crm_intake import CrmFile, Files, Intake, opened
from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, matching, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.attribution import Agreement, Attribution, Method, attribute, outlives_its_click
from adctl.domain.deals import Deal
from adctl.domain.exports import CrmExport
from adctl.domain.ids import AdId
from adctl.domain.mapping_report import mapping_table, rejects_table
from adctl.domain.matching import ClickPool, Layers
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import RevenueBook, StageValue, UnmappedStage, revenue_book

__all__ = ["CrmFile", "Files", "Switches", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Which layers of attribution stand behind that of the ids."""

    fingerprint: bool = True
    probabilistic: bool = True

    def methods(self) -> frozenset[Method]:
        """The layers in force; that of the ids always is."""
        later = {Method.FINGERPRINT: self.fingerprint, Method.PROBABILISTIC: self.probabilistic}
        return frozenset({Method.URL_PARAM, *(method for method, on in later.items() if on)})


@dataclass(slots=True, kw_only=True)
class _Ties:
    """Every deal's attribution, and how far each later layer can be believed."""

    found: list[Attribution] = field(default_factory=list)
    agreements: dict[Method, Agreement] = field(
        default_factory=lambda: {Method.FINGERPRINT: Agreement(), Method.PROBABILISTIC: Agreement()}
    )


_BOTH = Switches()


def run(
    engine: Engine,
    profile: AccountProfile,
    file: CrmFile | None,
    configured: Sequence[StageValue],
    *,
    files: Files | None = None,
    switches: Switches = _BOTH,
    as_of: datetime | None = None,
    window: timedelta = timedelta(days=7),
    dry_run: bool = False,
) -> Report:
    """Stores the files (all or nothing), then attributes every deal and values it at its current stage.

    `file` stands for the deals of `files`. Without any it works on what sync-hubspot has read. The same again changes
    nothing. Exit code 3 when rows were set aside, and when deals stand in stages without a value: they are named, and
    count as nothing until they are mapped. Raises InputRejectedError with nothing written.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = as_of or accounts.now(connection)
    given = files or Files()
    with opened(replace(given, deals=file or given.deals)) as ready:
        intake = Intake(files=ready, profile=profile, now=now)
        with intake.deals_opened(), transaction(engine, read_only=dry_run) as connection:
            written = _stored(connection, intake, configured, dry_run=dry_run)
            ties = _tied(connection, profile, window, switches)
            known = attributions.known_ads(connection, profile.account)
            unknown = [ad_id for ad_id in intake.performances if ad_id not in known]
            if not dry_run:
                written += attributions.upsert(connection, profile.account, ties.found, now)
            book = revenue_book(
                _live(connection, profile, intake.export if dry_run else None),
                revenue.stage_values(connection, profile.account, planned=configured if dry_run else (), at=now),
                at=now,
                currency=profile.currency,
            )
    return _report(intake, unknown, ties, book, written, dry_run=dry_run)


def _stored(connection: Connection, intake: Intake, configured: Sequence[StageValue], *, dry_run: bool) -> int:
    if dry_run:
        intake.check()
        return 0
    accounts.ensure(connection, intake.profile)
    written = revenue.record_configured(connection, intake.profile.account, configured, intake.now)
    return written + intake.store(connection)


def _live(connection: Connection, profile: AccountProfile, unstored: CrmExport | None) -> Iterable[Deal]:
    """The deals that count; a dry run's file stands in the place of what it would replace."""
    found = deals.live(connection, profile.account)
    if unstored is None:
        return found
    return {deal.deal_id: deal for deal in (*found, *unstored.deals)}.values()


def _tied(connection: Connection, profile: AccountProfile, window: timedelta, switches: Switches) -> _Ties:
    account = profile.account
    known, touches = attributions.known_ads(connection, account), attributions.touches(connection, account)
    layers = Layers(
        pool=ClickPool(matching.clicks(connection, account)),
        fingerprint=switches.fingerprint,
        probabilistic=switches.probabilistic,
    )
    stored = attributions.by_click(connection, account)
    ties = _Ties()
    for lead in attributions.leads(connection, account):
        # Only a conversion that was seen has something for the later layers.
        asked = layers if lead.conversion else None
        found = attribute(lead, known_ads=known, touches=touches, window=window, layers=asked)
        before = stored.get(lead.deal_id)
        if before is not None and outlives_its_click(before, found, switches.methods()):
            found = before
        ties.found.append(found)
        for name, verdict in layers.verdicts(lead.conversion, window).items() if lead.conversion else ():
            ties.agreements[Method(name)].see(found, verdict)
    return ties


def _report(
    intake: Intake, unknown: Sequence[AdId], ties: _Ties, book: RevenueBook, written: int, *, dry_run: bool
) -> Report:
    profile = intake.profile
    unmapped = Counter((p.pipeline, p.stage) for p in book.problems if isinstance(p, UnmappedStage))
    foreign = len(book.problems) - sum(unmapped.values())
    notes = list(intake.notes)
    if foreign:
        notes.append(f"{foreign} won deals are in another currency than {profile.currency} and count as nothing.")
    if unknown:
        notes.append(f"{len(unknown)} ads of the file are not known: run adctl sync-meta.")
    if intake.rejected and not dry_run:
        notes.append(f"{intake.rejected} rows were set aside: adctl rejects list")
    return Report(
        command="ingest-crm",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(ties, written, len(unmapped), intake.rejected, dry_run=dry_run),
        facts=(*_read_facts(intake), *_tie_facts(ties), *_money_facts(intake, unknown, book, written)),
        tables=(
            *_file_tables(intake.export),
            _unmapped_table(unmapped),
            *_layers_table(ties),
            *_unknown_ads(unknown),
            *_rejected_table(intake),
        ),
        notes=tuple(notes),
        exit_code=3 if unmapped or foreign or intake.rejected else 0,
    )


def _read_facts(intake: Intake) -> tuple[Fact, ...]:
    sightings = [(kind, intake.accepted[kind]) for kind in ("clicks", "conversions") if kind in intake.accepted]
    return (
        Fact(key="rows", label="rows read", value=intake.read, kind=Kind.COUNT),
        *(
            (
                Fact(key="accepted", label="accepted", value=intake.read - intake.rejected, kind=Kind.COUNT),
                Fact(key="rejected", label="rejected", value=intake.rejected, kind=Kind.COUNT),
            )
            if intake.rejected
            else ()
        ),
        *(Fact(key=kind, label=kind, value=count, kind=Kind.COUNT) for kind, count in sightings),
    )


def _tie_facts(ties: _Ties) -> tuple[Fact, ...]:
    methods, count = Counter(a.method for a in ties.found), len(ties.found)
    unattributed = methods[Method.NONE] / count if count else 0.0
    return (
        Fact(key="deals", label="deals", value=count, kind=Kind.COUNT),
        *(Fact(key=m.value, label=m.value, value=methods[m], kind=Kind.COUNT) for m in Method if methods[m]),
        Fact(key="unattributed", label="unattributed share", value=round(unattributed, 4), kind=Kind.PERCENT),
    )


def _money_facts(intake: Intake, unknown: Sequence[AdId], book: RevenueBook, written: int) -> tuple[Fact, ...]:
    facts = [
        Fact(key="synthetic", label="synthetic revenue", value=sum(r.value for r in book.revenues), kind=Kind.MONEY),
        Fact(key="won", label="of it won", value=sum(r.cash for r in book.revenues), kind=Kind.MONEY),
        Fact(key="written", label="rows written", value=written, kind=Kind.COUNT),
    ]
    if intake.performances:
        facts.append(Fact(key="unknown_ads", label="ads not known", value=len(unknown), kind=Kind.COUNT))
    if intake.export:
        won = intake.export.totals.won_value
        facts.append(Fact(key="file_won", label="won in the file", value=won, kind=Kind.MONEY))
    return tuple(facts)


def _layers_table(ties: _Ties) -> tuple[Table, ...]:
    """How often a later layer, asked where the first one proved an ad, names the same one."""
    if not any(agreement.both for agreement in ties.agreements.values()):
        return ()
    columns = (
        Column(key="layer", label="layer"),
        Column(key="both", label="beside url_param", kind=Kind.COUNT),
        Column(key="agree", label="same ad", kind=Kind.COUNT),
        Column(key="precision", label="precision", kind=Kind.PERCENT),
    )
    rows = tuple(
        {"layer": method.value, "both": seen.both, "agree": seen.agree, "precision": seen.precision}
        for method, seen in ties.agreements.items()
    )
    return (Table(key="layers", title="Layers measured", columns=columns, rows=rows),)


def _rejected_table(intake: Intake) -> tuple[Table, ...]:
    rows: tuple[dict[str, Cell], ...] = tuple(
        {"kind": kind, "line": row.line, "column": row.column, "reason": row.reason}
        for kind, quarantine in intake.quarantines.items()
        for row in quarantine.presentable(intake.files.privacy)
    )
    return (rejects_table(rows),) if rows else ()


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


def _summary(ties: _Ties, written: int, unmapped: int, rejected: int, *, dry_run: bool) -> str:
    trouble = f" {unmapped} stages have no value: add them to adctl.toml." if unmapped else ""
    trouble = (f" {rejected} rows rejected." if rejected else "") + trouble
    if dry_run:
        return f"{len(ties.found)} deals stored; nothing written.{trouble}"
    credited = sum(one.ad_id is not None for one in ties.found)
    changes = f"{written} rows new or changed." if written else "No changes."
    return f"{credited} of {len(ties.found)} deals credited to an ad. {changes}{trouble}"
