"""The keys of attribution in a landing page's address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.ids import AdId
from adctl.domain.landing_urls import LandingKeys, landing_keys, names_its_ad

CLICK = "IwAR2abc_DEF-123"


def test_an_address_gives_ad_and_click() -> None:
    url = f"https://shop.example/?utm_source=fb&utm_content=120210000000000123&fbclid={CLICK}"
    assert landing_keys(url) == LandingKeys(ad_id=AdId("120210000000000123"), click_id=CLICK)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "https://shop.example/?utm_content=blue-banner",
        "https://shop.example/?utm_content={{ad.id}}",
        "https://shop.example/?utm_content=1&utm_content=2",
        "https://shop.example/?utm_content=١٢٣",
        "https://[broken/?utm_content=1",
        "https://shop.example/?" + "a=1&" * 200 + "utm_content=1",
        "https://shop.example/?utm_content=1&x=" + "y" * 10_000,
    ],
)
def test_what_is_no_ad_id_or_ambiguous_names_no_ad(url: str) -> None:
    assert landing_keys(url) == LandingKeys(ad_id=None, click_id=None)


@given(url=st.text())
def test_no_text_breaks_it(url: str) -> None:
    keys = landing_keys("https://shop.example/?" + url)
    assert keys.ad_id is None or keys.ad_id.isascii()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("utm_source=fb&utm_content={{ad.id}}", True),
        ("https://shop.example/a?utm_content=%7B%7Bad.id%7D%7D#top", True),
        ("UTM_CONTENT={{ ad.id }}&x=1", True),
        ("ad_id={{ad.id}}", True),
        ("utm_content={{ad.name}}&utm_term={{ad.id}}", False),
        ("utm_content={{ad.id}}-{{adset.id}}", False),
        ("my_utm_content={{ad.id}}", False),
        ("", False),
    ],
)
def test_an_address_names_its_ad_only_where_the_id_stands_alone(parameters: str, named: bool) -> None:
    assert names_its_ad(parameters) is named
