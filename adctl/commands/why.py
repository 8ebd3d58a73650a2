"""Why an ad, ad set or campaign was decided as it was, as a ledger to be checked by hand, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, audit, decisions, entities, guard_answers, models
from adctl.adapters.store.audit import Event
from adctl.adapters.store.deal_columns import crm_stages
from adctl.adapters.store.guard_answers import Answered
from adctl.adapters.store.history import AccountHistory, account_history
from adctl.adapters.store.time_travel import as_known
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import value_shown
from adctl.domain.decisions import Decision, budget_verdict
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account
from adctl.domain.models import Model, policy_of
from adctl.domain.owners import ownership
from adctl.domain.policies.bayes.evidence.ledger import ledger
from adctl.domain.policies.bayes.moves import joint_return, judge_move
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.flips import flip
from adctl.domain.policies.hearing import heard
from adctl.domain.policies.protocol import AdHistory, Evidence, Ints, Policy, PolicyResult, Verdict, as_columns
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.shares_report import shares_after, shares_table
from adctl.errors import ConfigurationError, InputRejectedError, UsageError

# Facts that are told as sentences and figures of their own, with how each is read; money is minor units.
_POSTERIOR = (
    ("roas", "ROAS, median", Kind.RATIO),
    ("roas_low", "ROAS, 5 % below", Kind.RATIO),
    ("roas_high", "ROAS, 5 % above", Kind.RATIO),
    ("p_below_kill", "P(ROAS below the kill bar on any budget)", Kind.PERCENT),
    ("p_above_scale", "P(ROAS above the scale bar)", Kind.PERCENT),
    ("p_wrong", "P(wrong)", Kind.PERCENT),
    ("loss_if_wrong", "expected loss if wrong", Kind.MONEY),
    ("waiting_costs", "waiting costs", Kind.MONEY),
    ("waiting_buys", "waiting buys", Kind.MONEY),
    ("flips_at_roas", "would flip at a median ROAS of (its share as it is)", Kind.RATIO),
    ("spend", "spent", Kind.MONEY),
    ("mature_spend", "of it mature", Kind.MONEY),
    ("wins_expected", "wins still expected", Kind.RATIO),
    ("wins_expected_in_days", "in days, on average", Kind.RATIO),
)
# Other facts that are money.
_MONEY = frozenset({"budget", "current_budget", "share", "shares_before", "shares_after", "pipeline", "cash"})
# A dozen decisions on more ads than this take longer than a person waits.
_MOST_ADS = 20_000
_DECIDED_AGAIN = "Its ads were decided again after it had been queued: their shares add up to another budget."
_STEP_WORDS = ("came_", "passed_", "waiting_")
# The terms of the ledger in the order of the funnel; those of the stages stand between.
_TERMS = ("account", "campaign", "clicks", "own_leads", "neighbours", "step", "value", "wear", "saturation")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """All that is stored about one entity's decision."""

    kind: EntityKind
    name: str
    decision: Decision | None
    decided_at: datetime | None
    answer: Answered | None
    events: tuple[Event, ...]
    model: Model | None
    undecided: str
    stages: tuple[str, ...]
    ads: tuple[Decision, ...]


def run(
    engine: Engine,
    profile: AccountProfile,
    entity_id: str,
    *,
    day: date | None = None,
    make: MakePolicy = make_policy,
) -> Report:
    """What was decided about the entity on the account day `day`, the newest decision when no day is given.

    All of it was stored with the decision; only the spend that would flip a verdict, and what is believed of a budget
    as a whole, is found by deciding again on what was known then. Raises UsageError for an unknown entity.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        case = _case(connection, profile, entity_id, day)
    facts, tables = _told(case, profile.currency)
    flips = _asked_again(engine, profile, case, make)
    return Report(
        command="why",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(entity_id, case, profile.currency),
        facts=(*facts, *flips.facts),
        tables=(*tables, _events_table(case)),
        notes=(*_notes(case), *flips.notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flips:
    """What there is to say about another spend and another verdict."""

    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


def _asked_again(engine: Engine, profile: AccountProfile, case: _Case, make: MakePolicy) -> _Flips:
    """What its policy says now; one that is gone or fails takes nothing from what was stored."""
    if case.model is None:
        return _Flips()
    try:
        return _flips(engine, profile, case, policy_of(case.model, make))
    except (ConfigurationError, InputRejectedError) as error:
        return _Flips(notes=(f"What would flip it is not known: {error}.",))


def _flips(engine: Engine, profile: AccountProfile, case: _Case, policy: Policy) -> _Flips:
    """The spend at which the policy, asked again about all that it knew, decides otherwise about an ad or a budget."""
    decision, decided_at = case.decision, case.decided_at
    if decision is None or decided_at is None:
        return _Flips()
    with as_known(engine, profile.account, decided_at) as connection:
        loaded = account_history(connection, profile, decision.day)
    history = loaded.history
    if len(history.ad_ids) > _MOST_ADS:
        return _Flips(notes=(f"The spend that would flip it is not looked for among more than {_MOST_ADS:,} ads.",))
    ads = _ads_of(loaded, decision)
    if decision.field is Field.DAILY_BUDGET and not len(ads):
        return _Flips()
    result = heard(policy, history) if len(ads) else None
    if result is None or _told_again(result, decision, ads)[0] is not decision.verdict:
        return _Flips(notes=("Asked again, this version of the policy decides otherwise: no flip is looked for.",))
    odds = _odds(policy, history, result, ads) if decision.field is Field.DAILY_BUDGET else ()
    found = flip(lambda other: heard(policy, other), history, ads, lambda one: _told_again(one, decision, ads))
    if found is None:
        return _Flips(facts=odds, notes=("No spend, from nothing to 64 times what it spent, would flip the verdict.",))
    return _Flips(
        facts=(
            *odds,
            Fact(key="flips_at_spend", label="would flip had it spent", value=found.spend, kind=Kind.MONEY),
            Fact(key="flips_to", label="and the verdict would be", value=found.verdict.value),
        )
    )


def _ads_of(loaded: AccountHistory, decision: Decision) -> Ints:
    """The ad that was decided about, or those that the budget feeds, as indexes."""
    if decision.field is Field.STATUS:
        return np.array([at for at, ad in enumerate(loaded.history.ad_ids) if ad == decision.entity_id], dtype=np.int64)
    owners = [owner.entity_id for owner in loaded.owned.owners]
    owner = owners.index(decision.entity_id) if decision.entity_id in owners else len(owners)
    return np.flatnonzero((loaded.ads.owner(loaded.owned) == owner) & (loaded.history.budget > 0))


def _told_again(result: PolicyResult, decision: Decision, ads: Ints) -> tuple[Verdict, Evidence]:
    if decision.field is Field.DAILY_BUDGET:
        return budget_verdict(as_columns(result.verdicts), ads)[0], {}
    found = result.verdicts[int(ads[0])]
    return found.verdict, found.evidence


def _odds(policy: Policy, history: AdHistory, result: PolicyResult, ads: Ints) -> tuple[Fact, ...]:
    """What is believed of a budget: the return of its ads' money together, and how the change of it may be wrong."""
    if not isinstance(policy, BayesPolicy):
        return ()
    weighed = policy.weigh(history)
    joint = joint_return(weighed, ads)
    move = judge_move(weighed, ads, budget_verdict(as_columns(result.verdicts), ads)[1])
    values = {"roas": joint.median, "roas_low": joint.low, "roas_high": joint.high}
    values |= {"p_wrong": move.wrong, "loss_if_wrong": round(move.loss)} if move else {}
    return tuple(
        Fact(key=key, label=label, value=values[key], kind=kind) for key, label, kind in _POSTERIOR if key in values
    )


def _model(connection: Connection, account: Account, decision: Decision) -> Model | None:
    """The model that decided, None where it is not registered any more in this form."""
    key = (decision.policy, decision.policy_version, decision.parameter_hash)
    return next((one for one in models.registered(connection, account) if one.key == key), None)


def _case(connection: Connection, profile: AccountProfile, entity_id: str, day: date | None) -> _Case:
    account = profile.account
    found = entities.find(connection, account, entity_id)
    stored = decisions.of_entity(connection, account, entity_id, day)
    if found is None and stored is None:
        raise UsageError(
            f"{entity_id!r} is no ad, ad set or campaign of account {account!r}",
            fix="adctl sync-meta reads them; adctl why deal ID explains a deal",
        )
    decision, decided_at = stored if stored else (None, None)
    return _Case(
        kind=found.kind if found else EntityKind(decision.entity_kind) if decision else EntityKind.AD,
        name=found.name if found else "",
        decision=decision,
        decided_at=decided_at,
        answer=guard_answers.of_decision(connection, account, decision) if decision else None,
        events=audit.events_of(connection, account, decision.decision_id, profile.currency) if decision else (),
        model=_model(connection, account, decision) if decision else None,
        undecided="" if decision else _why_not(connection, profile, entity_id, found, day),
        stages=tuple(stage.stage for stage in crm_stages(connection, account)),
        ads=decisions.ads_of(connection, decision) if decision and decision.field is Field.DAILY_BUDGET else (),
    )


def _why_not(
    connection: Connection, profile: AccountProfile, entity_id: str, found: entities.Found | None, day: date | None
) -> str:
    """Why there is no decision about an entity that is known."""
    newest = decisions.newest_day(connection, profile.account)
    if newest is None:
        return "nothing was ever decided for this account: run adctl decide"
    owned = ownership(entities.campaigns(connection, profile.account), entities.ad_sets(connection, profile.account))
    for one in owned.unbudgeted:
        if one.entity_id == entity_id:
            return one.reason
    if found and found.kind is not EntityKind.AD and entity_id not in {owner.entity_id for owner in owned.owners}:
        return _elsewhere(found)
    return f"no decision of {day or 'any day'} names it; the newest ones are of {newest}"


def _elsewhere(found: entities.Found) -> str:
    if found.kind is EntityKind.AD_SET:
        return f"its campaign owns the budget: adctl why {found.campaign_id}"
    return "its ad sets own their budgets: ask why of one of them"


def _summary(entity_id: str, case: _Case, currency: str) -> str:
    what = f"{case.kind.replace('_', ' ')} {entity_id}"
    if case.decision is None:
        return f"{what}: nothing was decided: {case.undecided}."
    decision = case.decision
    current, target = value_shown(decision.current, currency), value_shown(decision.target, currency)
    wanted = f"{current} to {target}" if decision.target != decision.current else "as it is"
    return f"{what}, {decision.day}: {decision.verdict} ({decision.reason}); {_done(case, wanted)}."


def _done(case: _Case, wanted: str) -> str:
    decision = case.decision
    if case.events:
        return f"{wanted}; {case.events[-1].what}"
    if decision is None or decision.target == decision.current:
        return "nothing was to be changed"
    if case.answer is None:
        return f"{wanted} is wanted, and no guard was asked yet"
    if case.answer.answer == "pass":
        return f"{wanted} passed the guards and was not queued: another change of it was in flight"
    word = "waits" if case.answer.answer == "wait" else "was refused"
    return f"{wanted} {word} ({case.answer.guard}: {case.answer.reason})"


def _told(case: _Case, currency: str) -> tuple[tuple[Fact, ...], tuple[Table, ...]]:
    if case.decision is None:
        return (Fact(key="name", label="name", value=case.name),), ()
    decision, evidence = case.decision, case.decision.evidence
    money = Kind.MONEY if decision.field is Field.DAILY_BUDGET else Kind.TEXT
    facts = [
        Fact(key="name", label="name", value=case.name),
        Fact(key="decided_at", label="decided", value=case.decided_at, kind=Kind.TIME),
        Fact(key="policy", label="policy", value=f"{decision.policy} {decision.policy_version}"),
        Fact(key="decision_id", label="decision", value=str(decision.decision_id)),
        Fact(key="verdict", label="verdict", value=decision.verdict.value),
        Fact(key="current", label=f"{decision.field.replace('_', ' ')} then", value=decision.current, kind=money),
        Fact(key="target", label="wanted", value=decision.target, kind=money),
        Fact(key="confidence", label="confidence", value=decision.confidence, kind=Kind.PERCENT),
    ]
    facts += [
        Fact(key=key, label=label, value=_cell(evidence[key], kind), kind=kind)
        for key, label, kind in _POSTERIOR
        if key in evidence
    ]
    shares = (shares_table(case.ads),) if decision.field is Field.DAILY_BUDGET else ()
    ledger_and_funnel = (*_ledger_table(evidence, case.stages, currency), *_step_table(evidence, case.stages))
    return tuple(facts), (*shares, *ledger_and_funnel, _rest(evidence, currency))


def _cell(value: Cell, kind: Kind) -> Cell:
    return round(value) if kind is Kind.MONEY and isinstance(value, float) else value


def _ordered(evidence: Evidence, stages: Sequence[str]) -> Evidence:
    """The ledger's terms and the counts of deals in the funnel's order, which the database does not keep."""
    place = {stage: number for number, stage in enumerate(stages)}

    def rank(key: str) -> tuple[int, int]:
        term = key.removeprefix("log_")
        stage = term.removeprefix("step_").removeprefix("came_")
        word = "step" if stage != term else term
        return _TERMS.index(word) if word in _TERMS else len(_TERMS), place.get(stage, len(place))

    kept = [key for key in evidence if key.startswith(("log_", "came_"))]
    return {key: evidence[key] for key in sorted(kept, key=rank)} | dict(evidence)


def _ledger_table(evidence: Evidence, stages: Sequence[str], currency: str) -> tuple[Table, ...]:
    """The terms whose sum is the log of the median ROAS; nothing for a policy that keeps no such ledger."""
    lines = ledger(_ordered(evidence, stages), currency)
    if not lines:
        return ()
    rows: list[Mapping[str, Cell]] = [
        {"term": one.label, "log": one.log_value, "factor": one.factor, "rests_on": one.evidence} for one in lines
    ]
    total = sum(one.log_value for one in lines)
    rows.append({"term": "log ROAS = the sum", "log": total, "factor": evidence.get("roas"), "rests_on": "the median"})
    columns = (
        Column(key="term", label="term"),
        Column(key="log", label="log", kind=Kind.FIGURE),
        Column(key="factor", label="factor", kind=Kind.FIGURE),
        Column(key="rests_on", label="rests on"),
    )
    return (Table(key="ledger", title="Ledger: logs add up, factors multiply", columns=columns, rows=tuple(rows)),)


def _step_table(evidence: Evidence, stages: Sequence[str]) -> tuple[Table, ...]:
    steps = [key.removeprefix("came_") for key in _ordered(evidence, stages) if key.startswith("came_")]
    if not steps:
        return ()
    columns = (
        Column(key="step", label="deals on their way to"),
        *(Column(key=word.strip("_"), label=word.strip("_"), kind=Kind.COUNT) for word in _STEP_WORDS),
    )
    rows = tuple(
        {"step": step, **{word.strip("_"): evidence.get(f"{word}{step}") for word in _STEP_WORDS}} for step in steps
    )
    return (Table(key="funnel", title="Deals by stage", columns=columns, rows=rows),)


def _rest(evidence: Evidence, currency: str) -> Table:
    """Every other fact that was stored with the decision; money as money, its minor units by name."""
    told = {key for key, _, _ in _POSTERIOR}
    rows = tuple(
        {"fact": key.replace("_", " "), **_figure(key, value, currency)}
        for key, value in sorted(evidence.items())
        if key not in told and not key.startswith(("log_", *_STEP_WORDS))
    )
    columns = (Column(key="fact", label="fact"), Column(key="value", label="value"))
    return Table(key="evidence", title="Evidence besides", columns=columns, rows=rows)


def _figure(key: str, value: Cell, currency: str) -> Mapping[str, Cell]:
    if key in _MONEY and isinstance(value, int):
        return {"value": value_shown(value, currency), "minor_units": value}
    return {"value": value}


def _events_table(case: _Case) -> Table:
    events = list(case.events)
    if case.answer:
        until = f"until {case.answer.until:%Y-%m-%dT%H:%MZ}" if case.answer.until else ""
        detail = "; ".join(filter(None, (case.answer.guard, case.answer.reason, until)))
        events.insert(
            0, Event(at=case.answer.answered_at, what=f"guards: {case.answer.answer}", detail=detail, values={})
        )
    return Table(
        key="events",
        title="What became of it",
        columns=(
            Column(key="at", label="at", kind=Kind.TIME),
            Column(key="what", label="what"),
            Column(key="detail", label="detail"),
        ),
        rows=tuple({"at": e.at, "what": e.what, "detail": e.detail, **e.values} for e in events),
        empty="Nothing was done.",
    )


def _worn(evidence: Evidence) -> list[str]:
    """The evidence of an ad's fatigue, where it was flagged."""
    if not evidence.get("fatigued"):
        return []
    first, last, rare, often = (
        float(evidence[key] or 0) for key in ("ctr_first", "ctr_last", "frequency_first", "frequency_last")
    )
    return [
        f"It wears out: CTR {first:.2%} → {last:.2%} while frequency {rare:.2f} → {often:.2f} "
        f"over {evidence['fatigue_points']} points. Nothing is paused for that alone."
    ]


def _notes(case: _Case) -> list[str]:
    if case.decision and case.decision.field is Field.DAILY_BUDGET:
        again = case.decision.evidence.get("shares_after") != shares_after(case.ads)
        return [_DECIDED_AGAIN] if again and case.ads else []
    if case.decision is None or case.decision.field is not Field.STATUS or case.kind is not EntityKind.AD:
        return []
    owner = case.decision.ad_set_id or case.decision.campaign_id
    return [*_worn(case.decision.evidence), f"Its share of the budget is decided with its owner: adctl why {owner}"]
