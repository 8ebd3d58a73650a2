"""Ads Manager exports and tables like them: one row an ad and period; bad rows are set aside or refuse the file."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import date, timedelta

from adctl.adapters.files.ads_columns import BREAKDOWNS, FIELDS, ID_FIX, require_figures
from adctl.adapters.files.opened_files import Limits, Source
from adctl.adapters.files.records import open_records
from adctl.domain.cell_forms import Form
from adctl.domain.cells import LOST_DIGITS_FIX, Cells, cells_of
from adctl.domain.columns import Row, RowSource, fold, resolve_columns
from adctl.domain.exports import AdFound, AdSetFound, AdsExport, AdsTotals, CampaignFound
from adctl.domain.ids import AdId, AdSetId, CampaignId, is_meta_id
from adctl.domain.insight_table import InsightTable
from adctl.domain.insights import Insight
from adctl.domain.rejects import KeptRows, Quarantine
from adctl.domain.seen_hashes import SeenHashes
from adctl.errors import InputRejectedError

_WINDOW = re.compile(r"(\d{1,2})-day (click|engaged-view|view)", re.ASCII)
_WINDOW_KINDS = {"click": "click", "view": "view", "engaged-view": "ev"}
_TOTAL_NAME = re.compile(r"|(grand )?totals?|results from \d+ .*", re.IGNORECASE | re.ASCII)
# What a breakdown column shows in a row that is not broken down.
_UNDIVIDED = frozenset({"", "all", "total"})
_COUNTS = ("impressions", "clicks", "link_clicks", "leads", "purchases", "results")
_MONEY = ("spend", "purchase_value")
_DATES = ("date", "starts", "ends")
_TWICE_FIX = "keep one row an ad and period, and the breakdown's column where there is one"
_OWNER_FIX = "correct one of both ids, an owner never changes"
_NAMED = ("ad_id", "ad_set_id", "campaign_id", "ad_name", "ad_set_name", "campaign_name")


def read_ads_export(
    source: Source | KeptRows,
    *,
    currency: str,
    as_of: date,
    overrides: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    quarantine: Quarantine | None = None,
) -> AdsExport:
    """The export in a file or binary stream; days are account days, none later than the day after `as_of`.

    A file without dates is a reading of the day `as_of`. With `Day` a row is that day, otherwise it spans
    `Reporting starts` to `Reporting ends`. An empty cell or a dash in a column of figures is 0. Without a column for
    all clicks the link clicks, which are among them, stand in for it. `Results` counts as leads or purchases where
    `Result indicator` says so and the file has no column of their own. `overrides` maps a field of FIELDS to a column.
    Rows that the quarantine takes are left out, and with them every other part of the same ad's same period.

    Raises InputRejectedError (nothing is returned of such a file), ConfigurationError for a bad override or currency,
    UsageError when the file cannot be opened.
    """
    bad = quarantine or Quarantine()
    with open_records(source, limits=limits or Limits()) as table:
        mapping = resolve_columns(FIELDS, table.header, overrides or {}, currency=currency, source=table.name)
        require_figures(mapping, table.name)
        cells = cells_of(
            table,
            mapping,
            counts=_COUNTS,
            money=_MONEY,
            dates=_DATES,
            currency=currency,
            latest=as_of + timedelta(days=1),
            quarantine=bad,
        )
        return _Reader(cells, table, as_of, bad).read()


class _Reader:
    """One walk over the rows, collecting what they say."""

    def __init__(self, cells: Cells, table: RowSource, as_of: date, quarantine: Quarantine) -> None:
        self._cells = cells
        self._table = table
        self._quarantine = quarantine
        self._as_of = as_of
        self._has = cells.mapping.columns
        self._breakdowns = tuple(title for title in table.header if fold(title) in BREAKDOWNS)
        self._placed = InsightTable()
        self._parts = SeenHashes()
        self._campaigns: dict[str, CampaignFound] = {}
        self._ad_sets: dict[str, AdSetFound] = {}
        self._ads: dict[str, AdFound] = {}
        # Of each row of the table: whether it is of no part.
        self._undivided = array("b")
        self._summary: Row | None = None
        self._rows_before_summary = 0
        self._rows = 0
        # Rows that were set aside one by one come without the total of their file.
        self._is_kept = table.habits is not None

    def read(self) -> AdsExport:
        table = self._table
        for row in self._cells.good_rows(table, self._quarantine):
            self._reject_row_behind_summary()
            if self._is_summary(row):
                self._summary, self._rows_before_summary = row, self._rows
            else:
                self._take(row)
        self._check_stated(table)
        total_checked = self._check_summary()
        self._leave_out_broken_sums(table)
        totals = self._sum()
        self._refuse_rounded_ids()
        self._refuse_overlaps()
        self._refuse_nothing()
        return AdsExport(
            insights=self._placed,
            campaigns=tuple(self._campaigns.values()),
            ad_sets=tuple(self._ad_sets.values()),
            ads=tuple(self._ads.values()),
            mapping=self._cells.mapping,
            breakdowns=self._breakdowns,
            totals=totals,
            dated=any(field in self._has for field in _DATES),
            total_checked=total_checked,
            notes=table.notes,
        )

    def _refuse_nothing(self) -> None:
        if self._placed:
            return
        if self._quarantine.rows:
            first = self._quarantine.rows[0]
            what, fix = f"no row is good; the first: {first.reason}", "correct the file"
            raise InputRejectedError(what, source=self._cells.source, line=first.line, column=first.column, fix=fix)
        fix = "export the rows on the Ads tab"
        raise InputRejectedError("no rows but a total", source=self._cells.source, line=1, fix=fix)

    def _is_summary(self, row: Row) -> bool:
        """A row that belongs to no ad, ad set or campaign and is named as a total or not at all."""
        return self._summary is None and not self._is_kept and self._is_total(row)

    def _is_total(self, row: Row) -> bool:
        return all(_TOTAL_NAME.fullmatch(row.cells.get(self._has.get(field, ""), "").strip()) for field in _NAMED)

    def _reject_row_behind_summary(self) -> None:
        """A total stands above all rows or below them; between them it is a row that lost its id."""
        if self._summary is not None and self._rows_before_summary:
            error = self._cells.refused(self._summary, "ad_id", "the id is empty", fix=ID_FIX.format("Ad ID"))
            self._quarantine.reject(self._summary, error)
            self._summary = None

    def _take(self, row: Row) -> None:
        try:
            self._cells.check_currency(row, "currency")
            insight = self._insight(row)
            self._add(row, insight)
        except InputRejectedError as error:
            self._quarantine.reject(row, error)
        else:
            self._rows += 1

    def _add(self, row: Row, insight: Insight) -> None:
        earlier = self._placed.find(insight)
        self._refuse_other_owner(row, insight)
        if self._breakdowns:
            self._refuse_repeated_part(row, insight, earlier)
        if earlier is None:
            self._placed.append(insight, line=row.line)
            self._undivided.append(self._is_undivided(row))
        elif self._breakdowns and self._placed[earlier].windows == insight.windows:
            self._placed.add_to(earlier, insight)
        else:
            what = f"ad {insight.ad_id} has the same period as on line {self._placed.lines[earlier]}"
            raise self._cells.refused(row, "ad_id", what, fix=_TWICE_FIX)
        self._remember(row, insight)

    def _check_stated(self, table: RowSource) -> None:
        """The number of records that the file itself states, where it does."""
        read = self._rows + len(self._quarantine.rows)
        if table.total is not None and table.total != read:
            what = f"the file says that it has {table.total} records, it has {read}"
            raise InputRejectedError(what, source=table.name, line=1, fix="the file is not whole: export it again")

    def _leave_out_broken_sums(self, table: RowSource) -> None:
        """An ad's period that lacks one of its parts would be a figure too low: its other parts go, too."""
        if not self._quarantine.rows or max(self._placed.parts, default=1) == 1:
            return
        rejected = {row.number for row in self._quarantine.rows}
        ads = {row.cells.get(self._has["ad_id"], "").strip() for row in self._quarantine.rows}
        if not all(row.whole for row in self._quarantine.rows) or not all(map(is_meta_id, ads)):
            first = self._quarantine.rows[0]
            what = f"a bad row of a file in parts, of which ad is not known: {first.reason}"
            fix = "correct that row first"
            raise InputRejectedError(what, source=table.name, line=first.line, column=first.column, fix=fix)
        for row in table.rows(tolerant=True):
            if row.number not in rejected and self._cells.text(row, "ad_id") in ads:
                what = "another part of this ad's figures is bad"
                self._quarantine.reject(row, self._cells.refused(row, "ad_id", what, fix="correct the part"))
                self._rows -= 1
        self._placed = self._placed.without(ads)

    def _insight(self, row: Row) -> Insight:
        cells = self._cells
        first_day, day = self._period(row)
        leads, purchases = self._conversions(row)
        link_clicks = cells.count(row, "link_clicks")
        return Insight(
            ad_id=AdId(cells.meta_id(row, "ad_id")),
            ad_set_id=AdSetId(cells.meta_id(row, "ad_set_id")),
            campaign_id=CampaignId(cells.meta_id(row, "campaign_id")),
            first_day=first_day,
            day=day,
            impressions=cells.count(row, "impressions"),
            clicks=cells.count(row, "clicks") if "clicks" in self._has else link_clicks,
            link_clicks=link_clicks,
            spend=cells.spend(row, "spend"),
            leads=leads,
            purchases=purchases,
            purchase_value=cells.spend(row, "purchase_value"),
            windows=_windows(cells.text(row, "windows")),
        )

    def _period(self, row: Row) -> tuple[date, date]:
        day, starts, ends = (self._cells.day(row, field) for field in _DATES)
        for field, value in (("date", day), ("starts", starts), ("ends", ends)):
            if field in self._has and value is None:
                raise self._cells.misformed(row, field, "the date is empty", Form.DAY)
        if starts and ends and starts > ends:
            what = f"the period ends on {ends}, before it starts on {starts}"
            raise self._cells.refused(row, "ends", what, fix="correct one of both days")
        if day is None:
            return starts or self._as_of, ends or self._as_of
        if not (starts or day) <= day <= (ends or day):
            what = f"{day} is outside of the row's period"
            raise self._cells.refused(row, "date", what, fix="correct the day, or the period's ends")
        return day, day

    def _conversions(self, row: Row) -> tuple[int, int]:
        """Leads and purchases, from their own columns or from `Results` by what the row says they are."""
        counted = {field: self._cells.count(row, field) for field in ("leads", "purchases")}
        kind = self._cells.text(row, "result_kind").lower()
        for field, word in (("leads", "lead"), ("purchases", "purchase")):
            if field not in self._has and word in kind:
                counted[field] = self._cells.count(row, "results")
        return counted["leads"], counted["purchases"]

    def _remember(self, row: Row, insight: Insight) -> None:
        """The objects by id; a later row's name replaces an earlier one."""
        text = self._cells.text
        self._campaigns[insight.campaign_id] = CampaignFound(
            campaign_id=insight.campaign_id, name=text(row, "campaign_name")
        )
        ad_set = AdSetFound(ad_set_id=insight.ad_set_id, campaign_id=insight.campaign_id, name=text(row, "ad_set_name"))
        ad = AdFound(
            ad_id=insight.ad_id,
            ad_set_id=insight.ad_set_id,
            campaign_id=insight.campaign_id,
            name=text(row, "ad_name"),
        )
        self._ad_sets[ad_set.ad_set_id] = ad_set
        self._ads[ad.ad_id] = ad

    def _refuse_other_owner(self, row: Row, insight: Insight) -> None:
        known_set, known_ad = self._ad_sets.get(insight.ad_set_id), self._ads.get(insight.ad_id)
        if known_set and known_set.campaign_id != insight.campaign_id:
            what = f"ad set {insight.ad_set_id} belonged to campaign {known_set.campaign_id} on an earlier line"
            raise self._cells.refused(row, "campaign_id", what, fix=_OWNER_FIX)
        if known_ad and known_ad.ad_set_id != insight.ad_set_id:
            what = f"ad {insight.ad_id} belonged to ad set {known_ad.ad_set_id} on an earlier line"
            raise self._cells.refused(row, "ad_set_id", what, fix=_OWNER_FIX)

    def _refuse_repeated_part(self, row: Row, insight: Insight, earlier: int | None) -> None:
        part = self._part(row, insight)
        # A hash of each part instead of the parts, of which there may be millions.
        if not self._parts.add(hash(part)):
            place = "an earlier line" if self._quarantine.tolerates else f"line {self._line_of(part)}"
            what = f"ad {insight.ad_id} has the same period and {', '.join(self._breakdowns)} as on {place}"
            raise self._cells.refused(row, "ad_id", what, fix=_TWICE_FIX)
        if earlier is not None and self._undivided[earlier] != self._is_undivided(row):
            what = f"ad {insight.ad_id} has a row for its whole period and rows for parts of it: they count twice"
            raise self._cells.refused(row, "ad_id", what, fix="export without breakdowns, or only the parts")

    def _part(self, row: Row, insight: Insight) -> tuple[str, ...]:
        return (
            insight.ad_id,
            str(insight.first_day),
            str(insight.day),
            *(fold(row.cells[title]) for title in self._breakdowns),
        )

    def _line_of(self, part: tuple[str, ...]) -> int:
        # The walk that finds the line ends the one that is under way, as does the refusal.
        rows = (row for row in self._table.rows() if not self._is_total(row))
        return next(row.line for row in rows if self._part(row, self._insight(row)) == part)

    def _is_undivided(self, row: Row) -> bool:
        return all(fold(row.cells[title]) in _UNDIVIDED for title in self._breakdowns)

    def _refuse_overlaps(self) -> None:
        """Two readings of one ad that share a day count it twice."""
        found = self._placed.overlap()
        if found:
            one, other = found
            lines = self._placed.lines
            what = f"ad {self._placed[one].ad_id} has periods that overlap, here and on line {lines[one]}"
            title = next(self._has[field] for field in ("date", "starts") if field in self._has)
            fix = "export by day, or periods that follow each other"
            raise InputRejectedError(what, source=self._cells.source, line=lines[other], column=title, fix=fix)

    def _check_summary(self) -> bool:
        """True when the file's own total is the sum of its rows, those set aside included, in every figure it states.

        A row without any name is a total only when it proves so; otherwise it is a row that lost its id.
        """
        row = self._summary
        if row is None:
            return False
        is_named = any(row.cells.get(self._has.get(field, ""), "").strip() for field in _NAMED)
        try:
            checked = [self._adds_up(row, field, found) for field, found in self._figures(row)]
            if not is_named and not any(checked):
                raise self._cells.refused(row, "ad_id", "the id is empty", fix=ID_FIX.format("Ad ID"))
        except InputRejectedError as error:
            if is_named:
                raise
            self._quarantine.reject(row, error)
            return False
        return all(checked)

    def _figures(self, row: Row) -> Iterator[tuple[str, int]]:
        """Each figure that the total row states, with what the good rows add up to."""
        totals = self._sum()
        for name in (field.name for field in fields(AdsTotals)):
            if name in self._has and not self._cells.is_nothing(row, name):
                yield name, getattr(totals, name)

    def _adds_up(self, row: Row, field: str, found: int) -> bool:
        """False when that cannot be known, since rows that were set aside cannot be read in that column."""
        read = self._cells.spend if field in _MONEY else self._cells.count
        stated, aside = read(row, field), self._quarantine.sum_of(self._has[field], lambda bad: read(bad, field))
        if aside is None and found <= stated:
            return False
        if aside is not None and stated == found + aside:
            return True
        unit = " minor units" if field in _MONEY else ""
        what = f"the total row states {stated}{unit}, the rows add up to {found + (aside or 0)}{unit}"
        raise self._cells.refused(row, field, what, fix="the file is not whole: export it again")

    def _refuse_rounded_ids(self) -> None:
        """Excel keeps 15 digits of a number and writes zeros behind them: such ids name other ads or none."""
        long = {ad_id for ad_id in self._placed.ad_ids() if len(ad_id) > 15}
        if len(long) > 1 and all(not ad_id[15:].strip("0") for ad_id in long):
            what = "every id ends in zeros behind its 15th digit: the ids were rounded"
            rows = zip(self._placed.ad_ids(), self._placed.lines, strict=True)
            first = next(line for ad_id, line in rows if ad_id in long)
            title = self._has["ad_id"]
            raise InputRejectedError(what, source=self._cells.source, line=first, column=title, fix=LOST_DIGITS_FIX)

    def _sum(self) -> AdsTotals:
        names = [field.name for field in fields(AdsTotals) if field.name != "rows"]
        return AdsTotals(rows=self._rows, **{name: self._placed.total(name) for name in names})


def _windows(setting: str) -> str:
    """Meta's names of the attribution windows (`7d_click,1d_view`); `default` is the ad's own setting."""
    found = _WINDOW.findall(setting.lower())
    return ",".join(f"{days}d_{_WINDOW_KINDS[kind]}" for days, kind in found) or "default"
