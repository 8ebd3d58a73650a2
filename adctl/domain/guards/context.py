"""What the guards know of the world at the moment they judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from adctl.domain.entities import Field
from adctl.domain.guards.funds import Funds
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import AdSetId, CampaignId


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueInForce:
    """A daily budget (minor units) that was, or may have been, in force until `until`; None: it still may be."""

    value: int
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """An authorised increase, minor units a day."""

    at: datetime
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """When insights and CRM were last read in full, None for never.

    `doubts` are sentences about data that is partial or moved implausibly.
    """

    insights_at: datetime | None
    crm_at: datetime | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardContext:
    """Facts of one account; every attempt that may have reached Meta counts as an action, a value and a raise. Money is
    minor units of `currency`.

    `today` is the account's day. Keys are ids of campaigns, ad sets and ads, which Meta never shares between kinds.
    `now_in_force` holds the values last read, `in_flight` the fields with a change that was claimed and not finished.
    `kills` are the times of pauses queued in the last day: a run that is repeated gets no second share of them.
    `pausing`: those of `active_ads` that a change in the queue is to pause.
    `funds`: what raises may take besides what cuts free; None is no limit.
    `learning`: ad sets in learning, and campaigns that own the budget of one. `edited` is a person's last edit.
    """

    limits: Limits
    currency: str
    now: datetime
    today: date
    timezone: tzinfo
    freshness: Freshness
    active_ads: Mapping[AdSetId, int]
    values: Mapping[str, Sequence[ValueInForce]] = field(default_factory=dict)
    now_in_force: Mapping[tuple[str, Field], int | str] = field(default_factory=dict)
    campaign_actions: Mapping[CampaignId, Sequence[datetime]] = field(default_factory=dict)
    ad_set_actions: Mapping[AdSetId, Sequence[datetime]] = field(default_factory=dict)
    raises: Sequence[Raise] = ()
    kills: Sequence[datetime] = ()
    pausing: Mapping[AdSetId, frozenset[str]] = field(default_factory=dict)
    in_flight: frozenset[tuple[str, Field]] = frozenset()
    learning: frozenset[str] = frozenset()
    edited: Mapping[str, datetime] = field(default_factory=dict)
    funds: Funds | None = None
