"""The whole loop as cron runs it: real processes, real PostgreSQL, the vendors' stand-ins over HTTP by their SDKs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.builders import BLENDED, LEDGER, Loop, loop_on
from tests.conftest import Outcome

STEPS = ("migrate", "sync-meta", "sync-hubspot", "ingest-crm", "decide", "enqueue", "execute", "index-winners")
# Meta notes the time of each change that the first pass sent; the second pass reads that back, once.
MARKED_BY_META = frozenset({"campaigns", "ad_sets", "ads", "earlier_rows"})
READS = ("/search", "/batch/read")


def run_all(loop: Loop) -> dict[str, Outcome]:
    """One pass; a step that fails ends it, as `&&` does."""
    adctl = loop.command_line()
    done: dict[str, Outcome] = {}
    for step in STEPS:
        done[step] = adctl(step)
        assert done[step].code == 0, (step, done[step])
        assert done[step].err == "", (step, done[step])
    return done


def states(loop: Loop) -> Counter[str]:
    return Counter(row["state"] for row in loop.rows("pending_ad_changes"))


def test_the_second_pass_writes_nothing_and_the_next_days_pass_writes_again(database_url: str, tmp_path: Path) -> None:
    with loop_on(database_url, tmp_path) as loop:
        loop.configure(BLENDED, "")
        first = run_all(loop)
        sent = len(loop.posts())
        assert sent > 5
        assert states(loop) == {"completed": sent}
        assert f"{sent} changes confirmed, {sent} sent." in first["execute"].out
        stored = loop.digest(LEDGER | MARKED_BY_META)

        second = run_all(loop)
        assert len(loop.posts()) == sent
        assert loop.digest(LEDGER | MARKED_BY_META) == stored
        second["sync-meta"] = loop.command_line()("sync-meta")
        for step, outcome in second.items():
            assert "No changes." in outcome.out, (step, outcome.out)

        loop.advance(days=1)
        run_all(loop)
        assert len(loop.posts()) > sent
        assert states(loop) == {"completed": len(loop.posts())}
        assert all(one.method == "GET" or one.path.endswith(READS) for one in loop.sandbox.hubspot_log)
        tree = loop.sandbox.world.tree
        at_meta = {one.id: one.daily_budget for one in tree.ad_sets if one.daily_budget is not None}
        known = {row["ad_set_id"]: row["daily_budget"] for row in loop.rows("ad_sets") if row["daily_budget"]}
        assert known == at_meta
