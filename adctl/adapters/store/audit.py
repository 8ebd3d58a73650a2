"""The append-only history of every change, and its chain of hashes."""

from __future__ import annotations

from sqlalchemy import Connection, text

from adctl.domain.ids import Account


def head(connection: Connection, account: Account) -> str:
    """The newest link of the account's chain as `sequence:hash`, for a copy outside the database."""
    row = connection.execute(
        text("select seq, encode(hash, 'hex') as hash from audit_heads where account = :account"),
        {"account": account},
    ).one_or_none()
    return "0:" if row is None else f"{row.seq}:{row.hash}"
