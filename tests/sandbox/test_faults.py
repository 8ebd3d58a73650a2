"""Armed faults over real HTTP: each does what it says, hits what it should, and is counted."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from hubspot import HubSpot
from hubspot.crm.deals.exceptions import ApiException

from adctl.sandbox import Sandbox

Send = Callable[[], requests.Response]


@pytest.fixture
def post(sandbox: Sandbox) -> Send:
    """Sets the budget of one ad set to 5001, with a timeout of half a second."""
    ad_set = next(s for s in sandbox.world.tree.ad_sets if s.daily_budget)
    form = {"daily_budget": "5001", "access_token": sandbox.meta_token}
    url = f"{sandbox.meta_url}/v26.0/{ad_set.id}"
    return lambda: requests.post(url, data=form, timeout=0.5, allow_redirects=False)


def was_applied(sandbox: Sandbox) -> bool:
    return any(ad_set.daily_budget == 5001 for ad_set in sandbox.world.tree.ad_sets)


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize(
    ("kind", "values", "status", "body"),
    [
        ("html", {}, 502, "<!DOCTYPE"),
        ("html", {"status": 200}, 200, "<!DOCTYPE"),
        ("status", {"status": 503, "body": {"busy": True}}, 503, '{"busy": true}'),
        ("throttled", {}, 429, '{"message"'),
        ("success_false", {}, 200, '{"success": false}'),
        ("no_effect", {}, 200, '{"success": true}'),
        ("garbage", {}, 200, '{"success": tru'),
        ("redirect", {}, 302, ""),
        ("graph_error", {"code": 2, "subcode": 1504044, "transient": True, "status": 500}, 500, '{"error"'),
    ],
)
def test_a_false_answer_is_given_before_or_after_applying(
    sandbox: Sandbox, post: Send, kind: str, values: dict[str, Any], status: int, body: str, apply: bool
) -> None:
    fault = sandbox.meta.faults.arm(kind, method="POST", apply=apply, **values)

    answer = post()

    assert (answer.status_code, answer.text[: len(body)]) == (status, body)
    assert fault.hits == 1
    assert was_applied(sandbox) is apply
    logged = sandbox.meta_log[-1]
    assert (logged.fault, logged.status, logged.applied, logged.points) == (kind, status, apply, 3)
    assert post().json() == {"success": True}


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("kind", ["close", "hang"])
def test_a_dropped_connection_loses_the_reply_and_not_the_write(
    sandbox: Sandbox, post: Send, kind: str, apply: bool
) -> None:
    fault = sandbox.meta.faults.arm(kind, method="POST", apply=apply)

    with pytest.raises(requests.RequestException):
        post()

    assert fault.hits == 1
    assert was_applied(sandbox) is apply
    assert (sandbox.meta_log[-1].status, sandbox.meta_log[-1].applied) == (None, apply)


def test_a_write_may_be_applied_after_the_client_gave_up(sandbox: Sandbox, post: Send) -> None:
    sandbox.meta.faults.arm("latency", method="POST", seconds=0.8)

    with pytest.raises(requests.ReadTimeout):
        post()

    assert not was_applied(sandbox)
    deadline = time.monotonic() + 5
    while not was_applied(sandbox) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert was_applied(sandbox)


def test_a_trickled_reply_outlives_a_read_timeout(sandbox: Sandbox, post: Send) -> None:
    sandbox.meta.faults.arm("trickle", method="POST", seconds=0.05)
    began = time.monotonic()

    assert post().json() == {"success": True}
    assert time.monotonic() - began > 0.5


def test_a_fault_strikes_only_what_it_matches_and_only_so_often(sandbox: Sandbox, post: Send) -> None:
    fault = sandbox.meta.faults.arm("html", method="POST", content="daily_budget=5001", skip=1, times=2)
    read = {"access_token": sandbox.meta_token}

    statuses = [post().status_code for _ in range(4)]
    reads = requests.get(f"{sandbox.meta_url}/v26.0/{sandbox.meta_account_id}", params=read, timeout=5).status_code

    assert statuses == [200, 502, 502, 200]
    assert reads == 200
    assert fault.summary() == {"id": 1, "kind": "html", "hits": 2, "left": 0}


def test_an_empty_page_with_a_next_hides_no_rows_from_a_walk_by_hand(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    fault = sandbox.meta.faults.arm("empty_page", path="/ads$", skip=1)
    found, cursors, params = list[str](), list[str](), {"limit": "3"}

    while True:
        page = meta.call("GET", (sandbox.meta_account_id, "ads"), params=params).json()
        found += [row["id"] for row in page["data"]]
        if "next" not in page["paging"]:
            break
        cursors.append(page["paging"]["cursors"]["after"])
        params = params | {"after": cursors[-1]}

    assert fault.hits == 1
    assert len(found) == len(set(found)) == 7
    assert len(cursors) == len(set(cursors)) == 3


def test_usage_headers_can_claim_the_quota_is_spent(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    sandbox.meta.faults.arm("usage", percent=100, minutes=25)

    headers = meta.call("GET", (sandbox.meta_account_id,)).headers()

    case = json.loads(headers["X-Business-Use-Case-Usage"])[sandbox.world.tree.account.id][0]
    assert (case["call_count"], case["estimated_time_to_regain_access"]) == (100, 25)


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        ("report_stalls", {"async_status": "Job Started", "async_percent_completion": 0}),
        ("report_short", {"async_status": "Job Completed", "async_percent_completion": 99}),
        ("report_fails", {"async_status": "Job Failed", "error_code": -2, "error_subcode": 2490547}),
    ],
)
def test_a_report_can_stall_fail_or_stop_short(
    sandbox: Sandbox, meta: FacebookAdsApi, kind: str, last: dict[str, Any]
) -> None:
    sandbox.meta.faults.arm(kind, method="POST", path="/insights$")
    run = meta.call("POST", (sandbox.meta_account_id, "insights"), params={"level": "ad"}).json()["report_run_id"]

    polls = [meta.call("GET", (run,)).json() for _ in range(4)]

    assert polls[-1].items() >= last.items()
    with pytest.raises(FacebookRequestError) as refused:
        meta.call("GET", (run, "insights"))
    assert refused.value.api_error_code() == 2601


def test_the_graph_error_a_test_asks_for_arrives_whole(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    sandbox.meta.faults.arm("graph_error", code=80004, subcode=2446079, message="slow down", transient=True)

    with pytest.raises(FacebookRequestError) as refused:
        meta.call("GET", (sandbox.meta_account_id,))

    error = refused.value
    assert (error.api_error_code(), error.api_error_subcode(), error.api_error_message()) == (
        80004,
        2446079,
        "slow down",
    )
    assert error.api_transient_error() is True


@pytest.mark.parametrize(("values", "header"), [({}, None), ({"retry_after": 36000, "policy": "DAILY"}, "36000")])
def test_hubspots_rate_limit_comes_with_and_without_a_time(
    sandbox: Sandbox, hubspot: HubSpot, values: dict[str, Any], header: str | None
) -> None:
    sandbox.hubspot.faults.arm("rate_limited", path="/search$", **values)

    with pytest.raises(ApiException) as refused:
        hubspot.crm.deals.search_api.do_search(public_object_search_request={})

    assert (refused.value.status, refused.value.headers.get("Retry-After")) == (429, header)
    assert json.loads(refused.value.body)["policyName"] == values.get("policy", "TEN_SECONDLY_ROLLING")


def test_a_page_of_html_with_status_200_has_no_results(sandbox: Sandbox, hubspot: HubSpot) -> None:
    fault = sandbox.hubspot.faults.arm("html", status=200)

    answer = hubspot.crm.deals.basic_api.get_page(_preload_content=False)

    assert answer.data.startswith(b"<!DOCTYPE")
    assert fault.hits == 1


def test_a_late_index_misses_what_was_just_modified(sandbox: Sandbox, hubspot: HubSpot) -> None:
    made = {str(i) for i in sandbox.world.add_deals(3)}
    filters = [{"propertyName": "dealname", "operator": "CONTAINS_TOKEN", "value": "imported"}]
    body = {"filterGroups": [{"filters": filters}]}
    sandbox.hubspot.faults.arm("late_index", path="/search$", times=2, seconds=300)

    def found() -> set[str]:
        return {deal.id for deal in hubspot.crm.deals.search_api.do_search(public_object_search_request=body).results}

    assert found() == set()
    sandbox.advance_to(sandbox.world.now + timedelta(seconds=301))
    assert found() == made


def test_closing_ends_a_hanging_request(sandbox: Sandbox) -> None:
    other = Sandbox(sandbox.world)
    other.meta.faults.arm("hang")
    began = time.monotonic()

    other.close()

    assert time.monotonic() - began < 20
    with pytest.raises(requests.ConnectionError):
        requests.get(other.meta_url, timeout=1)


def test_a_person_may_edit_between_a_read_and_a_write(sandbox: Sandbox, meta: FacebookAdsApi, post: Send) -> None:
    ad_set = next(s for s in sandbox.world.tree.ad_sets if s.daily_budget)
    before = ad_set.daily_budget
    edit = {"id": ad_set.id, "daily_budget": 7777}
    sandbox.meta.faults.arm("person_edits", method="GET", path=f"/{ad_set.id}$", edit=edit)

    read = [meta.call("GET", (ad_set.id,), params={"fields": "daily_budget"}).json()["daily_budget"] for _ in range(2)]

    assert read == [str(before), "7777"]


def test_a_list_may_offer_the_same_page_for_ever(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    sandbox.meta.faults.arm("endless_next", path="/ads$", times=None)
    path, params = (sandbox.meta_account_id, "ads"), {"limit": "500"}

    first = meta.call("GET", path, params=params).json()
    again = meta.call("GET", path, params=params | {"after": first["paging"]["cursors"]["after"]}).json()

    assert again["paging"]["cursors"] == first["paging"]["cursors"]
    assert "next" in again["paging"]


def test_a_list_may_keep_silent_about_its_next_page(sandbox: Sandbox, hubspot: HubSpot) -> None:
    sandbox.hubspot.faults.arm("paging_lost")

    pages = [hubspot.crm.deals.basic_api.get_page(limit=10) for _ in range(2)]

    assert pages[0].paging is None
    assert pages[1].paging.next.after == pages[0].results[-1].id


def test_many_clients_at_once_lose_no_write_and_no_line_of_the_log(sandbox: Sandbox) -> None:
    ads = [ad for ad in sandbox.world.tree.ads if ad.status == "ACTIVE"]

    def rename(number: int) -> int:
        form = {"name": f"renamed {number}", "access_token": sandbox.meta_token}
        url = f"{sandbox.meta_url}/v26.0/{ads[number % len(ads)].id}"
        sandbox.world.advance(days=1 / 24)
        return requests.post(url, data=form, timeout=10).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(rename, range(48)))

    assert statuses == [200] * 48
    assert sorted(exchange.number for exchange in sandbox.meta_log) == list(range(1, 49))
    assert sum(entry.event_type == "update_ad_name" for entry in sandbox.world.tree.activities) == 48


def test_half_a_request_of_a_killed_client_is_not_processed(sandbox: Sandbox) -> None:
    ad_set = next(s for s in sandbox.world.tree.ad_sets if s.daily_budget)
    before, port = ad_set.daily_budget, int(sandbox.meta_url.rpartition(":")[2])
    head = (
        f"POST /v26.0/{ad_set.id}?access_token={sandbox.meta_token} HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head.encode() + b"daily_budget=50")
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(100)

    assert (answer, sandbox.meta_log, ad_set.daily_budget) == (b"", [], before)


def test_a_batch_answers_each_call_by_itself_and_a_lost_one_with_null(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad = sandbox.world.tree.ads[0]
    calls = [
        {"method": "GET", "relative_url": f"v26.0/{ad.id}?fields=name"},
        {"method": "GET", "relative_url": "v26.0/404"},
        {"method": "POST", "relative_url": f"v26.0/{ad.id}", "body": "status=PAUSED"},
    ]

    def send() -> list[dict[str, Any] | None]:
        entries: list[dict[str, Any] | None] = meta.call("POST", (), params={"batch": json.dumps(calls)}).json()
        return entries

    whole = send()
    sandbox.meta.faults.arm("batch_null", method="POST")
    sandbox.meta.edit_by_person({"id": ad.id, "status": "ACTIVE"})
    lost = send()

    assert [entry and entry["code"] for entry in whole] == [200, 400, 200]
    assert whole[0] is not None
    assert json.loads(whole[0]["body"])["name"] == ad.name
    assert lost[2] is None
    assert ad.status == "PAUSED"


def test_a_batch_read_may_fail_in_part(sandbox: Sandbox, hubspot: HubSpot) -> None:
    first, second = sandbox.world.add_deals(2)
    sandbox.hubspot.faults.arm("partial")
    asked = {"properties": [], "propertiesWithHistory": [], "inputs": [{"id": str(one)} for one in (first, second)]}

    answer = hubspot.crm.deals.batch_api.read(batch_read_input_simple_public_object_id=asked)

    assert [row.id for row in answer.results] == [str(second)]
    assert [(one.category, one.context["ids"]) for one in answer.errors] == [("INTERNAL_ERROR", [str(first)])]


def test_a_deal_deleted_for_good_is_in_no_list_and_no_bin(sandbox: Sandbox, hubspot: HubSpot) -> None:
    (erased,) = sandbox.world.add_deals(1)
    sandbox.hubspot.edit_by_person({"erase": erased})

    for archived in (False, True):
        found = hubspot.crm.deals.basic_api.get_page(limit=100, archived=archived).results
        assert str(erased) not in {row.id for row in found}
