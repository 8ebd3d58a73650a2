"""CRM exports: one row a deal with its current stage, read whole or refused whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo

from adctl.adapters.delimited import open_table
from adctl.adapters.physical_lines import Limits, Source
from adctl.domain.cells import Cells, cells_of
from adctl.domain.columns import Field, Row, RowSource, resolve_columns
from adctl.domain.deals import Deal, Outcome, StageMove
from adctl.domain.exports import CrmExport, CrmTotals, StageNames, StageTotal
from adctl.domain.ids import AdId, ContactId, DealId
from adctl.domain.landing_urls import ad_id_in, click_id_in, landing_keys

_RECORD_ID_FIX = "in HubSpot: add the property Record ID to the view, then export again"
FIELDS = (
    Field(
        name="deal_id",
        aliases=("Record ID", "Deal ID", "Opportunity ID", "hs_object_id"),
        required=True,
        fix=_RECORD_ID_FIX,
    ),
    Field(name="stage", aliases=("Deal Stage", "Stage", "dealstage"), required=True),
    Field(name="pipeline", aliases=("Pipeline",)),
    Field(name="amount", aliases=("Amount", "close_value", "Deal value"), required=True, money=True),
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
)
_DATES = ("created", "opened", "entered", "closed", "modified")
# A sales team expects a deal to close at some later day, but not in the next century.
_EXPECTED_CLOSE = timedelta(days=3660)


_STAGE_NAMES = StageNames()


def read_crm_export(
    source: Source,
    *,
    currency: str,
    as_of: datetime,
    zone: tzinfo,
    stage_names: StageNames = _STAGE_NAMES,
    overrides: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> CrmExport:
    """The deals in a file or binary stream.

    A time without an offset is of `zone`, a date without a time is the start of that day there. No date is later than
    the day after `as_of` (aware), except the close date of an open deal: that is somebody's expectation, so
    `closed_at` stays None. Without a column for it, `modified_at` is `as_of`. A move is made of each date that names a
    stage: `engage_date` the opening one, `Date entered current stage` the current one, else the close date for a deal
    that is won or lost. An amount that is empty or a dash is None. `overrides` maps a field of FIELDS to a column.

    Raises InputRejectedError (nothing is returned of such a file), ConfigurationError for a bad override or currency,
    UsageError when the file cannot be opened.
    """
    with open_table(source, limits=limits or Limits()) as table:
        mapping = resolve_columns(FIELDS, table.header, overrides or {}, currency=currency, source=table.name)
        cells = cells_of(
            table,
            mapping,
            counts=(),
            money=("amount",),
            dates=_DATES,
            currency=currency,
            latest=as_of.astimezone(zone).date() + timedelta(days=1),
        )
        return _Reader(cells, as_of, zone, stage_names).read(table)


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
class _Reader:
    """One walk over the rows, collecting what they say."""

    cells: Cells
    as_of: datetime
    zone: tzinfo
    names: StageNames
    _lines: dict[DealId, int] = field(default_factory=dict)
    _tallies: dict[tuple[str, str], _Tally] = field(default_factory=dict)
    _moves: list[StageMove] = field(default_factory=list)

    def read(self, table: RowSource) -> CrmExport:
        deals = tuple(self._deal(row) for row in table.rows())
        stages = tuple(
            StageTotal(pipeline=pipeline, stage=stage, outcome=tally.outcome, deals=tally.deals, value=tally.value)
            for (pipeline, stage), tally in self._tallies.items()
        )
        won = sum(total.value for total in stages if total.outcome is Outcome.WON)
        return CrmExport(
            deals=deals,
            moves=tuple(self._moves),
            mapping=self.cells.mapping,
            totals=CrmTotals(rows=len(deals), won_value=won, stages=stages),
            notes=table.notes,
        )

    def _deal(self, row: Row) -> Deal:
        deal_id = self._new_id(row)
        self.cells.check_currency(row, "currency")
        stage = self._stage(row)
        pipeline = self.cells.text(row, "pipeline") or self.names.pipeline
        tally = self._tallies.setdefault((pipeline, stage), _Tally(self.names.outcome(stage)))
        times = self._times(row, tally.outcome)
        amount = self.cells.money(row, "amount")
        tally.deals += 1
        tally.value += amount or 0
        self._moves.extend(self._moves_of(deal_id, pipeline, stage, times))
        return Deal(
            deal_id=deal_id,
            pipeline=pipeline,
            stage=stage,
            amount=amount,
            currency=self.cells.currency,
            created_at=times.created or times.opened,
            closed_at=times.closed,
            modified_at=times.modified,
            contact_id=self._contact(row),
            ad_id=self._ad_id(row),
            click_id=self._click_id(row),
        )

    def _new_id(self, row: Row) -> DealId:
        deal_id = DealId(self.cells.crm_id(row, "deal_id"))
        line = self._lines.setdefault(deal_id, row.line)
        if line != row.line:
            raise self.cells.refused(row, "deal_id", f"deal {deal_id} stands on line {line} already")
        return deal_id

    def _stage(self, row: Row) -> str:
        stage = self.cells.text(row, "stage")
        if not stage:
            raise self.cells.refused(row, "stage", "the stage is empty")
        return stage

    def _times(self, row: Row, outcome: Outcome) -> _Times:
        created, opened, entered = (self._moment(row, name) for name in ("created", "opened", "entered"))
        is_open = outcome is Outcome.OPEN
        closed = self._moment(row, "closed", latest=self.as_of.date() + _EXPECTED_CLOSE if is_open else None)
        closed = None if is_open else closed
        # Not checked against the creation: deals are often typed in after they were closed.
        if closed and opened and closed < opened:
            raise self.cells.refused(row, "closed", "the deal closes before it opens")
        modified = self._moment(row, "modified") or self.as_of
        return _Times(created=created, opened=opened, entered=entered, closed=closed, modified=modified)

    def _moment(self, row: Row, name: str, *, latest: date | None = None) -> datetime | None:
        return self.cells.moment(row, name, zone=self.zone, latest=latest)

    def _moves_of(self, deal_id: DealId, pipeline: str, stage: str, times: _Times) -> list[StageMove]:
        entries = ((self.names.opening, times.opened), (stage, times.entered or times.closed))
        moves = (
            StageMove(deal_id=deal_id, pipeline=pipeline, stage=entered, at=at)
            for entered, at in entries
            if at is not None
        )
        return list(dict.fromkeys(moves))

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
