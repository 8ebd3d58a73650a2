"""Policies nobody should run, kept to compare with: equal split, Thompson sampling on leads, blended on a window."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from adctl.domain.allocation import split_budget
from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.protocol import AdHistory, AdVerdict, Floats, PolicyResult, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSplit:
    """Every ad the same, for ever."""

    @property
    def name(self) -> str:
        return "equal"

    @property
    def version(self) -> str:
        return "1"

    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]:
        return {}

    def decide(self, history: AdHistory) -> PolicyResult:
        return _shared(history, history.active.astype(np.float64), "an equal part")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadThompson:
    """Thompson sampling on leads per unit of money: budgets are shared by draws of it on a concave response.

    The rate is Gamma with the account's mean and `prior_leads` leads as its prior; a form that brings many leads is
    good, whatever becomes of them. Each of `draws` joint draws, seeded by account and day, pours the total until the
    next lead costs the same everywhere, `room` median budgets being an ad's scale of saturation; their mean is the
    wish. No ad is stopped.
    """

    prior_leads: float = 1.0
    draws: int = 48
    room: float = 5.0

    @property
    def name(self) -> str:
        return "lead-thompson"

    @property
    def version(self) -> str:
        return "1"

    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]:
        return asdict(self)

    def decide(self, history: AdHistory) -> PolicyResult:
        n = len(history.ad_ids)
        leads = np.bincount(history.row_ad, weights=history.row_leads, minlength=n)
        spend = np.bincount(history.row_ad, weights=history.row_spend, minlength=n)
        mean = max(leads.sum(), 1.0) / max(spend.sum(), 1.0)
        shape, rate = leads + self.prior_leads, spend + self.prior_leads / mean
        live = np.flatnonzero(history.active)
        drawn = _generator(history).gamma(shape[live], 1 / rate[live], size=(self.draws, len(live)))
        budgets = history.budget[live]
        wanted = np.zeros(n)
        if len(live):
            wanted[live] = _poured(drawn, self.room * max(float(np.median(budgets)), 1.0), int(budgets.sum()))
        return _shared(history, wanted, "its leads per unit of money, drawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedBlended:
    """`blended` in its best reading: scores from the last `window_days` alone, no fatigue, a softmax that prefers.

    Taken literally, its fatigue forgets every ad after 50,000 impressions and a softmax of numbers below 1 at
    temperature 1 is nearly an equal split. Kills and scales are those of the literal rule on the whole record.
    """

    window_days: int = 28
    temperature: float = 0.2

    @property
    def name(self) -> str:
        return "blended-best"

    @property
    def version(self) -> str:
        return "1"

    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]:
        return asdict(self)

    def decide(self, history: AdHistory) -> PolicyResult:
        judged = BlendedPolicy().decide(history).verdicts
        keeping = BlendedPolicy(kill_roas=0.0, temperature=self.temperature, fatigue=0.0)
        shared = keeping.decide(_window(history, self.window_days))
        verdicts = tuple(
            replace(said, budget=0 if said.verdict is Verdict.KILL else wanted.budget)
            for said, wanted in zip(judged, shared.verdicts, strict=True)
        )
        return PolicyResult(verdicts=verdicts, unallocated=shared.unallocated)


def _window(history: AdHistory, days: int) -> AdHistory:
    """The history without what was spent, or created, `days` ago and earlier."""
    row, deal = history.row_days_ago < days, history.deal_days_ago < days
    return replace(
        history,
        row_ad=history.row_ad[row],
        row_days_ago=history.row_days_ago[row],
        row_impressions=history.row_impressions[row],
        row_clicks=history.row_clicks[row],
        row_spend=history.row_spend[row],
        row_leads=history.row_leads[row],
        deal_ad=history.deal_ad[deal],
        deal_days_ago=history.deal_days_ago[deal],
        deal_value=history.deal_value[deal],
        deal_cash=history.deal_cash[deal],
    )


def _shared(history: AdHistory, weights: Floats, reason: str) -> PolicyResult:
    """The present total in proportion to the weights; no verdict but KEEP."""
    total = int(history.budget.sum())
    budgets = split_budget(total, weights)
    return PolicyResult(
        verdicts=tuple(
            AdVerdict(
                ad_id=ad_id,
                verdict=Verdict.KEEP,
                current_budget=int(history.budget[ad]),
                budget=int(budgets[ad]),
                confidence=1.0,
                reason=reason,
                evidence={},
            )
            for ad, ad_id in enumerate(history.ad_ids)
        ),
        unallocated=0,
    )


def _poured(rates: Floats, room: float, total: int) -> Floats:
    """Mean over the draws (rows) of room·max(0, ln(rate / level)), the level such that a draw's sum is the total."""
    logs = np.log(np.maximum(rates, 1e-300))
    ordered = -np.sort(-logs, axis=1)
    filled = np.arange(1, rates.shape[1] + 1)
    # With the first k ads filled, the level is their mean logarithm less what the total adds to each.
    levels = (np.cumsum(ordered, axis=1) - total / room) / filled
    last = (ordered > levels).sum(axis=1) - 1
    level = np.take_along_axis(levels, last[:, None], axis=1)
    return np.asarray(room * np.maximum(logs - level, 0.0).mean(axis=0), dtype=np.float64)


def _generator(history: AdHistory) -> np.random.Generator:
    source = f"{history.account}\x1f{history.day.isoformat()}\x1flead-thompson"
    seed = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=16).digest())
    return np.random.Generator(np.random.PCG64(seed))
