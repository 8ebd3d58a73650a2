"""What the guards know of an account at this moment, gathered from its tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from adctl.adapters.store import (
    accounts,
    attempts,
    attributions,
    changes,
    deals,
    entities,
    insights,
    person_edits,
    queue,
    runs,
)
from adctl.domain.accounts import AccountProfile
from adctl.domain.entities import Ad, AdSet, Campaign, Field, has_ended, is_running
from adctl.domain.guards.context import Freshness, GuardContext, Raise, ValueInForce
from adctl.domain.guards.limits import Limits
from adctl.domain.guards.plausible import crm_doubt, doubt
from adctl.domain.ids import AdSetId, CampaignId

_DAY = timedelta(hours=24)
# The last complete day is judged by the week before it, that of the CRM by four.
_JUDGED_DAYS = 8
_JUDGED_CRM_DAYS = 29


def load(
    connection: Connection, profile: AccountProfile, limits: Limits, today: date, *, spare_learning: bool
) -> GuardContext:
    """Everything but the day's growth; `spare_learning` False leaves nobody to be spared."""
    now = accounts.now(connection)
    campaigns = {c.campaign_id: c for c in entities.campaigns(connection, profile.account)}
    ad_sets = {a.ad_set_id: a for a in entities.ad_sets(connection, profile.account)}
    ads = entities.ads(connection, profile.account)
    running = [ad for ad in ads if is_running(ad, ad_sets.get(ad.ad_set_id), campaigns.get(ad.campaign_id))]
    sent = attempts.since(connection, profile.account, now - max(limits.velocity_window, _DAY))
    in_force: dict[tuple[str, Field], int | str] = {(ad.ad_id, Field.STATUS): ad.status for ad in ads}
    in_force |= {(c.campaign_id, Field.DAILY_BUDGET): _budget(c) for c in campaigns.values()}
    in_force |= {(a.ad_set_id, Field.DAILY_BUDGET): _budget(a) for a in ad_sets.values()}
    return GuardContext(
        limits=limits,
        currency=profile.currency,
        now=now,
        today=today,
        timezone=ZoneInfo(profile.timezone),
        freshness=_freshness(connection, profile, limits, today),
        edited=person_edits.newest(connection, profile.account, now - limits.hands_off),
        active_ads=Counter(ad.ad_set_id for ad in running),
        values=_values(sent, person_edits.budgets(connection, profile.account, now - limits.velocity_window)),
        now_in_force=in_force,
        campaign_actions={
            campaign_id: [s.at for s in sent if s.campaign_id == campaign_id] for campaign_id in campaigns
        },
        ad_set_actions={
            ad_set_id: [s.at for s in sent if s.entity_id == ad_set_id and s.field is Field.DAILY_BUDGET]
            for ad_set_id in ad_sets
        },
        raises=[
            Raise(at=s.at, amount=s.target_budget - s.expected_budget)
            for s in sent
            if s.may_hold
            and s.target_budget is not None
            and s.expected_budget is not None
            and s.target_budget > s.expected_budget
        ],
        kills=queue.pauses_since(connection, profile.account, now - _DAY),
        pausing=_by_ad_set(running, queue.to_be_paused(connection, profile.account)),
        in_flight=frozenset((c.entity_id, c.field) for c in changes.in_flight(connection, profile.account)),
        learning=_learning(tuple(ad_sets.values()), campaigns) if spare_learning else frozenset(),
    )


def _budget(owner: Campaign | AdSet) -> int | str:
    """The daily budget in force, or the word for why there is none."""
    return owner.effective_status if has_ended(owner.effective_status) else owner.daily_budget or "none"


def _freshness(connection: Connection, profile: AccountProfile, limits: Limits, today: date) -> Freshness:
    crm = [runs.watermark(connection, profile.account, source) for source in ("hubspot.deals", "crm.file")]
    read = [at for at in crm if at is not None]
    spend = insights.spend_by_day(connection, profile.account, today - timedelta(days=_JUDGED_DAYS), today)
    new, won = deals.by_day(connection, profile, today - timedelta(days=_JUDGED_CRM_DAYS), today)
    doubts = (
        None if attributions.any_credited(connection, profile.account) else "no deal is credited to any ad",
        doubt(spend, limits.implausible_factor),
        crm_doubt("new deals", new, limits.implausible_crm_factor),
        crm_doubt("money won", won, limits.implausible_crm_factor),
    )
    return Freshness(
        insights_at=runs.watermark(connection, profile.account, "meta.insights"),
        crm_at=max(read, default=None),
        doubts=tuple(one for one in doubts if one is not None),
    )


def _values(
    sent: Sequence[attempts.Sending], edited: Mapping[str, Sequence[tuple[int, datetime]]]
) -> dict[str, list[ValueInForce]]:
    """What may have been in force, as the database judges it: until an attempt's answer the value it replaced, its
    target, and the target before; until a person's edit what it replaced. What was sent last is the current value of
    the next change.
    """
    found: dict[str, list[ValueInForce]] = defaultdict(list)
    before: dict[str, int] = {}
    for s in sent:
        if s.may_hold and s.target_budget is not None and s.expected_budget is not None:
            values = {s.expected_budget, s.target_budget, before.get(s.entity_id, s.target_budget)}
            found[s.entity_id] += [ValueInForce(value=v, until=s.replaced_until) for v in sorted(values)]
            before[s.entity_id] = s.target_budget
    for entity_id, values_then in edited.items():
        found[entity_id] += [ValueInForce(value=value, until=at) for value, at in values_then]
    return found


def _by_ad_set(ads: Sequence[Ad], chosen: frozenset[str]) -> dict[AdSetId, frozenset[str]]:
    found: dict[AdSetId, frozenset[str]] = defaultdict(frozenset)
    for ad in ads:
        if ad.ad_id in chosen:
            found[ad.ad_set_id] |= {ad.ad_id}
    return found


def _learning(ad_sets: Sequence[AdSet], campaigns: Mapping[CampaignId, Campaign]) -> frozenset[str]:
    """Ad sets in Meta's learning phase, and the campaigns that own the budget of one."""
    learning = [a for a in ad_sets if a.learning_stage == "LEARNING"]
    owners = {a.campaign_id for a in learning if (c := campaigns.get(a.campaign_id)) and c.daily_budget is not None}
    return frozenset({*(a.ad_set_id for a in learning), *owners})
