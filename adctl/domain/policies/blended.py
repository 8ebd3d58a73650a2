"""The plan's own rule: CTR and ROAS blended by age, a Beta draw, a softmax of the draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from adctl.domain.allocation import allocate
from adctl.domain.ids import digest
from adctl.domain.money import show
from adctl.domain.policies.blended_scores import Record, Scores, ctr_weight, evidence, record_of
from adctl.domain.policies.protocol import (
    VERDICTS,
    AdHistory,
    Flags,
    Floats,
    Ints,
    PolicyResult,
    Verdict,
    VerdictColumns,
)
from adctl.errors import ConfigurationError

_NAME = "blended"
_VERSION = "1"
_HOURS_PER_DAY = 24.0
# The least spend (major units) that a ROAS is taken over, so that no spend is no division by zero.
_LEAST_SPEND = 0.01


class Mode(StrEnum):
    """What counts as return: the value of deals on their way, or won money alone."""

    PIPELINE = "pipeline"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendedPolicy:
    """Spend thresholds and the floor are major units, ROAS thresholds ratios, shares fractions.

    The history is taken whole: counts, spend and deals of all its days. It knows no creative score, so the plan's
    boost is 1. An ad's age that is not a number counts as new. In direct mode an ad is killed after the grace below
    `kill_roas` or below `direct_average_share` of the account's ROAS, but never while it is above `scale_roas`.
    Raises ConfigurationError for a mode or a number that makes no sense.
    """

    mode: str = Mode.PIPELINE.value
    kill_roas: float = 0.5
    scale_roas: float = 3.0
    kill_min_spend: float = 200.0
    ignorance_days: float = 2.0
    ignorance_spend: float = 100.0
    direct_grace_hours: float = 6.0
    direct_average_share: float = 0.5
    target_ctr: float = 0.05
    target_roas: float = 3.0
    fatigue: float = 0.0001
    least_trials: int = 100
    temperature: float = 1.0
    floor: float = 1.0
    max_change: float = 0.5
    confident_impressions: int = 1000
    confident_hours: float = 72.0

    def __post_init__(self) -> None:
        _check_mode(self.mode)
        _check_numbers(asdict(self))

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
        """A verdict per ad; the shares of the active ads and `unallocated` sum to what they had before."""
        record = record_of(history)
        scores = self._scores(history, record)
        killed, scaled, reason = self._judge(history, record, scores)
        budgets, unallocated = self._shares(history, scores.draw, killed)

        def told(ad: int) -> str:
            moved = int(budgets[ad] - history.budget[ad])
            if killed[ad] or not moved:
                return reason(ad)
            # A verdict says that an ad goes on; its money goes by the draw, which may well move it the other way.
            return f"{reason(ad)}; {'more' if moved > 0 else 'less'} money by its draw of {scores.draw[ad]:.3f}"

        codes = [VERDICTS.index(verdict) for verdict in (Verdict.KILL, Verdict.SCALE, Verdict.KEEP)]
        return PolicyResult(
            verdicts=VerdictColumns(
                ad_ids=history.ad_ids,
                verdict=np.select([killed, scaled], codes[:2], codes[2]).astype(np.int8),
                current_budget=history.budget,
                budget=budgets,
                confidence=scores.confidence,
                evidence=evidence(record, scores, history.budget, budgets),
                reason=told,
            ),
            unallocated=unallocated,
        )

    def _scores(self, history: AdHistory, record: Record) -> Scores:
        impressions = record.impressions.astype(np.float64)
        ctr = record.clicks / np.maximum(impressions, 1.0)
        roas = self._roas(self._value(record), record.spend, history.minor_per_major)
        weight = ctr_weight(record.age)
        blended = weight * np.minimum(ctr / self.target_ctr, 1.0)
        blended = blended + (1.0 - weight) * np.minimum(roas / self.target_roas, 1.0)
        decay = np.exp(-self.fatigue * impressions)
        final = blended * decay
        trials = np.maximum(impressions, float(self.least_trials))
        alpha = np.maximum(1.0, trials * final + 1.0)
        beta = np.maximum(1.0, trials * (1.0 - final) + 1.0)
        seen = np.minimum(impressions / self.confident_impressions, 1.0)
        grown = np.minimum(record.age / self.confident_hours, 1.0)
        return Scores(
            ctr=ctr,
            roas=roas,
            pipeline_roas=self._roas(record.pipeline, record.spend, history.minor_per_major),
            ctr_weight=weight,
            blended=blended,
            decay=decay,
            final=final,
            alpha=alpha,
            beta=beta,
            draw=_draws(history, self, alpha, beta),
            confidence=(seen + grown + final) / 3.0,
        )

    def _value(self, record: Record) -> Ints:
        return record.cash if self.mode == Mode.DIRECT else record.pipeline

    def _roas(self, value: Ints, spend: Ints, minor_per_major: int) -> Floats:
        return value / np.maximum(spend.astype(np.float64), _LEAST_SPEND * minor_per_major)

    def _judge(self, history: AdHistory, record: Record, scores: Scores) -> tuple[Flags, Flags, Callable[[int], str]]:
        """Who is killed, who scales, and what makes each ad's reason."""
        spend = record.spend / history.minor_per_major
        protected = self._protected(record.age, spend)
        scaled = history.active & ~protected & (scores.roas > self.scale_roas)
        bar = self._bar(history, record)
        killed = history.active & ~protected & ~scaled & (spend >= self.kill_min_spend) & (scores.roas < bar)

        def reason(ad: int) -> str:
            return self._reason(history, record, scores, ad, bar, protected=bool(protected[ad]))

        return killed, scaled, reason

    def _protected(self, age: Floats, spend: Floats) -> Flags:
        """Too young or too little spent to be judged: either protects."""
        if self.mode == Mode.DIRECT:
            return age < self.direct_grace_hours
        return (age < self.ignorance_days * _HOURS_PER_DAY) | (spend < self.ignorance_spend)

    def _bar(self, history: AdHistory, record: Record) -> float:
        """The ROAS below which an ad is killed."""
        if self.mode == Mode.PIPELINE:
            return self.kill_roas
        totals = np.array([self._value(record).sum()]), np.array([record.spend.sum()])
        average = float(self._roas(*totals, history.minor_per_major)[0])
        return max(self.kill_roas, average * self.direct_average_share)

    def _reason(
        self, history: AdHistory, record: Record, scores: Scores, ad: int, bar: float, *, protected: bool
    ) -> str:
        """The sentence that cites the number that decided."""
        roas, spend = float(scores.roas[ad]), int(record.spend[ad])
        said = f"{self.mode} ROAS {roas:.3f}"
        spent = show(spend, history.currency)
        if not history.active[ad]:
            return "not active"
        if protected:
            return self._zone(float(record.age[ad]), spent)
        if roas > self.scale_roas:
            return f"{said} is above {self.scale_roas:g}"
        if roas < bar and spend < self.kill_min_spend * history.minor_per_major:
            return f"{said} is below {bar:g}, but {spent} spent is below {self.kill_min_spend:g}"
        if roas < bar:
            return f"{said} is below {bar:g} after {spent} spent"
        return f"{said} lies between {bar:g} and {self.scale_roas:g}"

    def _zone(self, age: float, spent: str) -> str:
        if self.mode == Mode.DIRECT:
            return f"age {age:.1f} h is below {self.direct_grace_hours:g} h: too early to judge"
        days = age / _HOURS_PER_DAY
        if days < self.ignorance_days:
            return f"age {days:.2f} d is below {self.ignorance_days:g} d: too early to judge"
        return f"{spent} spent is below {self.ignorance_spend:g}: too early to judge"

    def _shares(self, history: AdHistory, draw: Floats, killed: Flags) -> tuple[Ints, int]:
        """The new shares and what the caps left over.

        An ad without a share has no owner that could pay it and stays at 0.
        """
        total = int(history.budget[history.active].sum())
        fed = history.active & ~killed & (history.budget > 0)
        lower, upper = self._bounds(history.budget[fed], total, history.minor_per_major)
        spendable = min(total, int(upper.sum()))
        shares = np.zeros(len(history.ad_ids), dtype=np.int64)
        shares[fed] = allocate(spendable, _softmax(draw[fed] / self.temperature), lower, upper)
        return shares, total - spendable

    def _bounds(self, current: Ints, total: int, minor_per_major: int) -> tuple[Ints, Ints]:
        """The least and most of each share. Floors that the total cannot pay shrink to what the ad already has."""
        floor = int(np.ceil(self.floor * minor_per_major))
        # The exact decimal that was configured: .1 as a double would move a bound by one unit.
        step = Fraction(str(self.max_change))
        least = -(-current * (step.denominator - step.numerator) // step.denominator)
        most = current * (step.denominator + step.numerator) // step.denominator
        lower = np.maximum(least, floor)
        if int(lower.sum()) > total:
            return np.maximum(least, np.minimum(floor, current)), most
        return lower, np.maximum(most, floor)


def _draws(history: AdHistory, policy: BlendedPolicy, alpha: Floats, beta: Floats) -> Floats:
    """One Beta draw per ad, the same for the same account, day, version and parameters, in whatever order ads come."""
    source = f"{history.account}\x1f{history.day.isoformat()}\x1f{policy.name}\x1f{policy.version}\x1f"
    source += digest(policy.parameters)
    seed = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=16).digest())
    order = sorted(range(len(history.ad_ids)), key=history.ad_ids.__getitem__)
    draws = np.empty(len(order))
    draws[order] = np.random.Generator(np.random.PCG64(seed)).beta(alpha[order], beta[order])
    return draws


def _softmax(values: Floats) -> Floats:
    if not len(values):
        return values
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)


def _check_mode(mode: str) -> None:
    if mode not in set(Mode):
        raise ConfigurationError(
            f"policy {_NAME}: unknown mode {mode!r}", fix=f"use {' or '.join(mode.value for mode in Mode)}"
        )


def _check_numbers(parameters: Mapping[str, object]) -> None:
    for key, value in parameters.items():
        if key == "mode":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ConfigurationError(f"policy {_NAME}: {key} is {value!r}", fix="give a number that is not negative")
        if value == 0 and key in {
            "target_ctr",
            "target_roas",
            "temperature",
            "confident_impressions",
            "confident_hours",
        }:
            raise ConfigurationError(f"policy {_NAME}: {key} is 0", fix="give a number above 0")
        if value > 1 and key in {"max_change", "direct_average_share"}:
            raise ConfigurationError(f"policy {_NAME}: {key} is {value!r}", fix="give a fraction between 0 and 1")
