"""HubSpot's records as domain values: stage history, money, times, merges, attribution keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adctl.adapters.hubspot.properties import instant, landing_keys_of
from adctl.domain.deals import Deal, Outcome
from adctl.domain.ports import DealPage
from tests.adapters.canned_hubspot import contact, deal, hubspot, linked, portal, version
from tests.adapters.canned_server import Told, always

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def read_page(*deals: dict[str, object], currency: str = "USD") -> tuple[DealPage, list[str]]:
    with hubspot(portal(list(deals)), currency=currency) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
        return page, crm.complaints


def read_deal(**properties: Any) -> Deal:
    page, complaints = read_page(deal(1, **properties))
    assert complaints == []
    return page.deals[0]


# --- stages ----------------------------------------------------------------------------------------------------------


def pipeline(*stages: tuple[str, int, dict[str, object]]) -> Told:
    listed = [{"id": name, "label": name.title(), "displayOrder": order, "metadata": of} for name, order, of in stages]
    return Told(body={"results": [{"id": "77", "label": "Sales", "stages": listed}]})


def test_stages_come_in_the_crms_order_with_what_they_mean_for_the_money() -> None:
    told = pipeline(
        ("won", 9, {"isClosed": "true", "probability": "1.0"}),
        ("lost", 10, {"isClosed": "true", "probability": "0.0"}),
        ("new", 1, {"isClosed": "false", "probability": "0.2"}),
    )
    with hubspot(always(told)) as (crm, _server):
        stages = crm.stages()
    assert [(one.pipeline, one.stage, one.label, one.position, one.outcome) for one in stages] == [
        ("77", "new", "New", 0, Outcome.OPEN),
        ("77", "won", "Won", 1, Outcome.WON),
        ("77", "lost", "Lost", 2, Outcome.LOST),
    ]


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({"probability": "1.0"}, Outcome.WON),
        ({"probability": "0.0"}, Outcome.LOST),
        ({"probability": "0.5"}, Outcome.OPEN),
        ({"isClosed": "false", "probability": "1.0"}, Outcome.OPEN),
        ({"isClosed": True, "probability": 1}, Outcome.WON),
        ({"isClosed": "true", "probability": "0.5"}, Outcome.OPEN),
        ({"isClosed": "true", "probability": "?"}, Outcome.OPEN),
        ({}, Outcome.OPEN),
    ],
)
def test_only_a_certain_probability_ends_a_deal(metadata: dict[str, object], outcome: Outcome) -> None:
    with hubspot(always(pipeline(("x", 0, metadata)))) as (crm, _server):
        assert crm.stages()[0].outcome is outcome


# --- stage moves -----------------------------------------------------------------------------------------------------


def moves(**history: list[dict[str, object]]) -> list[tuple[str, str, int]]:
    page, _ = read_page(deal(1, history=history))
    return [(one.pipeline, one.stage, one.at.hour) for one in page.moves]


def at(hour: int) -> str:
    return f"2026-01-02T{hour:02}:00:00.000Z"


def test_moves_are_put_in_order_and_may_go_back_and_forth() -> None:
    stages = [version("b", at(9)), version("a", at(11)), version("a", at(8))]
    assert moves(dealstage=stages) == [("default", "a", 8), ("default", "b", 9), ("default", "a", 11)]


def test_each_move_has_the_pipeline_of_its_own_moment() -> None:
    stages = [version("new", at(12)), version("b", at(9)), version("a", at(8))]
    pipelines = [version("default", at(8)), version("second", at(12))]
    assert moves(dealstage=stages, pipeline=pipelines) == [
        ("default", "a", 8),
        ("default", "b", 9),
        ("second", "new", 12),
    ]


def test_a_stage_that_is_written_again_is_no_move() -> None:
    assert moves(dealstage=[version("a", at(8)), version("a", at(9)), version("", at(10))]) == [("default", "a", 8)]


# --- properties ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "minor"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("1234.5", 123450),
        ("1234.50", 123450),
        ("33.333333", 3333),
        ("-5", -500),
        (12.5, 1250),
        (7, 700),
    ],
)
def test_an_amount_is_minor_units_or_none(amount: object, minor: int | None) -> None:
    assert read_deal(amount=amount).amount == minor


@pytest.mark.parametrize(
    ("currency", "minor"), [("USD", 150000), ("JPY", 1500), ("usd", 150000), (None, 150000), ("", 150000)]
)
def test_an_amount_is_in_the_deals_own_currency(currency: str | None, minor: int) -> None:
    found = read_deal(amount="1500", deal_currency_code=currency)
    assert (found.amount, found.currency) == (minor, (currency or "USD").upper())


@pytest.mark.parametrize(
    ("amount", "currency"), [("1,234.50", "USD"), ("1e5", "USD"), ("NaN", "USD"), ("١٢", "USD"), ("10", "KWD")]
)
def test_an_amount_that_cannot_be_read_is_none_and_said(amount: str, currency: str) -> None:
    page, complaints = read_page(deal(1, amount=amount, deal_currency_code=currency), deal(2, amount="1"))
    assert [one.amount for one in page.deals] == [None, 100]
    assert [one.startswith("deal 1: ") for one in complaints] == [True]


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-02T12:00:00Z",
        "2026-01-02T12:00:00.000Z",
        "2026-01-02T13:00:00+01:00",
        "1767355200000",
        1767355200000,
        "2026-01-02T12:00:00",
    ],
)
def test_every_form_of_time_is_the_same_aware_utc(written: object) -> None:
    assert instant(written) == NOON
    assert read_deal(closedate=written).closed_at == NOON


@pytest.mark.parametrize("written", [None, "", "soon", "9" * 15, "2026-13-01T00:00:00Z", True, [], 1.5])
def test_what_is_no_time_is_none(written: object) -> None:
    assert instant(written) is None


def test_milliseconds_are_exact() -> None:
    assert instant("1767355200123") == datetime(2026, 1, 2, 12, 0, 0, 123000, tzinfo=UTC)


def test_the_modification_time_falls_back_to_the_records_own() -> None:
    assert read_deal(hs_lastmodifieddate=None).modified_at == datetime(2026, 1, 2, 10, 0, tzinfo=UTC)


def test_deals_that_a_merge_ended_have_no_money_and_name_the_winner() -> None:
    winner = deal(5, hs_merged_object_ids="3;4;5;x", amount="10")
    bin_ = [{**deal(number, amount="99"), "archived": True} for number in (3, 9)]
    found = Told(body={"total": 1, "results": [winner]})
    with hubspot(portal(bin_, search=found)) as (crm, _server):
        deals = [one for page in crm.archived_deals() for one in page.deals]
    assert [(one.deal_id, one.amount, one.merged_into, one.archived) for one in deals] == [
        ("3", None, "5", True),
        ("4", None, "5", True),
        ("9", 9900, None, True),
    ]


def test_a_portal_that_cannot_search_merges_still_gives_its_archived_deals() -> None:
    refused = Told(status=400, body={"message": "property cannot be searched"})
    with hubspot(portal([{**deal(3), "archived": True}], search=refused)) as (crm, _server):
        [page] = crm.archived_deals()
        assert len(crm.complaints) == 1
    assert [one.deal_id for one in page.deals] == ["3"]


# --- contacts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "ad_id", "click_id"),
    [
        ("https://x.example/?utm_content=120203&fbclid=IwAR2f58", "120203", "IwAR2f58"),
        ("https://x.example/?ad_id=120203", "120203", None),
        ("x.example/p?utm_content=120203", "120203", None),
        ("https://x.example/?a=1&amp;utm_content=120203", "120203", None),
        ("https%3A%2F%2Fx.example%2F%3Futm_content%3D120203%26fbclid%3DIwAR2f58", "120203", "IwAR2f58"),
        ("https://x.example/?utm_content={{ad.id}}", None, None),
        ("https://x.example/?utm_content=spring-video", None, None),
        ("https://x.example/?utm_content=١٢٣", None, None),
        ("https://x.example/?utm_content=spring&ad_id=7", "7", None),
        ("https://x.example/?utm_content=1&utm_content=2", None, None),
        ("https://x.example/?ad_id=1&ad_id=2", None, None),
        ("https://x.example/?fbclid=IwAR2f58&fbclid=IwAR2f59", None, None),
        ("https://x.example/?utm_content=", None, None),
        ("https://x.example/", None, None),
        ("http://[broken?utm_content=1", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_only_a_number_in_the_landing_url_is_an_ad_id(url: object, ad_id: str | None, click_id: str | None) -> None:
    keys = landing_keys_of(url)
    assert (keys.ad_id, keys.click_id) == (ad_id, click_id)


def credited(*contacts: dict[str, object], primary: int | None = None) -> str | None:
    links = [linked(1, *(int(str(one["id"])) for one in contacts if one["id"] != str(primary)))]
    links += [linked(1, primary, label="Primary")] if primary else []
    with hubspot(portal([deal(1)], contacts=list(contacts), links=lambda _asked: links)) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
    return page.deals[0].contact_id


def test_a_deal_is_credited_to_the_primary_contact_else_the_earliest_click_else_the_earliest() -> None:
    early = contact(3, created="2026-01-01T00:00:00Z")
    clicked = contact(2, click="IwAR2f58", created="2026-01-03T00:00:00Z")
    late_click = contact(1, url="https://x/?utm_content=5", created="2026-01-04T00:00:00Z")
    assert credited(early, clicked, late_click, primary=3) == "3"
    assert credited(early, clicked, late_click) == "2"
    assert credited(early, contact(4, created="2026-01-01T00:00:00Z")) == "3"
    assert credited() is None


def test_the_contacts_own_click_id_comes_before_the_urls() -> None:
    links = [linked(1, 2)]
    people = [contact(2, url="https://x/?fbclid=from-the-url&utm_content=9", click="its-own-id-7")]
    with hubspot(portal([deal(1)], contacts=people, links=lambda _asked: links)) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
    [person] = page.contacts
    assert (person.click_id, person.first_url_ad_id) == ("its-own-id-7", "9")


@pytest.mark.parametrize(
    ("url", "written", "found"),
    [
        ("https://x/?utm_content=9", "31", "9"),
        ("https://x/", "31", "31"),
        ("https://x/", "spring sale", None),
    ],
)
def test_a_hidden_field_of_a_form_names_the_ad_where_the_first_page_did_not(
    url: str, written: str, found: str | None
) -> None:
    person = contact(2, url=url, content=written)
    with hubspot(portal([deal(1)], contacts=[person], links=lambda _asked: [linked(1, 2)])) as (crm, _server):
        [page] = crm.deals_modified_since(SINCE)
    assert [one.first_url_ad_id for one in page.contacts] == [found]
