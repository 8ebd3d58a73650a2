"""What one model said of every ad on one day, as columns: what scores and calibration are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import PAUSING, VERDICTS, AdVerdict, Flags, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """One entry per ad. `kill` tells that the verdict pauses the ad, `current` and `wanted` are daily budgets in minor
    units. `p_wrong` is the stated chance that the verdict is wrong, which it is when the true ROAS lies beyond
    `wrong_roas`, on its upper side if `wrong_above`; NaN where nothing was stated.
    """

    ad_ids: tuple[str, ...]
    kill: Flags
    current: Ints
    wanted: Ints
    p_wrong: Floats
    wrong_roas: Floats
    wrong_above: Flags


def said_of(verdicts: Sequence[AdVerdict]) -> Said:
    """The verdicts of one policy on one day."""
    rows = [
        (
            VERDICTS.index(verdict.verdict) in PAUSING,
            verdict.current_budget,
            verdict.budget,
            _number(verdict.evidence.get("p_wrong")),
            _number(verdict.evidence.get("wrong_roas")),
            bool(verdict.evidence.get("wrong_above")),
        )
        for verdict in verdicts
    ]
    return said_from_rows(tuple(verdict.ad_id for verdict in verdicts), rows)


def said_from_rows(ad_ids: tuple[str, ...], rows: Sequence[tuple[bool, int, int, float, float, bool]]) -> Said:
    """From rows of kill, current, wanted, p_wrong, wrong_roas, wrong_above in the order of the ads."""
    kill, current, wanted, p_wrong, wrong_roas, wrong_above = zip(*rows, strict=True) if rows else ((),) * 6
    return Said(
        ad_ids=ad_ids,
        kill=np.array(kill, dtype=np.bool_),
        current=np.array(current, dtype=np.int64),
        wanted=np.array(wanted, dtype=np.int64),
        p_wrong=np.array(p_wrong, dtype=np.float64),
        wrong_roas=np.array(wrong_roas, dtype=np.float64),
        wrong_above=np.array(wrong_above, dtype=np.bool_),
    )


def _number(fact: object) -> float:
    return float(fact) if isinstance(fact, int | float) else np.nan
