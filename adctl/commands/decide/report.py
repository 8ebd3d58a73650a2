"""What a decision looks like to a reader: the budgets and ads, what is left over, and the challengers beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from adctl.adapters.store.decisions import DayTally
from adctl.adapters.store.history import AccountHistory, Unvalued
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.decisions import AdDecisions, Decision, DecisionPlan
from adctl.domain.entities import EntityKind, Field
from adctl.domain.models import Model
from adctl.domain.policies.protocol import VERDICTS, AdHistory, Policy, Verdict
from adctl.domain.report import Cell, Column, Fact, Kind, MadeRows, Report, Table

Shadows = Sequence[tuple[Model, DecisionPlan]]
# Insights of yesterday are what a morning has.
_OLD_DAYS = 3
_ORDER = (Verdict.KILL, Verdict.SCALE, Verdict.CUT, Verdict.WAIT, Verdict.KEEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """Who decides, who decides in shadow, and what there is to say about it."""

    champion: Policy
    challengers: tuple[tuple[Model, Policy], ...]
    notes: tuple[str, ...]
    kill_last_ad: bool = False


def standing_report(
    profile: AccountProfile, lineup: Lineup, day: date, tally: DayTally, standing: Sequence[Decision], *, over: bool
) -> Report:
    again = "--dry-run" if over else "--redo"
    what = "it again on what was known then, and writes nothing" if over else "again what is not queued yet"
    notes = [*lineup.notes, f"{day} was decided already; {again} decides {what}."]
    ads = [d for d in standing if d.entity_kind is EntityKind.AD]
    budgets = [d for d in standing if d.field is Field.DAILY_BUDGET]
    if tally.decisions > len(standing):
        of_all = f"{len(standing):,} of {counted(tally.decisions, 'decision')}"
        notes.append(f"Listed: {of_all}; adctl why ENTITY shows any one.")
    return Report(
        command="decide",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(day, tally, 0, dry_run=False),
        facts=_facts(day, lineup.champion, tally, 0),
        tables=(
            _budget_table(budgets),
            _ad_table(len(ads), sorted(ads, key=lambda d: _ORDER.index(d.verdict)).__getitem__),
        ),
        notes=tuple(notes),
    )


def planned_report(
    profile: AccountProfile,
    lineup: Lineup,
    plans: tuple[DecisionPlan, Shadows],
    loaded: AccountHistory,
    written: int,
    *,
    dry_run: bool,
) -> Report:
    plan, shadows = plans
    tally = _tally(plan)
    day = plan.ads.maker.day
    notes = [*lineup.notes, *(f"{u.kind} {u.entity_id}: {u.reason}" for u in plan.unbudgeted[:5])]
    if len(plan.unbudgeted) > 5:
        notes.append(f"… and {len(plan.unbudgeted) - 5} more without a budget of their own to change.")
    return Report(
        command="decide",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(day, tally, written, dry_run=dry_run),
        facts=(*_facts(day, lineup.champion, tally, written), *_unspent(plan, kill_last_ad=lineup.kill_last_ad)),
        tables=(
            _budget_table(plan.budgets),
            _ad_table(len(plan.ads), _most_urgent_first(plan.ads)),
            *([_shadow_table(plan, shadows)] if shadows else []),
        ),
        notes=(*notes, *_old(loaded.history, day), *_unvalued_notes(loaded.unvalued, profile.currency)),
    )


def _unspent(plan: DecisionPlan, *, kill_last_ad: bool) -> tuple[Fact, ...]:
    """What of the budgets no ad deserves, and why: none is to go on, or those that are may take no more."""
    alive = [d.evidence["ads"] != d.evidence["ads_to_be_paused"] for d in plan.budgets]
    idle = sum(int(d.target) for d, lives in zip(plan.budgets, alive, strict=True) if d.evidence["ads"] and not lives)
    label = "left over by caps or margin" if any(alive) or not idle else "left over, for no ad is to go on"
    if plan.unallocated and plan.unallocated == sum(int(d.target) for d in plan.budgets if _stays(d)):
        label = "left over, for ads without a share"
    stops, goes_on = (idle, 0) if kill_last_ad else (0, idle)
    return (
        Fact(key="idle", label="of it stops with paused ads", value=stops, kind=Kind.MONEY),
        # The guard of that name (kill_last_ad) holds the pause of an ad set's last active ad back.
        *(
            [Fact(key="last_ads", label="of it goes on with an ad set's last ad", value=goes_on, kind=Kind.MONEY)]
            if goes_on
            else []
        ),
        Fact(key="unallocated", label=label, value=plan.unallocated, kind=Kind.MONEY),
    )


def _stays(budget: Decision) -> bool:
    """Whether what had a share of it is to be paused, and it is kept for an ad that has none and goes on."""
    told = budget.evidence
    return told["ads"] != told["ads_to_be_paused"] and not told["shares_after"] and bool(budget.target)


def _shadow_table(plan: DecisionPlan, shadows: Shadows) -> Table:
    """What the challengers would have done, beside the champion."""
    return Table(
        key="challengers",
        title="Challengers, in shadow: nothing of theirs is queued",
        columns=(
            Column(key="model", label="model"),
            Column(key="policy", label="policy"),
            *(Column(key=v.value, label=f"ads to {v.value}", kind=Kind.COUNT) for v in Verdict),
            Column(key="agrees", label="agrees on", kind=Kind.PERCENT),
        ),
        rows=tuple(_shadow_row(model, theirs, plan) for model, theirs in shadows),
    )


def _shadow_row(model: Model, theirs: DecisionPlan, ours: DecisionPlan) -> Mapping[str, Cell]:
    verdicts, same = _tally(theirs).verdicts, theirs.ads.verdicts.verdict == ours.ads.verdicts.verdict
    return {
        "model": model.name,
        "policy": f"{model.policy} {model.version}",
        **{v.value: verdicts.get(v, 0) for v in Verdict},
        "agrees": float(same.mean()) if len(same) else None,
    }


def _tally(plan: DecisionPlan) -> DayTally:
    codes = np.bincount(plan.ads.verdicts.verdict, minlength=len(VERDICTS)).tolist()
    return DayTally(
        decisions=len(plan.budgets) + len(plan.ads),
        verdicts={verdict: number for verdict, number in zip(VERDICTS, codes, strict=True) if number},
        budget_before=sum(int(d.current) for d in plan.budgets),
        budget_after=sum(int(d.target) for d in plan.budgets),
    )


def _most_urgent_first(decisions: AdDecisions) -> Callable[[int], Decision]:
    """The ads' decisions with those that change something first, each built when it is looked at."""
    rank = np.array([_ORDER.index(verdict) for verdict in VERDICTS], dtype=np.int8)
    order = np.argsort(rank[decisions.verdicts.verdict], kind="stable")
    return lambda place: decisions[int(order[place])]


def _old(history: AdHistory, day: date) -> list[str]:
    """What a decision on old insights rests on."""
    ago = int(history.row_days_ago.min()) if len(history.row_days_ago) else 0
    if ago < _OLD_DAYS:
        return []
    return [
        f"The newest insight is of {day - timedelta(days=ago)}, {counted(ago, 'day')} before: adctl sync-meta or adctl "
        "ingest-ads. Deals not read since count as if they had not moved, so returns look worse than they are."
    ]


def _unvalued_notes(unvalued: Unvalued, currency: str) -> list[str]:
    notes = []
    if unvalued.unmapped:
        named = ", ".join(f"{pipeline}/{stage} ({n})" for (pipeline, stage), n in sorted(unvalued.unmapped.items()))
        notes.append(f"Deals in stages without a value count as leads that are worth nothing yet: {named}.")
    if unvalued.foreign:
        notes.append(f"{unvalued.foreign} won deals are in another currency than {currency}: won, of unknown worth.")
    return notes


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


def _ad_table(count: int, decision: Callable[[int], Decision]) -> Table:
    """The plan's own output fields for each ad, with the decision's id; what is to change comes first."""
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
        rows=MadeRows(number=count, make=lambda place: _ad_row(decision(place))),
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


def _facts(day: date, policy: Policy, tally: DayTally, written: int) -> tuple[Fact, ...]:
    return (
        Fact(key="day", label="day", value=day),
        Fact(key="policy", label="policy", value=f"{policy.name} {policy.version}"),
        *(
            Fact(key=v.value, label=f"ads to {v.value}", value=tally.verdicts.get(v, 0), kind=Kind.COUNT)
            for v in Verdict
        ),
        Fact(key="budget_before", label="daily budget before", value=tally.budget_before, kind=Kind.MONEY),
        Fact(key="budget_after", label="daily budget wanted", value=tally.budget_after, kind=Kind.MONEY),
        Fact(key="written", label="decisions written", value=written, kind=Kind.COUNT),
    )


def _summary(day: date, tally: DayTally, written: int, *, dry_run: bool) -> str:
    told = ", ".join(f"{tally.verdicts[v]} {v.value}" for v in Verdict if tally.verdicts.get(v)) or "no ads"
    if dry_run:
        return f"{day}: {told}; nothing written."
    return f"{day}: {told}." if written else f"{day}: {told}. No changes."
