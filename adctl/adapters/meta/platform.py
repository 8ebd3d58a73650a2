"""`AdsPlatform` over the Graph API: one ad account, read and written through the real SDK."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from types import TracebackType
from typing import Final, Self

from adctl.adapters.meta import creatives, insights
from adctl.adapters.meta.faults import MissingObjectError, TooMuchDataError
from adctl.adapters.meta.graph import Body, Graph, Patience
from adctl.adapters.meta.parsing import account_of, ad_of, ad_set_of, campaign_of, is_object_id, state_of
from adctl.domain.creatives import Creative
from adctl.domain.entities import Ad, AdAccount, AdSet, Campaign, EntityKind, EntityState, Field
from adctl.domain.insights import Insight
from adctl.domain.ports import WriteAnswer
from adctl.errors import ConfigurationError, UnavailableError

_ACCOUNT_FIELDS: Final = "id,account_id,name,currency,timezone_name,account_status,min_daily_budget"
_STATE_FIELDS: Final = {
    EntityKind.CAMPAIGN: "id,account_id,status,effective_status,daily_budget,lifetime_budget,updated_time",
    EntityKind.AD_SET: "id,account_id,status,effective_status,daily_budget,lifetime_budget,updated_time",
    EntityKind.AD: "id,account_id,status,effective_status,updated_time",
}
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
            yield ad_of(row), creatives.creative_of(row)

    def insights(self, since: date, until: date) -> Iterator[Insight]:
        """One row per ad and day over `since`..`until`, account days, both inclusive."""
        if since > until:
            raise ValueError(f"insights from {since} until {until}: an empty range")
        for row in self._insight_rows(since, until):
            yield insights.insight_of(row, self._currency)

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

    def write(self, entity_id: str, field: Field, target: int | str) -> WriteAnswer:
        """Set one field to an absolute value: whole minor units, or ACTIVE or PAUSED. Sent at most once.

        Raises ValueError for a target that no change may hold.
        """
        return self._graph.post((_checked(entity_id),), {field.value: _wire_value(field, target)})

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
        """Halves the range when Meta cannot answer even a single row of it; a range of one day is the end."""
        started = False
        try:
            for page in self._graph.pages((self._edge_root, "insights"), _insight_params(since, until), limit=500):
                started = True
                yield from page
            return
        except TooMuchDataError:
            if started or since == until:
                raise
        middle = since + (until - since) // 2
        yield from self._insight_rows(since, middle)
        yield from self._insight_rows(middle + timedelta(days=1), until)


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
