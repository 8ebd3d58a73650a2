"""Which creatives win and which stop winning, from what their ads did; pure, so that a dry run shows the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import gammaln

from adctl.domain.ids import AdId
from adctl.domain.winners import (
    CreativeRecord,
    RoasPrior,
    Verdict,
    WinnerRule,
    WinnerState,
    judge,
    probability_above_target,
)

# How many wins at the account's average cost the prior counts for: the fewer, the more the account's ads differ. At
# most two, so that a creative's own record soon has the greater say.
_PRIOR_WINS: Final = np.array([0.25, 0.5, 1.0, 2.0])
# What a win is worth differs less from ad to ad than from deal to deal.
_PRIOR_VALUE_WEIGHT: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdFigures:
    """What one ad did and brought until the attribution lag; money is minor units, `value` synthetic revenue."""

    ad_id: AdId
    impressions: int = 0
    clicks: int = 0
    spend: int = 0
    wins: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One content with its pooled record and what follows from it.

    The verdict's reason says why the state is reached, `standing` why it is kept until something changes.
    """

    content_hash: bytes
    record: CreativeRecord
    previous: WinnerState
    verdict: Verdict
    standing: str

    @property
    def changed(self) -> bool:
        """True when it became a winner or stopped being one."""
        kept = (WinnerState.WINNER, WinnerState.DEMOTED)
        return self.verdict.state in kept and self.verdict.state is not self.previous


def account_prior(figures: Sequence[AdFigures], win_values: Sequence[int]) -> RoasPrior | None:
    """What the account's totals say of an ad that nothing is known of; None before the first win or the first spend.

    Its mean rate is the account's wins per unit spent; its weight is the one under which the ads' wins are most likely
    (negative binomial, four weights tried). The mean value of a win is all value over all wins, so that rate times
    value is the account's own ROAS; `win_values` are the wins' own values and say how much they differ.

    Limit: a creative's own record is part of the totals.
    """
    spend, wins, value = (sum(getattr(f, name) for f in figures) for name in ("spend", "wins", "value"))
    if min(spend, wins, value) <= 0:
        return None
    weight = _likeliest_weight(figures, wins / spend)
    return RoasPrior(
        wins=weight,
        spend=weight * spend / wins,
        win_value=value / wins,
        value_weight=_PRIOR_VALUE_WEIGHT,
        value_variation=_variation(win_values),
    )


def stranger_prior(records: Iterable[CreativeRecord], target_roas: float) -> RoasPrior | None:
    """Where an account has won nothing yet: one win at the target's cost, worth what the records' wins were worth.

    None when no record has a win; then nothing is known at all.
    """
    known = [record for record in records if record.wins > 0 and record.value > 0]
    if not known:
        return None
    worth = sum(record.value for record in known) / sum(record.wins for record in known)
    return RoasPrior(
        wins=1.0, spend=worth / target_roas, win_value=worth, value_weight=_PRIOR_VALUE_WEIGHT, value_variation=0.0
    )


def _likeliest_weight(figures: Sequence[AdFigures], rate: float) -> float:
    spent = [f for f in figures if f.spend]
    wins = np.array([f.wins for f in spent])[:, np.newaxis]
    mean = rate * np.array([f.spend for f in spent])[:, np.newaxis]
    weight = _PRIOR_WINS
    likelihood = (
        gammaln(weight + wins)
        - gammaln(weight)
        + weight * np.log(weight / (weight + mean))
        + wins * np.log(mean / (weight + mean))
    )
    return float(weight[int(np.argmax(likelihood.sum(axis=0)))])


def pooled_records(
    figures: Iterable[AdFigures], content_of: Mapping[AdId, bytes], contents: Collection[bytes], rule: WinnerRule
) -> dict[bytes, CreativeRecord]:
    """The record of each content: all ads that show it, in whatever creative. One without figures has an empty record.

    A record is mature once the impressions that are past the attribution lag reach the rule's minimum.
    """
    sums = {content: [0, 0, 0, 0, 0] for content in contents}
    for figure in figures:
        content = content_of.get(figure.ad_id)
        if content in sums:
            parts = (figure.impressions, figure.clicks, figure.spend, figure.wins, figure.value)
            sums[content] = [old + new for old, new in zip(sums[content], parts, strict=True)]
    return {
        content: CreativeRecord(
            impressions=impressions,
            clicks=clicks,
            spend=spend,
            wins=wins,
            # Refunds may exceed what came in; less than nothing is not worth telling from nothing.
            value=max(value, 0),
            matured=impressions >= rule.promising_impressions,
        )
        for content, (impressions, clicks, spend, wins, value) in sorted(sums.items())
    }


def judge_contents(
    rule: WinnerRule,
    records: Mapping[bytes, CreativeRecord],
    prior: RoasPrior | None,
    previous: Mapping[bytes, WinnerState],
) -> tuple[Judged, ...]:
    """Every content judged by its record. Without a prior, nothing was ever won and P is 0."""
    judged = []
    for content, record in records.items():
        before = previous.get(content, WinnerState.NONE)
        probability = probability_above_target(record, prior, rule.target_roas) if prior else 0.0
        verdict = judge(rule, record, probability, before)
        standing = judge(rule, record, probability, verdict.state).reason
        judged.append(Judged(content_hash=content, record=record, previous=before, verdict=verdict, standing=standing))
    return tuple(judged)


def retired(rule: WinnerRule, contents: Collection[bytes], previous: Mapping[bytes, WinnerState]) -> tuple[Judged, ...]:
    """Winners that no creative of `contents` shows any more: demoted, since nothing is left that could be repeated."""
    nothing = CreativeRecord(impressions=0, clicks=0, spend=0, wins=0, value=0, matured=False)
    verdict = Verdict(
        state=WinnerState.DEMOTED,
        reason="no creative shows it any more",
        probability=0.0,
        spend=0,
        spend_needed=rule.spend_needed,
        wins=0,
        roas=0.0,
        matured=False,
    )
    return tuple(
        Judged(content_hash=content, record=nothing, previous=state, verdict=verdict, standing=verdict.reason)
        for content, state in sorted(previous.items())
        if state is WinnerState.WINNER and content not in contents
    )


def _variation(values: Sequence[int]) -> float:
    mean = sum(values) / len(values) if values else 0.0
    if mean <= 0:
        return 0.0
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean
