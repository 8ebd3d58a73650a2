"""How long the bayes policy takes on an account of very many ads, and where the time goes.

    python -m tests.bench.policy_speed [--ads 1000000] [--deals 5000000] [--days 30] [--runs 5]

The first run also pays for memory that the process has not used yet, which on a virtual machine can cost as much as
half of the rest; the least of all runs is what the policy itself takes. The kernel's part stands beside both.

Then the same policy beside mabwiser's Thompson sampling (extra `bench`) on 1,000 to 100,000 arms in the same run: the
bandit is told one reward per deal and draws one expectation per arm; the policy gets daily rows and deals with their
stages and gives budgets and verdicts with intervals. CPU seconds of one core; thread pools are held to one.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import resource
import sys
import time
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory

_PARTS = {
    "rows in order and summed": "rows_of",
    "deals on their steps": "funnel_of",
    "response and wear": "fit_response",
    "delays": "fit_delays",
    "deals, wins, fractions counted": "_counted",
    "exposure and clicks": "_told",
    "stages, leads, values learned": "_fit",
    "posterior": "_view",
    "water-filling": "share_out",
    "verdicts and evidence": "said",
    "of it the verdicts": "judge",
}
_NAN = np.nan


def account(ads: int, deals: int, days: int) -> AdHistory:
    """Rows sorted by ad and day as the database gives them; deals on three steps, a third of them open."""
    rng = np.random.Generator(np.random.PCG64(1))
    quality = rng.gamma(2.5, 1 / 2.5, ads)
    spend = rng.integers(500, 6_000, ads * days)
    clicks = rng.poisson(spend / 60)
    ad = np.sort(rng.choice(ads, deals, p=quality / quality.sum()))
    came = rng.uniform(0, days, deals)
    moved = np.cumsum(np.exp(0.8 * rng.standard_normal((deals, 3))) * (2.0, 3.7, 5.3), axis=1)
    passed = np.logical_and.accumulate(rng.random((deals, 3)) < (0.55, 0.5, 0.47), axis=1)
    entered = np.concatenate([came[:, None], np.where(passed, came[:, None] - moved, _NAN)], axis=1)
    entered[entered < 0] = _NAN
    lost = np.where(~passed[:, 2] & (rng.random(deals) < 0.7), came - 8 * rng.standard_exponential(deals), _NAN)
    lost[lost < 0] = _NAN
    cash = np.where(np.isfinite(entered[:, 3]), 200_000, 0)
    return AdHistory(
        account="speed",
        day=date(2026, 3, 2),
        currency="USD",
        minor_per_major=100,
        ad_ids=tuple(f"ad{place:07d}" for place in range(ads)),
        campaign=np.arange(ads, dtype=np.int64) % max(ads // 100, 1),
        active=np.ones(ads, dtype=np.bool_),
        age_hours=np.full(ads, days * 24.0),
        budget=np.full(ads, 3_000, dtype=np.int64),
        row_ad=np.repeat(np.arange(ads), days),
        row_days_ago=np.tile(np.arange(days)[::-1], ads),
        row_impressions=clicks * 50,
        row_clicks=clicks,
        row_spend=spend,
        row_leads=np.zeros(ads * days, dtype=np.int64),
        deal_ad=ad,
        deal_days_ago=came.astype(np.int64),
        deal_value=cash,
        deal_cash=cash,
        stages=("lead", "qualified", "proposal", "won"),
        deal_entered=entered,
        deal_lost=lost,
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of one decision, and the kernel's part of them."""

    total: float
    kernel: float


def once(history: AdHistory) -> Spent:
    before = resource.getrusage(resource.RUSAGE_SELF)
    BayesPolicy().decide(history)
    after = resource.getrusage(resource.RUSAGE_SELF)
    # What is to be freed by the collector is no part of the next run.
    gc.collect()
    kernel = after.ru_stime - before.ru_stime
    return Spent(total=after.ru_utime - before.ru_utime + kernel, kernel=kernel)


def parts(history: AdHistory) -> dict[str, float]:
    """CPU seconds of the parts of a decision; the profile takes time of its own."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    BayesPolicy().decide(history)
    profile.disable()
    found = pstats.Stats(profile).get_stats_profile()
    return {label: found.func_profiles[name].cumtime for label, name in _PARTS.items() if name in found.func_profiles}


def beside_a_bandit(arms: int) -> tuple[float, float]:
    """CPU seconds of the policy and of mabwiser on as many arms and five deals for each."""
    history = account(arms, 5 * arms, 30)
    start = time.process_time()
    BayesPolicy().decide(history)
    ours = time.process_time() - start
    mab = import_module("mabwiser.mab")
    rewards = np.isfinite(history.deal_entered[:, 3]).astype(np.int64)
    start = time.process_time()
    bandit = mab.MAB(list(range(arms)), mab.LearningPolicy.ThompsonSampling(), seed=1)
    bandit.fit(decisions=history.deal_ad, rewards=rewards)
    bandit.predict_expectations()
    return ours, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ads", type=int, default=1_000_000)
    parser.add_argument("--deals", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--arms", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    write = sys.stdout.write
    history = account(given.ads, given.deals, given.days)
    runs = [once(history) for _ in range(given.runs)]
    write(f"{given.ads:,} ads, {len(history.row_ad):,} daily rows, {given.deals:,} deals\n")
    for label, spent in (("first run", runs[0]), ("least of all runs", min(runs, key=lambda run: run.total))):
        write(f"  {label:30} {spent.total:6.2f} s, {spent.kernel:.2f} s of them the kernel's\n")
    write("of one that is profiled:\n")
    for label, seconds in parts(history).items():
        write(f"  {label:30} {seconds:6.2f} s\n")
    write(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB, the input included\n")
    del history
    if find_spec("mabwiser") is None:
        write("mabwiser is not installed: pip install -e '.[bench]'\n")
        return
    for arms in given.arms:
        ours, theirs = beside_a_bandit(arms)
        write(f"{arms:>9,} arms: bayes {ours:7.3f} s, mabwiser {theirs:7.3f} s, {theirs / ours:.1f} times ours\n")


if __name__ == "__main__":
    main()
