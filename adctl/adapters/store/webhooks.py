"""Which webhook events were handled, so that one sent again, or replayed by somebody, is handled once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from adctl.domain.ids import Account
from adctl.domain.webhooks import Event

# HubSpot sends an event again for a day; a spool may lie for long before somebody hands it over.
KEPT = timedelta(days=90)


def handled(connection: Connection, account: Account, keys: Collection[bytes]) -> set[bytes]:
    """Which of these events were handled before."""
    found = connection.scalars(
        text("select event_key from webhook_events where account = :account and event_key = any(:keys)"),
        {"account": account, "keys": list(keys)},
    )
    return {bytes(one) for one in found}


def note(connection: Connection, account: Account, events: Sequence[Event], at: datetime) -> None:
    """Keeps that these were handled; belongs into the transaction that stores what they led to."""
    connection.execute(
        text(
            """
            insert into webhook_events (account, event_key, subscription, object_id, occurred_at, handled_at)
            select :account, e.key, e.kind, e.object_id, e.occurred_at, :at
            from unnest(cast(:keys as bytea[]), cast(:kinds as text[]), cast(:ids as text[]),
              cast(:times as timestamptz[])) as e (key, kind, object_id, occurred_at)
            on conflict do nothing
            """
        ),
        {
            "account": account,
            "at": at,
            "keys": [e.key for e in events],
            "kinds": [e.kind for e in events],
            "ids": [e.object_id for e in events],
            "times": [e.occurred_at for e in events],
        },
    )


def drop_old(connection: Connection, account: Account, now: datetime) -> None:
    """Removes what no spool will bring again."""
    connection.execute(
        text("delete from webhook_events where account = :account and handled_at < :before"),
        {"account": account, "before": now - KEPT},
    )
