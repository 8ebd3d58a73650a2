"""The control surface under /_sandbox, by which other processes steer the stand-ins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from adctl.sandbox import FAULT_KINDS, Sandbox


def control(base: str, action: str, body: dict[str, Any] | None = None) -> Any:
    """One call of the control surface."""
    url = f"{base}/_sandbox/{action}"
    answer = requests.get(url, timeout=5) if body is None else requests.post(url, json=body, timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_clock_is_moved_from_outside_and_shown_to_both_servers(sandbox: Sandbox) -> None:
    before = sandbox.world.now

    control(sandbox.hubspot_url, "advance", {"days": 1})
    control(sandbox.meta_url, "advance", {"to": (before + timedelta(days=2)).isoformat()})

    assert control(sandbox.hubspot_url, "truth")["now"] == (before + timedelta(days=2)).isoformat()


def test_a_persons_edit_reaches_the_account_and_the_portal(sandbox: Sandbox) -> None:
    ad_set = next(s for s in sandbox.world.tree.ad_sets if s.daily_budget)
    deal = sandbox.world.portal.collections["deals"].ids[0]

    control(sandbox.meta_url, "edit", {"id": ad_set.id, "daily_budget": 7777})
    control(sandbox.hubspot_url, "edit", {"id": str(deal), "properties": {"dealstage": "closedwon", "amount": "12.00"}})
    control(sandbox.hubspot_url, "edit", {"pipeline": "default", "label": "Renamed"})

    assert ad_set.daily_budget == 7777
    assert sandbox.world.tree.activities[-1].application == "Ads Manager"
    assert sandbox.world.portal.collections["deals"].records[deal].properties["hs_is_closed_won"] == "true"
    assert sandbox.world.portal.pipelines[0].label == "Renamed"


def test_faults_are_armed_counted_and_cleared_from_outside(sandbox: Sandbox) -> None:
    control(sandbox.meta_url, "faults", {"kind": "html", "times": None})
    statuses = [requests.get(f"{sandbox.meta_url}/v26.0/me", timeout=5).status_code for _ in range(2)]
    counted = control(sandbox.meta_url, "faults")
    requests.delete(f"{sandbox.meta_url}/_sandbox/faults", timeout=5)

    assert statuses == [502, 502]
    assert counted == [{"id": 1, "kind": "html", "hits": 2, "left": None}]
    assert control(sandbox.meta_url, "faults") == []


def test_the_kinds_of_faults_are_told(sandbox: Sandbox) -> None:
    kinds = control(sandbox.hubspot_url, "kinds")

    assert kinds == FAULT_KINDS
    assert all(kinds.values())


def test_the_log_tells_what_was_received_without_secrets(sandbox: Sandbox) -> None:
    requests.get(f"{sandbox.meta_url}/v26.0/me?access_token=s3cret&appsecret_proof=pr00f", timeout=5)
    requests.post(f"{sandbox.meta_url}/v26.0/me", data={"access_token": "s3cret", "status": "PAUSED"}, timeout=5)

    log = control(sandbox.meta_url, "log")

    assert [(one["method"], one["status"], one["points"]) for one in log] == [("GET", 401, 1), ("POST", 401, 3)]
    assert log[1]["body"] == {"status": "PAUSED"}
    assert log[0]["world_time"] == sandbox.world.now.isoformat()
    assert "s3cret" not in str(log)
    assert "pr00f" not in str(log)


def test_the_truth_is_told_per_ad(sandbox: Sandbox) -> None:
    ads = control(sandbox.meta_url, "truth")["ads"]

    assert [ad["ad_id"] for ad in ads] == [ad.id for ad in sandbox.world.tree.ads]
    assert all(ad["roas"] > 0 for ad in ads)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("advance", {"to": "1999-01-01T00:00:00+00:00"}),
        ("advance", {}),
        ("faults", {"kind": "earthquake"}),
        ("faults", {"kind": "html", "path": "("}),
        ("edit", {"id": "404", "status": "PAUSED"}),
        ("edit", {"id": "{ad}", "colour": "red"}),
        ("edit", {"id": "{ad}", "daily_budget": 5000}),
        ("nothing", {}),
    ],
)
def test_a_wrong_control_is_answered_with_400(sandbox: Sandbox, action: str, body: dict[str, Any]) -> None:
    real = {name: sandbox.world.tree.ads[0].id if value == "{ad}" else value for name, value in body.items()}

    assert requests.post(f"{sandbox.meta_url}/_sandbox/{action}", json=real, timeout=5).status_code == 400
