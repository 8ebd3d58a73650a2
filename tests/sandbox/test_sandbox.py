"""Starting and ending a sandbox."""

from __future__ import annotations

from datetime import date

import pytest
import requests

from adctl.sandbox import Sandbox

SMALL = {"history_days": 1, "campaigns": 1, "ad_sets": 1, "ads": 2}


def test_ids_and_tokens_follow_from_the_seed() -> None:
    def names(seed: int) -> tuple[str, ...]:
        with Sandbox.start(seed=seed, start=date(2026, 3, 2), **SMALL) as one:
            return one.meta_account_id, one.hubspot_portal, one.meta_token, one.hubspot_token

    assert names(1) == names(1)
    assert not set(names(1)) & set(names(2))


def test_a_taken_port_is_refused_and_the_other_server_is_not_left_running(sandbox: Sandbox) -> None:
    taken = int(sandbox.hubspot_url.rpartition(":")[2])
    free = Sandbox(sandbox.world)
    meta_port = int(free.meta_url.rpartition(":")[2])
    free.close()

    with pytest.raises(OSError, match="Address already in use"):
        Sandbox(sandbox.world, meta_port=meta_port, hubspot_port=taken)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{meta_port}/_sandbox/log", timeout=1)


def test_an_ad_under_review_delivers_nothing(sandbox: Sandbox) -> None:
    ad, today = sandbox.world.tree.ads[0], sandbox.world.today

    sandbox.meta.edit_by_person({"id": ad.id, "review": "PENDING_REVIEW"})
    sandbox.world.advance(days=1)

    assert sandbox.world.spend_minor(today)[0] == 0
