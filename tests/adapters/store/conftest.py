"""A queue with one account and one worker, at noon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.adapters.store.driver import Driver, driving, open_account


@pytest.fixture
def driver(engine: Engine) -> Iterator[Driver]:
    open_account(engine)
    with driving(engine) as driver:
        yield driver
