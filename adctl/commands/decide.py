"""Let the champion judge every ad and the challengers in its shadow, and write down what they want, with evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.processes import in_time
from adctl.adapters.store import accounts, decisions, models, verdicts
from adctl.adapters.store.decisions import DayTally
from adctl.adapters.store.history import AccountHistory, Unvalued, account_history
from adctl.adapters.store.time_travel import as_known
from adctl.domain.accounts import AccountProfile
from adctl.domain.decisions import AdDecisions, Decision, DecisionPlan, plan_decisions
from adctl.domain.entities import EntityKind, Field
from adctl.domain.models import NOT_CONFIGURED, Model, Role, is_configured, policy_of, renewed
from adctl.domain.policies.brought import BroughtPolicy
from adctl.domain.policies.hearing import heard
from adctl.domain.policies.protocol import VERDICTS, AdHistory, Policy, PolicyResult, Verdict
from adctl.domain.report import Cell, Column, Fact, Kind, MadeRows, Report, Table
from adctl.errors import ConfigurationError, InputRejectedError, UsageError

# A day that was decided already shows no more of its decisions than these.
_MOST_SHOWN = 10_000
_Shadows = Sequence[tuple[Model, DecisionPlan]]
_REPLAYED = (
    "The day is over: decided by the models of now on what was known at {at:%Y-%m-%dT%H:%M%z}. Nothing is written."
)
_ORDER = (Verdict.KILL, Verdict.SCALE, Verdict.CUT, Verdict.WAIT, Verdict.KEEP)


def run(
    engine: Engine,
    profile: AccountProfile,
    configured: Policy,
    *,
    run_id: UUID,
    as_of: date | None = None,
    redo: bool = False,
    dry_run: bool = False,
    challenger_seconds: float = 600.0,
) -> Report:
    """Decides for the account day `as_of` (today when not given). A day's first decisions stand, so a rerun is a no-op;
    `redo` replaces those that were not queued yet. A day that is over is decided on what was known when it was decided,
    or else at its end, and nothing is written: what was done then rests on what was decided then. Raises UsageError for
    a day that has not begun, and for a `redo` of one that is over.

    The champion of the registry decides; `configured` becomes the first champion of an account that has none. The
    challengers decide on the same history, in shadow, those of the account's own for `challenger_seconds` at most.
    """
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        day = profile.day(now, as_of)
        known_at = _known_at(connection, profile, day, now)
        if known_at and redo and not dry_run:
            raise UsageError(f"--redo: {day} is over, what was decided stands", fix="add --dry-run to decide it again")
        writes = not dry_run and known_at is None
        if writes:
            accounts.ensure(connection, profile)
            models.seed(connection, profile.account, configured, at=now, run_id=run_id)
        lineup = _lineup(connection, profile, configured, now, run_id, dry_run=not writes)
        tally = decisions.tally(connection, profile.account, day)
        if tally and not (redo or dry_run):
            standing = decisions.of_day(connection, profile.account, day, limit=_MOST_SHOWN)
            return _standing_report(profile, lineup, day, tally, standing, over=known_at is not None)
    loaded = _read(engine, profile, day, known_at)
    plan = _plan(profile, day, lineup.champion, loaded)
    written = 0
    if writes:
        with transaction(engine) as connection:
            written = decisions.record(connection, profile.account, run_id, plan, loaded.at)
    # Only now: whatever a challenger does to this process, the champion has decided.
    shadows, failures = _shadows(profile, day, lineup, loaded, challenger_seconds)
    if writes and shadows:
        with transaction(engine) as connection:
            for _, theirs in shadows:
                decisions.record(connection, profile.account, run_id, theirs, loaded.at, shadow=True)
    told = [_REPLAYED.format(at=known_at)] if known_at else []
    lineup = replace(lineup, notes=(*lineup.notes, *failures, *told))
    return _planned_report(profile, lineup, (plan, shadows), loaded.unvalued, written, dry_run=not writes)


def _read(engine: Engine, profile: AccountProfile, day: date, known_at: datetime | None) -> AccountHistory:
    """What is known of the day now, or was known of it at that moment."""
    if known_at:
        with as_known(engine, profile.account, known_at) as connection:
            return account_history(connection, profile, day)
    with transaction(engine, read_only=True, snapshot=True) as connection:
        return account_history(connection, profile, day)


def _known_at(connection: Connection, profile: AccountProfile, day: date, now: datetime) -> datetime | None:
    """The moment that a day that is over is decided again as of: that of its decisions, or else its end."""
    if day == profile.day(now):
        return None
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(profile.timezone))
    return verdicts.decided_at(connection, profile.account).get(day) or end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lineup:
    """Who decides, who decides in shadow, and what there is to say about it."""

    champion: Policy
    challengers: tuple[tuple[Model, Policy], ...]
    notes: tuple[str, ...]


def _lineup(
    connection: Connection, profile: AccountProfile, configured: Policy, now: datetime, run_id: UUID, *, dry_run: bool
) -> _Lineup:
    """The models in force as this version of adctl knows them. A challenger that it no longer takes is left out."""
    found = models.in_force(connection, profile.account)
    notes = [] if is_configured(found, configured) else [NOT_CONFIGURED]
    champion, challengers = configured, []
    for model in found:
        try:
            policy = policy_of(model)
        except ConfigurationError as error:
            if model.role is Role.CHAMPION:
                raise
            notes.append(f"Challenger {model.name} did not decide: {error}.")
            continue
        if not dry_run:
            models.renew(connection, profile.account, renewed(model, policy), at=now, run_id=run_id)
        if model.role is Role.CHAMPION:
            champion = policy
        else:
            challengers.append((model, policy))
    return _Lineup(champion=champion, challengers=tuple(challengers), notes=tuple(notes))


def _plan(profile: AccountProfile, day: date, policy: Policy, loaded: AccountHistory) -> DecisionPlan:
    return plan_decisions(
        account=profile.account,
        day=day,
        currency=profile.currency,
        policy=policy,
        owned=loaded.owned,
        ads=loaded.ads,
        result=heard(policy, loaded.history),
    )


def _shadows(
    profile: AccountProfile, day: date, lineup: _Lineup, loaded: AccountHistory, seconds: float
) -> tuple[_Shadows, Sequence[str]]:
    """What the challengers want, and who of them failed: that stops nobody else."""
    plans, failures = [], []
    for model, policy in lineup.challengers:
        try:
            hurried = _Hurried(policy, seconds) if isinstance(policy, BroughtPolicy) else policy
            plans.append((model, _plan(profile, day, hurried, loaded)))
        except InputRejectedError as error:
            failures.append(f"Challenger {model.name} did not decide: {error}.")
    return plans, failures


class _Hurried:
    """A brought policy in a process of its own, left behind when it takes more than so many seconds."""

    def __init__(self, policy: BroughtPolicy, seconds: float) -> None:
        self.name, self.version, self.parameters = policy.name, policy.version, policy.parameters
        self._policy, self._seconds = policy, seconds

    def decide(self, history: AdHistory) -> PolicyResult:
        """Raises InputRejectedError when it fails, ends its process, or is left behind."""
        try:
            found = in_time(lambda: self._heard(history), self._seconds)
        except TimeoutError as error:
            fix = "adctl.toml: challenger_seconds"
            raise InputRejectedError(f"policy {self.name!r}: {error}, it was stopped", fix=fix) from error
        except ChildProcessError as error:
            raise InputRejectedError(f"policy {self.name!r}: {error}") from error
        if isinstance(found, str):
            raise InputRejectedError(found)
        return found

    def _heard(self, history: AdHistory) -> PolicyResult | str:
        """The result, or what is to be said of a failure."""
        try:
            return self._policy.decide(history)
        except InputRejectedError as error:
            return f"{error}"


def _standing_report(
    profile: AccountProfile, lineup: _Lineup, day: date, tally: DayTally, standing: Sequence[Decision], *, over: bool
) -> Report:
    again = "--dry-run" if over else "--redo"
    what = "it again on what was known then, and writes nothing" if over else "again what is not queued yet"
    notes = [*lineup.notes, f"{day} was decided already; {again} decides {what}."]
    ads = [d for d in standing if d.entity_kind is EntityKind.AD]
    budgets = [d for d in standing if d.field is Field.DAILY_BUDGET]
    if tally.decisions > len(standing):
        notes.append(f"{len(standing)} of {tally.decisions} decisions are listed; adctl why ENTITY shows any one.")
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


def _planned_report(
    profile: AccountProfile,
    lineup: _Lineup,
    plans: tuple[DecisionPlan, _Shadows],
    unvalued: Unvalued,
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
        facts=(*_facts(day, lineup.champion, tally, written), *_unspent(plan)),
        tables=(
            _budget_table(plan.budgets),
            _ad_table(len(plan.ads), _most_urgent_first(plan.ads)),
            *([_shadow_table(plan, shadows)] if shadows else []),
        ),
        notes=(*notes, *_unvalued_notes(unvalued, profile.currency)),
    )


def _unspent(plan: DecisionPlan) -> tuple[Fact, ...]:
    """What of the budgets nobody is going to spend, and why: no ad goes on, or those that do may take no more."""
    alive = [d.evidence["ads"] != d.evidence["ads_to_be_paused"] for d in plan.budgets]
    idle = sum(int(d.target) for d, lives in zip(plan.budgets, alive, strict=True) if d.evidence["ads"] and not lives)
    label = "left over by caps or margin" if any(alive) or not idle else "left over, for no ad goes on"
    return (
        Fact(key="idle", label="of it stops with paused ads", value=idle, kind=Kind.MONEY),
        Fact(key="unallocated", label=label, value=plan.unallocated, kind=Kind.MONEY),
    )


def _shadow_table(plan: DecisionPlan, shadows: _Shadows) -> Table:
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
