"""Moves in any order, on a real PostgreSQL: after each of them every promise holds."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.scenarios import orders_of_moves

# What a short exploration reaches whichever orders it draws.
OFTEN = frozenset({("pending", "claimed"), ("claimed", "executing"), ("executing", "unknown")})


def test_no_order_of_moves_breaks_a_promise(database_url: str, tmp_path: Path) -> None:
    orders_of_moves(database_url, tmp_path, numbers=(1,), examples=12, steps=40, must_happen=OFTEN)
