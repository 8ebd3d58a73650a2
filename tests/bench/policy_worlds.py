"""How much of an oracle's value each policy gets in the simulated worlds: `adctl backtest --world all`, for a bench.

    python -m tests.bench.policy_worlds [--seeds 30] [--days 60] [--world base …] [--processes 2] [--json]

Seeds are paired: every policy meets the same fate. Value is the expected value of the money spent, not lucky wins.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adctl.commands.backtest_worlds import ALL, POLICIES, run
from adctl.picture import svg
from adctl.render import LineProgress, render


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--world", nargs="*", default=[ALL])
    parser.add_argument("--policy", nargs="*", default=list(POLICIES))
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    report = run(
        given.world,
        given.policy,
        seeds=given.seeds,
        days=given.days,
        processes=given.processes,
        progress=LineProgress(sys.stderr),
    )
    render(report, stream=sys.stdout, as_json=given.json)
    if given.picture:
        given.picture.write_text(svg(report.charts))


if __name__ == "__main__":
    main()
