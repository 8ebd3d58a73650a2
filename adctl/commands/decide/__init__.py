"""Let the champion judge every ad and the challengers in its shadow, and write down what they want, with evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, decisions, models, verdicts
from adctl.adapters.store.history import AccountHistory, account_history
from adctl.adapters.store.time_travel import as_known
from adctl.commands.decide.report import Lineup, Shadows, planned_report, standing_report
from adctl.domain.accounts import AccountProfile
from adctl.domain.decisions import DecisionPlan, plan_decisions
from adctl.domain.models import NOT_CONFIGURED, Role, is_configured, policy_of, renewed
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.hearing import heard
from adctl.domain.policies.protocol import Policy
from adctl.domain.report import Report
from adctl.errors import ConfigurationError, InputRejectedError, UsageError

# A day that was decided already shows no more of its decisions than these.
_MOST_SHOWN = 10_000
_REPLAYED = (
    "The day is over: decided by the models of now on what was known at {at:%Y-%m-%dT%H:%M%z}. Nothing is written."
)


def run(
    engine: Engine,
    profile: AccountProfile,
    configured: Policy,
    *,
    run_id: UUID,
    as_of: date | None = None,
    redo: bool = False,
    dry_run: bool = False,
    kill_last_ad: bool = False,
    make: MakePolicy = make_policy,
) -> Report:
    """Decides for the account day `as_of` (today when not given). A day's first decisions stand, so a rerun is a no-op;
    `redo` replaces those that were not queued yet. A day that is over is decided on what was known when it was decided,
    or else at its end, and nothing is written: what was done then rests on what was decided then. Raises UsageError for
    a day that has not begun, and for a `redo` of one that is over.

    The champion of the registry decides; `configured` becomes the first champion of an account that has none. The
    challengers decide on the same history, in shadow. `kill_last_ad`, whether an ad set's last active ad may be paused,
    changes only what is said of the money.
    """
    models.make_all(engine, profile.account, make)
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
        lineup = _lineup(connection, profile, (configured, make), now, run_id, dry_run=not writes)
        tally = decisions.tally(connection, profile.account, day)
        if tally and not (redo or dry_run):
            standing = decisions.of_day(connection, profile.account, day, limit=_MOST_SHOWN)
            return standing_report(profile, lineup, day, tally, standing, over=known_at is not None)
    loaded = _read(engine, profile, day, known_at)
    plan = _plan(profile, day, lineup.champion, loaded)
    written = _record(engine, profile, run_id, [plan], loaded.at) if writes else 0
    # Only now: however long a challenger takes, the champion has decided.
    shadows, failures = _shadows(profile, day, lineup, loaded)
    if writes:
        _record(engine, profile, run_id, [theirs for _, theirs in shadows], loaded.at, shadow=True)
    told = [_REPLAYED.format(at=known_at)] if known_at else []
    lineup = replace(lineup, notes=(*lineup.notes, *failures, *told), kill_last_ad=kill_last_ad)
    return planned_report(profile, lineup, (plan, shadows), loaded, written, dry_run=not writes)


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


def _lineup(
    connection: Connection,
    profile: AccountProfile,
    policies: tuple[Policy, MakePolicy],
    now: datetime,
    run_id: UUID,
    *,
    dry_run: bool,
) -> Lineup:
    """The models in force as this version of adctl knows them. A challenger that it no longer takes is left out."""
    configured, make = policies
    found = models.in_force(connection, profile.account)
    notes = [] if is_configured(found, configured) else [NOT_CONFIGURED]
    champion, challengers = configured, []
    for model in found:
        try:
            policy = policy_of(model, make)
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
    return Lineup(champion=champion, challengers=tuple(challengers), notes=tuple(notes))


def _plan(profile: AccountProfile, day: date, policy: Policy, loaded: AccountHistory) -> DecisionPlan:
    return plan_decisions(
        account=profile.account,
        day=day,
        currency=profile.currency,
        policy=policy,
        owned=loaded.owned,
        ads=loaded.ads,
        active=loaded.history.active,
        result=heard(policy, loaded.history),
    )


def _shadows(
    profile: AccountProfile, day: date, lineup: Lineup, loaded: AccountHistory
) -> tuple[Shadows, Sequence[str]]:
    """What the challengers want, and who of them failed: that stops nobody else."""
    plans, failures = [], []
    for model, policy in lineup.challengers:
        try:
            plans.append((model, _plan(profile, day, policy, loaded)))
        except InputRejectedError as error:
            failures.append(f"Challenger {model.name} did not decide: {error}.")
    return plans, failures


def _record(
    engine: Engine,
    profile: AccountProfile,
    run_id: UUID,
    plans: Sequence[DecisionPlan],
    at: datetime,
    *,
    shadow: bool = False,
) -> int:
    with transaction(engine) as connection:
        return sum(decisions.record(connection, profile.account, run_id, plan, at, shadow=shadow) for plan in plans)
