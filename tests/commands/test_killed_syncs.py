"""A sync that is killed anywhere, again and again, ends with the same tables as one that was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from adctl.adapters.db import open_engine
from adctl.sandbox.server import StandIn
from tests.builders import LEDGER, SMALL, Loop
from tests.commands.hubspot_reading import deals_of, sync
from tests.commands.killing import Killer, Work, command_line, command_line_of_a_large_account
from tests.conftest import Server

# What differs with the time and the number of runs, rows between the beginning and the end among it; everything else
# must be as an uninterrupted run leaves it.
RUNS = LEDGER | {"accounts", "controls", "earlier_rows"}
_KILLS = 5
_LARGE = {**SMALL, "ads": 60, "history_days": 20}


@pytest.fixture
def twin(loop: Loop, server: Server, template: str) -> Iterator[Loop]:
    """The same vendors, and a database that no run has touched."""
    name = loop.database_url.rpartition("/")[2].partition("?")[0] + "_twin"
    server.create(name, template)
    url = server.url(name)
    other = replace(loop, database_url=url, engine=open_engine(url))
    other.advance(seconds=0)
    yield other
    other.engine.dispose()


def killed_again_and_again(
    loop: Loop, server: StandIn, seed: int, *words: str, within: int, work: Work = command_line
) -> int:
    """Kills run after run, each within its first requests, then lets one end; returns how many were killed."""
    killer = Killer(loop, server, seed, work)
    kills = sum(killer.killed(*words, within=within) for _ in range(_KILLS))
    killer.let_end(*words)
    return kills


def crowded(loop: Loop) -> None:
    """Pages enough to die between, with deals of every fate."""
    loop.sandbox.hubspot.edit_by_person({"add_deals": 1100})
    first, second, third = loop.sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    loop.sandbox.hubspot.edit_by_person({"archive": first})
    loop.sandbox.hubspot.edit_by_person({"merge": second, "into": third})


def test_a_first_walk_through_hubspot_that_is_killed_again_and_again(loop: Loop, twin: Loop) -> None:
    crowded(loop)

    kills = killed_again_and_again(loop, loop.sandbox.hubspot, 1, "sync-hubspot", within=24)

    sync(twin)
    assert kills >= 3
    assert loop.digest(RUNS) == twin.digest(RUNS)
    assert loop.rows("sync_walks") == []
    assert loop.value("select count(*) from deals") == len(deals_of(loop))


def test_a_later_search_in_hubspot_that_is_killed_again_and_again(loop: Loop, twin: Loop) -> None:
    crowded(loop)
    for one in (loop, twin):
        sync(one)
    loop.advance(hours=1)
    twin.advance(seconds=0)
    for number, deal in enumerate(list(deals_of(loop))[:900]):
        loop.sandbox.hubspot.edit_by_person({"id": deal, "properties": {"amount": f"{number}.25"}})

    kills = killed_again_and_again(loop, loop.sandbox.hubspot, 3, "sync-hubspot", within=16)

    sync(twin)
    assert kills >= 3
    assert loop.digest(RUNS) == twin.digest(RUNS)


@pytest.mark.parametrize("loop", [_LARGE], indirect=True)
@pytest.mark.parametrize("work", [command_line, command_line_of_a_large_account])
def test_a_sync_of_meta_that_is_killed_again_and_again(loop: Loop, twin: Loop, work: Callable[..., None]) -> None:
    loop.sandbox.meta.edit_by_person({"id": loop.sandbox.world.tree.ads[0].id, "status": "ARCHIVED"})

    kills = killed_again_and_again(loop, loop.sandbox.meta, 4, "sync-meta", within=7, work=work)

    twin.sync_meta()
    assert kills >= 3
    assert loop.digest(RUNS) == twin.digest(RUNS)
    assert loop.rows("insight_reports") == []
    assert loop.value("select sum(spend) from insights") == loop.sandbox.world.totals().spend
