"""What the blended rule counts and scores per ad, and how it shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Evidence, Floats, Ints


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


def evidence(record: Record, scores: Scores, before: Ints, after: Ints) -> list[Evidence]:
    """One row per ad. Money is minor units; `change_percentage` is None for an ad that had nothing."""
    columns: dict[str, list[int | float | None]] = {
        "impressions": record.impressions.tolist(),
        "clicks": record.clicks.tolist(),
        "ctr": scores.ctr.tolist(),
        "roas": scores.roas.tolist(),
        "pipeline_roas": scores.pipeline_roas.tolist(),
        "ctr_weight": scores.ctr_weight.tolist(),
        "roas_weight": (1.0 - scores.ctr_weight).tolist(),
        "blended_score": scores.blended.tolist(),
        "decay_factor": scores.decay.tolist(),
        "final": scores.final.tolist(),
        "age_hours": record.age.tolist(),
        "spend": record.spend.tolist(),
        "pipeline": record.pipeline.tolist(),
        "cash": record.cash.tolist(),
        "alpha": scores.alpha.tolist(),
        "beta": scores.beta.tolist(),
        "draw": scores.draw.tolist(),
        "change_percentage": [
            round(100.0 * (new - old) / old, 2) if old else None
            for old, new in zip(before.tolist(), after.tolist(), strict=True)
        ],
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
