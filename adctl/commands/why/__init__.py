"""Why an ad, ad set or campaign was decided as it was, as a ledger to be checked by hand, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, audit, decisions, entities, guard_answers, models
from adctl.adapters.store.deal_columns import crm_stages
from adctl.adapters.store.history import AccountHistory, account_history
from adctl.adapters.store.time_travel import as_known
from adctl.commands.why.report import POSTERIOR, Case, events_table, notes_of, summary_of, told
from adctl.domain.accounts import AccountProfile
from adctl.domain.decisions import Decision, budget_verdict
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account
from adctl.domain.models import Model, policy_of
from adctl.domain.owners import ownership
from adctl.domain.policies.bayes.moves import joint_return, judge_move
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.flips import flip
from adctl.domain.policies.hearing import heard
from adctl.domain.policies.protocol import AdHistory, Evidence, Ints, Policy, PolicyResult, Verdict, as_columns
from adctl.domain.report import Fact, Kind, Report
from adctl.errors import ConfigurationError, InputRejectedError, UsageError

# A dozen decisions on more ads than this take longer than a person waits.
_MOST_ADS = 20_000


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
    facts, tables = told(case, profile.currency)
    flips = _asked_again(engine, profile, case, make)
    return Report(
        command="why",
        account=profile.account,
        currency=profile.currency,
        summary=summary_of(entity_id, case, profile.currency),
        facts=(*facts, *flips.facts),
        tables=(*tables, events_table(case)),
        notes=(*notes_of(case, profile.currency), *flips.notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flips:
    """What there is to say about another spend and another verdict."""

    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()


def _asked_again(engine: Engine, profile: AccountProfile, case: Case, make: MakePolicy) -> _Flips:
    """What its policy says now; one that is gone or fails takes nothing from what was stored."""
    if case.model is None:
        return _Flips()
    try:
        return _flips(engine, profile, case, policy_of(case.model, make))
    except (ConfigurationError, InputRejectedError) as error:
        return _Flips(notes=(f"What would flip it is not known: {error}.",))


def _flips(engine: Engine, profile: AccountProfile, case: Case, policy: Policy) -> _Flips:
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
        Fact(key=key, label=label, value=values[key], kind=kind) for key, label, kind in POSTERIOR if key in values
    )


def _model(connection: Connection, account: Account, decision: Decision) -> Model | None:
    """The model that decided, None where it is not registered any more in this form."""
    key = (decision.policy, decision.policy_version, decision.parameter_hash)
    return next((one for one in models.registered(connection, account) if one.key == key), None)


def _case(connection: Connection, profile: AccountProfile, entity_id: str, day: date | None) -> Case:
    account = profile.account
    found = entities.find(connection, account, entity_id)
    stored = decisions.of_entity(connection, account, entity_id, day)
    if found is None and stored is None:
        raise UsageError(
            f"{entity_id!r} is no ad, ad set or campaign of account {account!r}",
            fix="adctl sync-meta reads them; adctl why deal ID explains a deal",
        )
    decision, decided_at = stored if stored else (None, None)
    return Case(
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
