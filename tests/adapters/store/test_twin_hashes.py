"""Ids that share a hash cannot be told apart: the refusal names them. Here the hash is weak: real twins are rare."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store.history import account_history
from adctl.errors import InvariantError
from tests.books import DAY, PROFILE, Books

# Found before PostgreSQL's own of that name: whatever begins alike is alike.
_WEAK = """
    create schema weak;
    create function weak.hashtextextended(id text, seed bigint) returns bigint language sql immutable
      return pg_catalog.hashtextextended(left(id, 2), seed);
"""


@pytest.mark.parametrize(
    ("ads", "deals", "told"),
    [
        (("a1", "a1x"), (), "ads 'a1' and 'a1x': adctl cannot tell them apart, since their ids have one hash"),
        (("a1", "a2"), ("d1", "d1x"), r"deals 'd1' and 'd1x': .* \(archive one of them in the CRM\)"),
    ],
    ids=["ads", "deals"],
)
def test_twins_are_named(engine: Engine, ads: tuple[str, ...], deals: tuple[str, ...], told: str) -> None:
    books = Books(engine)
    books.ads(*ads)
    for deal in deals:
        books.deal(deal, "a1", ("lead", 3.0))

    with transaction(engine) as connection:
        connection.execute(text(_WEAK))
        connection.execute(text("set local search_path = weak, pg_catalog, public"))
        with pytest.raises(InvariantError, match=told):
            account_history(connection, PROFILE, DAY)
