"""A small sandbox per test, and the vendors' real SDKs pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from hubspot import HubSpot

from adctl.sandbox import Sandbox

START = date(2026, 3, 2)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Two campaigns and eight ads with ten days of history."""
    with Sandbox.start(seed=7, start=START, history_days=10, campaigns=2, ad_sets=4, ads=8) as running:
        yield running


@pytest.fixture
def meta(sandbox: Sandbox) -> Iterator[FacebookAdsApi]:
    """The Meta SDK, built without its crash hook."""
    session = FacebookSession(access_token=sandbox.meta_token, timeout=(3, 5))
    session.GRAPH = sandbox.meta_url
    session.requests.max_redirects = 0
    yield FacebookAdsApi(session, api_version="v26.0")
    session.requests.close()


@pytest.fixture
def hubspot(sandbox: Sandbox) -> HubSpot:
    """The HubSpot SDK without retries."""
    return HubSpot(access_token=sandbox.hubspot_token, host=sandbox.hubspot_url, retry=False)
