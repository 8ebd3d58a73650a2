"""Measures what a winner is worth that the product's rule names after 100 impressions, beside a raw click rate.

Run from the checkout: `python -m tests.bench.winner_rule PATH/upworthy_headlines.csv`. Each arm of the tests is
thinned to 100 of its impressions; a rule names winners by these alone and is judged by the rest of the arm's
impressions. A click is a win worth 1, an impression costs 1, and the target is 1.5 times the mean click rate, so that
P(ROAS > target) is the probability that the arm's click rate is above 1.5 times the mean.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adctl.domain.ids import AdId
from adctl.domain.winner_plan import AdFigures, account_prior, judge_contents
from adctl.domain.winners import CreativeRecord, WinnerRule, WinnerState

_SEEN = 100
_TIMES = 1.5
# Weeks whose randomisation the authors warn of.
_DOUBTFUL = ("201326", "201402")
# Money of the bench: a click brings this many minor units, so that whole numbers lose nothing.
_UNIT = 1_000_000


def arms(source: Path) -> tuple[Sequence[int], Sequence[int]]:
    """Impressions and clicks of every arm with at least ten times the impressions that are to be seen."""
    with source.open(encoding="utf-8", newline="") as lines:
        kept = [row for row in csv.DictReader(lines) if not _DOUBTFUL[0] <= row["test_week"] <= _DOUBTFUL[1]]
    pairs = [(int(row["impressions"]), int(row["clicks"])) for row in kept]
    pairs = [pair for pair in pairs if pair[0] >= 10 * _SEEN]
    return [n for n, _ in pairs], [y for _, y in pairs]


def named_by_rule(clicks: Sequence[int], mean: float) -> list[bool]:
    """Whom the product's own rule names: prior from the account's totals, verdict from each record."""
    cost = round(mean * _UNIT)
    figures = [
        AdFigures(ad_id=AdId(str(at)), impressions=_SEEN, clicks=y, spend=_SEEN * cost, wins=y, value=y * _UNIT)
        for at, y in enumerate(clicks)
    ]
    rule = WinnerRule(target_roas=_TIMES, target_cost_per_win=0, minimum_spend=0, promising_impressions=_SEEN)
    records = {
        str(at).encode(): CreativeRecord(
            impressions=_SEEN, clicks=f.clicks, spend=f.spend, wins=f.wins, value=f.value, matured=True
        )
        for at, f in enumerate(figures)
    }
    judged = judge_contents(rule, records, account_prior(figures, [_UNIT]), {})
    states = {j.content_hash: j.verdict.state for j in judged}
    return [states[content] is WinnerState.WINNER for content in records]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("headlines", type=Path)
    impressions, clicks = arms(parser.parse_args().headlines)
    mean = sum(clicks) / sum(impressions)
    rng = np.random.Generator(np.random.PCG64(1))
    shown, clicked = np.array(impressions), np.array(clicks)
    seen = rng.hypergeometric(clicked, shown - clicked, _SEEN)
    rest = (clicked - seen) / (shown - _SEEN)
    good = rest > _TIMES * mean
    raw = seen / _SEEN > _TIMES * mean
    named = np.array(named_by_rule(seen.tolist(), mean))
    sys.stdout.write(f"{len(good)} arms, mean click rate {mean:.4f}, {good.mean():.1%} truly above {_TIMES} times it\n")
    for name, chosen in (("raw click rate", raw), ("P(ROAS > target) >= 0.9", named)):
        claimed, held = seen[chosen].mean() / _SEEN, rest[chosen].mean()
        sys.stdout.write(
            f"{name:24} names {chosen.sum():6}  precision {good[chosen].mean():.3f}  "
            f"finds {(good & chosen).sum() / good.sum():.3f}  claims {claimed:.4f} where {held:.4f} holds\n"
        )


if __name__ == "__main__":
    main()
