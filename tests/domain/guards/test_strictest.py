"""Hosts of one account that are configured differently: the strictest of each limit holds."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from adctl.domain.guards.strictest import stricter, strictest
from adctl.errors import ConfigurationError

NIGHT = (time(22), time(6))


def host(name: str = "a", **limits: Any) -> dict[str, Any]:
    return {
        "host": name,
        "rate_per_campaign": 15,
        "rate_per_ad_set": 3,
        "velocity_percent": Decimal(20),
        "velocity_window": timedelta(hours=6),
        "floor_budget": 100,
        "ceiling_budget": 10_000,
        "cap_increase": 500,
        "freshness": timedelta(seconds=60),
        "settle": timedelta(seconds=120),
        "max_attempts": 3,
        "floors": {},
        "ceilings": {},
        "quiet_from": None,
        "quiet_until": None,
        "kill_last_ad": False,
        **limits,
    }


@pytest.mark.parametrize(
    ("limit", "strict", "loose"),
    [
        ("rate_per_campaign", 14, 15),
        ("rate_per_ad_set", 2, 3),
        ("velocity_percent", Decimal(19), Decimal(20)),
        ("velocity_window", timedelta(hours=7), timedelta(hours=6)),
        ("floor_budget", 101, 100),
        ("ceiling_budget", 9_999, 10_000),
        ("cap_increase", 499, 500),
        ("cap_increase", None, 500),
        ("freshness", timedelta(seconds=59), timedelta(seconds=60)),
        ("settle", timedelta(seconds=121), timedelta(seconds=120)),
        ("max_attempts", 2, 3),
        ("kill_last_ad", False, True),
    ],
)
def test_of_two_hosts_the_stricter_limit_holds_whoever_comes_first(limit: str, strict: Any, loose: Any) -> None:
    one, other = host(**{limit: strict}), host("b", **{limit: loose})
    for rows in ([one, other], [other, one]):
        assert strictest(rows)[limit] == strict
    assert stricter(other, strictest([one, other])) == [limit.replace("_", " ")]
    assert stricter(one, strictest([one, other])) == []


def test_a_single_host_has_just_its_own_limits() -> None:
    own = host(quiet_from=time(22), quiet_until=time(6), floors={"s1": 5}, ceilings={"s1": 9})
    assert stricter(own, strictest([own])) == []


def test_floors_and_ceilings_of_single_entities_are_joined() -> None:
    found = strictest(
        [
            host(floors={"s1": 5, "s2": 1}, ceilings={"s1": 9, "s3": 7}),
            host("b", floors={"s1": 6}, ceilings={"s1": 8}),
        ]
    )
    assert (found["floors"], found["ceilings"]) == ({"s1": 6, "s2": 1}, {"s1": 8, "s3": 7})


@pytest.mark.parametrize(
    ("one", "other", "held"),
    [
        (NIGHT, (None, None), NIGHT),
        (NIGHT, (time(23), time(7)), (time(22), time(7))),
        (NIGHT, (time(1), time(2)), NIGHT),
        (NIGHT, (time(22, 30), time(6)), NIGHT),
        ((time(12), time(13)), (time(15), time(16)), (time(12), time(16))),
        (NIGHT, (time(5), time(9)), (time(22), time(9))),
        # The shorter way round, by one minute.
        ((time(1), time(2, 20)), (time(13), time(14, 21)), (time(13), time(2, 20))),
    ],
)
def test_quiet_hours_span_those_of_every_host(one: Any, other: Any, held: Any) -> None:
    rows = [
        host(quiet_from=one[0], quiet_until=one[1]),
        host("b", quiet_from=other[0], quiet_until=other[1]),
    ]
    found = strictest(rows)
    assert (found["quiet_from"], found["quiet_until"]) == held


def test_limits_that_nothing_could_keep_to_are_refused_by_the_hosts_names() -> None:
    with pytest.raises(ConfigurationError, match="hosts a, b of one account: the floor of one is above"):
        strictest([host(floor_budget=600), host("b", ceiling_budget=500)])
    assert strictest([host(floor_budget=500), host("b", ceiling_budget=500)])["floor_budget"] == 500
    for one, other in (
        ((time(0), time(12)), (time(12), time(0))),
        ((time(0), time(23, 50)), (time(23), time(0, 5))),
    ):
        whole = [host(quiet_from=one[0], quiet_until=one[1]), host("b", quiet_from=other[0], quiet_until=other[1])]
        with pytest.raises(ConfigurationError, match="leave no hour of the day"):
            strictest(whole)
