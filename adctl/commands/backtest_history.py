"""Replay policies on the account's own history, each day on what was known of it, and score them on what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import open_engine, transaction
from adctl.adapters.processes import in_processes
from adctl.adapters.store import accounts, models, results, verdicts
from adctl.adapters.store.history import account_history
from adctl.adapters.store.time_travel import KNOWN_FOR, as_known, first_reading
from adctl.domain.accounts import AccountProfile
from adctl.domain.calibration_report import reliability_chart, reliability_table
from adctl.domain.charts import Chart, Point, Series
from adctl.domain.counted import counted
from adctl.domain.judged import judged
from adctl.domain.margins import Margin, budgets_of, compare, day_return, hindsight, worth
from adctl.domain.models import Model, Role, policy_of
from adctl.domain.outcomes import Outcomes
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.hearing import heard
from adctl.domain.policies.protocol import Policy
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.said import Said, said_of
from adctl.domain.simulation.contenders import contender
from adctl.errors import ConfigurationError, InputRejectedError

_BASELINES = ("blended", "rules", "equal")
# What the account did, as if nobody had changed a budget on that day.
_AS_IT_WAS = "as it was"
_HINDSIGHT = "hindsight"
_LEFT_OUT = "Challenger {name} is left out: {error}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Which days of the past: an outcome is what the money of `horizon` days brought, once `maturity` days old."""

    horizon: int
    maturity: int
    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One day to be decided again, as known at `at`."""

    url: str
    profile: AccountProfile
    day: date
    at: datetime
    policies: Mapping[str, Policy]
    # Who of them may fail without ending the rest.
    challengers: Set[str]


def run(
    engine: Engine,
    profile: AccountProfile,
    configured: Policy,
    policies: Sequence[str],
    wanted: Replay,
    *,
    processes: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
    make: MakePolicy = make_policy,
) -> Report:
    """Every policy on every day since the first reading, from the budgets that were in force on that day.

    Without `policies` the models in force play, and the baselines. A day that was decided is replayed as of that
    moment, any other as of its end. A challenger that fails is left out, and noted. Raises ConfigurationError for an
    unknown policy, and without any history.
    """
    with transaction(engine, read_only=True, snapshot=True) as connection:
        moments = _moments(connection, profile, wanted.days)
        lineup = models.in_force(connection, profile.account)
        now = accounts.now(connection)
        today = now.astimezone(ZoneInfo(profile.timezone)).date()
        outcomes = results.results(connection, profile, today, date.min)
    notes: list[str] = []
    chosen = {spec: contender(spec, make) for spec in policies} or _lineup(lineup, configured, make, notes)
    url = engine.url.render_as_string(hide_password=False)
    may_fail = frozenset() if policies else frozenset(one.name for one in lineup if one.role is Role.CHALLENGER)
    tasks = [
        _Task(url=url, profile=profile, day=day, at=at, policies=chosen, challengers=may_fail)
        for day, at in moments.items()
    ]

    def done(number: int, task: _Task) -> None:
        progress(f"{number} of {counted(len(tasks), 'day')} replayed ({task.day})")

    replayed = dict(zip(moments, in_processes(replay, tasks, processes, done), strict=True))
    failed = {name: told for found in reversed(replayed.values()) for name, told in found.failed.items()}
    notes += [_LEFT_OUT.format(name=name, error=told) for name, told in failed.items()]
    said = {
        name: {day: found.said[name] for day, found in replayed.items() if len(found.said[name].ad_ids)}
        for name in chosen
        if name not in failed
    }
    report = _report(profile, said, outcomes, wanted)
    return replace(report, notes=(*report.notes, *notes))


def _moments(connection: Connection, profile: AccountProfile, days: int | None) -> dict[date, datetime]:
    """The days that can be replayed and the moment each is replayed at."""
    zone, now = ZoneInfo(profile.timezone), accounts.now(connection)
    first = first_reading(connection, profile.account)
    if first is None:
        raise ConfigurationError("no insights were ever read: there is nothing to replay", fix="adctl sync-meta")
    decided = verdicts.decided_at(connection, profile.account)
    start, today = max(first, now - KNOWN_FOR).astimezone(zone).date(), now.astimezone(zone).date()
    found = {}
    for ago in range((today - start).days, -1, -1):
        day = today - timedelta(days=ago)
        at = decided.get(day) or datetime.combine(day + timedelta(days=1), time(), zone)
        if now - KNOWN_FOR <= at <= now:
            found[day] = at
    return dict(list(found.items())[-days:]) if days else found


def _lineup(lineup: Sequence[Model], configured: Policy, make: MakePolicy, notes: list[str]) -> dict[str, Policy]:
    """The champion first, or the configured policy where there is none yet; what challenger cannot be made is noted."""
    found = {}
    for model in lineup:
        try:
            found[model.name] = policy_of(model, make)
        except ConfigurationError as error:
            if model.role is Role.CHAMPION:
                raise
            notes.append(_LEFT_OUT.format(name=model.name, error=error))
    found = found or {configured.name: configured}
    return {**found, **{name: contender(name) for name in _BASELINES if name not in found}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replayed:
    """What each policy says on one day of the past, and why a challenger said nothing."""

    said: Mapping[str, Said]
    failed: Mapping[str, str]


def replay(task: _Task) -> _Replayed:
    """Raises InputRejectedError when a policy fails that is no challenger."""
    engine = open_engine(task.url)
    with as_known(engine, task.profile.account, task.at) as connection:
        history = account_history(connection, task.profile, task.day).history
    engine.dispose()
    said, failed = {}, {}
    for name, policy in task.policies.items():
        try:
            said[name] = said_of(heard(policy, history).verdicts)
        except InputRejectedError as error:
            if name not in task.challengers:
                raise
            failed[name] = f"{task.day}: {error}"
    return _Replayed(said=said, failed=failed)


def _report(
    profile: AccountProfile, said: Mapping[str, Mapping[date, Said]], outcomes: Outcomes, wanted: Replay
) -> Report:
    first, *_ = said
    replayed = sorted(said[first])
    mature = [
        day
        for day in replayed
        if outcomes.matured(day, horizon=wanted.horizon, maturity=wanted.maturity)
        and said[first][day].current.sum() > 0
    ]
    silent = {day for day in mature if not outcomes.tells(day, horizon=wanted.horizon, maturity=wanted.maturity)}
    mature = [day for day in mature if day not in silent]
    curves = _curves(said, mature, outcomes, wanted.horizon)
    margins = {name: _against(said, first, name, outcomes, wanted) for name in said if name != first}
    told = {
        name: judged(days, outcomes, horizon=wanted.horizon, maturity=wanted.maturity).bands
        for name, days in said.items()
    }
    told = {name: bands for name, bands in told.items() if bands}
    return Report(
        command="backtest",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(replayed, mature, len(silent), wanted),
        facts=(
            Fact(key="replayed", label="days replayed", value=len(replayed), kind=Kind.COUNT),
            Fact(key="mature", label="of them scored", value=len(mature), kind=Kind.COUNT),
            Fact(key="silent", label="of them matured without money after them", value=len(silent), kind=Kind.COUNT),
        ),
        tables=(
            _standings(curves, margins, first),
            reliability_table(
                told,
                who="policy",
                title="Verdicts by their stated chance of being wrong, and how many were (95 % intervals over ads)",
                empty="nothing to judge yet",
            ),
            _by_day(curves, mature),
        ),
        notes=(
            "Each day starts from the budgets that were in force on it, whoever decides. Money is judged at the return "
            "that each ad's real money brought; hindsight knew that return, luck included, so nobody comes near it.",
        ),
        charts=(reliability_chart(told), _chart(curves)),
    )


def _summary(replayed: Sequence[date], mature: Sequence[date], silent: int, wanted: Replay) -> str:
    if not replayed:
        return "No day can be replayed yet: no ad was known at the end of any."
    if not mature and silent:
        return f"{_days(replayed)} replayed, none is scored: no money was spent after those that have matured."
    if not mature:
        due = replayed[0] + timedelta(days=wanted.horizon + wanted.maturity)
        return f"{_days(replayed)} replayed, none has matured yet: {replayed[0]} does on {due}."
    return f"{_days(replayed)} replayed, {len(mature)} scored, {mature[0]} to {mature[-1]}."


def _days(days: Sequence[date]) -> str:
    return counted(len(days), "day")


def _curves(
    said: Mapping[str, Mapping[date, Said]], days: Sequence[date], outcomes: Outcomes, horizon: int
) -> dict[str, list[tuple[float, int]]]:
    """Per policy and mature day the value of its budgets and the money in play, minor units."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in (*said, _AS_IT_WAS, _HINDSIGHT)}
    first, *_ = said
    for day in days:
        one = said[first][day]
        told = day_return(outcomes, day, one.ad_ids, horizon=horizon)
        money = int(one.current.sum())
        budgets = {name: budgets_of(decided[day]) for name, decided in said.items()}
        budgets |= {_AS_IT_WAS: one.current, _HINDSIGHT: hindsight(one, told)}
        for name, budget in budgets.items():
            found[name].append((worth(budget, one, told), money))
    return found


def _against(
    said: Mapping[str, Mapping[date, Said]], first: str, name: str, outcomes: Outcomes, wanted: Replay
) -> Margin | None:
    return compare(said[name], said[first], outcomes, horizon=wanted.horizon, maturity=wanted.maturity)


def _standings(
    curves: Mapping[str, Sequence[tuple[float, int]]], margins: Mapping[str, Margin | None], first: str
) -> Table:
    best = sum(value for value, _ in curves[_HINDSIGHT])
    return Table(
        key="standings",
        title="Value per unit of money on the days that have matured",
        columns=(
            Column(key="policy", label="policy"),
            Column(key="days", label="days", kind=Kind.COUNT),
            Column(key="value", label="value", kind=Kind.MONEY),
            Column(key="return", label="return", kind=Kind.RATIO),
            Column(key="regret", label="regret", kind=Kind.PERCENT),
            Column(key="lead", label=f"{first} leads by", kind=Kind.RATIO),
            Column(key="low", label="from", kind=Kind.RATIO),
            Column(key="high", label="to", kind=Kind.RATIO),
        ),
        rows=tuple(_standing(name, days, best, margins.get(name)) for name, days in curves.items() if days),
        empty="no day has matured yet",
    )


def _standing(name: str, days: Sequence[tuple[float, int]], best: float, margin: Margin | None) -> Mapping[str, Cell]:
    value, money = sum(value for value, _ in days), sum(money for _, money in days)
    return {
        "policy": name,
        "days": len(days),
        "value": round(value),
        "return": value / money,
        "regret": 1 - value / best if best else None,
        "lead": margin.lead.mean if margin else None,
        "low": margin.lead.low if margin else None,
        "high": margin.lead.high if margin else None,
    }


def _by_day(curves: Mapping[str, Sequence[tuple[float, int]]], days: Sequence[date]) -> Table:
    return Table(
        key="value_by_day",
        title="Return of each day's money",
        columns=(
            Column(key="day", label="day"),
            *(Column(key=name, label=name, kind=Kind.RATIO) for name in curves),
        ),
        rows=tuple(
            {"day": day, **{name: curve[place][0] / curve[place][1] for name, curve in curves.items()}}
            for place, day in enumerate(days)
        ),
        empty="no day has matured yet",
        shown=7,
    )


def _chart(curves: Mapping[str, Sequence[tuple[float, int]]]) -> Chart:
    return Chart(
        title="Return of each day's money",
        x_label="day",
        y_label="value per unit of money",
        series=tuple(
            Series(
                label=name,
                points=tuple(
                    Point(x=float(place), y=value / money) for place, (value, money) in enumerate(days, start=1)
                ),
            )
            for name, days in curves.items()
        ),
    )
