"""Take CRM exports, clicks and conversions in, and tie every deal to the ad it came from."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from adctl.adapters.crm_intake import CrmFile, Files, Intake, opened
from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, revenue
from adctl.adapters.store.lead_blocks import AT_ONCE, LeadBlock, lead_blocks
from adctl.domain.accounts import AccountProfile
from adctl.domain.attribution import Agreement, Attribution, Lead, Method, attribute, outlives_its_click
from adctl.domain.counted import counted
from adctl.domain.exports import CrmExport
from adctl.domain.ids import AdId
from adctl.domain.mapping_report import mapping_table, rejects_table
from adctl.domain.matching import ClickPool, Layers
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import StageValue, Worth, taken_out_note, worth_together

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
    """How many deals each method tied to an ad, and how far each later layer can be believed."""

    methods: Counter[Method] = field(default_factory=Counter)
    agreements: dict[Method, Agreement] = field(
        default_factory=lambda: {Method.FINGERPRINT: Agreement(), Method.PROBABILISTIC: Agreement()}
    )

    @property
    def credited(self) -> int:
        return self.methods.total() - self.methods[Method.NONE]


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
    at_once: int = AT_ONCE,
    dry_run: bool = False,
) -> Report:
    """Stores the files (all or nothing), then attributes every deal and values it at its current stage.

    `file` stands for the deals of `files`. Without any it works on what sync-hubspot has read. Memory holds `at_once`
    deals with what ties them. The same again changes nothing. Exit code 3 when rows were set aside, and when deals
    stand in stages without a value: they are named, and count as nothing until they are mapped. Raises
    InputRejectedError with nothing written.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = as_of or accounts.now(connection)
    given = files or Files()
    with opened(replace(given, deals=file or given.deals)) as ready:
        intake = Intake(files=ready, profile=profile, now=now)
        with intake.deals_opened(), transaction(engine, read_only=dry_run) as connection:
            written = _stored(connection, intake, configured, dry_run=dry_run)
            gone = revenue.taken_out(connection, profile.account, configured, now)
            intake.notes += taken_out_note(gone, profile.currency)
            known = attributions.known_ads(connection, profile.account)
            unknown = [ad_id for ad_id in intake.performances if ad_id not in known]
            ties = _Ties()
            tied = _tied(connection, profile, known, window, switches, ties, at_once)
            if dry_run:
                deque(tied, maxlen=0)
            else:
                written += attributions.upsert(connection, profile.account, tied, now)
            worth = worth_together(
                (*deals.standing(connection, profile.account), *intake.planned),
                revenue.stage_values(connection, profile.account, planned=configured if dry_run else (), at=now),
                at=now,
                currency=profile.currency,
            )
    return _report(intake, unknown, ties, worth, written, dry_run=dry_run)


def _stored(connection: Connection, intake: Intake, configured: Sequence[StageValue], *, dry_run: bool) -> int:
    if dry_run:
        intake.check(connection)
        return 0
    accounts.ensure(connection, intake.profile)
    written = revenue.record_configured(connection, intake.profile.account, configured, intake.now)
    return written + intake.store(connection)


def _tied(
    connection: Connection,
    profile: AccountProfile,
    known: Set[AdId],
    window: timedelta,
    switches: Switches,
    ties: _Ties,
    at_once: int,
) -> Iterator[list[Attribution]]:
    """Every deal's attribution, in blocks; `ties` counts them."""
    for block in lead_blocks(connection, profile.account, at_once=at_once):
        layers = Layers(
            pool=ClickPool(block.clicks), fingerprint=switches.fingerprint, probabilistic=switches.probabilistic
        )
        found = [_attributed(lead, block, known, window, switches, layers) for lead in block.leads]
        ties.methods.update(one.method for one in found)
        for lead, one in zip(block.leads, found, strict=True):
            for name, verdict in layers.verdicts(lead.conversion, window).items() if lead.conversion else ():
                ties.agreements[Method(name)].see(one, verdict)
        yield found


def _attributed(
    lead: Lead, block: LeadBlock, known: Set[AdId], window: timedelta, switches: Switches, layers: Layers
) -> Attribution:
    # Only a conversion that was seen has something for the later layers.
    asked = layers if lead.conversion else None
    found = attribute(lead, known_ads=known, touches=block.touches, window=window, layers=asked)
    before = block.stored.get(lead.deal_id)
    if before is not None and outlives_its_click(before, found, switches.methods()):
        return before
    return found


def _report(
    intake: Intake, unknown: Sequence[AdId], ties: _Ties, worth: Worth, written: int, *, dry_run: bool
) -> Report:
    profile = intake.profile
    notes = list(intake.notes)
    if worth.foreign:
        notes.append(f"{worth.foreign} won deals are in another currency than {profile.currency} and count as nothing.")
    if unknown:
        notes.append(f"The file names {counted(len(unknown), 'unknown ad')}: run adctl sync-meta.")
    if intake.rejected and not dry_run:
        notes.append(f"{counted(intake.rejected, 'row')} set aside: adctl rejects list")
    return Report(
        command="ingest-crm",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(ties, written, len(worth.unmapped), intake.rejected, dry_run=dry_run),
        facts=(*_read_facts(intake), *_tie_facts(ties), *_money_facts(intake, unknown, worth, written)),
        tables=(
            *_file_tables(intake.export),
            _unmapped_table(worth.unmapped),
            *_layers_table(ties),
            *_unknown_ads(unknown),
            *_rejected_table(intake),
        ),
        notes=tuple(notes),
        exit_code=3 if worth.unmapped or worth.foreign or intake.rejected else 0,
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
    methods, count = ties.methods, ties.methods.total()
    unattributed = methods[Method.NONE] / count if count else 0.0
    return (
        Fact(key="deals", label="deals", value=count, kind=Kind.COUNT),
        *(Fact(key=m.value, label=m.value, value=methods[m], kind=Kind.COUNT) for m in Method if methods[m]),
        Fact(key="unattributed", label="unattributed share", value=round(unattributed, 4), kind=Kind.PERCENT),
    )


def _money_facts(intake: Intake, unknown: Sequence[AdId], worth: Worth, written: int) -> tuple[Fact, ...]:
    facts = [
        Fact(key="synthetic", label="synthetic revenue", value=worth.value, kind=Kind.MONEY),
        Fact(key="won", label="of it won", value=worth.cash, kind=Kind.MONEY),
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
    trouble = f" {counted(unmapped, 'stage')} without a value: add to adctl.toml." if unmapped else ""
    trouble = (f" {counted(rejected, 'row')} rejected." if rejected else "") + trouble
    if dry_run:
        return f"{counted(ties.methods.total(), 'deal')} stored; nothing written.{trouble}"
    changes = f"{counted(written, 'row')} new or changed." if written else "No changes."
    return f"{ties.credited} of {counted(ties.methods.total(), 'deal')} credited to an ad. {changes}{trouble}"
