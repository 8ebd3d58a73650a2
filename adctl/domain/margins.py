"""Which of two models the outcomes speak for: their budgets, paired by day and ad, at the return the money brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.special import ndtri, stdtrit

from adctl.domain.outcomes import Outcomes
from adctl.domain.policies.protocol import Flags, Floats, Ints
from adctl.domain.said import Said
from adctl.domain.simulation.executor import Executor, Wish
from adctl.domain.simulation.intervals import Interval, mean_interval

# More clusters make the interval no better, only slower.
_MOST_CLUSTERS = 2_000
_TAIL = 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What a challenger's budgets would have returned beyond the champion's, per unit of money and day.

    `ours` and `theirs` are the returns on a day's money, `lead` is `theirs` − `ours` with its 95 % interval. `moved` is
    the part of the money that the two would have put elsewhere, `unseen` the part of that on ads without spend after
    it, of which nothing is known.
    """

    days: int
    ads: int
    first: date
    last: date
    ours: float
    theirs: float
    lead: Interval
    moved: float
    unseen: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayReturn:
    """One day's ads: the return on the money spent after it; where an ad spent none (not `seen`), the mean of all."""

    returns: Floats
    seen: Flags


def day_return(found: Outcomes, decided: date, ad_ids: Sequence[str], *, horizon: int) -> DayReturn:
    place = {ad_id: index for index, ad_id in enumerate(found.ad_ids)}
    where = np.array([place.get(ad_id, -1) for ad_id in ad_ids], dtype=np.int64)
    spend, value = (np.append(column, 0.0)[where] for column in found.after(decided, horizon))
    seen = spend > 0
    usual = float(value.sum() / spend.sum()) if seen.any() else 0.0
    returns = np.full(len(where), usual)
    returns[seen] = value[seen] / spend[seen]
    return DayReturn(returns=returns, seen=seen)


def worth(budgets: Ints, said: Said, told: DayReturn) -> float:
    """What budgets bring on a day, minor units. What the ramp keeps from being spent is neutral: it counts at the mean
    return of the money in force."""
    left = float(said.current.sum() - budgets.sum())
    return float((budgets * told.returns).sum()) + left * usual_return(said, told)


def usual_return(said: Said, told: DayReturn) -> float:
    """The mean return of the budgets in force."""
    return float((said.current * told.returns).sum() / said.current.sum())


def budgets_of(said: Said) -> Ints:
    """What the day's money becomes by the model's wishes: the same total, raised by the ramp at most, kills stopped."""
    executor = Executor(total=int(said.current.sum()))
    wish = Wish(budget=said.wanted.astype(np.float64), kill=said.kill)
    running = said.current > 0
    running &= ~executor.stopped(said.current, wish, running)
    return executor.next_budgets(said.current, wish, running, np.zeros(len(running), dtype=np.bool_))


def hindsight(said: Said, told: DayReturn) -> Ints:
    """The best budgets under the same executor for one who had known the returns: noise is foresight here, so nobody
    can be expected to come near. Money that would return less than the mean is better left, as `worth` counts it."""
    executor = Executor(total=int(said.current.sum()))
    ramped = said.current * (executor.ramp.numerator + executor.ramp.denominator) // executor.ramp.denominator
    wanted = (said.current > 0) & (told.returns >= usual_return(said, told))
    upper = np.where(wanted, np.maximum(ramped, executor.floor), 0).astype(np.int64)
    order = np.argsort(-told.returns, kind="stable")
    before = np.cumsum(upper[order]) - upper[order]
    best = np.zeros(len(upper), dtype=np.int64)
    best[order] = np.clip(executor.total - before, 0, upper[order])
    return best


def compare(
    champion: Mapping[date, Said], challenger: Mapping[date, Said], found: Outcomes, *, horizon: int, maturity: int
) -> Margin | None:
    """The margin over the days that both decided, that have matured and after which money was spent; None without any.

    Off-policy: only the champion's budgets were really spent. A unit of money is taken to return what the money really
    spent on its ad in the `horizon` days after returned, whoever would have spent it: the response to more money is not
    known, and an ad that got none tells nothing (`unseen`). The interval resamples ads, each with all its days: an
    ad's days share its deals, windows of neighbouring days overlap, and what days have in common befalls both models.
    """
    days = sorted(
        day for day in champion.keys() & challenger.keys() if found.tells(day, horizon=horizon, maturity=maturity)
    )
    days = [day for day in days if champion[day].current.sum() > 0]
    if not days:
        return None
    place = {ad_id: index for index, ad_id in enumerate(found.ad_ids)}
    # The last entry is of ads that are not stored any more.
    gained, touched = np.zeros(len(place) + 1), np.zeros(len(place) + 1, dtype=np.bool_)
    ours, total, moved, unseen = 0.0, 0.0, 0.0, 0.0
    for day in days:
        one, other = _aligned(champion[day], challenger[day])
        if not one.current.sum():
            continue
        told = day_return(found, day, one.ad_ids, horizon=horizon)
        budgets = budgets_of(one)
        change = budgets_of(other) - budgets
        where = np.array([place.get(ad_id, -1) for ad_id in one.ad_ids], dtype=np.int64)
        np.add.at(gained, where, change * (told.returns - usual_return(one, told)))
        touched[where] |= one.current > 0
        ours += worth(budgets, one, told)
        total += float(one.current.sum())
        moved += float(np.abs(change).sum()) / 2
        unseen += float(np.abs(change[~told.seen]).sum()) / 2
    lead = _lead(gained[touched], total)
    return Margin(
        days=len(days),
        ads=int(touched.sum()),
        first=days[0],
        last=days[-1],
        ours=ours / total,
        theirs=ours / total + lead.mean,
        lead=lead,
        moved=moved / total,
        unseen=unseen / moved if moved else 0.0,
    )


def _lead(gained: Floats, total: float) -> Interval:
    """The sum over ads per unit of money; of many ads, neighbours are first put together.

    What one ad gains is kept from another, so of two ads both gain or both lose, whatever luck it was: the interval is
    as much wider than that of many ads as Student's t of n − 2 degrees of freedom is than the normal.
    """
    if len(gained) > _MOST_CLUSTERS:
        gained = np.add.reduceat(gained, np.linspace(0, len(gained), _MOST_CLUSTERS, endpoint=False).astype(np.int64))
    found, scale = mean_interval(gained), len(gained) / total
    if len(gained) < 3:
        return Interval(mean=found.mean * scale, low=-np.inf, high=np.inf)
    wider = float(stdtrit(len(gained) - 2, _TAIL) / ndtri(_TAIL))
    low, high = (found.mean + wider * (end - found.mean) for end in (found.low, found.high))
    return Interval(mean=found.mean * scale, low=low * scale, high=high * scale)


def _aligned(champion: Said, challenger: Said) -> tuple[Said, Said]:
    """Both on the ads that both know, in one order: an ad that came between two runs of a day is left out."""
    if champion.ad_ids == challenger.ad_ids:
        return champion, challenger
    place = {ad_id: index for index, ad_id in enumerate(challenger.ad_ids)}
    ours = [index for index, ad_id in enumerate(champion.ad_ids) if ad_id in place]
    return _part(champion, ours), _part(challenger, [place[champion.ad_ids[index]] for index in ours])


def _part(said: Said, order: Sequence[int]) -> Said:
    at = np.array(order, dtype=np.int64)
    return Said(
        ad_ids=tuple(said.ad_ids[index] for index in order),
        kill=said.kill[at],
        current=said.current[at],
        wanted=said.wanted[at],
        p_wrong=said.p_wrong[at],
        wrong_roas=said.wrong_roas[at],
        wrong_above=said.wrong_above[at],
    )
