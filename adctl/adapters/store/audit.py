"""The append-only history of every change, and its chain of hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from adctl.domain.change_rows import value_shown
from adctl.domain.entities import Field
from adctl.domain.ids import Account
from adctl.domain.report import Cell


def head(connection: Connection, account: Account) -> str:
    """The newest link of the account's chain as `sequence:hash`, for a copy outside the database."""
    row = connection.execute(
        text("select seq, encode(hash, 'hex') as hash from audit_heads where account = :account"),
        {"account": account},
    ).one_or_none()
    return "0:" if row is None else f"{row.seq}:{row.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking an account's history found.

    `broken` is the first sequence number that is missing or does not fit, `trouble` says how; both None when the chain
    holds. `strays` are changes whose state is not the one that the history left them in.
    """

    links: int
    broken: int | None
    trouble: str | None
    strays: tuple[UUID, ...]

    @property
    def holds(self) -> bool:
        return self.broken is None and not self.strays


_VERIFY = text(
    """
    with links as (
      select h.seq, h.hash, row_number() over w as place,
        case
          when h.seq > row_number() over w then 'is missing'
          when h.seq < row_number() over w then 'is there twice'
          when h.previous_hash <> coalesce(lag(h.hash) over w, '') then 'does not follow the one before'
          when h.hash <> audit_hash(h.previous_hash, h) then 'was rewritten'
        end as trouble
      from ad_change_history h where h.account = :account window w as (order by h.seq)
    ), last as (
      select coalesce(max(l.place), 0) as place from links l
    ), head as (
      select coalesce(a.seq, 0) as seq, a.hash from (select) one left join audit_heads a on a.account = :account
    ), troubles as (
      select least(l.seq, l.place) as seq, l.trouble from links l where l.trouble is not null
      union all
      select last.place + 1, 'is missing' from last, head where head.seq > last.place
      union all
      select last.place, 'is beyond the head' from last, head where head.seq < last.place
      union all
      select l.seq, 'is not the head''s' from links l join head on head.seq = l.seq and head.hash <> l.hash
    )
    select last.place as links, t.seq as broken, t.trouble, array(
      select coalesce(c.change_id, h.change_id) from
        (select change_id, state from pending_ad_changes where account = :account) c
        full join (
          select distinct on (change_id) change_id, to_state from ad_change_history
          where account = :account order by change_id, seq desc
        ) h on h.change_id = c.change_id
      where c.state is distinct from h.to_state order by 1
    ) as strays
    from last left join lateral (select seq, trouble from troubles order by seq limit 1) t on true
    """
)


def verify(connection: Connection, account: Account) -> Verification:
    """Recomputes the account's chain from its first link to its head, and replays it against the changes' states."""
    row = connection.execute(_VERIFY, {"account": account}).one()
    return Verification(links=row.links, broken=row.broken, trouble=row.trouble, strays=tuple(row.strays))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One move of one change. `hash` is hex, over all that is kept of the move and the link before."""

    seq: int
    at: datetime
    change_id: UUID
    from_state: str | None
    to_state: str
    actor: str
    entity_kind: str
    entity_id: str
    field: str
    expected: str | None
    target: str
    observed: str | None
    attempt: int
    reason: str | None
    hash: str

    def cells(self) -> dict[str, Cell]:
        """All of it as cells of a report's row; budgets are minor units."""
        values = {name: _amount(self.field, getattr(self, name)) for name in ("expected", "target", "observed")}
        return {name: getattr(self, name) for name in self.__slots__} | {"change_id": str(self.change_id)} | values


def _amount(field: str, value: str | None) -> int | str | None:
    """A value of the chain, which holds text, as what it is."""
    return int(value) if field == Field.DAILY_BUDGET and value is not None else value


_LINKS = text(
    """
    select seq, at, change_id, from_state, to_state, actor, entity_kind, entity_id, field, expected, target, observed,
      attempt, reason, encode(hash, 'hex') as hash
    from ad_change_history
    where account = :account and (cast(:change_id as uuid) is null or change_id = :change_id)
    order by seq desc limit :most
    """
)


def links(connection: Connection, account: Account, *, change_id: UUID | None = None, most: int) -> tuple[Link, ...]:
    """The newest `most` links, of one change or of all; oldest first."""
    rows = connection.execute(_LINKS, {"account": account, "change_id": change_id, "most": most}).all()
    return tuple(Link(**row._mapping) for row in reversed(rows))


def holds_link(connection: Connection, account: Account, seq: int, hash_: str) -> bool:
    """Whether the chain still has this link, by the copy of a head that was kept outside the database."""
    return bool(
        connection.scalar(
            text(
                """
                select exists (select from ad_change_history
                  where account = :account and seq = :seq and encode(hash, 'hex') = :hash)
                """
            ),
            {"account": account, "seq": seq, "hash": hash_},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a change: `what` in a word or two, `detail` what is known of it, `values` the budgets
    (minor units) and statuses in it by name.
    """

    at: datetime
    what: str
    detail: str
    values: Mapping[str, Cell]


# `before` and `after` are what is said before and after the values.
_EVENTS = text(
    """
    select c.created_at as at, 0 as rank, 'queued' as what, c.field, cast(null as text[]) as before,
      coalesce(c.target_budget::text, c.target_status) as target,
      coalesce(c.expected_budget::text, c.expected_status) as expected,
      case when c.wanted_budget <> c.target_budget then c.wanted_budget::text end as wanted, null as observed,
      array[(select 'held by ' || string_agg(k ->> 'guard', ', ') from jsonb_array_elements(c.clipped_by) k),
        case when c.fuzz_ppm <> 0 then 'fuzz ' || c.fuzz_ppm || ' ppm' end] as after
    from pending_ad_changes c where c.account = :account and c.change_id = :change_id
    union all
    select a.authorised_at, 1, 'attempt ' || a.attempt, a.field,
      array['by ' || a.authorised_by, coalesce(a.outcome, 'no answer yet'), a.code, a.detail],
      null, null, null, null, null
    from change_attempts a where a.account = :account and a.change_id = :change_id
    union all
    select h.at, 2 + h.seq, coalesce(h.from_state, 'new') || ' to ' || h.to_state, h.field,
      array['by ' || h.actor, h.reason], null, null, null, h.observed, array['audit row ' || h.seq]
    from ad_change_history h where h.account = :account and h.change_id = :change_id
    order by at, rank
    """
)
_SAID = {"target": "to {}", "expected": "from {}", "wanted": "{} was wanted", "observed": "read {}"}


def events_of(connection: Connection, account: Account, change_id: UUID, currency: str) -> tuple[Event, ...]:
    """A change's whole life in order: queued, every attempt, every move."""
    rows = connection.execute(_EVENTS, {"account": account, "change_id": change_id})
    return tuple(_event(row._mapping, currency) for row in rows)


def _event(row: RowMapping, currency: str) -> Event:
    values = {name: value for name in _SAID if (value := _amount(row["field"], row[name])) is not None}
    said = [_SAID[name].format(value_shown(value, currency)) for name, value in values.items()]
    words = [*(row["before"] or ()), *said, *(row["after"] or ())]
    return Event(at=row["at"], what=row["what"], detail="; ".join(word for word in words if word), values=values)
