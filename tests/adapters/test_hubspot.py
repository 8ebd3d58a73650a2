"""HubSpot over real HTTP: walks that lose no deal, limits that end a run instead of sleeping, typed errors."""

from __future__ import annotations

import logging
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adctl.adapters.hubspot import HubSpotCrm
from adctl.domain.ports import Crm
from adctl.errors import AdctlError, BusyError, DeniedError, UnavailableError
from tests.adapters.canned_hubspot import CANARY, QUICK, asked_ids, contact, deal, hubspot, linked, portal
from tests.adapters.canned_server import Asked, Told, always, in_turn, seconds_taken, serving

SINCE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NO_STAGES = Told(body={"results": []})
NOTHING_FOUND = Told(body={"total": 0, "results": []})


def limited(policy: str = "TEN_SECONDLY_ROLLING", retry_after: str | None = None) -> Told:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    body = {"status": "error", "errorType": "RATE_LIMIT", "policyName": policy, "message": "limit"}
    return Told(status=429, body=body, headers=headers)


def seconds_until(error: type[AdctlError], call: Callable[[], object]) -> float:
    """How long the call takes to fail."""
    started = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - started


# --- the walk by modification time -----------------------------------------------------------------------------------


def test_the_adapter_is_what_the_commands_ask_for() -> None:
    with hubspot(portal([deal(1)])) as (crm, _server):
        as_port: Crm = crm
        [page] = as_port.deals_modified_since(SINCE)
    assert [one.deal_id for one in page.deals] == ["1"]


def test_a_search_asks_by_time_and_goes_on_by_id() -> None:
    deals = [deal(number) for number in range(1, 451)]
    with hubspot(portal(deals)) as (crm, server):
        pages = list(crm.deals_modified_since(SINCE))
    searches = [one.json for one in server.asked if one.path.endswith("search")]
    assert [one.deal_id for page in pages for one in page.deals] == [str(number) for number in range(1, 451)]
    assert [(len(page.deals), page.cursor) for page in pages] == [(400, "400"), (50, "450")]
    assert [one["filterGroups"] for one in searches] == [
        [
            {
                "filters": [
                    {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "1767268800000"},
                    {"propertyName": "hs_object_id", "operator": "GTE", "value": str(start)},
                ]
            }
        ]
        for start in (1, 201, 401)
    ]
    assert all("after" not in one for one in searches)


def test_a_search_that_repeats_itself_is_an_error_and_not_an_endless_walk() -> None:
    stuck = Told(body={"total": 500, "results": [{"id": "7"}]})
    with hubspot(portal([deal(7)], search=stuck)) as (crm, _server), pytest.raises(UnavailableError, match="go on"):
        list(crm.deals_modified_since(SINCE))


def test_a_short_search_page_does_not_end_the_walk_while_the_total_says_more() -> None:
    def answer(asked: Asked) -> Told:
        told = portal([deal(1), deal(2)])(asked)
        if asked.path.endswith("search") and isinstance(told.body, dict):
            return Told(body={**told.body, "results": told.body["results"][:1]})
        return told

    with hubspot(answer) as (crm, _server):
        assert [one.deal_id for page in crm.deals_modified_since(SINCE) for one in page.deals] == ["1", "2"]


def test_history_is_read_for_at_most_fifty_deals_at_once() -> None:
    with hubspot(portal([deal(number) for number in range(1, 121)])) as (crm, server):
        list(crm.deals_modified_since(SINCE))
    reads = [one for one in server.asked if one.path == "/crm/v3/objects/deals/batch/read"]
    assert [len(asked_ids(one)) for one in reads] == [50, 50, 20]
    assert all("dealstage" in str(one.json["propertiesWithHistory"]) for one in reads)


def test_a_deal_that_vanished_between_search_and_read_is_named_and_stops_nothing() -> None:
    error = {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": ["2"]}}

    def answer(asked: Asked) -> Told:
        if asked.path.endswith("deals/batch/read"):
            body = {"status": "COMPLETE", "results": [deal(1), deal(3)], "numErrors": 1, "errors": [error]}
            return Told(status=207, body=body)
        return portal([deal(1), deal(2), deal(3)])(asked)

    with hubspot(answer) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
        assert crm.complaints == ["1 deal gone between search and read: 2"]
    assert [one.deal_id for one in page.deals] == ["1", "3"]


# --- the walk through the list ---------------------------------------------------------------------------------------


def test_the_full_walk_reads_every_page_of_the_list() -> None:
    def answer(asked: Asked) -> Told:
        if not asked.path.endswith("/objects/deals"):
            return portal([])(asked)
        after = int(asked.query.get("after", "0"))
        more = {"paging": {"next": {"after": str(after + 1)}}} if after < 2 else {}
        return Told(body={"results": [deal(after + 1)], **more})

    with hubspot(answer) as (crm, server):
        pages = list(crm.deals_modified_since(None))
        again = [one.deal_id for page in crm.deals_modified_since(None, after="2") for one in page.deals]
    assert again == ["3"]
    assert [one.deal_id for page in pages for one in page.deals] == ["1", "2", "3"]
    assert server.asked[0].query["limit"] == "50"
    assert not any(one.path.endswith("search") for one in server.asked)


def test_a_list_that_repeats_its_cursor_is_an_error() -> None:
    told = Told(body={"results": [], "paging": {"next": {"after": "5"}}})
    with hubspot(always(told)) as (crm, server):
        with pytest.raises(UnavailableError, match="repeats its cursor"):
            list(crm.deals_modified_since(None))
        assert len(server.asked) == 2


def test_archived_deals_come_from_their_own_list() -> None:
    answer = portal([deal(1), {**deal(2), "archived": True}], search=NOTHING_FOUND)
    with hubspot(answer) as (crm, server):
        [page] = crm.archived_deals()
        assert next(one for one in server.asked if one.method == "GET").query["archived"] == "true"
    assert [(one.deal_id, one.archived) for one in page.deals] == [("2", True)]


def test_live_deals_are_never_taken_for_archived_ones() -> None:
    with (
        hubspot(in_turn(NOTHING_FOUND, Told(body={"results": [deal(1)]}))) as (crm, _server),
        pytest.raises(UnavailableError, match="got others"),
    ):
        list(crm.archived_deals())


# --- associations ----------------------------------------------------------------------------------------------------


def test_associations_are_read_to_their_last_page() -> None:
    def links(asked: Asked) -> list[dict[str, object]]:
        return [linked(1, 12)] if b'"after": "11"' in asked.body else [linked(1, 11, after="11")]

    with hubspot(portal([deal(1)], contacts=[contact(11), contact(12)], links=links)) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
    assert [one.contact_id for one in page.contacts] == ["11", "12"]


def test_associations_that_repeat_their_cursor_are_an_error() -> None:
    answer = portal([deal(1)], links=lambda _asked: [linked(1, 11, after="11")])
    with hubspot(answer) as (crm, _server), pytest.raises(UnavailableError, match="associations of deal 1"):
        list(crm.deals_modified_since(SINCE))


def test_contacts_are_read_by_the_hundred_and_never_by_name() -> None:
    contacts = [contact(number) for number in range(1, 151)]
    answer = portal([deal(1)], contacts=contacts, links=lambda _asked: [linked(1, *range(1, 151))])
    with hubspot(answer) as (crm, server):
        [page] = crm.deals_modified_since(SINCE)
        reads = [one for one in server.asked if one.path == "/crm/v3/objects/contacts/batch/read"]
    assert len(page.contacts) == 150
    assert [len(asked_ids(one)) for one in reads] == [100, 50]
    assert b"email" not in reads[0].body
    assert b"name" not in reads[0].body


# --- errors and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (Told(status=401, body={"message": "no"}), DeniedError),
        (Told(status=403, body={"message": "scope"}), DeniedError),
        (Told(status=530, body=b"<html>"), DeniedError),
        (Told(status=400, body={"message": "bad"}), UnavailableError),
        (Told(status=404, body=b"<html>"), UnavailableError),
        (Told(status=477, body={"message": "migration in progress"}), BusyError),
        (limited("DAILY"), BusyError),
        (limited("DAILY", "1"), BusyError),
        (limited(retry_after="36000"), BusyError),
    ],
)
def test_what_cannot_pass_now_is_asked_once_and_typed(told: Told, error: type[AdctlError]) -> None:
    with hubspot(always(told)) as (crm, server):
        taken = seconds_until(error, crm.stages)
        assert len(server.asked) == 1
    assert taken < 8


@pytest.mark.parametrize(
    "told",
    [
        Told(status=423, body={"message": "locked"}),
        Told(status=500),
        Told(status=502, body=b"<html>Bad Gateway</html>"),
        Told(status=503, body=b"\xff\xfe"),
        Told(body=b"<html>Maintenance</html>"),
        Told(body=[]),
        Told(),
        Told(drop=True),
        Told(body={"results": []}, promised=500),
        limited(),
        limited(retry_after="0"),
        limited(retry_after="soon"),
    ],
)
def test_what_may_pass_is_tried_again(told: Told) -> None:
    with hubspot(in_turn(told, told, NO_STAGES)) as (crm, server):
        assert crm.stages() == []
        assert len(server.asked) == 3


def test_a_search_is_tried_again_although_it_is_a_post() -> None:
    answer = portal([deal(1)])
    left = [limited(), Told(status=502)]

    def flaky(asked: Asked) -> Told:
        return left.pop() if asked.path.endswith("search") and left else answer(asked)

    with hubspot(flaky) as (crm, _server):
        assert len(list(crm.deals_modified_since(SINCE))) == 1


@pytest.mark.parametrize(("told", "error"), [(Told(status=500), UnavailableError), (limited(), BusyError)])
def test_what_lasts_ends_after_the_tries(told: Told, error: type[AdctlError]) -> None:
    with hubspot(always(told)) as (crm, server):
        with pytest.raises(error):
            crm.stages()
        assert len(server.asked) == 3


@pytest.mark.parametrize("body", [{}, {"results": None}, {"results": {}}, {"results": [1]}])
def test_an_answer_without_its_list_is_an_error_and_not_an_empty_list(body: object) -> None:
    with hubspot(always(Told(body=body))) as (crm, _server), pytest.raises(UnavailableError, match="'results'"):
        crm.stages()


def test_a_hung_socket_ends_at_the_read_timeout() -> None:
    patience = replace(QUICK, read=0.3, tries=1)
    with hubspot(always(Told(wait=20)), patience) as (crm, _server):
        assert seconds_until(UnavailableError, crm.stages) < 10


def test_a_trickle_of_bytes_ends_at_the_deadline() -> None:
    patience = replace(QUICK, read=1.0, deadline=0.3, tries=1)
    with hubspot(always(Told(body=b" " * 600, trickle=0.05)), patience) as (crm, _server):
        assert seconds_until(UnavailableError, crm.stages) < 10


def test_a_redirect_is_not_followed() -> None:
    with serving(always(NO_STAGES)) as elsewhere:
        told = Told(status=302, headers={"Location": f"{elsewhere.url}/x"})
        with hubspot(always(told)) as (crm, _server), pytest.raises(UnavailableError):
            crm.stages()
        assert elsewhere.asked == []


def test_a_tls_failure_and_a_refused_connection_are_unavailable() -> None:
    with serving(always(NO_STAGES)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for url in (server.url.replace("http:", "https:"), f"http://127.0.0.1:{closed.getsockname()[1]}"):
            crm = HubSpotCrm(token=CANARY, currency="USD", base_url=url, patience=QUICK)
            with crm, pytest.raises(UnavailableError, match=r"no answer|TLS"):
                crm.stages()


def test_one_connection_serves_all_calls_of_an_endpoint() -> None:
    with hubspot(always(NO_STAGES)) as (crm, server):
        crm.stages()
        crm.stages()
        assert server.connections == 1


def test_searches_keep_their_distance() -> None:
    patience = replace(QUICK, search_interval=0.15)
    with hubspot(portal([deal(number) for number in range(1, 402)]), patience) as (crm, _server):
        assert seconds_taken(lambda: list(crm.deals_modified_since(SINCE))) >= 0.3


@pytest.mark.parametrize(
    "told",
    [
        Told(status=400, body={"message": f"bad {CANARY}"}),
        Told(status=500, body=CANARY.encode()),
        Told(status=401, body={"message": CANARY}),
        Told(status=400, body={"message": "x" * 190 + CANARY}),
        Told(drop=True),
        limited(policy="DAILY"),
    ],
)
def test_the_token_is_in_no_error_repr_or_log(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with hubspot(always(told)) as (crm, server):
        with pytest.raises(AdctlError) as caught:
            crm.stages()
        seen = [repr(crm), repr(vars(crm)), caplog.text, "".join(traceback.format_exception(caught.value))]
        assert server.asked[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY[:11] not in "\n".join(seen)


def test_a_walk_goes_on_behind_the_cursor_it_is_given() -> None:
    with hubspot(portal([deal(number) for number in range(1, 451)])) as (crm, server):
        [page] = crm.deals_modified_since(SINCE, after="400")
        searched = next(one.json for one in server.asked if one.path.endswith("search"))
    assert [one.deal_id for one in page.deals] == [str(number) for number in range(401, 451)]
    assert "'value': '401'" in str(searched["filterGroups"])


def test_contacts_beside_a_listed_deal_are_asked_for_only_where_there_are_several() -> None:
    def beside(number: int, *contacts: int, more: bool = False) -> dict[str, object]:
        linked_ids = {"results": [{"id": str(one), "type": "deal_to_contact"} for one in contacts]}
        paging = {"paging": {"next": {"after": "1"}}} if more else {}
        return {**deal(number), "associations": {"contacts": {**linked_ids, **paging}}}

    deals = [deal(1), beside(2, 21), beside(3, 31, 31), beside(4, 41, 42), beside(5, 51, more=True)]
    contacts = [contact(number) for number in (21, 31, 41, 42, 51, 52)]

    def links(asked: Asked) -> list[dict[str, object]]:
        assert asked_ids(asked) == ["4", "5"]
        return [linked(4, 41, 42), linked(5, 51, 52)]

    with hubspot(portal(deals, contacts=contacts, links=links)) as (crm, _server):
        [page] = crm.deals_modified_since(None)
    assert [one.contact_id for one in page.contacts] == ["21", "31", "41", "42", "51", "52"]
    assert [one.contact_id for one in page.deals] == [None, "21", "31", "41", "51"]
