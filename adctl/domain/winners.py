"""When a creative counts as a winner: a probability of beating the target, money behind it, and hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scipy.special import gammaincc


class WinnerState(StrEnum):
    """`NONE` and `PROMISING` are never stored as winners; a demoted one may qualify again."""

    NONE = "none"
    PROMISING = "promising"
    WINNER = "winner"
    DEMOTED = "demoted"


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerRule:
    """The bar of one account. Costs are minor units of its currency, probabilities and rates are shares of 1.

    Between `demote_below` and `qualify_at` a creative stays what it is, so that noise does not make it flicker.
    """

    target_roas: float
    target_cost_per_win: int
    minimum_spend: int
    qualify_at: float = 0.9
    demote_below: float = 0.6
    promising_ctr: float = 0.03
    promising_impressions: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.demote_below <= self.qualify_at < 1:
            raise ValueError(f"0 < demote_below {self.demote_below} <= qualify_at {self.qualify_at} < 1 must hold")
        if self.target_roas <= 0 or self.target_cost_per_win < 0 or self.minimum_spend < 0:
            raise ValueError("target_roas must be positive, costs must not be negative")

    @property
    def spend_needed(self) -> int:
        """Three wins' worth of target cost, at least the floor: less money cannot tell luck from merit."""
        return max(3 * self.target_cost_per_win, self.minimum_spend)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreativeRecord:
    """What a creative did, all its ads and copies pooled. Money is minor units.

    `wins` may be fractional where pipeline value stands for expected wins; `value` is their revenue or pipeline
    value. `matured` says that the attribution lag has passed, so that missing wins are missing and not late.
    """

    impressions: int
    clicks: int
    spend: int
    wins: float
    value: int
    matured: bool

    def __post_init__(self) -> None:
        if min(self.impressions, self.clicks, self.spend, self.wins, self.value) < 0:
            raise ValueError("a record's counts and money are not negative")

    @property
    def ctr(self) -> float:
        return self.clicks / self.impressions if self.impressions else 0.0

    @property
    def roas(self) -> float:
        """Value per unit spent, 0 before anything was spent."""
        return self.value / self.spend if self.spend else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoasPrior:
    """What the account knew before this creative: `wins` from `spend`, `win_value` each (money in minor units).

    `value_weight` is how many wins the mean value counts for; `value_variation` is the standard deviation of a
    win's value divided by its mean (0: every win is worth the same).
    """

    wins: float
    spend: float
    win_value: float
    value_weight: float
    value_variation: float

    def __post_init__(self) -> None:
        if min(self.wins, self.spend, self.win_value) <= 0 or min(self.value_weight, self.value_variation) < 0:
            raise ValueError("a prior needs positive wins, spend and win value, and no negative weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state after judging with the evidence that decided; `reason` is one sentence that cites the number."""

    state: WinnerState
    reason: str
    probability: float
    spend: int
    spend_needed: int
    wins: float
    roas: float
    matured: bool


def probability_above_target(record: CreativeRecord, prior: RoasPrior, target_roas: float) -> float:
    """P(ROAS > target | record) for one creative.

    Wins are Poisson at an unknown rate per unit spent; a Gamma(prior.wins, prior.spend) prior makes the rate's
    posterior Gamma(prior.wins + wins, prior.spend + spend). ROAS is the rate times the mean value of a win, which is
    the record's mean shrunk towards the prior's. Values that differ between wins add variance: shape and rate are
    both divided by 1 + variation², which keeps the mean and widens the spread as a compound Poisson sum would.

    Limits: the mean value itself is taken as known, and one rate holds over the whole record.
    """
    weight = prior.value_weight + record.wins
    value = (prior.value_weight * prior.win_value + record.value) / weight if weight else prior.win_value
    dispersion = 1 + prior.value_variation**2
    if value <= 0:
        return 0.0
    shape = (prior.wins + record.wins) / dispersion
    rate = (prior.spend + record.spend) / dispersion
    return float(gammaincc(shape, rate * target_roas / value))


def judge(rule: WinnerRule, record: CreativeRecord, probability: float, previous: WinnerState) -> Verdict:
    """The state that follows from P(ROAS > target) and the previous state; pure, so judging twice changes nothing."""
    state, reason = _next_state(rule, record, probability, previous)
    return Verdict(
        state=state,
        reason=reason,
        probability=probability,
        spend=record.spend,
        spend_needed=rule.spend_needed,
        wins=record.wins,
        roas=record.roas,
        matured=record.matured,
    )


def _next_state(
    rule: WinnerRule, record: CreativeRecord, probability: float, previous: WinnerState
) -> tuple[WinnerState, str]:
    shown = f"P(ROAS > {rule.target_roas:g}) = {probability:.3f}"
    if previous is WinnerState.WINNER:
        if probability < rule.demote_below:
            return WinnerState.DEMOTED, f"{shown}, below {rule.demote_below:g}"
        return WinnerState.WINNER, f"{shown}, not below {rule.demote_below:g}"
    if blocker := _blocker(rule, record, probability, shown):
        return _not_qualified(rule, record, previous, blocker)
    return WinnerState.WINNER, f"{shown}, at least {rule.qualify_at:g}, on enough mature spend"


def _blocker(rule: WinnerRule, record: CreativeRecord, probability: float, shown: str) -> str:
    """What keeps a creative from qualifying, empty when nothing does."""
    if record.spend < rule.spend_needed:
        return f"spend {record.spend} of {rule.spend_needed} minor units needed"
    if not record.matured:
        return "the attribution lag has not passed"
    return "" if probability >= rule.qualify_at else f"{shown}, {rule.qualify_at:g} needed"


def _not_qualified(
    rule: WinnerRule, record: CreativeRecord, previous: WinnerState, blocker: str
) -> tuple[WinnerState, str]:
    """A demoted creative stays demoted; else a click rate can make it promising, and nothing more."""
    if previous is WinnerState.DEMOTED:
        return WinnerState.DEMOTED, blocker
    enough = record.impressions >= rule.promising_impressions
    if enough and record.ctr >= rule.promising_ctr:
        return WinnerState.PROMISING, f"CTR {record.ctr:.2%} on {record.impressions} impressions; {blocker}"
    return WinnerState.NONE, blocker
