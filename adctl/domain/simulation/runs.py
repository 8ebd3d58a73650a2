"""Runs one policy, or the oracle, through one world, and keeps what happened for the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from adctl.domain.policies.protocol import PAUSING, AdVerdict, Flags, Floats, Ints, Policy, Verdict, as_columns
from adctl.domain.simulation.executor import Executor, Wish
from adctl.domain.simulation.fates import Fates, draw_fates
from adctl.domain.simulation.market import Market
from adctl.domain.simulation.oracle import oracle_wish
from adctl.domain.simulation.truth import draw_truth
from adctl.domain.simulation.worlds import World

# Weekly, so that neighbouring looks are not one look counted many times.
LOOK_EVERY = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a policy said of an ad after `day` days, beside the truth: `roas`, the expected value per unit of money at
    the budget in force. `low`..`high` is the 90 % interval, `p_wrong` the chance that the verdict is wrong, which it
    is when the truth lies beyond `wrong_roas`, on its upper side if `wrong_above`. None where nothing was said.
    """

    day: int
    ad: int
    verdict: Verdict
    roas: float
    low: float | None
    high: float | None
    p_wrong: float | None
    wrong_roas: float | None
    wrong_above: bool

    @property
    def covered(self) -> bool | None:
        return None if self.low is None or self.high is None else self.low <= self.roas <= self.high

    @property
    def wrong(self) -> bool | None:
        return None if self.wrong_roas is None else (self.roas > self.wrong_roas) == self.wrong_above


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The ignorance zone: no ad is stopped before it is so many days old and has spent so many minor units."""

    min_age: float = 0.0
    min_spend: float = 0.0

    def protects(self, market: Market) -> Flags:
        """Which of all ads lie in it, shape n."""
        return np.asarray(
            (market.day - market.truth.start < self.min_age) | (market.spent < self.min_spend), dtype=np.bool_
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Columns of shape (days, n): `spend` and expected `value` in minor units, `roas` at the money that was spent.

    Per ad: `start` (first day), `entry` (its first budget), `usual_roas` (unworn, at an even part of the budget) and,
    for ads that were stopped, the day and the ROAS at an even part on that day (else -1 and NaN).
    """

    world: str
    seed: int
    policy: str
    start: Ints
    entry: Ints
    usual_roas: Floats
    spend: Ints
    value: Floats
    roas: Floats
    stopped: Ints
    stopped_roas: Floats
    looks: tuple[Look, ...]

    @property
    def total_value(self) -> float:
        return float(self.value.sum())

    @property
    def total_spend(self) -> int:
        return int(self.spend.sum())


def prepare(world: World, *, seed: int, days: int) -> Fates:
    """The world's truth and potential outcomes, to be run by several policies."""
    return draw_fates(draw_truth(world, seed=seed, days=days), seed=seed)


def run_policy(fates: Fates, policy: Policy, *, name: str, seed: int) -> Run:
    """Lets `policy` decide at the end of every day, from nothing but what is known then."""
    stage = _Stage(fates, account=f"world-{fates.truth.world.name}-{seed}")
    while not stage.over:
        result = policy.decide(stage.market.history(stage.budget, stage.running))
        stage.look(result.verdicts)
        stage.turn(_wish(result.verdicts, fates.truth.world.ads))
    return stage.run(policy=name, seed=seed)


def run_oracle(fates: Fates, *, seed: int, zone: Zone = Zone()) -> Run:
    """What can be had at most by one who knows the truth and obeys the same executor, and the `zone`."""
    stage = _Stage(fates, account="oracle")
    while not stage.over:
        stage.turn(oracle_wish(stage.market, stage.executor, stage.budget, stage.running, zone.protects(stage.market)))
    return stage.run(policy="oracle", seed=seed)


def _wish(verdicts: Sequence[AdVerdict], ads: int) -> Wish:
    """What pauses an ad on the platform stops it here; every other verdict is what its budget says."""
    budget, kill = np.zeros(ads), np.zeros(ads, dtype=np.bool_)
    known, columns = slice(len(verdicts)), as_columns(verdicts)
    budget[known], kill[known] = columns.budget, np.isin(columns.verdict, PAUSING)
    return Wish(budget=budget, kill=kill)


def _look(said: AdVerdict, *, day: int, ad: int, roas: float) -> Look:
    low, high, p_wrong, wrong_roas = (
        _number(said.evidence.get(key)) for key in ("roas_low", "roas_high", "p_wrong", "wrong_roas")
    )
    return Look(
        day=day,
        ad=ad,
        verdict=said.verdict,
        roas=roas,
        low=low,
        high=high,
        p_wrong=p_wrong,
        wrong_roas=wrong_roas,
        wrong_above=bool(said.evidence.get("wrong_above")),
    )


def _number(fact: object) -> float | None:
    return float(fact) if isinstance(fact, int | float) else None


@dataclass(slots=True)
class _Ledger:
    spend: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    roas: list[Floats] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


class _Stage:
    """Market, executor and ledger of one run; opens with the first day delivered."""

    def __init__(self, fates: Fates, *, account: str) -> None:
        truth = fates.truth
        n = truth.world.ads
        self.market = Market(fates, account=account)
        self.executor = Executor(total=truth.world.daily_budget)
        self.budget = np.zeros(n, dtype=np.int64)
        self.running = np.zeros(n, dtype=np.bool_)
        self._truth = truth
        self._ledger = _Ledger()
        self._stopped = np.full(n, -1, dtype=np.int64)
        self._stopped_roas = np.full(n, np.nan)
        self._entry = np.zeros(n, dtype=np.int64)
        self.turn(Wish(budget=np.zeros(n), kill=np.zeros(n, dtype=np.bool_)))

    @property
    def over(self) -> bool:
        return self.market.day >= self._truth.days

    def turn(self, wish: Wish) -> None:
        """Carries the wish out and delivers the next day."""
        market, truth = self.market, self._truth
        self._stop(self.executor.stopped(self.budget, wish, self.running))
        new = truth.start == market.day
        self.budget = self.executor.next_budgets(self.budget, wish, self.running, new)
        self._entry[new] = self.budget[new]
        self.running = self.running | new
        amount = self.budget.astype(np.float64)
        self._ledger.roas.append(truth.roas(amount, market.spent))
        self._ledger.spend.append(self.budget)
        self._ledger.value.append(market.deliver(self.budget))

    def _stop(self, ads: Flags) -> None:
        even = np.full(len(ads), self._truth.world.share)
        self._stopped[ads] = self.market.day
        self._stopped_roas[ads] = self._truth.roas(even, self.market.spent)[ads]
        self.running = self.running & ~ads

    def look(self, verdicts: Sequence[AdVerdict]) -> None:
        """Keeps once a week what is said of every running ad."""
        market = self.market
        if market.day % LOOK_EVERY:
            return
        roas = self._truth.roas(self.budget.astype(np.float64), market.spent)
        self._ledger.looks += [
            _look(verdicts[ad], day=market.day, ad=ad, roas=float(roas[ad]))
            for ad in np.flatnonzero(self.running).tolist()
        ]

    def run(self, *, policy: str, seed: int) -> Run:
        truth, ledger = self._truth, self._ledger
        even = np.full(len(truth.start), truth.world.share)
        return Run(
            world=truth.world.name,
            seed=seed,
            policy=policy,
            start=truth.start,
            entry=self._entry,
            usual_roas=truth.roas(even, np.zeros(len(even))),
            spend=np.array(ledger.spend),
            value=np.array(ledger.value),
            roas=np.array(ledger.roas),
            stopped=self._stopped,
            stopped_roas=self._stopped_roas,
            looks=tuple(ledger.looks),
        )
