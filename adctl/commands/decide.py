"""Let the champion judge every ad, and write down what it wants with the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, decisions
from adctl.adapters.store.history import AccountHistory, Unvalued, account_history
from adctl.domain.accounts import AccountProfile
from adctl.domain.decisions import Decision, DecisionPlan, plan_decisions
from adctl.domain.entities import EntityKind, Field
from adctl.domain.policies.protocol import Policy, Verdict
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table


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
    with transaction(engine, read_only=True, snapshot=True) as connection:
        loaded = account_history(connection, profile, day)
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


def _report(
    profile: AccountProfile,
    policy: Policy,
    day: date,
    found: Sequence[Decision],
    planned: tuple[DecisionPlan, AccountHistory] | None,
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
        notes += _unvalued_notes(loaded.unvalued, profile.currency)
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


def _unvalued_notes(unvalued: Unvalued, currency: str) -> list[str]:
    notes = []
    if unvalued.unmapped:
        named = ", ".join(f"{pipeline}/{stage} ({n})" for (pipeline, stage), n in sorted(unvalued.unmapped.items()))
        notes.append(f"Deals in stages without a value count as leads that are worth nothing yet: {named}.")
    if unvalued.foreign:
        notes.append(f"{unvalued.foreign} won deals are in another currency than {currency}: won, of unknown worth.")
    return notes


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
