"""Attribution: one ad per deal or none, by keys that are there, inside the window from click to conversion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.attribution import Attribution, Lead, Method, Touch, attribute
from adctl.domain.ids import AdId, DealId

CLICKED = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = frozenset({AdId("31"), AdId("32")})
WEEK = timedelta(days=7)
INSTANT = timedelta(microseconds=1)


def lead(*, ads: tuple[str, ...] = (), clicks: tuple[str, ...] = (), converted_at: datetime | None = CLICKED) -> Lead:
    return Lead(deal_id=DealId("d1"), converted_at=converted_at, ad_ids=tuple(map(AdId, ads)), click_ids=clicks)


def click(click_id: str, ad_id: str = "31", at: datetime = CLICKED) -> Touch:
    return Touch(click_id=click_id, ad_id=AdId(ad_id), clicked_at=at)


def attributed(one: Lead, *touches: Touch, window: timedelta = WEEK) -> Attribution:
    return attribute(one, known_ads=KNOWN, touches={touch.click_id: touch for touch in touches}, window=window)


def test_the_ad_in_the_landing_url_is_credited_in_full() -> None:
    found = attributed(lead(ads=("31",)))
    assert (found.ad_id, found.method, found.confidence) == ("31", Method.URL_PARAM, 1.0)
    assert found.evidence == {"key": "ad id"}


def test_the_ad_in_the_url_comes_before_a_click() -> None:
    found = attributed(lead(ads=("32",), clicks=("c1",)), click("c1", "31"))
    assert (found.ad_id, found.evidence["key"]) == ("32", "ad id")


def test_an_ad_of_another_account_is_not_credited_and_said_so() -> None:
    found = attributed(lead(ads=("99",)))
    assert (found.ad_id, found.method, found.confidence) == (None, Method.NONE, 0.0)
    assert found.evidence == {"reason": "the ad named is not an ad of this account"}


def test_a_click_stands_in_where_the_ad_named_is_unknown() -> None:
    found = attributed(lead(ads=("99",), clicks=("c1",)), click("c1"))
    assert (found.ad_id, found.evidence["key"]) == ("31", "click id")
    assert found.evidence["clicked_at"] == CLICKED.isoformat()


@pytest.mark.parametrize(
    ("after", "credited"),
    [
        (-INSTANT, False),
        (timedelta(), True),
        (timedelta(days=3), True),
        (WEEK, True),
        (WEEK + INSTANT, False),
    ],
)
def test_a_conversion_counts_from_its_click_to_the_end_of_the_window(after: timedelta, credited: bool) -> None:
    found = attributed(lead(clicks=("c1",), converted_at=CLICKED + after), click("c1"))
    assert (found.ad_id == "31") is credited
    if not credited:
        assert found.evidence == {"reason": "the click is not within the window before the conversion"}


def test_the_window_can_be_another() -> None:
    late = lead(clicks=("c1",), converted_at=CLICKED + timedelta(days=20))
    assert attributed(late, click("c1")).ad_id is None
    assert attributed(late, click("c1"), window=timedelta(days=28)).ad_id == "31"


def test_a_conversion_of_unknown_time_is_not_credited_to_a_click() -> None:
    assert attributed(lead(clicks=("c1",), converted_at=None), click("c1")).ad_id is None


@pytest.mark.parametrize("empty", [{"ads": ("",)}, {"clicks": ("",)}, {"ads": ("",), "clicks": ("",)}, {}])
def test_an_empty_key_never_matches(empty: dict[str, tuple[str, ...]]) -> None:
    touches = {"": click("", "31")}
    found = attribute(
        lead(ads=empty.get("ads", ()), clicks=empty.get("clicks", ())),
        known_ads=KNOWN | {AdId("")},
        touches=touches,
        window=WEEK,
    )
    assert (found.ad_id, found.method) == (None, Method.NONE)
    assert found.evidence == {"reason": "no key"}


def test_a_click_nobody_tracked_is_named_as_the_reason() -> None:
    assert attributed(lead(clicks=("c9",)), click("c1")).evidence == {"reason": "the click was not tracked"}


def test_two_ads_named_leave_the_deal_unattributed() -> None:
    found = attributed(lead(ads=("31", "32")))
    assert found.ad_id is None
    assert found.evidence == {"reason": "several ads are named", "ads": "31, 32"}


def test_the_same_ad_named_twice_is_no_ambiguity() -> None:
    assert attributed(lead(ads=("31", "31"))).ad_id == "31"


def test_clicks_on_two_ads_leave_the_deal_unattributed() -> None:
    found = attributed(lead(clicks=("c1", "c2")), click("c1", "31"), click("c2", "32"))
    assert found.ad_id is None
    assert found.evidence == {"reason": "several clicked ads"}


def test_a_click_outside_the_window_makes_no_ambiguity() -> None:
    old = click("c2", "32", CLICKED - timedelta(days=30))
    assert attributed(lead(clicks=("c2", "c1")), click("c1", "31"), old).ad_id == "31"


def test_two_clicks_on_one_ad_are_one_candidate() -> None:
    found = attributed(lead(clicks=("c1", "c2")), click("c1"), click("c2", at=CLICKED - timedelta(days=1)))
    assert found.ad_id == "31"


@given(
    ads=st.lists(st.sampled_from(["", "31", "32", "99"]), max_size=3),
    clicks=st.lists(st.sampled_from(["", "c1", "c2", "c3"]), max_size=3),
    hours=st.integers(-400, 400),
)
def test_a_deal_has_one_attribution_whose_ad_and_method_agree(ads: list[str], clicks: list[str], hours: int) -> None:
    one = lead(ads=tuple(ads), clicks=tuple(clicks), converted_at=CLICKED + timedelta(hours=hours))
    found = attributed(one, click("c1"), click("c2", "32"))
    assert (found.ad_id is None) == (found.method is Method.NONE)
    assert found.ad_id is None or found.ad_id in KNOWN
    assert found.confidence == (1.0 if found.ad_id else 0.0)
    assert (found.deal_id, found.converted_at) == (one.deal_id, one.converted_at)
    assert found.evidence
