"""The Meta stand-in read through the real SDK: nodes, edges, paging, insights."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from facebook_business.adobjects.adset import AdSet
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError

from adctl.sandbox import Sandbox

INSIGHT_FIELDS = (
    "account_id,account_currency,campaign_id,adset_id,ad_id,spend,impressions,clicks,inline_link_clicks,actions,"
    "action_values,attribution_setting,date_start,date_stop"
)


def walk(api: FacebookAdsApi, path: tuple[str, ...], params: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row of an edge, by hand, as long as there is a next page."""
    rows: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = api.call("GET", path, params=params | after).json()
        rows += page["data"]
        if "next" not in page.get("paging", {}):
            return rows
        after = {"after": page["paging"]["cursors"]["after"]}


def daily(**more: Any) -> dict[str, Any]:
    """An insights request as adctl makes it, for the whole history."""
    span = {"since": "2026-02-01", "until": "2026-03-02"}
    return {"level": "ad", "time_increment": 1, "time_range": span, "fields": INSIGHT_FIELDS, "limit": 25} | more


def test_the_account_says_its_currency_zone_and_minimum(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    fields = "id,account_id,name,currency,timezone_name,account_status,min_daily_budget"
    account = meta.call("GET", (sandbox.meta_account_id,), params={"fields": fields}).json()

    assert account["id"] == sandbox.meta_account_id == f"act_{account['account_id']}"
    assert (account["currency"], account["timezone_name"]) == ("USD", "Europe/Berlin")
    assert (account["account_status"], account["min_daily_budget"]) == (1, 100)


def test_minimum_budgets_come_for_every_currency_in_its_own_units(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    rows = walk(meta, (sandbox.meta_account_id, "minimum_budgets"), {})

    smallest = {row["currency"]: row["min_daily_budget_imp"] for row in rows}
    assert (smallest["USD"], smallest["JPY"], smallest["KWD"]) == (100, 150, 100)


def test_the_image_library_tells_sizes_of_the_images_asked_for(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    library = (sandbox.meta_account_id, "adimages")
    rows = walk(meta, library, {"fields": "hash,width,height"})
    asked = walk(meta, library, {"fields": "hash,width,height", "hashes": json.dumps([rows[0]["hash"], "gone"])})

    assert {row["hash"] for row in rows} >= {ad.creative.wire.get("image_hash") for ad in sandbox.world.tree.ads} - {
        None
    }
    assert asked == rows[:1]
    assert all(row["width"] > 0 and row["height"] > 0 for row in rows)


def test_the_video_library_tells_the_length_of_each_video(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    rows = walk(meta, (sandbox.meta_account_id, "advideos"), {"fields": "id,length"})

    assert {row["id"] for row in rows} == {ad.creative.wire.get("video_id") for ad in sandbox.world.tree.ads} - {None}
    assert all(row["length"] > 0 for row in rows)


def test_a_budget_lives_on_the_ad_set_or_on_its_campaign_never_on_both(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    fields = "id,daily_budget,lifetime_budget,campaign{id,daily_budget}"
    rows = walk(meta, (sandbox.meta_account_id, "adsets"), {"fields": fields})

    owned = [row for row in rows if "daily_budget" in row]
    assert {row["lifetime_budget"] for row in owned} == {"0"}
    assert 0 < len(owned) < len(rows)
    for row in rows:
        assert ("daily_budget" in row) != ("daily_budget" in row["campaign"])


def test_the_sdk_object_reads_and_writes(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = next(s for s in sandbox.world.tree.ad_sets if s.daily_budget)

    AdSet(ad_set.id, api=meta).api_update(params={"daily_budget": 4321})

    assert AdSet(ad_set.id, api=meta).api_get(fields=["daily_budget"])["daily_budget"] == "4321"


def test_ads_carry_their_text_where_meta_keeps_it(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    fields = "id,name,adset_id,created_time,creative{id,title,object_story_spec,asset_feed_spec,url_tags}"
    rows = walk(meta, (sandbox.meta_account_id, "ads"), {"fields": fields, "effective_status": ["ACTIVE", "ARCHIVED"]})

    texts = set()
    for row in rows:
        story = row["creative"]["object_story_spec"]
        feed = row["creative"].get("asset_feed_spec", {"bodies": []})["bodies"]
        texts |= {story[kind]["message"] for kind in ("video_data", "link_data") if kind in story}
        texts |= {one["text"] for one in feed}
    assert len(texts) > 5
    assert all("utm_content={{ad.id}}" in row["creative"]["url_tags"] for row in rows)


def test_edges_hide_archived_ads_unless_they_are_asked_for(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    path = (sandbox.meta_account_id, "ads")

    shown = {row["id"] for row in walk(meta, path, {})}
    archived = walk(meta, path, {"effective_status": ["ARCHIVED"], "fields": "effective_status"})

    assert [row["effective_status"] for row in archived] == ["ARCHIVED"]
    assert shown == {ad.id for ad in sandbox.world.tree.ads} - {archived[0]["id"]}


def test_a_paging_walk_returns_every_row_once(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    path = (sandbox.meta_account_id, "ads")

    by_two = walk(meta, path, {"limit": 2})

    assert by_two == walk(meta, path, {"limit": 500})
    assert len({row["id"] for row in by_two}) == len(by_two) == 7


def test_objects_are_read_by_ids(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    first, second = (ad.id for ad in sandbox.world.tree.ads[:2])

    found = meta.call("GET", (), params={"ids": f"{first},{second}", "fields": "name"}).json()

    assert set(found) == {first, second}


def test_insights_add_up_to_what_the_world_spent(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    rows = walk(meta, (sandbox.meta_account_id, "insights"), daily())

    totals = sandbox.world.totals()
    assert sum(Decimal(row["spend"]) for row in rows) * 100 == totals.spend > 0
    assert sum(int(row["impressions"]) for row in rows) == totals.impressions
    assert sum(int(row["clicks"]) for row in rows) == totals.clicks
    assert len({(row["ad_id"], row["date_start"]) for row in rows}) == len(rows) > 60


def test_insights_grow_after_the_day_they_report(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    path = (sandbox.meta_account_id, "insights")
    day = daily(time_range={"since": "2026-03-01", "until": "2026-03-01"})

    def leads() -> int:
        actions = [action for row in walk(meta, path, day) for action in row.get("actions", [])]
        return sum(int(action["value"]) for action in actions if action["action_type"] == "lead")

    def spend() -> Decimal:
        return sum((Decimal(row["spend"]) for row in walk(meta, path, day)), Decimal())

    before = leads(), spend()
    sandbox.world.advance(days=10)

    assert leads() > before[0]
    assert spend() == before[1]


def test_explicit_windows_appear_beside_the_value_only_where_something_happened(
    sandbox: Sandbox, meta: FacebookAdsApi
) -> None:
    windows = daily(action_attribution_windows=["7d_click", "1d_view"], limit=500)
    rows = walk(meta, (sandbox.meta_account_id, "insights"), windows)

    actions = [action for row in rows for action in row.get("actions", [])]
    assert all(int(a["value"]) == int(a.get("7d_click", 0)) + int(a.get("1d_view", 0)) for a in actions)
    assert any("1d_view" not in action for action in actions)


def test_an_asynchronous_report_holds_the_same_rows(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    account = sandbox.meta_account_id
    run = meta.call("POST", (account, "insights"), params=daily()).json()["report_run_id"]
    polls = [meta.call("GET", (run,)).json() for _ in range(3)]

    assert [poll["async_percent_completion"] for poll in polls] == [0, 50, 100]
    assert polls[-1]["async_status"] == "Job Completed"
    assert walk(meta, (run, "insights"), {"limit": 10}) == walk(meta, (account, "insights"), daily())


def test_a_deleted_ad_reports_only_for_itself(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad = sandbox.world.tree.ads[0]
    sandbox.world.edit(ad, "status", "DELETED")

    everything = walk(meta, (sandbox.meta_account_id, "insights"), daily(limit=500))
    own = walk(meta, (ad.id, "insights"), daily(limit=500))

    assert ad.id not in {row["ad_id"] for row in everything}
    assert {row["ad_id"] for row in own} == {ad.id}


def test_usage_headers_are_on_every_answer(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    headers = meta.call("GET", (sandbox.meta_account_id,)).headers()

    account = sandbox.world.tree.account.id
    assert json.loads(headers["X-Business-Use-Case-Usage"])[account][0]["type"] == "ads_management"
    assert json.loads(headers["X-Ad-Account-Usage"])["acc_id_util_pct"] == 0.0


@pytest.mark.parametrize(
    ("path", "params", "code", "subcode"),
    [
        (("404404",), {}, 100, 33),
        (("act_1", "ads"), {}, 100, 33),
        (("{account}", "ads"), {"fields": "colour"}, 100, None),
        (("{account}", "ads"), {"fields": "creative{id"}, 100, None),
        (("{account}", "ads"), {"after": "nowhere"}, 2642, None),
        (("{account}", "insights"), {"level": "planet"}, 100, None),
        (("{account}", "insights"), {"time_range": {"since": "2026-03-02", "until": "2026-03-01"}}, 100, None),
        (("{account}", "insights"), {"time_range": {"since": "2019-01-01", "until": "2026-03-01"}}, 3018, None),
    ],
)
def test_a_wrong_read_is_refused_as_graph_refuses_it(
    sandbox: Sandbox,
    meta: FacebookAdsApi,
    path: tuple[str, ...],
    params: dict[str, Any],
    code: int,
    subcode: int | None,
) -> None:
    real = tuple(part.format(account=sandbox.meta_account_id) for part in path)

    with pytest.raises(FacebookRequestError) as refused:
        meta.call("GET", real, params=params)

    assert (refused.value.api_error_code(), refused.value.api_error_subcode()) == (code, subcode)


def test_a_wrong_token_is_refused(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    meta._session.requests.params["access_token"] = "stolen"

    with pytest.raises(FacebookRequestError) as refused:
        meta.call("GET", (sandbox.meta_account_id,))

    assert refused.value.api_error_code() == 190


def test_the_token_may_come_as_a_bearer_header_and_is_in_no_log(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    meta.call("GET", (sandbox.meta_account_id,))
    meta._session.requests.params.pop("access_token")
    meta._session.requests.headers["Authorization"] = f"Bearer {sandbox.meta_token}"

    meta.call("GET", (sandbox.meta_account_id,))

    assert [exchange.status for exchange in sandbox.meta_log] == [200, 200]
    assert sandbox.meta_token not in json.dumps([exchange.wire() for exchange in sandbox.meta_log])


def test_days_are_the_accounts_days() -> None:
    with Sandbox.start(seed=3, start=date(2026, 3, 30), history_days=4, timezone="Pacific/Auckland", ads=4) as far:
        assert far.world.now.isoformat() == "2026-03-29T11:00:00+00:00"
        assert sorted(far.world.delivery.days)[0] == date(2026, 3, 26)
        assert sorted(far.world.delivery.days)[-1] == date(2026, 3, 29)
