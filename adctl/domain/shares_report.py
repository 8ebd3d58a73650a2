"""How a budget adds up: the share of each ad that it pays for, now and wanted, with what the verdict on it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adctl.domain.decisions import Decision
from adctl.domain.policies.protocol import Verdict
from adctl.domain.report import Cell, Column, Kind, Table

_COLUMNS = (
    Column(key="ad", label="ad"),
    Column(key="verdict", label="verdict"),
    Column(key="before", label="share then", kind=Kind.MONEY),
    Column(key="after", label="wanted", kind=Kind.MONEY),
    Column(key="roas", label="ROAS", kind=Kind.RATIO),
    Column(key="roas_low", label="5 % below", kind=Kind.RATIO),
    Column(key="roas_high", label="5 % above", kind=Kind.RATIO),
    Column(key="p_wrong", label="P(wrong)", kind=Kind.PERCENT),
    Column(key="loss_if_wrong", label="loss if wrong", kind=Kind.MONEY),
)
_SAID = ("roas", "roas_low", "roas_high", "p_wrong", "loss_if_wrong")


def shares_table(ads: Sequence[Decision]) -> Table:
    """The decisions on the ads of one budget, and their sum. An ad that is killed leaves its share to the others."""
    rows = [_row(ad) for ad in ads]
    before, after = (sum(amount for row in rows if isinstance(amount := row[key], int)) for key in ("before", "after"))
    total: Mapping[str, Cell] = {"ad": "the budget = the sum", "before": before, "after": after}
    lines = (*rows, total) if rows else ()
    return Table(key="shares", title="Its ads: shares add up", columns=_COLUMNS, rows=lines, empty="none")


def shares_after(ads: Sequence[Decision]) -> int:
    """What the ads are to get together, minor units."""
    return sum(amount for ad in ads if isinstance(amount := _row(ad)["after"], int))


def _row(ad: Decision) -> dict[str, Cell]:
    after = 0 if ad.verdict is Verdict.KILL else ad.evidence.get("budget")
    said = {key: ad.evidence.get(key) for key in _SAID}
    loss = said["loss_if_wrong"]
    return {
        "ad": ad.entity_id,
        "verdict": ad.verdict.value,
        "before": ad.evidence.get("current_budget"),
        "after": after,
        **said,
        "loss_if_wrong": round(loss) if isinstance(loss, float) else loss,
    }
