"""Clicks, conversions and their keyed hashes: taken in, looked up, let expire, forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, text

from adctl.adapters.db import driver
from adctl.domain.ids import Account, AdId
from adctl.domain.matching import SeenClick
from adctl.domain.privacy import MatchKeys


class Seen(Protocol):
    """A click or a conversion to be stored."""

    @property
    def owner(self) -> str: ...
    @property
    def owner_id(self) -> str: ...
    @property
    def ad_id(self) -> AdId | None: ...
    @property
    def at(self) -> datetime: ...
    @property
    def consented(self) -> bool: ...
    @property
    def keys(self) -> tuple[MatchKeys, ...]: ...
    @property
    def email(self) -> bytes | None: ...


_STAGE = """
create temporary table staged_seen (
  owner text, owner_id text, ad_id text, at timestamptz, consented boolean, email bytea,
  key_id text, fingerprint bytea, ip_prefix bytea, agent_family bytea, line bigint
) on commit drop
"""
_COPY = """
copy staged_seen (owner, owner_id, ad_id, at, consented, email, key_id, fingerprint, ip_prefix, agent_family, line)
from stdin
"""
# Who asked to be forgotten is not tracked again.
_DROP_FORGOTTEN = text(
    """
    delete from staged_seen s using forgotten_emails f
    where f.account = :account and f.email = s.email
    """
)
# The same click told twice happened when it was first told.
_CLICKS = text(
    """
    insert into click_tracking as t (account, click_id, ad_id, clicked_at, consented)
    select :account, owner_id, (array_agg(ad_id order by line desc))[1], min(at),
      (array_agg(consented order by line desc))[1]
    from staged_seen where owner = 'click' group by owner_id
    on conflict (account, click_id) do update
      set ad_id = excluded.ad_id, clicked_at = least(t.clicked_at, excluded.clicked_at), consented = excluded.consented
    where (t.ad_id, t.consented) is distinct from (excluded.ad_id, excluded.consented)
      or excluded.clicked_at < t.clicked_at
    """
)
_CONVERSIONS = text(
    """
    insert into conversions as t (account, subject, subject_id, converted_at, consented)
    select distinct on (owner, owner_id) :account, owner, owner_id, at, consented
    from staged_seen where owner <> 'click' order by owner, owner_id, line desc
    on conflict (account, subject, subject_id) do update
      set converted_at = excluded.converted_at, consented = excluded.consented
    where (t.converted_at, t.consented) is distinct from (excluded.converted_at, excluded.consented)
    """
)
# Consent that was withdrawn takes the keys with it.
_WITHDRAWN = text(
    """
    delete from matching_keys k using staged_seen s
    where k.account = :account and k.owner = s.owner and k.owner_id = s.owner_id and not s.consented
    """
)
_KEYS = text(
    """
    insert into matching_keys as t (account, owner, owner_id, key_id, fingerprint, ip_prefix, agent_family)
    select distinct on (owner, owner_id, key_id) :account, owner, owner_id, key_id, fingerprint, ip_prefix, agent_family
    from staged_seen where key_id is not null and consented order by owner, owner_id, key_id, line desc
    on conflict (account, owner, owner_id, key_id) do update
      set fingerprint = excluded.fingerprint, ip_prefix = excluded.ip_prefix, agent_family = excluded.agent_family
    where (t.fingerprint, t.ip_prefix, t.agent_family)
      is distinct from (excluded.fingerprint, excluded.ip_prefix, excluded.agent_family)
    """
)
_EMAILS = text(
    """
    insert into email_keys (account, email, key_id, owner, owner_id)
    select distinct :account, email, :key_id, owner, owner_id from staged_seen where email is not null
    on conflict do nothing
    """
)


def store(connection: Connection, account: Account, seen: Iterable[Seen], *, key_id: str) -> int:
    """Stores clicks or conversions with their hashes; returns how many rows are new or changed.

    `key_id` names the key of the e-mail hashes ("" when there are none).
    """
    raw = driver(connection)
    raw.execute("drop table if exists pg_temp.staged_seen")
    raw.execute(_STAGE)
    with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
        for line, one in enumerate(seen):
            for row in _staged(one, line):
                copy.write_row(row)
    parameters = {"account": account}
    connection.execute(_DROP_FORGOTTEN, parameters)
    written = sum(connection.execute(one, parameters).rowcount for one in (_CLICKS, _CONVERSIONS, _WITHDRAWN, _KEYS))
    return written + connection.execute(_EMAILS, {**parameters, "key_id": key_id}).rowcount


def _staged(one: Seen, line: int) -> Iterator[Sequence[object]]:
    known = (one.owner, one.owner_id, one.ad_id, one.at, one.consented, one.email)
    if not one.keys:
        yield (*known, None, None, None, None, line)
    for keys in one.keys:
        yield (*known, keys.key_id, keys.fingerprint, keys.ip_prefix, keys.agent_family, line)


def link_emails(
    connection: Connection, account: Account, links: Iterable[tuple[bytes, str, str]], *, key_id: str
) -> int:
    """Remembers which (e-mail hash, owner, owner id) belong together; returns how many are new."""
    raw = driver(connection)
    raw.execute("drop table if exists pg_temp.staged_emails")
    raw.execute("create temporary table staged_emails (email bytea, owner text, owner_id text) on commit drop")
    with raw.cursor() as cursor, cursor.copy("copy staged_emails (email, owner, owner_id) from stdin") as copy:
        for link in links:
            copy.write_row(link)
    parameters = {"account": account, "key_id": key_id}
    return connection.execute(_LINK, parameters).rowcount + connection.execute(_UNLINK, parameters).rowcount


_LINK = text(
    """
    insert into email_keys (account, email, key_id, owner, owner_id)
    select distinct :account, s.email, :key_id, s.owner, s.owner_id from staged_emails s
    where not exists (select from forgotten_emails f where f.account = :account and f.email = s.email)
    on conflict do nothing
    """
)
# A deal of somebody who was forgotten comes in again without its click.
_UNLINK = text(
    """
    update deals d set click_id = null from staged_emails s, forgotten_emails f
    where d.account = :account and :key_id <> '' and s.owner = 'deal' and d.deal_id = s.owner_id
      and d.click_id is not null and f.account = d.account and f.email = s.email
    """
)


def keys_of(
    connection: Connection, account: Account, subjects: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[MatchKeys, ...]]:
    """The hashes of conversions that are named by (`deal` or `contact`, id), one per privacy key."""
    if not subjects:
        return {}
    rows = connection.execute(
        text(
            """
            select k.owner, k.owner_id, k.key_id, k.fingerprint, k.ip_prefix, k.agent_family
            from unnest(cast(:owners as text[]), cast(:ids as text[])) as s (owner, owner_id)
            join matching_keys k on k.account = :account and k.owner = s.owner and k.owner_id = s.owner_id
            order by k.key_id
            """
        ),
        {"account": account, "owners": [owner for owner, _ in subjects], "ids": [one for _, one in subjects]},
    )
    found: dict[tuple[str, str], tuple[MatchKeys, ...]] = {}
    for row in rows:
        name = (row.owner, row.owner_id)
        found[name] = (*found.get(name, ()), _keys(row))
    return found


def clicks_like(connection: Connection, account: Account, keys: Sequence[MatchKeys]) -> list[SeenClick]:
    """Consented clicks of the same devices or networks."""
    if not keys:
        return []
    rows = connection.execute(
        text(
            """
            select c.ad_id, c.clicked_at, k.key_id, k.fingerprint, k.ip_prefix, k.agent_family
            from matching_keys k
            join click_tracking c on c.account = k.account and c.click_id = k.owner_id and c.consented
            where k.account = :account and k.owner = 'click'
              and (k.fingerprint = any(:fingerprints) or k.ip_prefix = any(:prefixes))
            """
        ),
        {
            "account": account,
            "fingerprints": list({one.fingerprint for one in keys if one.fingerprint}),
            "prefixes": list({one.ip_prefix for one in keys if one.ip_prefix}),
        },
    )
    return [SeenClick(ad_id=row.ad_id, clicked_at=row.clicked_at, keys=_keys(row)) for row in rows]


def _keys(row: Row[Any]) -> MatchKeys:
    return MatchKeys(
        key_id=row.key_id, fingerprint=row.fingerprint, ip_prefix=row.ip_prefix, agent_family=row.agent_family
    )
