"""Pass the day's decisions through the guards, and queue what may be sent as absolute targets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, attributions, changes, decisions, entities, exposure, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import NewChange
from adctl.domain.decisions import Decision
from adctl.domain.entities import AdSet, Campaign, Field, is_running
from adctl.domain.guards.answers import Answer, Pass, Refuse, Wait
from adctl.domain.guards.context import Freshness, GuardContext, Raise, ValueInForce
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import CampaignId, stable_uuid
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table

_DAY = timedelta(hours=24)
# Meta may spend this much of a daily budget on one day.
_OVERSPEND = 1.25


def run(
    engine: Engine,
    profile: AccountProfile,
    limits: Limits,
    *,
    run_id: UUID,
    as_of: date | None = None,
    expire: timedelta = _DAY,
    spare_learning: bool = True,
    dry_run: bool = False,
) -> Report:
    """Judges the champion's decisions of the account day `as_of` (today when not given) and queues those that pass.

    A decision is queued once: the same again changes nothing. Unclaimed changes of older decisions about the same
    fields are cancelled. `spare_learning` holds back what would begin Meta's learning phase again. A dry run shows the
    plan and writes nothing.
    """
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        today = as_of or now.astimezone(ZoneInfo(profile.timezone)).date()
        queued = changes.queued_decisions(connection, profile.account)
        found = [d for d in decisions.of_day(connection, profile.account, today) if d.decision_id not in queued]
        answers = judge(found, _context(connection, profile, limits, today, spare_learning=spare_learning))
        total = exposure.daily_budget(connection, profile.account)
        passed = [_change(d, a) for d, a in zip(found, answers, strict=True) if isinstance(a, Pass)]
        added = replaced = 0
        if not dry_run and found:
            changes.prepare(connection)
            replaced = changes.supersede(connection, profile.account, found)
            added = changes.enqueue(connection, profile.account, run_id, passed, expire=expire)
    return _report(profile, today, found, answers, total, (added, replaced), dry_run=dry_run)


def _context(
    connection: Connection, profile: AccountProfile, limits: Limits, today: date, *, spare_learning: bool
) -> GuardContext:
    now = accounts.now(connection)
    campaigns = {c.campaign_id: c for c in entities.campaigns(connection, profile.account)}
    ad_sets = {a.ad_set_id: a for a in entities.ad_sets(connection, profile.account)}
    ads = entities.ads(connection, profile.account)
    sent = attempts.since(connection, profile.account, now - max(limits.velocity_window, _DAY))
    in_force: dict[tuple[str, Field], int | str] = {(ad.ad_id, Field.STATUS): ad.status for ad in ads}
    in_force |= {(c.campaign_id, Field.DAILY_BUDGET): c.daily_budget for c in campaigns.values() if c.daily_budget}
    in_force |= {(a.ad_set_id, Field.DAILY_BUDGET): a.daily_budget for a in ad_sets.values() if a.daily_budget}
    return GuardContext(
        limits=limits,
        now=now,
        today=today,
        timezone=ZoneInfo(profile.timezone),
        freshness=_freshness(connection, profile),
        active_ads=Counter(
            ad.ad_set_id for ad in ads if is_running(ad, ad_sets.get(ad.ad_set_id), campaigns.get(ad.campaign_id))
        ),
        values=_values(sent),
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
        kills=changes.pauses_since(connection, profile.account, now - _DAY),
        in_flight=frozenset((c.entity_id, c.field) for c in changes.in_flight(connection, profile.account)),
        learning=_learning(tuple(ad_sets.values()), campaigns) if spare_learning else frozenset(),
    )


def _freshness(connection: Connection, profile: AccountProfile) -> Freshness:
    crm = [runs.watermark(connection, profile.account, source) for source in ("hubspot.deals", "crm.file")]
    read = [at for at in crm if at is not None]
    doubts = () if attributions.any_credited(connection, profile.account) else ("no deal is credited to any ad",)
    return Freshness(
        insights_at=runs.watermark(connection, profile.account, "meta.insights"),
        crm_at=max(read, default=None),
        doubts=doubts,
    )


def _values(sent: Sequence[attempts.Sending]) -> dict[str, list[ValueInForce]]:
    """What was replaced holds until its replacement was authorised; what was sent may hold still."""
    found: dict[str, list[ValueInForce]] = defaultdict(list)
    for s in sent:
        if s.may_hold and s.target_budget is not None and s.expected_budget is not None:
            found[s.entity_id].append(ValueInForce(value=s.expected_budget, until=s.at))
            found[s.entity_id].append(ValueInForce(value=s.target_budget, until=None))
    return found


def _learning(ad_sets: Sequence[AdSet], campaigns: Mapping[CampaignId, Campaign]) -> frozenset[str]:
    """Ad sets in Meta's learning phase, and the campaigns that own the budget of one."""
    learning = [a for a in ad_sets if a.learning_stage == "LEARNING"]
    owners = {a.campaign_id for a in learning if (c := campaigns.get(a.campaign_id)) and c.daily_budget is not None}
    return frozenset({*(a.ad_set_id for a in learning), *owners})


def _change(decision: Decision, answer: Pass) -> NewChange:
    return NewChange(
        change_id=stable_uuid("change", str(decision.decision_id)),
        decision_id=decision.decision_id,
        decision_day=decision.day,
        kind=decision.entity_kind,
        entity_id=decision.entity_id,
        campaign_id=decision.campaign_id,
        ad_set_id=decision.ad_set_id,
        field=decision.field,
        expected=decision.current,
        target=answer.target,
        wanted=decision.target if isinstance(decision.target, int) else None,
        reason=decision.reason,
        clipped_by=tuple(
            {"guard": clip.guard.value, "before": clip.before, "after": clip.after} for clip in answer.clipped_by
        ),
        fuzz_ppm=answer.fuzz_ppm,
        jitter_ms=answer.jitter_ms,
    )


def _report(
    profile: AccountProfile,
    today: date,
    found: Sequence[Decision],
    answers: Sequence[Answer],
    total: int,
    written: tuple[int, int],
    *,
    dry_run: bool,
) -> Report:
    """`written` is how many changes were added, and how many older ones they cancelled."""
    added, replaced = written
    judged = [(d, a) for d, a in zip(found, answers, strict=True) if d.current != d.target]
    plan = [(d, a) for d, a in judged if isinstance(a, Pass)]
    moved = sum(a.target - d.current for d, a in plan if isinstance(a.target, int) and isinstance(d.current, int))
    return Report(
        command="enqueue",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(len(plan), added, replaced, dry_run=dry_run),
        facts=(
            Fact(key="day", label="day", value=today),
            Fact(key="queued", label="queued", value=added, kind=Kind.COUNT),
            Fact(key="replaced", label="older ones cancelled", value=replaced, kind=Kind.COUNT),
            Fact(key="held_back", label="held back", value=len(judged) - len(plan), kind=Kind.COUNT),
            Fact(key="budget_now", label="daily budget now", value=total, kind=Kind.MONEY),
            Fact(key="budget_moved", label="change by this plan", value=moved, kind=Kind.MONEY),
            Fact(
                key="worst_case",
                label="worst case of a day",
                value=round((total + moved) * _OVERSPEND),
                kind=Kind.MONEY,
            ),
        ),
        tables=(_budget_plan(plan), _status_plan(plan), _held_back(judged)),
    )


def _budget_plan(plan: Sequence[tuple[Decision, Pass]]) -> Table:
    return Table(
        key="budgets",
        title="Plan: budgets",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="before", label="before", kind=Kind.MONEY),
            Column(key="wanted", label="wanted", kind=Kind.MONEY),
            Column(key="after", label="after", kind=Kind.MONEY),
            Column(key="change", label="change", kind=Kind.PERCENT),
            Column(key="clipped_by", label="clipped by"),
            Column(key="reason", label="why"),
        ),
        rows=tuple(
            {
                "entity": f"{d.entity_kind} {d.entity_id}",
                "before": d.current,
                "wanted": d.target,
                "after": a.target,
                "change": int(a.target) / int(d.current) - 1,
                "clipped_by": ", ".join(clip.guard.value for clip in a.clipped_by),
                "reason": d.reason,
                "fuzz_ppm": a.fuzz_ppm,
                "jitter_ms": a.jitter_ms,
                "decision_id": str(d.decision_id),
            }
            for d, a in plan
            if d.field is Field.DAILY_BUDGET
        ),
        empty="No changes.",
    )


def _status_plan(plan: Sequence[tuple[Decision, Pass]]) -> Table:
    return Table(
        key="statuses",
        title="Plan: ads",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="before", label="before"),
            Column(key="after", label="after"),
            Column(key="reason", label="why"),
        ),
        rows=tuple(
            {
                "entity": f"{d.entity_kind} {d.entity_id}",
                "before": d.current,
                "after": a.target,
                "reason": d.reason,
                "decision_id": str(d.decision_id),
            }
            for d, a in plan
            if d.field is Field.STATUS
        ),
        empty="No changes.",
    )


def _held_back(judged: Sequence[tuple[Decision, Answer]]) -> Table:
    return Table(
        key="held_back",
        title="Held back",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="wanted", label="wanted"),
            Column(key="guard", label="guard"),
            Column(key="value", label="value"),
            Column(key="limit", label="limit"),
            Column(key="until", label="passes at", kind=Kind.TIME),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_held_row(d, a) for d, a in judged if isinstance(a, Wait | Refuse)),
        empty="Nothing is held back.",
        shown=20,
    )


def _held_row(decision: Decision, answer: Wait | Refuse) -> Mapping[str, Cell]:
    return {
        "entity": f"{decision.entity_kind} {decision.entity_id}",
        "wanted": f"{decision.field} {decision.current} → {decision.target}",
        "guard": answer.guard.value,
        "value": _figure(answer.value),
        "limit": _figure(answer.limit),
        "until": answer.until if isinstance(answer, Wait) else None,
        "reason": answer.reason,
        "decision_id": str(decision.decision_id),
    }


def _figure(value: int | float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _summary(planned: int, added: int, replaced: int, *, dry_run: bool) -> str:
    if dry_run:
        return f"{planned} changes would be queued." if planned else "No changes."
    told = [f"{added} changes queued."] if added else []
    told += [f"{replaced} older ones cancelled."] if replaced else []
    return " ".join(told) or "No changes."
