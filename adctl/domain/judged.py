"""Verdicts held against what came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from adctl.domain.calibration import Band, bands
from adctl.domain.outcomes import Truth
from adctl.domain.policies.protocol import Flags, Floats
from adctl.domain.said import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`unclear` verdicts are judged too, but the truth's own interval holds the bound; `silent` ones stated no chance,
    `unspent` ones are of ads without mature money: neither is in `verdicts`.
    """

    bands: tuple[Band, ...]
    verdicts: int
    wrong: int
    unclear: int
    silent: int
    unspent: int


def judged(days: Mapping[date, Said], ad_ids: Sequence[str], known: Truth) -> Judged:
    """The verdicts of one model on some days against the truth of the ads `ad_ids`."""
    place = {ad_id: index for index, ad_id in enumerate(ad_ids)}
    where = np.array([place.get(ad_id, -1) for said in days.values() for ad_id in said.ad_ids], dtype=np.int64)
    p_wrong, bar = (_joined([getattr(said, name) for said in days.values()]) for name in ("p_wrong", "wrong_roas"))
    above = _joined([said.wrong_above for said in days.values()]).astype(np.bool_)
    roas, low, high = (np.append(column, np.nan)[where] for column in (known.roas, known.low, known.high))
    stated = np.isfinite(p_wrong) & np.isfinite(bar)
    mine = stated & np.isfinite(roas)
    wrong = (roas > bar) == above
    return Judged(
        bands=bands(p_wrong[mine], wrong[mine], where[mine]),
        verdicts=int(mine.sum()),
        wrong=int(wrong[mine].sum()),
        unclear=int((mine & (low <= bar) & (bar <= high)).sum()),
        silent=int((~stated).sum()),
        unspent=int((stated & ~mine).sum()),
    )


def _joined(columns: Sequence[Floats | Flags]) -> Floats:
    return np.concatenate([np.empty(0), *columns])
