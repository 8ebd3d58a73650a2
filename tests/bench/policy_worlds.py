"""How much of an oracle's value each policy gets in the simulated worlds.

    python -m tests.bench.policy_worlds [--seeds 30] [--days 60] [--world base …]

Seeds are paired: every policy meets the same fate. Value is the expected value of the money spent, not lucky wins.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

from adctl.domain.simulation.judge import Standing, standings
from adctl.domain.simulation.tournament import heats, run_heat
from adctl.domain.simulation.worlds import WORLDS

_POLICIES = ("equal", "rules", "rules-roas", "lead-thompson", "blended", "blended-best", "bayes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--world", nargs="*", default=sorted(WORLDS))
    given = parser.parse_args()
    # The worlds were calibrated on seeds from 1000 on.
    seeds = range(1, 1 + given.seeds)
    with ProcessPoolExecutor() as pool:
        results = pool.map(run_heat, heats(given.world, _POLICIES, seeds, days=given.days))
        found = standings([one for result in results for one in result.scores])
    sys.stdout.write(
        "world              policy          % of oracle (95 %)    good killed  on losers  covered 14 d, 28 d\n"
    )
    for standing in found:
        sys.stdout.write(_line(standing) + "\n")


def _line(one: Standing) -> str:
    share = f"{one.share.mean:6.1%} ({one.share.low:.1%}, {one.share.high:.1%})"
    covered = ", ".join(
        f"{found.covered / found.looks:.0%}" if found.looks else "-" for found in (one.coverage[14], one.coverage[28])
    )
    return f"{one.world:18} {one.policy:15} {share:21} {one.good_killed:10.1%} {one.loser_spend:10.1%}  {covered}"


if __name__ == "__main__":
    main()
