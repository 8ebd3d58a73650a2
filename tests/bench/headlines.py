"""Real randomised headline tests: does the engine know how sure it is, and does its gate keep good arms alive?

    python -m tests.bench.headlines ../shared/data/upworthy_headlines.csv

A test is a campaign, an arm an ad, an impression a unit of spend, a click a lead. Coverage: each arm is thinned to a
small part of its impressions and the clicks of the rest are predicted; counted is how often the 90 % interval of the
hierarchical rate, widened by the Poisson scatter of what is predicted, holds them. Gate: every arm that is at least as
good as its test's mean is looked at 40 times with that mean as its bar; counted is how often it is ever given up.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adctl.domain.policies.bayes.gate import log_e_value
from adctl.domain.policies.bayes.leads import campaigns_of, fit_leads, lead_posterior
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.protocol import Ints

_PARTS = (0.02, 0.05, 0.10)
_LOOKS = 40
_ALPHA = 0.05
# Where the account has not told how far its campaigns differ, as the policy has it.
_CAMPAIGN_LEADS = BayesParameters().campaign_leads


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    test: Ints
    shown: Ints
    clicks: Ints


def read(path: Path) -> Arms:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["test_id"], int(row["impressions"]), int(row["clicks"])) for row in csv.DictReader(file)]
    names = {name: place for place, name in enumerate(dict.fromkeys(row[0] for row in rows))}
    test, shown, clicks = np.array([(names[name], n, k) for name, n, k in rows], dtype=np.int64).T
    good = (shown > 0) & (clicks <= shown)
    return Arms(test=test[good], shown=shown[good], clicks=clicks[good])


def covered(arms: Arms, part: float, rng: np.random.Generator) -> float:
    """The share of arms whose rest is within the 90 % interval that a part of it gave."""
    shown = np.maximum(np.rint(part * arms.shown), 1).astype(np.int64)
    seen = rng.hypergeometric(arms.clicks, arms.shown - arms.clicks, shown)
    leads, exposure, none = seen.astype(np.float64), shown.astype(np.float64), np.zeros(len(shown))
    model = fit_leads(leads, exposure, none, arms.test, _CAMPAIGN_LEADS)
    tests = campaigns_of(model, leads, exposure, none, arms.test)
    told = lead_posterior(model, tests, arms.test, leads, exposure, none)
    rest = (arms.shown - shown).astype(np.float64)
    sd = np.sqrt(told.own_variance + told.common_variance)
    # Draws of the rate, and of the clicks given the rate: what is predicted scatters itself.
    rates = np.exp(told.mean[:, None] + sd[:, None] * rng.standard_normal((len(rest), 400)))
    drawn = np.sort(rng.poisson(rates * rest[:, None]), axis=1)
    low, high = np.percentile(drawn, (5, 95), axis=1)
    held = arms.clicks - seen
    # An end that is met exactly belongs to the interval in proportion, as counts are lumpy.
    edge = rng.random(len(held)) < 0.5
    inside = ((held > low) & (held < high)) | (((held == low) | (held == high)) & edge)
    return float(inside[rest > 0].mean())


def falsely_given_up(arms: Arms, rng: np.random.Generator) -> tuple[float, int]:
    """Of the arms that are at least as good as their test's mean, the share that 40 looks ever give up."""
    total = np.bincount(arms.test, weights=arms.shown)
    bar = (np.bincount(arms.test, weights=arms.clicks) / total)[arms.test]
    good = (arms.clicks >= bar * arms.shown) & (bar > 0)
    shown, clicks, bar = arms.shown[good], arms.clicks[good], bar[good]
    usual = float(arms.clicks.sum() / arms.shown.sum())
    shape = fit_leads(
        arms.clicks.astype(np.float64),
        arms.shown.astype(np.float64),
        np.zeros(len(arms.shown)),
        arms.test,
        _CAMPAIGN_LEADS,
    ).shape
    ever = np.zeros(len(shown), dtype=np.bool_)
    before, seen = np.zeros(len(shown), dtype=np.int64), np.zeros(len(shown), dtype=np.int64)
    for look in range(1, _LOOKS + 1):
        now = shown * look // _LOOKS
        # The clicks fall on the impressions in random order.
        left = shown - before
        seen += rng.hypergeometric(clicks - seen, left - (clicks - seen), now - before)
        before = now
        e = log_e_value(
            seen.astype(np.float64), now.astype(np.float64), bar, shape=shape, rate=np.full(len(bar), shape / usual)
        )
        ever |= e >= -np.log(_ALPHA)
    return float(ever.mean()), len(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    arms, rng = read(given.file), np.random.Generator(np.random.PCG64(20130124))
    write = sys.stdout.write
    write(f"{len(arms.shown):,} arms of {arms.test.max() + 1:,} tests, {arms.clicks.sum():,} clicks\n")
    for part in _PARTS:
        write(f"thinned to {part:.0%}: the 90 % interval holds {covered(arms, part, rng):.1%}\n")
    share, good = falsely_given_up(arms, rng)
    write(f"{_LOOKS} looks at alpha {_ALPHA}: {share:.2%} of {good:,} good arms are ever given up\n")


if __name__ == "__main__":
    main()
