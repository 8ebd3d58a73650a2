"""The HubSpot stand-in read through the real SDK: lists, search, batches, associations, pipelines, properties."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hubspot import HubSpot
from hubspot.crm.deals.exceptions import ApiException

from adctl.sandbox import Sandbox
from adctl.sandbox.world import epoch_ms


def walk_search(api: Any, **body: Any) -> list[Any]:
    """Every result of a search, page by page."""
    found: list[Any] = []
    after = None
    while True:
        page = api.do_search(public_object_search_request={"limit": 200, **body} | ({"after": after} if after else {}))
        found += page.results
        if page.paging is None:
            assert len(found) == page.total
            return found
        after = page.paging.next.after


def test_the_list_walk_returns_every_deal_once_and_in_order(sandbox: Sandbox, hubspot: HubSpot) -> None:
    sandbox.world.add_deals(150)

    listed = [int(deal.id) for deal in hubspot.crm.deals.get_all(properties=["amount", "dealstage"])]

    assert listed == sandbox.world.portal.collections["deals"].ids
    assert len(sandbox.hubspot_log) == -(-len(listed) // 100) > 1


def test_a_deal_shows_properties_history_newest_first_and_contacts(sandbox: Sandbox, hubspot: HubSpot) -> None:
    asked = ["dealstage", "amount"]
    page = hubspot.crm.deals.basic_api.get_page(
        limit=50, properties=[*asked, "no_such"], properties_with_history=asked, associations=["contacts"]
    )

    moved = next(deal for deal in page.results if len(deal.properties_with_history["dealstage"]) > 1)
    versions = moved.properties_with_history["dealstage"]
    assert versions[0].value == moved.properties["dealstage"]
    assert [v.timestamp for v in versions] == sorted((v.timestamp for v in versions), reverse=True)
    assert "no_such" not in moved.properties
    assert moved.associations["contacts"].results[0].type == "deal_to_contact"
    assert isinstance(moved.properties["amount"], str | None)


def test_search_since_a_time_finds_what_was_modified_since(sandbox: Sandbox, hubspot: HubSpot) -> None:
    since = epoch_ms(sandbox.world.now - timedelta(days=2))
    filters = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(since)}]

    found = walk_search(
        hubspot.crm.deals.search_api,
        filterGroups=[{"filters": filters}],
        sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
    )

    records = sandbox.world.portal.collections["deals"].records
    assert [int(deal.id) for deal in found] == sorted(i for i, deal in records.items() if deal.updated >= since)
    assert 0 < len(found) < len(records)


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        ({"propertyName": "amount", "operator": "GT", "value": "500"}, lambda p: float(p["amount"] or 0) > 500),
        ({"propertyName": "amount", "operator": "NOT_HAS_PROPERTY"}, lambda p: not p["amount"]),
        (
            {"propertyName": "dealstage", "operator": "IN", "values": ["closedwon"]},
            lambda p: p["dealstage"] == "closedwon",
        ),
        (
            {"propertyName": "dealstage", "operator": "NEQ", "value": "closedlost"},
            lambda p: p["dealstage"] != "closedlost",
        ),
        (
            {"propertyName": "amount", "operator": "BETWEEN", "value": "100", "highValue": "400"},
            lambda p: 100 <= float(p["amount"] or 0) <= 400,
        ),
    ],
)
def test_search_operators_do_what_they_say(sandbox: Sandbox, hubspot: HubSpot, one: dict[str, Any], holds: Any) -> None:
    found = walk_search(hubspot.crm.deals.search_api, filterGroups=[{"filters": [one]}])

    records = sandbox.world.portal.collections["deals"].records
    assert {int(deal.id) for deal in found} == {i for i, deal in records.items() if holds(deal.properties)}
    assert found


def test_the_search_stops_at_ten_thousand(sandbox: Sandbox, hubspot: HubSpot) -> None:
    sandbox.world.add_deals(10_050)
    search = hubspot.crm.deals.search_api

    last = search.do_search(public_object_search_request={"limit": 200, "after": "9800"})
    with pytest.raises(ApiException) as refused:
        search.do_search(public_object_search_request={"limit": 200, "after": "10000"})

    assert (len(last.results), last.paging.next.after) == (200, "10000")
    assert last.total == len(sandbox.world.portal.collections["deals"].records) > 10_000
    assert refused.value.status == 400


def test_ten_thousand_deals_of_one_millisecond_are_walked_by_id(sandbox: Sandbox, hubspot: HubSpot) -> None:
    made = set(sandbox.world.add_deals(10_050))
    at = str(epoch_ms(sandbox.world.now))
    search, found, last = hubspot.crm.deals.search_api, set[int](), 0

    while True:
        filters = [
            {"propertyName": "hs_lastmodifieddate", "operator": "EQ", "value": at},
            {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
        ]
        sort = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
        body = {"limit": 200, "filterGroups": [{"filters": filters}], "sorts": sort}
        page = json.loads(search.do_search(public_object_search_request=body, _preload_content=False).data)
        if not page["results"]:
            break
        found |= {int(deal["id"]) for deal in page["results"]}
        last = max(found)

    assert made <= found


def test_limits_are_the_vendors(sandbox: Sandbox, hubspot: HubSpot) -> None:
    deals = hubspot.crm.deals
    inputs = [{"id": str(i)} for i in range(1, 102)]
    refused: list[Callable[[], Any]] = [
        lambda: deals.basic_api.get_page(limit=101),
        lambda: deals.basic_api.get_page(limit=51, properties_with_history=["amount"]),
        lambda: deals.search_api.do_search(public_object_search_request={"limit": 201}),
        lambda: deals.search_api.do_search(public_object_search_request={"sorts": ["amount", "dealname"]}),
        lambda: walk_search(
            deals.search_api, filterGroups=[{"filters": [{"propertyName": "archivedAt", "operator": "EQ"}]}]
        ),
        lambda: deals.batch_api.read(batch_read_input_simple_public_object_id={"inputs": inputs}),
        lambda: deals.batch_api.read(
            batch_read_input_simple_public_object_id={"inputs": inputs[:51], "propertiesWithHistory": ["amount"]}
        ),
    ]

    for ask in refused:
        with pytest.raises(ApiException) as answer:
            ask()
        assert answer.value.status == 400


def test_a_batch_read_names_what_is_missing(sandbox: Sandbox, hubspot: HubSpot) -> None:
    known = sandbox.world.portal.collections["deals"].ids[0]
    body = {
        "inputs": [{"id": str(known)}, {"id": "404"}],
        "properties": ["amount"],
        "propertiesWithHistory": ["dealstage"],
    }

    answer = hubspot.crm.deals.batch_api.read(batch_read_input_simple_public_object_id=body)

    assert [deal.id for deal in answer.results] == [str(known)]
    assert answer.errors[0].context["ids"] == ["404"]
    assert answer.results[0].properties_with_history["dealstage"]


def test_contacts_carry_the_ad_they_came_from(sandbox: Sandbox, hubspot: HubSpot) -> None:
    wanted = ["hs_analytics_first_url", "hs_facebook_click_id", "email", "createdate"]
    filters = [{"propertyName": "hs_analytics_source", "operator": "EQ", "value": "PAID_SOCIAL"}]

    found = walk_search(hubspot.crm.contacts.search_api, filterGroups=[{"filters": filters}], properties=wanted)

    assert any("utm_content=" in contact.properties["hs_analytics_first_url"] for contact in found)
    assert all(contact.properties["email"] for contact in found)
    ids = [{"id": contact.id} for contact in found[:3]]
    body = {"inputs": ids, "properties": wanted, "propertiesWithHistory": []}
    read = hubspot.crm.contacts.batch_api.read(batch_read_input_simple_public_object_id=body)
    assert [c.properties["email"] for c in read.results] == [c.properties["email"] for c in found[:3]]


def test_associations_come_in_pages_of_five_hundred(sandbox: Sandbox, hubspot: HubSpot) -> None:
    portal = sandbox.world.portal
    deal = portal.collections["deals"].ids[0]
    for contact in range(1, 701):
        portal.create("contacts", contact, epoch_ms(sandbox.world.now), {"email": f"{contact}@mail.example"})
        portal.associate(deal, contact)
    api = hubspot.crm.associations.v4.batch_api

    def read(**one: str) -> Any:
        body = {"inputs": [{"id": str(deal), **one}]}
        return api.get_page("deals", "contacts", batch_input_public_fetch_associations_batch_request=body).results[0]

    first = read()
    second = read(after=first.paging.next.after)

    linked = [int(to.to_object_id) for to in [*first.to, *second.to]]
    assert linked == sorted(portal.collections["deals"].records[deal].links["contacts"])
    assert (len(first.to), second.paging) == (500, None)
    assert first.to[0].association_types[0].type_id == 3


def test_pipelines_name_custom_stages_by_number(hubspot: HubSpot) -> None:
    pipelines = hubspot.crm.pipelines.pipelines_api.get_all("deals").results

    stages = {stage.id: stage.metadata for pipeline in pipelines for stage in pipeline.stages}
    assert stages["closedwon"] == {"isClosed": "true", "probability": "1.0"}
    assert sum(stage_id.isdigit() for stage_id in stages) == 5


def test_properties_are_listed(hubspot: HubSpot) -> None:
    names = {one.name for one in hubspot.crm.properties.core_api.get_all("contacts").results}

    assert {"hs_analytics_first_url", "hs_facebook_click_id", "email"} <= names


def test_an_archived_deal_leaves_lists_and_searches_and_keeps_its_modification_time(
    sandbox: Sandbox, hubspot: HubSpot
) -> None:
    deal = sandbox.world.portal.collections["deals"].ids[0]
    before = hubspot.crm.deals.basic_api.get_by_id(deal).updated_at
    sandbox.world.advance(days=1)
    sandbox.hubspot.edit_by_person({"archive": deal})

    archived = hubspot.crm.deals.basic_api.get_page(archived=True).results

    assert [one.id for one in archived] == [str(deal)]
    assert archived[0].archived_at.timestamp() == sandbox.world.now.timestamp()
    assert archived[0].updated_at >= before
    assert str(deal) not in {one.id for one in hubspot.crm.deals.get_all()}
    assert str(deal) not in {one.id for one in walk_search(hubspot.crm.deals.search_api)}


def test_a_merged_deal_answers_as_its_winner(sandbox: Sandbox, hubspot: HubSpot) -> None:
    winner, loser = sandbox.world.portal.collections["deals"].ids[:2]
    sandbox.hubspot.edit_by_person({"merge": loser, "into": winner})

    found = hubspot.crm.deals.basic_api.get_by_id(loser, properties=["hs_merged_object_ids"])

    assert (found.id, found.properties["hs_merged_object_ids"]) == (str(winner), str(loser))
    assert str(loser) not in {one.id for one in hubspot.crm.deals.get_all()}


def test_a_wrong_token_is_refused(sandbox: Sandbox) -> None:
    stranger = HubSpot(access_token="stolen", host=sandbox.hubspot_url, retry=False)

    with pytest.raises(ApiException) as refused:
        stranger.crm.deals.basic_api.get_page()

    assert refused.value.status == 401
