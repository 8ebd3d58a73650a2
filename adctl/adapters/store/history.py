"""What a policy reads of an account on a day: its ads, their daily rows, and the way of every deal they brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, text

from adctl.adapters.store import accounts, deals, entities, fatigue, neighbours, revenue
from adctl.adapters.store.daily_rows import DailyRows, daily_rows, first_days_ago
from adctl.adapters.store.deal_columns import DealColumns, crm_stages, deal_columns, stages_moved_to
from adctl.adapters.store.id_hashes import Places, ad_places
from adctl.adapters.store.packed import NEVER, days_before
from adctl.domain.accounts import AccountProfile
from adctl.domain.ad_columns import AdColumns
from adctl.domain.deal_worth import Worth, worth
from adctl.domain.funnel_steps import FunnelSteps, StageKey, funnel_steps
from adctl.domain.ids import Account, AdId
from adctl.domain.money import offset
from adctl.domain.owners import Ownership, ad_shares, ownership
from adctl.domain.policies.protocol import AdHistory, Flags, Floats, Ints
from adctl.domain.revenue import StageValue

_RECENT_DAYS = 7
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unvalued:
    """Credited deals that count as leads and by their stage, but whose worth is unknown: by stage without a value, and
    won with an amount in another currency."""

    unmapped: Mapping[StageKey, int]
    foreign: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccountHistory:
    """The history as a policy reads it, with what its verdicts are then carried out on; read at the moment `at`."""

    at: datetime
    owned: Ownership
    ads: AdColumns
    history: AdHistory
    unvalued: Unvalued


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """The account day, its end, and the moment of it that is known."""

    day: date
    end: datetime
    at: datetime


def account_history(connection: Connection, profile: AccountProfile, day: date) -> AccountHistory:
    """What is known of the account day `day` now; within `time_travel.as_known`, what was known of it then.

    Deals and moves of later days do not exist yet. Campaigns, ads, budgets and attributions are those of the moment it
    is asked at. Read in one snapshot when the transaction is a repeatable read.
    """
    prepare_reading(connection)
    now = accounts.now(connection)
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(profile.timezone))
    moment = _Moment(day=day, end=end, at=min(now, end))
    campaigns = entities.campaigns(connection, profile.account)
    ad_sets = entities.ad_sets(connection, profile.account)
    ads = entities.ad_columns(connection, profile.account)
    owned = ownership(campaigns, ad_sets)
    places = ad_places(connection, profile.account)
    funnel, unvalued = _funnel(connection, profile, ads, places, moment)
    rows = daily_rows(connection, profile.account, day, places)
    running = ads.running(ad_sets, campaigns)
    history = AdHistory(
        account=profile.account,
        day=day,
        currency=profile.currency,
        minor_per_major=offset(profile.currency),
        ad_ids=ads.ad_ids,
        campaign=ads.campaign,
        active=running,
        age_hours=_ages(connection, profile.account, len(ads), moment),
        budget=_budgets(owned, ads, running, rows),
        row_ad=rows.ad,
        row_days_ago=rows.days_ago,
        row_impressions=rows.impressions,
        row_clicks=rows.clicks,
        row_spend=rows.spend,
        row_leads=rows.leads,
        deal_ad=funnel.ad,
        deal_days_ago=funnel.days_ago,
        deal_value=funnel.value,
        deal_cash=funnel.cash,
        stages=funnel.stages,
        deal_entered=funnel.entered,
        deal_lost=funnel.lost,
        shared=ads.shared(owned, running),
        fatigue=fatigue.of_ads(connection, profile.account, ads.ad_ids, day),
        kin=neighbours.kin(connection, profile.account, ads.ad_ids, day),
    )
    return AccountHistory(at=now, owned=owned, ads=ads, history=history, unvalued=unvalued)


def prepare_reading(connection: Connection) -> None:
    """Room for the joins of this transaction, which otherwise spill to disk; compiling takes longer than it saves."""
    connection.execute(text("select set_config('work_mem', '256MB', true), set_config('jit', 'off', true)"))


def _ages(connection: Connection, account: Account, ads: int, moment: _Moment) -> Floats:
    """Hours since an ad was created; an ad known from files only is as old as the first day they cover."""
    created = entities.ads_created(connection, account)
    hours = days_before(moment.at, created) * _HOURS_PER_DAY
    if (created == NEVER).any():
        first = first_days_ago(connection, account, moment.day, ads)
        hours = np.where(created == NEVER, first * _HOURS_PER_DAY, hours)
    return np.maximum(hours, 0.0)


def _budgets(owned: Ownership, ads: AdColumns, running: Flags, rows: DailyRows) -> Ints:
    """Each running ad's share of its owner's budget, by its spend of the last week."""
    fresh = rows.days_ago < _RECENT_DAYS
    recent = np.bincount(rows.ad[fresh], weights=rows.spend[fresh], minlength=len(ads)).astype(np.int64)
    owner = ads.owner(owned)
    fed = running & (owner >= 0)
    budget = np.zeros(len(ads), dtype=np.int64)
    budget[fed] = ad_shares(np.array([o.daily_budget for o in owned.owners], dtype=np.int64), owner[fed], recent[fed])
    return budget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Funnel:
    """The deals' columns of a history."""

    stages: tuple[str, ...]
    ad: Ints
    days_ago: Ints
    value: Ints
    cash: Ints
    entered: Floats
    lost: Floats


def _funnel(
    connection: Connection, profile: AccountProfile, ads: AdColumns, places: Places, moment: _Moment
) -> tuple[_Funnel, Unvalued]:
    stored = revenue.stage_values(connection, profile.account)
    counts = deals.stage_counts(connection, profile.account)
    in_force = stored.in_force(moment.at)
    steps = _steps(connection, profile.account, counts, in_force)
    keys = sorted({*((count.pipeline, count.stage) for count in counts), *steps.places})
    found = deal_columns(
        connection,
        profile.account,
        keys,
        steps,
        currency=profile.currency,
        at=moment.at,
        end=moment.end,
        ads=places,
    )
    values = [stored.at(pipeline, stage, moment.at) for pipeline, stage in keys]
    told = worth(found.stage, found.amount, found.other_currency, values)
    return _with_reported(connection, profile.account, ads, _funnel_of(found, told, steps)), _unvalued(
        told, found, keys
    )


def _steps(
    connection: Connection,
    account: Account,
    counts: Sequence[deals.StageCount],
    values: Sequence[StageValue],
    pipeline: str | None = None,
) -> FunnelSteps:
    stages = [stage for stage in crm_stages(connection, account) if pipeline in (None, stage.pipeline)]
    number: Counter[str] = Counter()
    for count in counts:
        number[count.pipeline] += count.deals
    of_files = sorted(set(number) - {stage.pipeline for stage in stages})
    seen = stages_moved_to(connection, account, of_files) if of_files else ()
    current = [(count.pipeline, count.stage) for count in counts]
    return funnel_steps(stages, values, number, sorted({*seen, *current}))


def _funnel_of(found: DealColumns, told: Worth, steps: FunnelSteps) -> _Funnel:
    return _Funnel(
        # Without a deal there is no way to learn of; Meta's own leads are then all there is.
        stages=steps.names if len(found.ad) else (),
        ad=found.ad,
        days_ago=np.floor(found.age).astype(np.int64),
        value=told.value,
        cash=told.cash,
        entered=found.entered,
        lost=found.lost,
    )


def _unvalued(told: Worth, found: DealColumns, keys: Sequence[StageKey]) -> Unvalued:
    number = np.bincount(found.stage[told.unmapped], minlength=len(keys))
    return Unvalued(
        unmapped={key: int(number[place]) for place, key in enumerate(keys) if number[place]},
        foreign=int(told.foreign.sum()),
    )


def pipeline_deals(
    connection: Connection, profile: AccountProfile, pipeline: str
) -> tuple[tuple[str, ...], DealColumns, Worth]:
    """A pipeline's own stages, the last one won, and the way through them of all its deals, credited or not."""
    prepare_reading(connection)
    now = accounts.now(connection)
    stored = revenue.stage_values(connection, profile.account)
    counts = [c for c in deals.stage_counts(connection, profile.account) if c.pipeline == pipeline]
    values = [value for value in stored.in_force(now) if value.pipeline == pipeline]
    steps = _steps(connection, profile.account, counts, values, pipeline)
    keys = sorted({*((count.pipeline, count.stage) for count in counts), *steps.places})
    found = deal_columns(
        connection, profile.account, keys, steps, currency=profile.currency, at=now, end=now, pipeline=pipeline
    )
    prices = [stored.at(*key, now) for key in keys]
    return steps.names, found, worth(found.stage, found.amount, found.other_currency, prices)


def _with_reported(connection: Connection, account: Account, ads: AdColumns, funnel: _Funnel) -> _Funnel:
    """Values that a file reports per ad stand instead of the ad's deals, each as one deal won today."""
    reported = reported_values(connection, account)
    if not reported:
        return funnel
    place = {ad_id: index for index, ad_id in enumerate(ads.ad_ids)}
    lines = sorted((place[ad_id], value) for ad_id, value in reported.items() if ad_id in place)
    table = np.array(lines, dtype=np.int64).reshape(-1, 2)
    kept = ~np.isin(funnel.ad, table[:, 0])
    today = np.zeros(len(table), dtype=np.int64)
    return _Funnel(
        stages=funnel.stages if kept.any() else (),
        ad=np.concatenate([funnel.ad[kept], table[:, 0]]),
        days_ago=np.concatenate([funnel.days_ago[kept], today]),
        value=np.concatenate([funnel.value[kept], table[:, 1]]),
        cash=np.concatenate([funnel.cash[kept], table[:, 1]]),
        entered=np.concatenate([funnel.entered[kept], np.zeros((len(table), funnel.entered.shape[1]))]),
        lost=np.concatenate([funnel.lost[kept], np.full(len(table), np.nan)]),
    )


def reported_values(connection: Connection, account: Account) -> dict[AdId, int]:
    """Absolute values per ad from bulk files, minor units; they stand instead of the ad's deals."""
    rows = connection.execute(
        text("select ad_id, value from ad_performances where account = :account"), {"account": account}
    )
    return {AdId(row.ad_id): row.value for row in rows}
