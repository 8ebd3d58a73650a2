"""Meta's insight rows and creatives as domain values: counted once, scaled by Meta's offset, never guessed."""

from __future__ import annotations

import json
from datetime import date

import pytest

from adctl.adapters.meta.creatives import names_its_ad
from adctl.adapters.meta.parsing import edit_of
from adctl.domain.insights import Insight
from adctl.errors import ConfigurationError, UnavailableError
from tests.adapters.canned_meta import ACCOUNT, ROW, meta, page
from tests.adapters.canned_server import Asked, Told, always


def insight(currency: str = "USD", **fields: object) -> Insight:
    def answer(asked: Asked) -> Told:
        if asked.path.endswith("act_7"):
            return Told(body={**ACCOUNT, "currency": currency})
        return page([{**ROW, "account_currency": currency, **fields}])

    with meta(answer) as (platform, server):
        [row] = platform.insights(date(2026, 1, 30), date(2026, 1, 30))
        asked = next(one for one in server.asked if one.path.endswith("insights")).query
    assert (asked["level"], asked["time_increment"]) == ("ad", "1")
    assert json.loads(asked["time_range"]) == {"since": "2026-01-30", "until": "2026-01-30"}
    assert json.loads(asked["action_attribution_windows"]) == ["7d_click", "1d_view"]
    return row


def test_an_insight_row_of_strings_becomes_whole_numbers_and_minor_units() -> None:
    row = insight()
    assert (row.ad_id, row.ad_set_id, row.campaign_id) == ("30", "20", "10")
    assert (row.impressions, row.clicks, row.link_clicks, row.spend) == (1000, 55, 40, 1234)
    assert (row.leads, row.purchases, row.purchase_value) == (0, 0, 0)
    assert (row.first_day, row.day, row.windows) == (date(2026, 1, 30), date(2026, 1, 30), "7d_click,1d_view")


@pytest.mark.parametrize(
    ("currency", "spend", "minor"),
    [("JPY", "1234", 1234), ("TWD", "1234", 1234), ("HUF", "99", 99), ("EUR", "0.1", 10)],
)
def test_spend_is_scaled_by_metas_own_offset(currency: str, spend: str, minor: int) -> None:
    assert insight(currency, spend=spend).spend == minor


def test_one_conversion_under_many_names_counts_once() -> None:
    actions = [
        {"action_type": "offsite_conversion.fb_pixel_purchase", "value": "3"},
        {"action_type": "omni_purchase", "value": "3"},
        {"action_type": "purchase", "value": "3"},
        {"action_type": "lead", "value": "5"},
        {"action_type": "onsite_conversion.lead_grouped", "value": "5"},
        {"action_type": "link_click", "value": "40"},
    ]
    values = [{"action_type": "purchase", "value": "99.5"}, {"action_type": "omni_purchase", "value": "100.555"}]
    row = insight(actions=actions, action_values=values)
    assert (row.leads, row.purchases, row.purchase_value) == (5, 3, 10056)


def test_a_value_without_a_count_is_still_money() -> None:
    row = insight(action_values=[{"action_type": "purchase", "value": "20"}])
    assert (row.purchases, row.purchase_value) == (0, 2000)


def test_the_asked_windows_are_added_and_an_absent_one_is_nothing() -> None:
    actions = [{"action_type": "purchase", "value": "9", "7d_click": "2", "1d_view": "1"}]
    values = [{"action_type": "purchase", "value": "90", "7d_click": "20.00"}]
    row = insight(actions=actions, action_values=values)
    assert (row.purchases, row.purchase_value) == (3, 2000)


@pytest.mark.parametrize("spend", ["NaN", "1,234.50", "1e5", "", None, "١٢"])
def test_a_spend_that_is_no_number_is_never_guessed(spend: object) -> None:
    with pytest.raises(UnavailableError, match="spend"):
        insight(spend=spend)


def test_a_row_in_another_currency_than_the_account_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="EUR"):
        insight(account_currency="EUR")


def creative_ad(**creative: object) -> dict[str, object]:
    return {
        "id": "30",
        "adset_id": "20",
        "campaign_id": "10",
        "name": "Ad",
        "status": "ACTIVE",
        "effective_status": "ACTIVE",
        "created_time": "2026-01-01T00:00:00+0000",
        "creative": {"id": "40", **creative},
    }


LINK = {
    "message": "Body",
    "name": "Headline",
    "description": "More",
    "link": "https://shop.example/x?utm=1",
    "call_to_action": {"type": "LEARN_MORE"},
    "image_hash": "abc",
}
VIDEO = {
    "message": "Body",
    "title": "Headline",
    "link_description": "More",
    "video_id": "77",
    "call_to_action": {"type": "LEARN_MORE", "value": {"link": "https://shop.example/"}},
}
FEED = {
    "bodies": [{"text": "Body"}, {"text": "Other"}],
    "titles": [{"text": "Headline"}],
    "descriptions": [{"text": "More"}],
    "call_to_action_types": ["LEARN_MORE"],
    "link_urls": [{"website_url": "https://shop.example/"}],
    "images": [{"hash": "abc"}],
}
TOP = {"title": "Headline", "body": "Body", "call_to_action_type": "LEARN_MORE", "link_url": "https://shop.example"}


@pytest.mark.parametrize(
    ("creative", "form"),
    [
        ({"object_story_spec": {"link_data": LINK}}, "image"),
        ({"object_story_spec": {"link_data": {**LINK, "child_attachments": [{"name": "Card"}]}}}, "carousel"),
        ({"object_story_spec": {"video_data": VIDEO}}, "video"),
        ({"object_story_spec": {"template_data": LINK}, "title": "Not this"}, "image"),
        ({"asset_feed_spec": FEED, "body": "Not this"}, "dynamic"),
        ({**TOP, "image_hash": "abc"}, "image"),
    ],
)
def test_the_words_come_from_where_meta_keeps_them(creative: dict[str, object], form: str) -> None:
    with meta(always(page([creative_ad(**creative)]))) as (platform, _server):
        [(ad, found)] = platform.ads()
    assert found is not None
    assert (ad.creative_id, found.creative_id, found.campaign_id) == ("40", "40", "10")
    assert (found.headline, found.body, found.call_to_action) == ("Headline", "Body", "LEARN_MORE")
    assert (found.format, found.link_host) == (form, "shop.example")


def test_what_meta_does_not_tell_of_a_creative_stays_unknown() -> None:
    without: dict[str, object] = {name: value for name, value in creative_ad().items() if name != "creative"}
    story = creative_ad(effective_object_story_id="1_2", title="", object_story_spec=None, asset_feed_spec=[])
    with meta(always(page([story, without]))) as (platform, _server):
        [(_, bare), (ad, none)] = platform.ads()
    assert bare is not None
    assert (bare.headline, bare.body, bare.format, bare.link_host) == (None, None, None, None)
    assert (ad.creative_id, none) == (None, None)


def story(link: str, **more: object) -> dict[str, object]:
    return {"object_story_spec": {"link_data": {"link": link, **more}}}


TAGGED = "https://shop.example/?utm_content={{ad.id}}"


@pytest.mark.parametrize(
    ("creative", "named"),
    [
        ({**story("https://shop.example/"), "url_tags": "utm_content={{ad.id}}"}, True),
        (story(TAGGED), True),
        (story("https://shop.example/"), False),
        ({**story("https://shop.example/"), "url_tags": "utm_content={{ad.name}}"}, False),
        (story(TAGGED, child_attachments=[{"link": TAGGED}, {"link": "https://shop.example/b"}]), False),
        (story("https://fb.me/", call_to_action={"value": {"lead_gen_form_id": "1"}}), None),
        ({"effective_object_story_id": "1_2"}, None),
    ],
)
def test_an_ad_names_itself_by_its_parameters_or_in_each_of_its_links(
    creative: dict[str, object], named: bool | None
) -> None:
    assert names_its_ad({"id": "1", "creative": {"id": "2", **creative}}) is named


@pytest.mark.parametrize("extra", [None, "", "[]", "no json", '{"old_value": {"a": 1}}', 7])
def test_an_edit_counts_whatever_meta_says_of_its_values(extra: object) -> None:
    row = {"event_type": "update_ad_set_budget", "event_time": "2026-03-02T12:00:00+0000", "object_id": "31"}
    found = edit_of({**row, "extra_data": extra})
    assert found is not None
    assert (found.kind, found.entity_id, found.field, found.old, found.new) == ("ad_set", "31", "daily_budget", "", "")
    assert edit_of({**row, "event_type": "update_ad_set_name"}) is None
