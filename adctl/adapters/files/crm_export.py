"""CRM exports: one row a deal with its current stage, streamed; nothing of a file may be kept that is then refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo

from adctl.adapters.files.ads_columns import COLUMN_FIX
from adctl.adapters.files.opened_files import Limits, Source
from adctl.adapters.files.records import open_records
from adctl.domain.cells import NOTHING, Cells, cells_of
from adctl.domain.columns import Field, Row, RowSource, resolve_columns
from adctl.domain.deals import Deal, Outcome, StageMove
from adctl.domain.exports import CrmExport, CrmTotals, StageNames, StageTotal
from adctl.domain.ids import AdId, ContactId, DealId
from adctl.domain.landing_urls import ad_id_in, click_id_in, landing_keys
from adctl.domain.rejects import KeptRows, Quarantine
from adctl.domain.seen_hashes import SeenHashes
from adctl.errors import InputRejectedError

_RECORD_ID_FIX = "in HubSpot: add the property Record ID to the view, then export again"
FIELDS = (
    Field(
        name="deal_id",
        aliases=("Record ID", "Deal ID", "Opportunity ID", "hs_object_id", "id"),
        required=True,
        fix=_RECORD_ID_FIX,
    ),
    Field(
        name="stage",
        aliases=("Deal Stage", "Stage", "dealstage"),
        required=True,
        fix=COLUMN_FIX.format("crm", "stage"),
    ),
    Field(name="pipeline", aliases=("Pipeline",)),
    Field(
        name="amount",
        aliases=("Amount", "close_value", "Deal value"),
        required=True,
        money=True,
        fix=COLUMN_FIX.format("crm", "amount"),
    ),
    Field(name="currency", aliases=("Currency", "deal_currency_code")),
    Field(name="created", aliases=("Create Date", "Created Date", "createdate", "Created at")),
    Field(name="opened", aliases=("engage_date",)),
    Field(name="entered", aliases=("Date entered current stage", "Stage entered")),
    Field(name="closed", aliases=("Close Date", "closedate", "Closed at")),
    Field(name="modified", aliases=("Last Modified Date", "hs_lastmodifieddate", "Last modified", "Modified at")),
    Field(name="contact_id", aliases=("Associated Contact IDs", "Associated Contact ID", "Contact ID")),
    Field(name="ad_id", aliases=("Ad ID",)),
    Field(name="utm_content", aliases=("utm_content", "UTM content")),
    Field(
        name="landing_url",
        aliases=("Landing URL", "Landing page", "First page seen", "Original landing page", "hs_analytics_first_url"),
    ),
    Field(name="click_id", aliases=("fbclid", "Facebook click id", "hs_facebook_click_id")),
    Field(name="archived", aliases=("Archived",)),
    # Never kept: its keyed hash says which deals belong to somebody who wants to be forgotten.
    Field(name="email", aliases=("Email", "E-mail", "Contact email", "Associated Contact Emails")),
)
_TOTAL_NAME = re.compile(r"|(grand )?totals?|sums?", re.IGNORECASE | re.ASCII)
_TOTAL_FIX = "the file is not whole: export it again"
_TWICE_FIX = "keep one row a deal, the newest"
_DATES = ("created", "opened", "entered", "closed", "modified")
# A sales team expects a deal to close at some later day, but not in the next century.
_EXPECTED_CLOSE = timedelta(days=3660)


_STAGE_NAMES = StageNames()


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmRecord:
    """One row: the deal, the moves that its dates prove, and the e-mail address beside it ("" without one)."""

    deal: Deal
    moves: tuple[StageMove, ...]
    email: str


@contextmanager
def open_crm_export(
    source: Source | KeptRows,
    *,
    currency: str,
    as_of: datetime,
    zone: tzinfo,
    stage_names: StageNames = _STAGE_NAMES,
    overrides: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    quarantine: Quarantine | None = None,
) -> Iterator[CrmReading]:
    """The deals in a file or binary stream.

    A time without an offset is of `zone`, a date without a time is the start of that day there. No date is later than
    the day after `as_of` (aware), except the close date of an open deal: that is somebody's expectation, so
    `closed_at` stays None. Without a column for it, `modified_at` is `as_of`. A move is made of each date that names a
    stage: `engage_date` the opening one, `Date entered current stage` the current one, else the close date for a deal
    that is won or lost. An amount that is empty or a dash is None. `overrides` maps a field of FIELDS to a column.

    Raises InputRejectedError, ConfigurationError for a bad override or currency, UsageError when the file cannot be
    opened.
    """
    bad = quarantine or Quarantine()
    with open_records(source, limits=limits or Limits()) as table:
        mapping = resolve_columns(FIELDS, table.header, overrides or {}, currency=currency, source=table.name)
        cells = cells_of(
            table,
            mapping,
            counts=(),
            money=("amount",),
            dates=_DATES,
            currency=currency,
            latest=as_of.astimezone(zone).date() + timedelta(days=1),
            quarantine=bad,
        )
        yield CrmReading(cells, as_of, zone, stage_names, table, bad)


def read_crm_export(
    source: Source | KeptRows,
    *,
    currency: str,
    as_of: datetime,
    zone: tzinfo,
    stage_names: StageNames = _STAGE_NAMES,
    overrides: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    quarantine: Quarantine | None = None,
) -> CrmExport:
    """The whole file at once, as `open_crm_export` reads it; nothing is returned of a file that is refused."""
    with open_crm_export(
        source,
        currency=currency,
        as_of=as_of,
        zone=zone,
        stage_names=stage_names,
        overrides=overrides,
        limits=limits,
        quarantine=quarantine,
    ) as reading:
        records = tuple(reading.records())
        return CrmExport(
            deals=tuple(record.deal for record in records),
            moves=tuple(move for record in records for move in record.moves),
            mapping=reading.cells.mapping,
            totals=reading.totals(),
            notes=reading.notes(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """A row's moments; `closed` only when the deal is closed."""

    created: datetime | None
    opened: datetime | None
    entered: datetime | None
    closed: datetime | None
    modified: datetime


@dataclass(slots=True)
class _Tally:
    outcome: Outcome
    deals: int = 0
    value: int = 0


@dataclass(slots=True)
class CrmReading:
    """One walk over the rows, and what they add up to once it has ended."""

    cells: Cells
    as_of: datetime
    zone: tzinfo
    names: StageNames
    table: RowSource
    quarantine: Quarantine
    rows: int = 0
    total_checked: bool = False
    _seen: SeenHashes = field(default_factory=SeenHashes)
    _tallies: dict[tuple[str, str], _Tally] = field(default_factory=dict)
    _amounts: int = 0

    def records(self) -> Iterator[CrmRecord]:
        """Each good row; what was yielded counts only when the walk ends without InputRejectedError."""
        summary: Row | None = None
        for row in self.cells.good_rows(self.table, self.quarantine):
            if summary is not None:
                self._reject_nameless(summary)
                summary = None
            if self._is_summary(row):
                summary = row
                continue
            try:
                record = self._record(row)
            except InputRejectedError as error:
                self.quarantine.reject(row, error)
            else:
                self.rows += 1
                yield record
        self._check_totals(summary)

    def totals(self) -> CrmTotals:
        stages = tuple(
            StageTotal(pipeline=pipeline, stage=stage, outcome=tally.outcome, deals=tally.deals, value=tally.value)
            for (pipeline, stage), tally in self._tallies.items()
        )
        won = sum(total.value for total in stages if total.outcome is Outcome.WON)
        return CrmTotals(rows=self.rows, won_value=won, stages=stages)

    def notes(self) -> tuple[str, ...]:
        told = "The file's own total equals the sum of its rows."
        return (*self.table.notes, told) if self.total_checked else self.table.notes

    def _reject_nameless(self, row: Row) -> None:
        self.quarantine.reject(row, self.cells.refused(row, "deal_id", "the id is empty", fix=_RECORD_ID_FIX))

    def _is_summary(self, row: Row) -> bool:
        """A row that is no deal: named a total or not at all, of no stage and no time, and with an amount."""
        columns = self.cells.mapping.columns
        if row.cells[columns["stage"]].strip() or self.table.habits is not None:
            # Rows that were set aside one by one come without the total of their file.
            return False
        return (
            _TOTAL_NAME.fullmatch(row.cells[columns["deal_id"]].strip()) is not None
            and row.cells[columns["amount"]].strip() not in NOTHING
            and not any(row.cells[columns[field]].strip() for field in _DATES if field in columns)
        )

    def _check_totals(self, summary: Row | None) -> None:
        """What the file says of itself must be so."""
        read = self.rows + len(self.quarantine.rows)
        if self.table.total is not None and self.table.total not in (read, read + (summary is not None)):
            what = f"the file says that it has {self.table.total} records, it has {read}"
            raise InputRejectedError(what, source=self.table.name, line=1, column="total", fix=_TOTAL_FIX)
        if summary is None:
            return
        is_named = any(_TOTAL_NAME.fullmatch(cell.strip()) for cell in summary.cells.values() if cell.strip())
        try:
            self.total_checked = self._adds_up(summary)
            if not (is_named or self.total_checked):
                raise self.cells.refused(summary, "deal_id", "the id is empty", fix=_RECORD_ID_FIX)
        except InputRejectedError as error:
            if is_named:
                raise
            # Without a name it may as well be a deal that lost its id.
            self.quarantine.reject(summary, error)

    def _adds_up(self, summary: Row) -> bool:
        """Whether the total is the sum of all rows; False when rows that were set aside have no readable amount."""
        stated = self.cells.money(summary, "amount")
        aside = self.quarantine.sum_of(
            self.cells.mapping.columns["amount"], lambda row: self.cells.money(row, "amount") or 0
        )
        if aside is None:
            return False
        if stated != self._amounts + aside or self.rows + len(self.quarantine.rows) == 0:
            what = f"the total row states {stated} minor units, the rows add up to {self._amounts + aside}"
            raise self.cells.refused(summary, "amount", what, fix=_TOTAL_FIX)
        return True

    def _record(self, row: Row) -> CrmRecord:
        deal_id = DealId(self.cells.crm_id(row, "deal_id"))
        self.cells.check_currency(row, "currency")
        stage = self._stage(row)
        pipeline = self.cells.word(row, "pipeline") or self.names.pipeline
        outcome = self.names.outcome(stage)
        times = self._times(row, outcome)
        deal = Deal(
            deal_id=deal_id,
            pipeline=pipeline,
            stage=stage,
            amount=self.cells.money(row, "amount"),
            currency=self.cells.currency,
            created_at=times.created or times.opened,
            closed_at=times.closed,
            modified_at=times.modified,
            archived=self.cells.answer(row, "archived") or False,
            contact_id=self._contact(row),
            ad_id=self._ad_id(row),
            click_id=self._click_id(row),
        )
        email = self.cells.text(row, "email")
        # Last, so that a row with another fault does not stand for its id.
        self._refuse_repeated(row, deal_id)
        tally = self._tallies.setdefault((pipeline, stage), _Tally(outcome))
        tally.deals += 1
        tally.value += deal.amount or 0
        self._amounts += deal.amount or 0
        return CrmRecord(deal=deal, moves=self._moves_of(deal_id, pipeline, stage, times), email=email)

    def _refuse_repeated(self, row: Row, deal_id: DealId) -> None:
        # A hash of each id instead of the ids: a million deals fit in 32 MB.
        if not self._seen.add(hash(deal_id)):
            # The walk that finds the line ends the one that is under way, as does the refusal.
            place = "an earlier line" if self.quarantine.tolerates else f"line {self._line_of(deal_id)}"
            raise self.cells.refused(row, "deal_id", f"deal {deal_id} stands on {place} already", fix=_TWICE_FIX)

    def _line_of(self, deal_id: DealId) -> int:
        rows = self.table.rows()
        return next(row.line for row in rows if self.cells.text(row, "deal_id") == deal_id)

    def _stage(self, row: Row) -> str:
        stage = self.cells.word(row, "stage")
        if not stage:
            raise self.cells.refused(row, "stage", "the stage is empty", fix="name the stage that the deal stands in")
        return stage

    def _times(self, row: Row, outcome: Outcome) -> _Times:
        created, opened, entered = (self._moment(row, name) for name in ("created", "opened", "entered"))
        is_open = outcome is Outcome.OPEN
        closed = self._moment(row, "closed", latest=self.as_of.date() + _EXPECTED_CLOSE if is_open else None)
        closed = None if is_open else closed
        # Not checked against the creation: deals are often typed in after they were closed.
        if closed and opened and closed < opened:
            fix = "correct one of both dates, or leave it empty"
            raise self.cells.refused(row, "closed", "the deal closes before it opens", fix=fix)
        modified = self._moment(row, "modified") or self.as_of
        return _Times(created=created, opened=opened, entered=entered, closed=closed, modified=modified)

    def _moment(self, row: Row, name: str, *, latest: date | None = None) -> datetime | None:
        return self.cells.moment(row, name, zone=self.zone, latest=latest)

    def _moves_of(self, deal_id: DealId, pipeline: str, stage: str, times: _Times) -> tuple[StageMove, ...]:
        entries = ((self.names.opening, times.opened), (stage, times.entered or times.closed))
        moves = (
            StageMove(deal_id=deal_id, pipeline=pipeline, stage=entered, at=at)
            for entered, at in entries
            if at is not None
        )
        return tuple(dict.fromkeys(moves))

    def _contact(self, row: Row) -> ContactId | None:
        """The deal's contact when it has exactly one: with more it is not known which of them clicked."""
        text = self.cells.text(row, "contact_id")
        return ContactId(self.cells.crm_id(row, "contact_id")) if text and ";" not in text else None

    def _ad_id(self, row: Row) -> AdId | None:
        """The ad id column, which must hold ids; else `utm_content`; else the one in the landing URL."""
        if self.cells.text(row, "ad_id"):
            return AdId(self.cells.meta_id(row, "ad_id"))
        in_content = ad_id_in(self.cells.text(row, "utm_content"))
        return in_content or landing_keys(self.cells.text(row, "landing_url")).ad_id

    def _click_id(self, row: Row) -> str | None:
        in_column = click_id_in(self.cells.text(row, "click_id"))
        return in_column or landing_keys(self.cells.text(row, "landing_url")).click_id
