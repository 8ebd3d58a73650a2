"""What the blended rule counts and scores per ad, and how it shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What each ad has done so far. Money is minor units, `age` is hours, shape n."""

    impressions: Ints
    clicks: Ints
    spend: Ints
    pipeline: Ints
    cash: Ints
    age: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the rule makes of each record, shape n. `roas` is the one that is judged, by the mode."""

    ctr: Floats
    roas: Floats
    pipeline_roas: Floats
    ctr_weight: Floats
    blended: Floats
    decay: Floats
    final: Floats
    alpha: Floats
    beta: Floats
    draw: Floats
    confidence: Floats


def record_of(history: AdHistory) -> Record:
    ads = len(history.ad_ids)
    return Record(
        impressions=_sums(history.row_ad, history.row_impressions, ads),
        clicks=_sums(history.row_ad, history.row_clicks, ads),
        spend=_sums(history.row_ad, history.row_spend, ads),
        pipeline=_sums(history.deal_ad, history.deal_value, ads),
        cash=_sums(history.deal_ad, history.deal_cash, ads),
        age=np.nan_to_num(history.age_hours, nan=0.0),
    )


def _sums(index: Ints, values: Ints, size: int) -> Ints:
    """Whole sums per index; doubles hold them exactly up to 9e15."""
    return np.bincount(index, weights=values, minlength=size).astype(np.int64)


def ctr_weight(age: Floats) -> Floats:
    """How much CTR counts beside ROAS at an age in hours: all of it at first, a tenth at last."""
    return np.select(
        [age < 6, age < 24, age < 72],
        [np.ones_like(age), 1.0 - 0.3 * (age - 6.0) / 18.0, 0.7 - 0.4 * (age - 24.0) / 48.0],
        np.maximum(0.1, 0.3 * np.exp(-0.1 * (np.maximum(age, 72.0) - 72.0) / 24.0)),
    )


def evidence(record: Record, scores: Scores, before: Ints, after: Ints) -> dict[str, Ints | Floats]:
    """Columns of one entry per ad. Money is minor units; `change_percentage` is NaN for an ad that had nothing."""
    had = before > 0
    change = np.round(100.0 * (after - before) / np.where(had, before, 1), 2)
    return {
        "impressions": record.impressions,
        "clicks": record.clicks,
        "ctr": scores.ctr,
        "roas": scores.roas,
        "pipeline_roas": scores.pipeline_roas,
        "ctr_weight": scores.ctr_weight,
        "roas_weight": 1.0 - scores.ctr_weight,
        "blended_score": scores.blended,
        "decay_factor": scores.decay,
        "final": scores.final,
        "age_hours": record.age,
        "spend": record.spend,
        "pipeline": record.pipeline,
        "cash": record.cash,
        "alpha": scores.alpha,
        "beta": scores.beta,
        "draw": scores.draw,
        "change_percentage": np.where(had, change, np.nan),
    }
