"""Reading Meta over real HTTP: what is tried again, what is never lost, and where the token is not."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from facebook_business.api import FacebookAdsApi

from adctl.adapters.meta import MetaPlatform, ThrottledError
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ports import AdsPlatform
from adctl.errors import AdctlError, BusyError, ConfigurationError, DeniedError, UnavailableError
from tests.adapters.canned_meta import ACCOUNT, AD_SET, CANARY, QUICK, ROW, graph_error, meta, page
from tests.adapters.canned_server import Asked, Told, always, in_turn


def test_the_platform_is_what_the_commands_ask_for() -> None:
    with meta(always(Told(body=ACCOUNT))) as (platform, _server):
        as_port: AdsPlatform = platform
        account = as_port.account()
    assert (account.meta_ad_account, account.currency, account.timezone) == ("act_7", "USD", "Europe/Berlin")
    assert account.min_daily_budget == 100


def test_an_ad_account_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="act_x"):
        MetaPlatform(ad_account="act_x", token=CANARY)


def test_a_read_gives_whole_numbers_and_utc() -> None:
    with meta(always(Told(body=AD_SET))) as (platform, server):
        state = platform.read(EntityKind.AD_SET, "20")
    assert state is not None
    assert (state.daily_budget, state.lifetime_budget, state.status) == (1000, None, "ACTIVE")
    assert state.updated_at == datetime(2026, 1, 31, 7, 0, tzinfo=UTC)
    assert server.asked[0].path == "/v26.0/20"


def test_an_object_that_meta_does_not_know_is_none() -> None:
    with meta(always(graph_error(100, 33))) as (platform, _server):
        assert platform.read(EntityKind.AD, "30") is None


@pytest.mark.parametrize("value", ["10.5", "1e3", "١٠", "1_000", "-5", "", 10.5, -5, True, [], "9" * 30])
def test_a_budget_that_is_no_whole_number_is_never_guessed(value: object) -> None:
    with (
        meta(always(Told(body={**AD_SET, "daily_budget": value}))) as (platform, _server),
        pytest.raises(UnavailableError, match="daily_budget"),
    ):
        platform.read(EntityKind.AD_SET, "20")


def test_an_object_of_another_account_is_refused() -> None:
    with (
        meta(always(Told(body={**AD_SET, "account_id": "8"}))) as (platform, _server),
        pytest.raises(ConfigurationError, match="another ad account"),
    ):
        platform.read(EntityKind.AD_SET, "20")


def test_an_answer_about_another_object_is_refused() -> None:
    with (
        meta(always(Told(body={**AD_SET, "id": "21"}))) as (platform, _server),
        pytest.raises(UnavailableError, match="asked for ad_set 20"),
    ):
        platform.read(EntityKind.AD_SET, "20")


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (graph_error(190, 463, status=401), DeniedError),
        (graph_error(102), DeniedError),
        (graph_error(200), DeniedError),
        (graph_error(10), DeniedError),
        (graph_error(4), BusyError),
        (graph_error(80000, 2446079), BusyError),
        (Told(status=429, body={"message": "Too many requests"}), BusyError),
        (graph_error(100), ConfigurationError),
        (graph_error(2, 1504041), ConfigurationError),
        (graph_error(31337), UnavailableError),
        (Told(status=302, headers={"Location": "/v26.0/elsewhere"}), UnavailableError),
        (Told(status=404, body={}), UnavailableError),
    ],
)
def test_a_read_that_cannot_pass_now_is_asked_once_and_typed(told: Told, error: type[AdctlError]) -> None:
    with meta(always(told)) as (platform, server):
        with pytest.raises(error):
            platform.account()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "told",
    [
        Told(status=502, body=b"<html>Bad Gateway</html>"),
        Told(status=500),
        Told(body=b"<html>OK</html>"),
        Told(body=[]),
        Told(drop=True),
        graph_error(2, status=500),
        graph_error(1),
        graph_error(100, 1504018),
        graph_error(31337, is_transient=True),
    ],
)
def test_a_passing_fault_of_a_read_is_tried_again(told: Told) -> None:
    with meta(in_turn(told, told, Told(body=ACCOUNT))) as (platform, server):
        assert platform.account().name == "Shop"
        assert len(server.asked) == 3


@pytest.mark.parametrize(("told", "match"), [(Told(status=503), "http 503"), (Told(drop=True), "no answer")])
def test_a_lasting_fault_of_a_read_ends_after_the_tries(told: Told, match: str) -> None:
    with meta(always(told)) as (platform, server):
        with pytest.raises(UnavailableError, match=match):
            platform.account()
        assert len(server.asked) == 3


def test_a_read_that_trickles_ends_at_its_deadline() -> None:
    told = Told(body=b" " * 200, trickle=0.05)
    with (
        meta(always(told), replace(QUICK, read=0.5, read_deadline=0.4, tries=1)) as (platform, _server),
        pytest.raises(UnavailableError, match="DeadlineExceeded"),
    ):
        platform.account()


def test_a_throttle_tells_the_caller_and_the_usage_when_it_may_pass() -> None:
    with meta(always(replace(graph_error(17), headers={"Retry-After": "900"}))) as (platform, _server):
        with pytest.raises(ThrottledError) as caught:
            platform.account()
        assert caught.value.retry_after == 900
        assert 890 <= platform.usage()["throttled"] <= 900


def test_every_entry_of_the_usage_headers_is_read() -> None:
    business = {
        "7": [
            {"type": "ads_insights", "call_count": 10, "estimated_time_to_regain_access": 0},
            {"type": "ads_management", "call_count": 100, "estimated_time_to_regain_access": 25},
        ],
        "8": [{"type": "ads_insights", "total_time": 96, "estimated_time_to_regain_access": 0}],
    }
    headers = {
        "X-Business-Use-Case-Usage": json.dumps(business),
        "X-Ad-Account-Usage": json.dumps({"acc_id_util_pct": 99.5, "reset_time_duration": 120}),
        "X-App-Usage": json.dumps({"call_count": 28, "total_time": 25, "total_cputime": 25}),
        "X-FB-Ads-Insights-Throttle": json.dumps({"app_id_util_pct": 100, "acc_id_util_pct": 10}),
    }
    with meta(in_turn(Told(body=ACCOUNT, headers=headers), Told(body=ACCOUNT))) as (platform, _server):
        platform.account()
        assert platform.usage() == {"ads_insights": 60, "ads_management": 1500, "ad_account": 120, "insights": 60}


@pytest.mark.parametrize(
    "header", ["", "null", "[]", "{", "[" * 9999, '{"7": 5}', '{"7": [5, {}]}', '{"7": [{"type": 1}]}']
)
def test_a_malformed_usage_header_changes_nothing(header: str) -> None:
    headers = {"X-Business-Use-Case-Usage": header, "X-App-Usage": header, "X-Ad-Account-Usage": header}
    with meta(always(Told(body=ACCOUNT, headers=headers))) as (platform, _server):
        platform.account()
        assert platform.usage() == {}


def ad_set_row(number: int) -> dict[str, object]:
    return {
        "id": str(number),
        "campaign_id": "10",
        "name": f"Set {number}",
        "status": "PAUSED",
        "effective_status": "ARCHIVED",
        "daily_budget": "500",
        "learning_stage_info": {"status": "LEARNING"},
    }


def test_an_object_without_a_name_is_one() -> None:
    nameless = {key: value for key, value in ad_set_row(1).items() if key not in ("name", "campaign_id")}
    with meta(always(page([nameless, ad_set_row(2) | nameless]))) as (platform, _server):
        assert [one.name for one in platform.campaigns()] == ["", "Set 2"]
    with meta(always(page([{**nameless, "campaign_id": "10"}, ad_set_row(2)]))) as (platform, _server):
        assert [one.name for one in platform.ad_sets()] == ["", "Set 2"]


def test_an_image_that_lacks_a_side_has_no_size() -> None:
    sides = {"whole": (8, 6), "flat": (8, 0), "thin": (0, 6), "none": (0, 0)}
    rows = [{"hash": name, "width": width, "height": height} for name, (width, height) in sides.items()]
    with meta(always(page(rows))) as (platform, _server):
        assert platform.image_sizes(list(sides)) == {"whole": (8, 6)}


def test_an_empty_page_with_a_next_one_loses_no_row() -> None:
    with meta(in_turn(page([ad_set_row(1)], "a"), page([], "b"), page([ad_set_row(2)]))) as (platform, server):
        sets = list(platform.ad_sets())
    assert [(one.ad_set_id, one.daily_budget, one.learning_stage) for one in sets] == [
        ("1", 500, "LEARNING"),
        ("2", 500, "LEARNING"),
    ]
    assert [one.query.get("after") for one in server.asked] == [None, "a", "b"]


def test_archived_and_paused_objects_are_asked_for() -> None:
    with meta(always(page([]))) as (platform, server):
        assert (list(platform.campaigns()), list(platform.ad_sets()), list(platform.ads())) == ([], [], [])
    for asked in server.asked:
        assert {"ACTIVE", "PAUSED", "ARCHIVED"} <= set(json.loads(asked.query["effective_status"]))


def test_a_cursor_that_repeats_is_an_error_and_not_an_endless_walk() -> None:
    with meta(in_turn(page([ad_set_row(1)], "a"), page([ad_set_row(2)], "a"))) as (platform, server):
        with pytest.raises(UnavailableError, match="does not advance"):
            list(platform.ad_sets())
        assert len(server.asked) == 2


def test_empty_pages_without_end_are_an_error() -> None:
    cursors = iter(range(1000))
    with meta(lambda _asked: page([], f"c{next(cursors)}")) as (platform, server):
        with pytest.raises(UnavailableError, match="does not advance"):
            list(platform.ad_sets())
        assert len(server.asked) == 21


def test_a_long_walk_with_many_empty_pages_between_is_no_endless_one() -> None:
    def answer(asked: Asked) -> Told:
        number = int(asked.query.get("after", "0"))
        return page([ad_set_row(number)] if number % 2 else [], str(number + 1) if number < 60 else None)

    with meta(answer) as (platform, _server):
        assert len(list(platform.ad_sets())) == 30


def test_a_next_link_without_cursors_is_still_followed_by_its_own_cursor() -> None:
    first = Told(body={"data": [ad_set_row(1)], "paging": {"next": "https://elsewhere/?access_token=t&after=a"}})
    with meta(in_turn(first, page([ad_set_row(2)]))) as (platform, server):
        assert len(list(platform.ad_sets())) == 2
        assert server.asked[1].query["after"] == "a"


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}, {"data": [1]}])
def test_a_page_without_rows_to_read_is_an_error_and_not_the_end(body: object) -> None:
    with meta(always(Told(body=body))) as (platform, _server), pytest.raises(UnavailableError, match="'data'"):
        list(platform.ad_sets())


def test_too_much_data_halves_the_page_and_goes_on_from_the_same_cursor() -> None:
    def answer(asked: Asked) -> Told:
        if int(asked.query["limit"]) > 50:
            return graph_error(1, status=500, message="Please reduce the amount of data you're asking for")
        return page([ad_set_row(2)]) if "after" in asked.query else page([ad_set_row(1)], "a")

    with meta(answer) as (platform, server):
        assert [one.ad_set_id for one in platform.ad_sets()] == ["1", "2"]
    assert [asked.query["limit"] for asked in server.asked] == ["200", "100", "50", "50"]


def test_insights_that_are_too_much_even_by_the_row_are_asked_for_half_the_days() -> None:
    def answer(asked: Asked) -> Told:
        if asked.path.endswith("act_7"):
            return Told(body=ACCOUNT)
        span = json.loads(asked.query["time_range"])
        if span["since"] != span["until"]:
            return graph_error(1, status=500, message="Please reduce the amount of data you're asking for")
        return page([{**ROW, "date_start": span["since"], "date_stop": span["since"]}])

    with meta(answer) as (platform, _server):
        rows = list(platform.insights(date(2026, 1, 29), date(2026, 1, 31)))
    assert [row.day.day for row in rows] == [29, 30, 31]


def test_the_token_travels_in_the_header_and_never_in_the_url() -> None:
    with meta(in_turn(Told(body=ACCOUNT), Told(body={"success": True}))) as (platform, server):
        platform.account()
        platform.write("20", Field.DAILY_BUDGET, 1200)
    for asked in server.asked:
        assert asked.headers["authorization"] == f"Bearer {CANARY}"
        assert "access_token" not in asked.query
        assert CANARY.encode() not in asked.body


def test_a_netrc_does_not_replace_the_token(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", netrc)
    with meta(always(Told(body=ACCOUNT))) as (platform, server):
        platform.account()
    assert server.asked[0].headers["authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "told",
    [
        Told(drop=True),
        Told(status=500, body=f"<html>{CANARY}</html>".encode()),
        graph_error(100, message=f"bad token {CANARY}", error_user_msg=f"see {CANARY}"),
        graph_error(190, message=CANARY),
        graph_error(100, message="x" * 290 + CANARY),
        graph_error(31337, message=CANARY),
        Told(body={"error": {"code": 100, "message": CANARY}}),
        Told(status=302, headers={"Location": f"/x?access_token={CANARY}"}),
    ],
)
def test_the_token_is_in_no_error_answer_repr_or_log(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with meta(always(told)) as (platform, _server):
        with pytest.raises(AdctlError) as caught:
            platform.account()
        answer = platform.write("20", Field.DAILY_BUDGET, 1200)
        seen = [repr(platform), repr(vars(platform)), repr(answer), caplog.text]
    seen.append("".join(traceback.format_exception(caught.value)))
    assert CANARY[:8] not in "\n".join(seen)


def test_no_crash_reporter_and_no_process_wide_api_is_installed() -> None:
    hook = sys.excepthook
    with meta(always(Told(body=ACCOUNT))) as (platform, _server):
        platform.account()
    assert sys.excepthook is hook
    assert FacebookAdsApi.get_default_api() is None
