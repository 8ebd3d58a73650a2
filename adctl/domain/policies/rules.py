"""What a rules engine does: pause an ad by its cost per lead or its ROAS over a window, raise it by a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from adctl.domain.allocation import split_budget
from adctl.domain.policies.protocol import (
    AdHistory,
    AdVerdict,
    Evidence,
    Flags,
    Floats,
    Ints,
    PolicyResult,
    Verdict,
)
from adctl.errors import ConfigurationError

_NAME = "rules"
_VERSION = "1"


class Mode(StrEnum):
    """What a rule looks at: the price of a lead, or won money per unit spent."""

    CPL = "cpl"
    ROAS = "roas"


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesPolicy:
    """Pauses ads above a cost per lead, or below a ROAS, of the last `window_days`; raises those far on the good side.

    In mode `cpl` an ad is killed above `kill_cpl` major units a lead and raised below `scale_cpl`; where these are 0
    the account's own cost per lead of the window, times `kill_cpl_share` and `scale_cpl_share`, takes their place. An
    ad without a lead costs what it has spent. In mode `roas` it is killed below `kill_roas` and raised above
    `scale_roas`; what counts is money won within the window (deals on their way are worth nothing), and an ad is judged
    only when it has run for the whole of it. Nobody is judged before `min_spend` major units in the window and
    `min_age` days. A raise asks for `step` more; freed money is shared in proportion to the budgets so raised.
    Raises ConfigurationError for a mode or a number that makes no sense.
    """

    mode: str = Mode.CPL.value
    window_days: int = 28
    min_spend: float = 100.0
    min_age: float = 2.0
    kill_cpl: float = 0.0
    scale_cpl: float = 0.0
    kill_cpl_share: float = 1.5
    scale_cpl_share: float = 0.5
    kill_roas: float = 0.5
    scale_roas: float = 3.0
    step: float = 0.2

    def __post_init__(self) -> None:
        if self.mode not in set(Mode):
            raise ConfigurationError(
                f"policy {_NAME}: unknown mode {self.mode!r}", fix=f"use {' or '.join(mode.value for mode in Mode)}"
            )
        for key, value in asdict(self).items():
            if key != "mode":
                _check_number(key, value)

    @property
    def name(self) -> str:
        return _NAME

    @property
    def version(self) -> str:
        return _VERSION

    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]:
        return asdict(self)

    def decide(self, history: AdHistory) -> PolicyResult:
        """A verdict per ad; the shares of the ads that go on sum to what all had before."""
        record = self._record(history)
        measured, low, high = self._measure(history, record)
        judged = history.active & (record.spend >= self.min_spend * history.minor_per_major)
        judged &= np.nan_to_num(history.age_hours, nan=0.0) >= self._least_age() * 24.0
        poor, fine = (measured > high, measured < low) if self.mode == Mode.CPL else (measured < low, measured > high)
        killed, raised = judged & poor, judged & fine
        budgets = self._shares(history, killed, raised)
        verdicts = np.select([killed, raised], [Verdict.KILL.value, Verdict.SCALE.value], Verdict.KEEP.value)
        return PolicyResult(
            verdicts=tuple(
                AdVerdict(
                    ad_id=ad_id,
                    verdict=Verdict(str(verdicts[ad])),
                    current_budget=int(history.budget[ad]),
                    budget=int(budgets[ad]),
                    confidence=1.0 if judged[ad] else 0.0,
                    reason=self._reason(float(measured[ad]), low, high, judged=bool(judged[ad]))
                    + ("" if killed[ad] or raised[ad] else _moved(int(budgets[ad] - history.budget[ad]))),
                    evidence=record.evidence(ad, self.mode, float(measured[ad])),
                )
                for ad, ad_id in enumerate(history.ad_ids)
            ),
            unallocated=int(history.budget.sum()) - int(budgets.sum()),
        )

    def _least_age(self) -> float:
        """Days. Money comes back late, so a ROAS is read over a whole window only."""
        return max(self.min_age, float(self.window_days)) if self.mode == Mode.ROAS else self.min_age

    def _record(self, history: AdHistory) -> _Record:
        n = len(history.ad_ids)
        row, deal = history.row_days_ago < self.window_days, _won_days_ago(history) < self.window_days
        return _Record(
            spend=_sums(history.row_ad[row], history.row_spend[row], n),
            leads=_sums(history.row_ad[row], history.row_leads[row], n),
            cash=_sums(history.deal_ad[deal], history.deal_cash[deal], n),
        )

    def _measure(self, history: AdHistory, record: _Record) -> tuple[Floats, float, float]:
        """Each ad's figure and its two bars, the lower first; a cost per lead is in major units."""
        if self.mode == Mode.ROAS:
            return record.cash / np.maximum(record.spend, 1), self.kill_roas, self.scale_roas
        cost = record.spend / np.maximum(record.leads, 1) / history.minor_per_major
        usual = float(record.spend.sum() / max(int(record.leads.sum()), 1)) / history.minor_per_major
        return cost, self.scale_cpl or usual * self.scale_cpl_share, self.kill_cpl or usual * self.kill_cpl_share

    def _shares(self, history: AdHistory, killed: Flags, raised: Flags) -> Ints:
        total = int(history.budget[history.active].sum())
        weights = np.where(history.active & ~killed, history.budget, 0) * np.where(raised, 1.0 + self.step, 1.0)
        if not weights.any():
            return np.zeros(len(weights), dtype=np.int64)
        return split_budget(total, weights)

    def _reason(self, measured: float, low: float, high: float, *, judged: bool) -> str:
        said = f"{'cost per lead' if self.mode == Mode.CPL else 'ROAS'} {measured:.2f} of {self.window_days} days"
        if not judged:
            return f"{said}: too early to judge, or not active"
        if measured < low:
            return f"{said} is below {low:.2f}"
        return f"{said} is above {high:.2f}" if measured > high else f"{said} lies between {low:.2f} and {high:.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What each ad did within the window, shape n; money is minor units."""

    spend: Ints
    leads: Ints
    cash: Ints

    def evidence(self, ad: int, mode: str, measured: float) -> Evidence:
        return {
            "spend": int(self.spend[ad]),
            "leads": int(self.leads[ad]),
            "cash": int(self.cash[ad]),
            str(mode): measured,
        }


def _moved(money: int) -> str:
    """Why the money of an ad that no rule raises moves: all is shared, whatever is killed or raised."""
    if not money:
        return ""
    return "; more money, of what others leave" if money > 0 else "; less money, as others are raised"


def _won_days_ago(history: AdHistory) -> Floats:
    """Days since each deal was won, or since it was created where the stages' moments are not known."""
    if not history.stages:
        return history.deal_days_ago.astype(np.float64)
    return history.deal_entered[:, -1]


def _sums(index: Ints, values: Ints, size: int) -> Ints:
    return np.bincount(index, weights=values, minlength=size).astype(np.int64)


def _check_number(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigurationError(f"policy {_NAME}: {key} is {value!r}", fix="give a number that is not negative")
    if key == "window_days" and value < 1:
        raise ConfigurationError(f"policy {_NAME}: {key} is {value!r}", fix="give at least one day")
