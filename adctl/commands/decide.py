"""Let the champion judge every ad, and write down what it wants with the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, decisions, entities, fatigue, history, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.decisions import Decision, DecisionPlan, plan_decisions
from adctl.domain.entities import Ad, EntityKind, Field, is_running
from adctl.domain.ids import AdId
from adctl.domain.money import offset
from adctl.domain.owners import Ownership, ad_shares, ownership
from adctl.domain.policies.protocol import AdHistory, Flags, Ints, Policy, Verdict
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import revenue_book

_RECENT_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    owned: Ownership
    ads: tuple[Ad, ...]
    history: AdHistory
    unvalued: int


def run(
    engine: Engine,
    profile: AccountProfile,
    policy: Policy,
    *,
    run_id: UUID,
    as_of: date | None = None,
    redo: bool = False,
    dry_run: bool = False,
) -> Report:
    """Decides for the account day `as_of` (today when not given). A day's first decisions stand, so a rerun is a no-op;
    `redo` replaces those that were not queued yet.
    """
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        day = as_of or now.astimezone(ZoneInfo(profile.timezone)).date()
        if not dry_run:
            accounts.ensure(connection, profile)
            decisions.make_champion(connection, profile.account, policy, now)
        standing = decisions.of_day(connection, profile.account, day)
        if standing and not (redo or dry_run):
            return _report(profile, policy, day, standing, None, 0, dry_run=False)
        loaded = _load(connection, profile, day, now)
    plan = plan_decisions(
        account=profile.account,
        day=day,
        currency=profile.currency,
        policy=policy,
        owned=loaded.owned,
        ads=loaded.ads,
        result=policy.decide(loaded.history),
    )
    written = 0
    if not dry_run:
        with transaction(engine) as connection:
            written = decisions.record(connection, profile.account, run_id, plan.decisions, now)
    return _report(profile, policy, day, plan.decisions, (plan, loaded), written, dry_run=dry_run)


def _load(connection: Connection, profile: AccountProfile, day: date, now: datetime) -> _Loaded:
    campaigns = {c.campaign_id: c for c in entities.campaigns(connection, profile.account)}
    ad_sets = {a.ad_set_id: a for a in entities.ad_sets(connection, profile.account)}
    ads = entities.ads(connection, profile.account)
    owned = ownership(tuple(campaigns.values()), tuple(ad_sets.values()))
    rows = history.daily_rows(connection, profile.account, [ad.ad_id for ad in ads], day)
    running = np.array(
        [is_running(ad, ad_sets.get(ad.ad_set_id), campaigns.get(ad.campaign_id)) for ad in ads], dtype=np.bool_
    )
    deal_columns, unvalued = _deals(connection, profile, ads, day, now)
    position = {campaign_id: place for place, campaign_id in enumerate(sorted({ad.campaign_id for ad in ads}))}
    past = AdHistory(
        account=profile.account,
        day=day,
        currency=profile.currency,
        minor_per_major=offset(profile.currency),
        ad_ids=tuple(ad.ad_id for ad in ads),
        campaign=np.array([position[ad.campaign_id] for ad in ads], dtype=np.int64),
        active=running,
        age_hours=_ages(ads, rows, now),
        budget=_budgets(owned, ads, running, rows),
        row_ad=rows.ad,
        row_days_ago=rows.days_ago,
        row_impressions=rows.impressions,
        row_clicks=rows.clicks,
        row_spend=rows.spend,
        row_leads=rows.leads,
        deal_ad=deal_columns[:, 0],
        deal_days_ago=deal_columns[:, 1],
        deal_value=deal_columns[:, 2],
        deal_cash=deal_columns[:, 3],
        fatigue=fatigue.of_ads(connection, profile.account, [ad.ad_id for ad in ads], day),
    )
    return _Loaded(owned=owned, ads=ads, history=past, unvalued=unvalued)


def _ages(ads: Sequence[Ad], rows: history.DailyRows, now: datetime) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Hours since an ad was created; an ad known from files only is as old as the first day they cover."""
    first_seen = np.zeros(len(ads), dtype=np.int64)
    np.maximum.at(first_seen, rows.ad, rows.first_days_ago)
    return np.array(
        [
            max((now - ad.created_at).total_seconds() / 3600, 0.0) if ad.created_at else float(first_seen[place]) * 24
            for place, ad in enumerate(ads)
        ],
        dtype=np.float64,
    )


def _budgets(owned: Ownership, ads: Sequence[Ad], running: Flags, rows: history.DailyRows) -> Ints:
    """Each running ad's share of its owner's budget, by its spend of the last week."""
    recent = np.zeros(len(ads), dtype=np.int64)
    fresh = rows.days_ago < _RECENT_DAYS
    np.add.at(recent, rows.ad[fresh], rows.spend[fresh])
    owner = np.array([owned.owner_of.get(ad.ad_set_id, -1) for ad in ads], dtype=np.int64)
    fed = running & (owner >= 0)
    budget = np.zeros(len(ads), dtype=np.int64)
    budget[fed] = ad_shares(np.array([o.daily_budget for o in owned.owners], dtype=np.int64), owner[fed], recent[fed])
    return budget


def _deals(
    connection: Connection, profile: AccountProfile, ads: Sequence[Ad], day: date, now: datetime
) -> tuple[Ints, int]:
    """Columns ad, days ago, value, cash of every credited deal; and how many deals could not be valued."""
    place = {ad.ad_id: index for index, ad in enumerate(ads)}
    reported = history.reported_values(connection, profile.account)
    credited = history.credited_ads(connection, profile.account)
    live = {d.deal_id: d for d in deals.live(connection, profile.account)}
    book = revenue_book(
        live.values(), revenue.stage_values(connection, profile.account), at=now, currency=profile.currency
    )
    lines = [(place[ad_id], 0, value, value) for ad_id, value in sorted(reported.items()) if ad_id in place]
    for entry in book.revenues:
        ad_id = credited.get(entry.deal_id, AdId(""))
        if ad_id in place and ad_id not in reported:
            created = live[entry.deal_id].created_at
            age = max((day - created.date()).days, 0) if created else 0
            lines.append((place[ad_id], age, entry.value, entry.cash))
    return np.array(lines, dtype=np.int64).reshape(-1, 4), len(book.problems)


def _report(
    profile: AccountProfile,
    policy: Policy,
    day: date,
    found: Sequence[Decision],
    planned: tuple[DecisionPlan, _Loaded] | None,
    written: int,
    *,
    dry_run: bool,
) -> Report:
    verdicts = Counter(d.verdict for d in found if d.entity_kind is EntityKind.AD)
    budgets = [d for d in found if d.field is Field.DAILY_BUDGET]
    notes = []
    facts = [
        Fact(key="day", label="day", value=day),
        Fact(key="policy", label="policy", value=f"{policy.name} {policy.version}"),
        *(Fact(key=v.value, label=f"ads to {v.value}", value=verdicts[v], kind=Kind.COUNT) for v in Verdict),
        Fact(key="budget_before", label="daily budget before", value=_total(budgets, "current"), kind=Kind.MONEY),
        Fact(key="budget_after", label="daily budget wanted", value=_total(budgets, "target"), kind=Kind.MONEY),
        Fact(key="written", label="decisions written", value=written, kind=Kind.COUNT),
    ]
    if planned:
        plan, loaded = planned
        facts.append(Fact(key="unallocated", label="left over by caps", value=plan.unallocated, kind=Kind.MONEY))
        notes += [f"{u.kind} {u.entity_id}: {u.reason}" for u in plan.unbudgeted[:5]]
        if len(plan.unbudgeted) > 5:
            notes.append(f"… and {len(plan.unbudgeted) - 5} more without a budget of their own to change.")
        if loaded.unvalued:
            notes.append(f"{loaded.unvalued} deals could not be valued: run adctl ingest-crm to see which.")
    elif not dry_run:
        notes.append(f"{day} was decided already; --redo decides again what is not queued yet.")
    return Report(
        command="decide",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(day, verdicts, written, dry_run=dry_run),
        facts=tuple(facts),
        tables=(_budget_table(budgets), _ad_table(found)),
        notes=tuple(notes),
    )


def _total(budgets: Sequence[Decision], side: str) -> int:
    return sum(int(getattr(d, side)) for d in budgets)


def _budget_table(budgets: Sequence[Decision]) -> Table:
    return Table(
        key="budgets",
        title="Budgets wanted",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="before", label="before", kind=Kind.MONEY),
            Column(key="after", label="wanted", kind=Kind.MONEY),
            Column(key="change", label="change", kind=Kind.PERCENT),
            Column(key="confidence", label="confidence", kind=Kind.RATIO),
            Column(key="reason", label="why"),
        ),
        rows=tuple(
            {
                "entity": f"{d.entity_kind} {d.entity_id}",
                "before": d.current,
                "after": d.target,
                "change": int(d.target) / int(d.current) - 1 if d.current else None,
                "confidence": round(d.confidence, 4),
                "reason": d.reason,
            }
            for d in budgets
        ),
        empty="No budgets are known: run adctl sync-meta.",
        shown=30,
    )


def _ad_table(found: Sequence[Decision]) -> Table:
    """The plan's own output fields for each ad, with the decision's id; what is to change comes first."""
    order = (Verdict.KILL, Verdict.SCALE, Verdict.CUT, Verdict.WAIT, Verdict.KEEP)
    ads = sorted((d for d in found if d.entity_kind is EntityKind.AD), key=lambda d: (order.index(d.verdict),))
    return Table(
        key="ads",
        title="Ads",
        columns=(
            Column(key="ad_id", label="ad"),
            Column(key="verdict", label="verdict"),
            Column(key="current_budget", label="share now", kind=Kind.MONEY),
            Column(key="recommended_budget", label="wanted", kind=Kind.MONEY),
            Column(key="confidence", label="confidence", kind=Kind.RATIO),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_ad_row(d) for d in ads),
        empty="No ads are known: run adctl sync-meta or adctl ingest-ads.",
        shown=20,
    )


def _ad_row(decision: Decision) -> Mapping[str, Cell]:
    before, after = decision.evidence.get("current_budget"), decision.evidence.get("budget")
    change = after / before - 1 if isinstance(before, int) and isinstance(after, int) and before else None
    return {
        **decision.evidence,
        "decision_id": str(decision.decision_id),
        "ad_id": decision.entity_id,
        "verdict": decision.verdict.value,
        "current_budget": before,
        "recommended_budget": after,
        "change_percentage": None if change is None else round(change * 100, 2),
        "confidence": round(decision.confidence, 4),
        "reason": decision.reason,
    }


def _summary(day: date, verdicts: Counter[Verdict], written: int, *, dry_run: bool) -> str:
    told = ", ".join(f"{verdicts[v]} {v.value}" for v in Verdict if verdicts[v]) or "no ads"
    if dry_run:
        return f"{day}: {told}; nothing written."
    return f"{day}: {told}." if written else f"{day}: {told}. No changes."
