"""Layers 2 and 3 to the letter of the plan: keys, windows, candidates, scores; and what is hashed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.attribution import Agreement, Attribution, Lead, Method, attribute
from adctl.domain.ids import AdId, DealId
from adctl.domain.matching import ClickPool, Conversion, Layers, SeenClick
from adctl.domain.privacy import (
    MatchKeys,
    PrivacyKey,
    agent_family,
    email_hash,
    email_normal,
    ip_prefix,
    match_keys,
    privacy_keys,
)
from adctl.errors import ConfigurationError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
KEY = PrivacyKey(b"k" * 32)
CHROME = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1"
DEVICE = {"screen": "390x844", "timezone": "Europe/Berlin", "language": "de-DE"}


def keys(ip: str = "", agent: str = "", device: dict[str, str] | None = None, key: PrivacyKey = KEY) -> MatchKeys:
    return match_keys(key, ip=ip, user_agent=agent, device=device or {})


def click(ad_id: str, at: datetime, seen: MatchKeys) -> SeenClick:
    return SeenClick(ad_id=AdId(ad_id), clicked_at=at, keys=seen)


def found(conversion: Conversion | None, *clicks: SeenClick, **switches: bool) -> Attribution:
    lead = Lead(deal_id=DealId("d"), converted_at=AT, ad_ids=(), click_ids=(), conversion=conversion)
    layers = Layers(pool=ClickPool(clicks), **switches)
    return attribute(lead, known_ads=frozenset(), touches={}, window=WEEK, layers=layers)


def converted(seen: MatchKeys, at: datetime = AT) -> Conversion:
    return Conversion(converted_at=at, keys=() if seen.empty else (seen,))


def test_an_equal_device_is_layer_two_at_ninety_percent() -> None:
    seen = keys(device=DEVICE)
    one = found(converted(seen), click("31", AT - timedelta(days=2), seen))
    assert (one.ad_id, one.method, one.confidence) == ("31", Method.FINGERPRINT, 0.90)
    assert one.evidence["key"] == "device"
    assert one.evidence["url_param"] == "no key"


@pytest.mark.parametrize(
    ("before", "credited"),
    [(timedelta(0), True), (WEEK, True), (WEEK + timedelta(seconds=1), False), (timedelta(seconds=-1), False)],
)
def test_a_device_counts_from_click_to_the_end_of_the_window(before: timedelta, credited: bool) -> None:
    seen = keys(device=DEVICE)
    assert (found(converted(seen), click("31", AT - before, seen)).ad_id == "31") is credited


@pytest.mark.parametrize("missing", [["screen"], ["screen", "language"], ["screen", "language", "timezone"]])
def test_fewer_than_three_components_make_no_key(missing: list[str]) -> None:
    few = {name: "" if name in missing else value for name, value in DEVICE.items()}
    assert keys(device=few).fingerprint is None
    assert found(converted(keys(device=few)), click("31", AT, keys(device=few))).ad_id is None


def test_empty_fingerprints_do_not_match_each_other() -> None:
    nothing = MatchKeys(key_id="k")
    one = found(Conversion(converted_at=AT, keys=(nothing,)), click("31", AT, nothing))
    assert (one.ad_id, one.method) == (None, Method.NONE)


def test_two_ads_on_one_device_are_ambiguous_and_no_later_layer_decides() -> None:
    seen = keys("8.8.8.8", CHROME, DEVICE)
    only_network = keys("8.8.8.8", CHROME)
    one = found(
        converted(seen),
        click("31", AT - timedelta(days=3), keys(device=DEVICE)),
        click("32", AT - timedelta(days=2), keys(device=DEVICE)),
        click("33", AT, only_network),
    )
    assert (one.ad_id, one.evidence["fingerprint"]) == (None, "clicks on several ads from this device")
    assert "probabilistic" not in one.evidence


def test_the_same_ad_clicked_twice_is_one_candidate() -> None:
    seen = keys(device=DEVICE)
    one = found(converted(seen), click("31", AT - timedelta(days=3), seen), click("31", AT - timedelta(days=1), seen))
    assert (one.ad_id, one.evidence["clicked_at"]) == ("31", (AT - timedelta(days=1)).isoformat())


@pytest.mark.parametrize(
    ("ip", "agent", "hours", "credited"),
    [
        ("8.8.8.200", CHROME, 0, True),
        ("8.8.8.200", CHROME, 24, True),  # 0.5 + 0.3 + 0
        ("8.8.8.200", CHROME, 24.01, False),
        ("8.8.8.200", CHROME, -0.01, False),
        ("8.8.8.200", SAFARI, 0, True),  # 0.5 + 0.2, exactly enough
        ("8.8.8.200", SAFARI, 0.01, False),
        ("8.8.9.8", CHROME, 0, False),  # 0.3 + 0.2
        ("", CHROME, 0, False),
    ],
)
def test_layer_three_needs_seventy_percent_and_never_claims_more(
    ip: str, agent: str, hours: float, credited: bool
) -> None:
    one = found(converted(keys("8.8.8.8", CHROME)), click("31", AT - timedelta(hours=hours), keys(ip, agent)))
    assert (one.ad_id == "31") is credited
    assert one.method is (Method.PROBABILISTIC if credited else Method.NONE)
    assert one.confidence == (0.70 if credited else 0.0)


def test_two_likely_ads_are_ambiguous_and_an_unlikely_one_is_none() -> None:
    near, far = keys("8.8.8.1", CHROME), keys("8.8.8.2", SAFARI)
    seen = converted(keys("8.8.8.8", CHROME))
    assert found(seen, click("31", AT, near), click("32", AT - timedelta(hours=20), near)).ad_id is None
    assert found(seen, click("31", AT, near), click("32", AT - timedelta(hours=20), far)).ad_id == "31"


@pytest.mark.parametrize(("layer", "reason"), [("fingerprint", "device"), ("probabilistic", "network")])
def test_a_layer_that_is_switched_off_matches_nothing_and_says_so(layer: str, reason: str) -> None:
    seen = keys("8.8.8.8", CHROME, DEVICE)
    one = found(converted(seen), click("31", AT, seen), **{layer: False})
    assert reason not in one.evidence["key"]
    both = found(converted(seen), click("31", AT, seen), fingerprint=False, probabilistic=False)
    assert (both.ad_id, both.evidence[layer]) == (None, "switched off")


def test_without_a_consented_conversion_nothing_is_looked_up() -> None:
    assert found(None, click("31", AT, keys(device=DEVICE))).ad_id is None
    assert found(Conversion(converted_at=AT), click("31", AT, keys(device=DEVICE))).ad_id is None


def test_ids_come_before_devices() -> None:
    seen = keys(device=DEVICE)
    lead = Lead(deal_id=DealId("d"), converted_at=AT, ad_ids=(AdId("31"),), click_ids=(), conversion=converted(seen))
    layers = Layers(pool=ClickPool([click("32", AT, seen)]))
    one = attribute(lead, known_ads=frozenset({AdId("31")}), touches={}, window=WEEK, layers=layers)
    assert (one.ad_id, one.method) == ("31", Method.URL_PARAM)
    agreement = Agreement()
    for verdict in layers.verdicts(lead.conversion, WEEK).values():
        agreement.see(one, verdict)
    assert (agreement.both, agreement.agree, agreement.precision) == (1, 0, 0.0)


def test_a_conversion_hashed_under_both_keys_finds_a_click_of_the_previous_one() -> None:
    new = PrivacyKey(b"n" * 32)
    old_click = click("31", AT, keys(device=DEVICE))
    rotated = Conversion(converted_at=AT, keys=(keys(device=DEVICE, key=new), keys(device=DEVICE)))
    assert found(rotated, old_click).ad_id == "31"
    assert found(Conversion(converted_at=AT, keys=rotated.keys[:1]), old_click).ad_id is None


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("8.8.8.8", "8.8.8.0/24"),
        ("::ffff:8.8.8.8", "8.8.8.0/24"),
        ("2a00:1450:4001:82a::200e", "2a00:1450:4001::/48"),
        ("", None),
        ("10.0.0.1", None),
        ("127.0.0.1", None),
        ("fe80::1", None),
        ("192.168.1.7", None),
    ],
)
def test_an_address_is_cut_to_its_network_and_a_private_one_is_no_key(address: str, prefix: str | None) -> None:
    assert ip_prefix(address) == prefix


@pytest.mark.parametrize("text", ["8.8.8", "08.8.8.8", "8.8.8.8/24", "example.com", "٨.8.8.8"])
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an IP address$"):
        ip_prefix(text)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        (CHROME, "chrome/android"),
        (SAFARI, "safari/ios"),
        ("curl/8", None),
        ("", None),
        ("Edg/1 Windows", "edge/windows"),
    ],
)
def test_a_user_agent_is_cut_to_browser_and_system(text: str, family: str | None) -> None:
    assert agent_family(text) == family


def test_an_address_is_hashed_as_one_however_it_is_written() -> None:
    assert email_normal(" Ann.Lee@Example.COM ") == "ann.lee@example.com"
    assert email_hash(KEY, "ANN@x.org") == email_hash(KEY, "ann@x.org ") != email_hash(KEY, "ann@x.com")
    assert [email_hash(KEY, text) for text in ("", "ann", "a@b@c", "a@x, b@y")] == [None] * 4


@given(st.text(max_size=30), st.text(max_size=30))
def test_hashes_of_different_kinds_and_keys_never_meet(one: str, other: str) -> None:
    assert KEY.hashed("ip", one) != KEY.hashed("agent", other)
    assert KEY.hashed("ip", one) != PrivacyKey(b"n" * 32).hashed("ip", other)


def test_a_weak_key_is_refused_and_no_key_shows_itself() -> None:
    with pytest.raises(ConfigurationError, match="shorter than 32"):
        privacy_keys("short", None)
    kept = privacy_keys("a" * 40, "b" * 40)
    assert "a" * 40 not in repr(kept)
    assert len({key.key_id for key in kept.all()}) == 2
