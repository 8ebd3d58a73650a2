"""`AdsPlatform` over the Graph API: one ad account, read and written through the real SDK."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import Final, Self

from adctl.adapters.meta import creatives, insights
from adctl.adapters.meta.faults import MissingObjectError, TooMuchDataError
from adctl.adapters.meta.graph import Body, Graph, Patience
from adctl.adapters.meta.parsing import (
    account_of,
    ad_of,
    ad_set_of,
    campaign_of,
    edit_of,
    is_object_id,
    object_id,
    positive,
    state_of,
    text,
    whole,
)
from adctl.domain.creatives import Creative
from adctl.domain.entities import Ad, AdAccount, AdSet, Campaign, Edit, EntityKind, EntityState, Field, has_ended
from adctl.domain.ids import AdId
from adctl.domain.insights import Insight, InsightPart
from adctl.domain.ports import ReportState, ReportStatus, WriteAnswer
from adctl.errors import ConfigurationError, DeniedError, UnavailableError

_ACCOUNT_FIELDS: Final = "id,account_id,name,currency,timezone_name,account_status,min_daily_budget"
_REPORT_FIELDS: Final = "id,async_status,async_percent_completion,error_code,error_subcode,error_message"
_EDIT_FIELDS: Final = "event_type,event_time,object_id,extra_data"
_MINIMA: Final = (
    "min_daily_budget_imp",
    "min_daily_budget_high_freq",
    "min_daily_budget_low_freq",
    "min_daily_budget_video_views",
)
_MINIMA_FIELDS: Final = ",".join(("currency", *_MINIMA))
_STATE_FIELDS: Final = {
    EntityKind.CAMPAIGN: "id,account_id,status,effective_status,daily_budget,lifetime_budget,updated_time",
    EntityKind.AD_SET: "id,account_id,status,effective_status,daily_budget,lifetime_budget,updated_time",
    EntityKind.AD: "id,account_id,status,effective_status,updated_time",
}
# Their hashes stand in the address, which may not grow without bound.
_IMAGES_AT_ONCE: Final = 50
_VIDEOS_AT_ONCE: Final = 100
# Edges hide what is archived unless it is asked for by name.
_CAMPAIGN_STATUSES: Final = ("ACTIVE", "PAUSED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES")
_AD_SET_STATUSES: Final = (*_CAMPAIGN_STATUSES, "CAMPAIGN_PAUSED")
_AD_STATUSES: Final = (
    *_AD_SET_STATUSES,
    "ADSET_PAUSED",
    "PENDING_REVIEW",
    "DISAPPROVED",
    "PREAPPROVED",
    "PENDING_BILLING_INFO",
)
_SETTABLE_STATUSES: Final = frozenset({"ACTIVE", "PAUSED"})


class MetaPlatform:
    """One ad account at Meta, as `AdsPlatform` describes it. Close it, or use it in a `with` statement.

    `ad_account` is `act_<digits>` or the digits alone; `base_url` ends before the version. The token travels in a
    header only and is in no message, repr or log line.
    """

    def __init__(
        self,
        *,
        ad_account: str,
        token: str,
        base_url: str = "https://graph.facebook.com",
        version: str = "v26.0",
        patience: Patience | None = None,
    ) -> None:
        self._number = ad_account.removeprefix("act_")
        if not is_object_id(self._number):
            raise ConfigurationError(f"meta ad account {ad_account!r}: not act_<digits>")
        self._graph = Graph(token=token, base_url=base_url, version=version, patience=patience or Patience())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._graph.close()

    def usage(self) -> dict[str, int]:
        """Use case -> seconds from now until Meta wants to hear of it again; empty when nothing must wait."""
        return self._graph.usage.waits()

    def account(self) -> AdAccount:
        return account_of(self._graph.get((self._edge_root,), {"fields": _ACCOUNT_FIELDS}))

    def campaigns(self) -> Iterator[Campaign]:
        fields = "id,name,status,effective_status,daily_budget,lifetime_budget,updated_time"
        return map(campaign_of, self._edge("campaigns", fields, _CAMPAIGN_STATUSES, limit=200))

    def ad_sets(self) -> Iterator[AdSet]:
        fields = (
            "id,campaign_id,name,status,effective_status,daily_budget,lifetime_budget,learning_stage_info,updated_time"
        )
        return map(ad_set_of, self._edge("adsets", fields, _AD_SET_STATUSES, limit=200))

    def ads(self) -> Iterator[tuple[Ad, Creative | None]]:
        fields = (
            "id,name,adset_id,campaign_id,status,effective_status,created_time,updated_time,"
            f"creative{{{creatives.FIELDS}}}"
        )
        # The nested creative is heavy: larger pages meet "reduce the amount of data".
        for row in self._edge("ads", fields, _AD_STATUSES, limit=100):
            yield replace(ad_of(row), names_itself=creatives.names_its_ad(row)), creatives.creative_of(row)

    def insights(self, since: date, until: date) -> Iterator[Insight]:
        """One row per ad and day over `since`..`until`, account days, both inclusive."""
        if since > until:
            raise ValueError(f"insights from {since} until {until}: an empty range")
        for row in self._insight_rows(since, until):
            yield insights.insight_of(row, self._currency)

    def insights_of_ad(self, ad_id: AdId, since: date, until: date) -> Iterator[Insight]:
        """The rows of one ad; none when Meta does not know it any more."""
        try:
            for row in self._halved((_checked(ad_id), "insights"), since, until):
                yield insights.insight_of(row, self._currency)
        except MissingObjectError:
            return

    def start_report(self, part: InsightPart) -> str:
        root = self._edge_root if part.campaign_id is None else _checked(part.campaign_id)
        return object_id(
            self._graph.begin((root, "insights"), _insight_params(part.since, part.until)), "report_run_id"
        )

    def report_status(self, report_run_id: str) -> ReportStatus:
        """DONE only at 100 %: Meta calls reports complete that are not."""
        try:
            row = self._graph.get((_checked(report_run_id),), {"fields": _REPORT_FIELDS})
        except MissingObjectError as error:
            return ReportStatus(state=ReportState.FAILED, detail=error.what)
        status, percent = text(row, "async_status"), whole(row, "async_percent_completion")
        if status in ("Job Failed", "Job Skipped"):
            told = f"{row.get('error_code', '?')}/{row.get('error_subcode', '?')} {row.get('error_message', '')}"
            return ReportStatus(state=ReportState.FAILED, percent=percent, detail=f"{status} {told}".strip())
        done = status == "Job Completed" and percent == 100
        return ReportStatus(state=ReportState.DONE if done else ReportState.RUNNING, percent=percent)

    def report_rows(self, report_run_id: str) -> Iterator[Insight]:
        """The rows of a report that is DONE."""
        for page in self._graph.pages((_checked(report_run_id), "insights"), {}, limit=500):
            for row in page:
                yield insights.insight_of(row, self._currency)

    def permissions(self) -> frozenset[str]:
        try:
            pages = list(self._graph.pages(("me", "permissions"), {}, limit=100))
        except ConfigurationError:
            # Not every kind of token may ask.
            return frozenset()
        return frozenset(text(row, "permission") for page in pages for row in page if row.get("status") == "granted")

    def minimum_budgets(self) -> dict[str, int]:
        for page in self._graph.pages((self._edge_root, "minimum_budgets"), {"fields": _MINIMA_FIELDS}, limit=200):
            for row in page:
                if row.get("currency") == self._currency:
                    return {name: whole(row, name) for name in _MINIMA}
        return {}

    def edits(self, since: datetime) -> Sequence[Edit] | None:
        path, asked = (self._edge_root, "activities"), {"fields": _EDIT_FIELDS, "since": int(since.timestamp())}
        try:
            return [
                edit
                for category in ("BUDGET", "STATUS")
                for page in self._graph.pages(path, {**asked, "category": category}, limit=200)
                for row in page
                if (edit := edit_of(row)) is not None
            ]
        except (ConfigurationError, DeniedError, UnavailableError):
            # Not every kind of token may ask; and what is only a second look at edits stops no run.
            return None

    def image_sizes(self, hashes: Sequence[str]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for at in range(0, len(hashes), _IMAGES_AT_ONCE):
            asked = {"fields": "hash,width,height", "hashes": json.dumps(hashes[at : at + _IMAGES_AT_ONCE])}
            for page in self._graph.pages((self._edge_root, "adimages"), asked, limit=_IMAGES_AT_ONCE):
                sizes = ((text(row, "hash"), whole(row, "width"), whole(row, "height")) for row in page)
                found.update({one: (width, height) for one, width, height in sizes if width > 0 and height > 0})
        return found

    def video_lengths(self, ids: Collection[str]) -> dict[str, float]:
        # The library is not asked by id: it is read until all are found.
        wanted, found = set(ids), dict[str, float]()
        for page in self._graph.pages((self._edge_root, "advideos"), {"fields": "id,length"}, limit=_VIDEOS_AT_ONCE):
            told = ((text(row, "id"), positive(row, "length")) for row in page)
            found.update({one: seconds for one, seconds in told if one in wanted and seconds is not None})
            if len(found) == len(wanted):
                break
        return found

    def read(self, kind: EntityKind, entity_id: str) -> EntityState | None:
        try:
            row = self._graph.get((_checked(entity_id),), {"fields": _STATE_FIELDS[kind]})
        except MissingObjectError:
            return None
        if row.get("account_id", self._number) != self._number:
            raise ConfigurationError(f"meta: {kind} {entity_id} belongs to another ad account than {self._edge_root}")
        if row.get("id") != entity_id:
            raise UnavailableError(f"meta: asked for {kind} {entity_id}, got {row.get('id')!r}")
        return state_of(kind, row)

    def active_ads(self, ad_set_id: str) -> list[str]:
        asked = {"fields": "id,status,effective_status", "effective_status": list(_AD_STATUSES)}
        try:
            pages = list(self._graph.pages((_checked(ad_set_id), "ads"), asked, limit=200))
        except MissingObjectError:
            return []
        return [
            object_id(row, "id")
            for page in pages
            for row in page
            if text(row, "status") == "ACTIVE" and not has_ended(text(row, "effective_status"))
        ]

    def write(self, entity_id: str, field: Field, target: int | str, *, not_after: float = math.inf) -> WriteAnswer:
        """Set one field to an absolute value: whole minor units, or ACTIVE or PAUSED. Sent at most once.

        Raises ValueError for a target that no change may hold.
        """
        return self._graph.post((_checked(entity_id),), {field.value: _wire_value(field, target)}, not_after=not_after)

    @property
    def _edge_root(self) -> str:
        return f"act_{self._number}"

    @cached_property
    def _currency(self) -> str:
        return self.account().currency

    def _edge(self, name: str, fields: str, statuses: tuple[str, ...], *, limit: int) -> Iterator[Body]:
        params = {"fields": fields, "effective_status": list(statuses)}
        for page in self._graph.pages((self._edge_root, name), params, limit=limit):
            yield from page

    def _insight_rows(self, since: date, until: date) -> Iterator[Body]:
        """Of the account; of a day that is too much even by the row, campaign by campaign."""
        try:
            yield from self._halved((self._edge_root, "insights"), since, until)
        except _DayTooMuchError as error:
            for campaign in self.campaigns():
                yield from self._halved((campaign.campaign_id, "insights"), error.day, error.day)
            if error.day < until:
                yield from self._insight_rows(error.day + timedelta(days=1), until)

    def _halved(self, path: tuple[str, ...], since: date, until: date) -> Iterator[Body]:
        """Halves the range when Meta cannot answer even a single row of it, down to a single day."""
        started = False
        try:
            for page in self._graph.pages(path, _insight_params(since, until), limit=500):
                started = True
                yield from page
            return
        except TooMuchDataError as error:
            if started:
                raise
            if since == until:
                raise _DayTooMuchError(error.what, since) from error
        middle = since + (until - since) // 2
        yield from self._halved(path, since, middle)
        yield from self._halved(path, middle + timedelta(days=1), until)


class _DayTooMuchError(UnavailableError):
    """Meta cannot answer one row of a single day."""

    def __init__(self, what: str, day: date) -> None:
        super().__init__(what)
        self.day = day


def _insight_params(since: date, until: date) -> dict[str, object]:
    return {
        "level": "ad",
        "time_increment": 1,
        "time_range": {"since": since.isoformat(), "until": until.isoformat()},
        "action_attribution_windows": list(insights.WINDOWS),
        "fields": insights.FIELDS,
    }


def _checked(entity_id: str) -> str:
    if not is_object_id(entity_id):
        raise ValueError(f"{entity_id!r} is no Graph object id")
    return entity_id


def _wire_value(field: Field, target: int | str) -> str:
    match field:
        case Field.DAILY_BUDGET if isinstance(target, int) and not isinstance(target, bool) and target > 0:
            return str(target)
        case Field.STATUS if target in _SETTABLE_STATUSES:
            return str(target)
        case _:
            raise ValueError(f"{field} cannot be set to {target!r}")
