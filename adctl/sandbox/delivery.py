"""Delivers the simulated ads hour by hour: budgets become spend, impressions, clicks and leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from adctl.sandbox.truth import FloatArray, IntArray, Traits, marginal_response

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who may deliver with which money.

    Per ad: `active`, and the number of its budget's `owner`; per owner: `daily`, in major units.
    """

    active: BoolArray
    owner: IntArray
    daily: FloatArray


class DayLedger:
    """What one account day brought, one entry per ad; spend and value in major units.

    Conversions are credited to the day of their click or view and grow for 28 days after it.
    """

    def __init__(self, ads: int, worn: FloatArray) -> None:
        self.worn = worn
        self.spend = np.zeros(ads)
        self.impressions = np.zeros(ads, dtype=np.int64)
        self.clicks = np.zeros(ads, dtype=np.int64)
        self.link_clicks = np.zeros(ads, dtype=np.int64)
        self.conversions = {kind: np.zeros(ads, dtype=np.int64) for kind in ("lead_click", "lead_view", "purchase")}
        self.purchase_value = np.zeros(ads)

    def spend_minor(self, offset: int, ads: list[int] | None = None) -> IntArray:
        """Spend in minor units (`offset` to the major unit) of the given ads, or of all, each rounded by itself."""
        chosen = self.spend if ads is None else self.spend[ads]
        return np.rint(chosen * offset).astype(np.int64)

    def credit(self, ad: int, kind: str, value: float) -> None:
        """Counts one conversion."""
        self.conversions[kind][ad] += 1
        self.purchase_value[ad] += value


class Delivery:
    """The auction's side of the world; `born` is when each ad was created, in epoch milliseconds."""

    def __init__(self, traits: Traits, born: IntArray) -> None:
        self.traits = traits
        self.born = born
        self.spent = np.zeros(len(born))
        self.days: dict[date, DayLedger] = {}

    def ledger(self, day: date) -> DayLedger:
        """The day's ledger, opened when first asked for."""
        if day not in self.days:
            self.days[day] = DayLedger(len(self.born), self.spent.copy())
        return self.days[day]

    def hour(self, rng: np.random.Generator, *, day: date, hour: int, at: int, pace: float, plan: Plan) -> IntArray:
        """Delivers one hour that begins at `at` (epoch ms, `hour` on the account's clock); returns leads per ad.

        `pace` is the day's own factor on every budget: Meta spends a little more or less than asked.
        """
        ledger = self.ledger(day)
        share = self.shares(plan, at)
        part = (1 + 0.5 * np.sin((hour - 9) * np.pi / 12)) / 24
        noise = np.exp(rng.normal(0, 0.05, len(share)))
        spend = plan.daily[plan.owner] * share * part * pace * noise
        answer = marginal_response(self.traits, ledger.spend, ledger.worn)
        impressions = rng.poisson(spend / self.traits.cpm * 1000)
        clicks = rng.binomial(impressions, self.traits.ctr * answer)
        link_clicks = rng.binomial(clicks, self.traits.link_share)
        ledger.spend += spend
        self.spent += spend
        ledger.impressions += impressions
        ledger.clicks += clicks
        ledger.link_clicks += link_clicks
        return np.asarray(rng.binomial(link_clicks, self.traits.lead_rate), dtype=np.int64)

    def shares(self, plan: Plan, at: int) -> FloatArray:
        """Each ad's share of its owner's budget at an instant: by appeal among those that may deliver."""
        weight = np.where(plan.active & (self.born <= at), self.traits.appeal, 0.0)
        total = np.bincount(plan.owner, weights=weight, minlength=len(plan.daily))
        return np.asarray(weight / np.maximum(total, 1e-12)[plan.owner], dtype=np.float64)

    def expected_spend(self, plan: Plan, at: int) -> FloatArray:
        """Major units each ad would spend on a day with today's budgets and statuses."""
        return np.asarray(plan.daily[plan.owner] * self.shares(plan, at), dtype=np.float64)
