"""Let policies meet in simulated worlds, against an oracle: what each is worth, and whether its chances came true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from adctl.adapters.processes import in_processes
from adctl.domain.calibration_report import reliability_chart, reliability_table
from adctl.domain.charts import Chart, Point, Series
from adctl.domain.counted import counted
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.protocol import Floats
from adctl.domain.report import Cell, Column, Kind, Report, Table
from adctl.domain.simulation.contenders import contender
from adctl.domain.simulation.intervals import Interval, mean_interval
from adctl.domain.simulation.judge import (
    COVERAGE_DAYS,
    Score,
    Standing,
    best_rule,
    reliability,
    standings,
    value_over_time,
)
from adctl.domain.simulation.tournament import Heat, HeatResult, heats, run_heat
from adctl.domain.simulation.worlds import WORLDS, world_named

POLICIES = ("bayes", "blended", "blended-best", "rules", "rules-roas", "lead-thompson", "equal")
ALL = "all"
_BEST_RULE = "best rule"


def run(
    worlds: Sequence[str],
    policies: Sequence[str],
    *,
    seeds: int,
    days: int,
    processes: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
    make: MakePolicy = make_policy,
) -> Report:
    """Every policy in every world with `seeds` seeds, paired: all meet the same fates. `all` names every world.

    `processes` is how many run at once, all cores when not given. The first policy is compared with each of the others.
    Raises ConfigurationError for an unknown world or policy.
    """
    named = [world_named(name).name for name in worlds if name != ALL]
    chosen = tuple(WORLDS) if ALL in worlds else tuple(named)
    for spec in policies:
        contender(spec, make)
    # The worlds and the engine were calibrated on seeds from 1000 on.
    wanted = heats(chosen, policies, range(1, seeds + 1), days=days)

    def done(number: int, heat: Heat) -> None:
        progress(f"{number} of {len(wanted)} runs done ({heat.world}, seed {heat.seed})")

    results = in_processes(partial(run_heat, make=make), wanted, processes, done)
    return _report(results, worlds=len(set(chosen)), seeds=seeds, days=days)


def _report(results: Sequence[HeatResult], *, worlds: int, seeds: int, days: int) -> Report:
    scores = [score for result in results for score in result.scores]
    found, told = standings(scores), reliability(scores)
    first = scores[0].policy
    curves = value_over_time(scores, {(one.heat.world, one.heat.seed): one.oracle_value for one in results})
    mean = float(np.mean([one.share for one in scores if one.policy == first]))
    played = f"{counted(worlds, 'world')}, {counted(seeds, 'seed')}, {counted(days, 'day')}"
    return Report(
        command="backtest",
        summary=f"{first} gets {mean:.1%} of an oracle's value: {played}.",
        tables=(
            _standings_table(found, first),
            _versus_table(scores, found),
            reliability_table(
                told,
                who="policy",
                title="Weekly verdicts by their stated chance of being wrong, and how many were",
                empty="no policy here states a chance of being wrong",
            ),
            _by_day(curves),
        ),
        notes=() if seeds > 1 else ("One seed has no interval: give --seeds.",),
        charts=(reliability_chart(told), _value_chart(curves)),
    )


def _standings_table(found: Sequence[Standing], first: str) -> Table:
    return Table(
        key="standings",
        title="Expected value of the money spent, in % of the oracle's (95 % intervals over seeds)",
        columns=(
            Column(key="world", label="world"),
            Column(key="policy", label="policy"),
            Column(key="share", label="of oracle", kind=Kind.PERCENT),
            Column(key="share_low", label="from", kind=Kind.PERCENT),
            Column(key="share_high", label="to", kind=Kind.PERCENT),
            Column(key="lead", label=f"{first} leads by", kind=Kind.PERCENT),
            Column(key="lead_low", label="from", kind=Kind.PERCENT),
            Column(key="lead_high", label="to", kind=Kind.PERCENT),
            Column(key="good_killed", label="good killed", kind=Kind.PERCENT),
            Column(key="loser_spend", label="on losers", kind=Kind.PERCENT),
            Column(key="oracle_loser_spend", label="oracle's", kind=Kind.PERCENT),
            Column(key="days_to_stop", label="days to stop", kind=Kind.RATIO),
            Column(key="oracle_days_to_stop", label="oracle's", kind=Kind.RATIO),
            *(Column(key=f"covered_{day}", label=f"covers {day} d", kind=Kind.PERCENT) for day in COVERAGE_DAYS),
        ),
        rows=tuple(_standing_row(one, first, found) for one in found),
    )


def _standing_row(one: Standing, first: str, found: Sequence[Standing]) -> Mapping[str, Cell]:
    (leader,) = [other for other in found if (other.world, other.policy) == (one.world, first)]
    lead = leader.versus.get(one.policy)
    return {
        "world": one.world,
        "policy": one.policy,
        **_interval("share", one.share),
        **(_interval("lead", lead) if lead else {}),
        "good_killed": one.good_killed,
        "loser_spend": one.loser_spend,
        "oracle_loser_spend": one.oracle_loser_spend,
        "days_to_stop": one.days_to_stop,
        "oracle_days_to_stop": one.oracle_days_to_stop,
        **{f"covered_{day}": one.coverage[day].rate for day in COVERAGE_DAYS},
        **{f"looks_{day}": one.coverage[day].looks for day in COVERAGE_DAYS},
        "spent": one.spent,
        "seeds": one.seeds,
    }


def _interval(key: str, found: Interval) -> dict[str, Cell]:
    return {key: found.mean, f"{key}_low": found.low, f"{key}_high": found.high}


def _versus_table(scores: Sequence[Score], found: Sequence[Standing]) -> Table:
    first, rivals = scores[0].policy, list(dict.fromkeys(score.policy for score in scores))[1:]
    rows = [_versus_row(scores, found, first, rival) for rival in rivals]
    if sum(rival.startswith("rules") for rival in rivals) > 1:
        rows.append(_versus_row(scores, found, first, _BEST_RULE))
    return Table(
        key="versus",
        title=f"{first} against each, over all worlds (points of the oracle's value)",
        columns=(
            Column(key="policy", label="policy"),
            Column(key="lead", label="leads by", kind=Kind.PERCENT),
            Column(key="lead_low", label="from", kind=Kind.PERCENT),
            Column(key="lead_high", label="to", kind=Kind.PERCENT),
            Column(key="ahead", label="worlds ahead", kind=Kind.COUNT),
            Column(key="behind", label="worlds behind", kind=Kind.COUNT),
        ),
        rows=tuple(rows),
        empty="only one policy took part",
    )


def _versus_row(scores: Sequence[Score], found: Sequence[Standing], first: str, rival: str) -> Mapping[str, Cell]:
    """The mean over worlds of each seed's difference; a world counts as ahead or behind when its interval says so."""
    theirs: dict[str, str] = {}
    for world in dict.fromkeys(score.world for score in scores):
        inside = [one for one in found if one.world == world]
        theirs[world] = best_rule(inside) or rival if rival == _BEST_RULE else rival
    share = {(one.world, one.seed, one.policy): one.share for one in scores}
    seeds = sorted({one.seed for one in scores})
    by_seed = [
        np.mean([share[world, seed, first] - share[world, seed, theirs[world]] for world in theirs]) for seed in seeds
    ]
    leads = [one.versus[theirs[one.world]] for one in found if one.policy == first]
    return {
        "policy": rival,
        **_interval("lead", mean_interval(np.array(by_seed))),
        "ahead": sum(lead.low > 0 for lead in leads),
        "behind": sum(lead.high < 0 for lead in leads),
    }


def _by_day(curves: Mapping[str, Floats]) -> Table:
    return Table(
        key="value_by_day",
        title="Value of each day in % of the oracle's",
        columns=(
            Column(key="day", label="day", kind=Kind.COUNT),
            *(Column(key=policy, label=policy, kind=Kind.PERCENT) for policy in curves),
        ),
        rows=tuple(
            {"day": day + 1, **{policy: float(curve[day]) for policy, curve in curves.items()}}
            for day in range(len(next(iter(curves.values()))))
        ),
        shown=7,
    )


def _value_chart(curves: Mapping[str, Floats]) -> Chart:
    return Chart(
        title="Value of each day, in % of the oracle's",
        x_label="day",
        y_label="of the oracle's value",
        series=tuple(Series(label=policy, points=tuple(_line(curve))) for policy, curve in curves.items()),
        y_percent=True,
    )


def _line(curve: Floats) -> Iterator[Point]:
    return (Point(x=float(day), y=float(value)) for day, value in enumerate(curve, start=1))
