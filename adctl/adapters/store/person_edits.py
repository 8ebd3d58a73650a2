"""Edits by people or other tools: values at Meta that neither we sent nor had read before, or entries of its log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.domain.changes import Change, Value
from adctl.domain.entities import Ad, AdSet, Campaign, Edit
from adctl.domain.ids import Account

# What was sent and may have been applied since the value was stored is ours. A value that was stored after this reading
# began is newer than the reading. Of what only a file has named (UNKNOWN) no value was ever read; a budget that goes to
# the campaign, back to its ad sets, or becomes one for a lifetime is edited, too.
_NOTE = text(
    """
    with stored as (
      select 'campaign' as kind, campaign_id as id, 'daily_budget' as field,
        coalesce(daily_budget::text, 'none') as value, status, read_at
      from campaigns where account = :account
      union all
      select 'ad_set', ad_set_id, 'daily_budget', coalesce(daily_budget::text, 'none'), status, read_at
      from ad_sets where account = :account
      union all
      select 'ad', ad_id, 'status', status, status, read_at from ads where account = :account
    )
    insert into person_edits (account, entity_kind, entity_id, field, old_value, new_value, edited_at, noticed_at)
    select :account, o.kind, o.id, o.field, o.value, n.value,
      case when n.edited_at between o.read_at and :at then n.edited_at else :at end, adctl_now()
    from unnest(cast(:kinds as text[]), cast(:ids as text[]), cast(:fields as text[]), cast(:values as text[]),
      cast(:times as timestamptz[])) as n (kind, id, field, value, edited_at)
    join stored o on o.kind = n.kind and o.id = n.id and o.field = n.field
    where o.value <> n.value and o.status <> 'UNKNOWN' and o.read_at <= :at
      and not exists (
        select from change_attempts a
        where a.account = :account and a.entity_kind = o.kind and a.entity_id = o.id and a.field = o.field
          and a.authorised_at >= o.read_at and may_hold(a.outcome)
          and coalesce(a.target_budget::text, a.target_status) = n.value)
    on conflict do nothing
    """
)
# An entry is ours when it stands near an attempt of the field: from a little before, for clocks differ, until the
# attempt can be under way no more. What its values mean is Meta's affair.
_NOTE_LOGGED = text(
    """
    insert into person_edits (account, entity_kind, entity_id, field, old_value, new_value, edited_at, noticed_at)
    select :account, n.kind, n.id, n.field, n.old, n.new, n.at, adctl_now()
    from unnest(cast(:kinds as text[]), cast(:ids as text[]), cast(:fields as text[]), cast(:olds as text[]),
      cast(:news as text[]), cast(:times as timestamptz[])) as n (kind, id, field, old, new, at)
    where not exists (
      select from change_attempts a join limits l on l.account = a.account
      where a.account = :account and a.entity_kind = n.kind and a.entity_id = n.id and a.field = n.field
        and n.at between a.authorised_at - interval '1 minute' and a.authorised_at + l.settle + interval '1 minute')
    on conflict do nothing
    """
)
_NOTE_CONFLICT = text(
    """
    insert into person_edits (account, entity_kind, entity_id, field, old_value, new_value, edited_at, noticed_at)
    values (:account, :kind, :id, :field, :old, :new, adctl_now(), adctl_now())
    on conflict do nothing
    """
)


def note(
    connection: Connection,
    account: Account,
    *,
    campaigns: Sequence[Campaign],
    ad_sets: Sequence[AdSet],
    ads: Sequence[Ad],
    read_at: datetime,
) -> int:
    """Compares what Meta lists, read from `read_at` on, with what is still stored; returns how many edits are new."""
    rows = [
        *(("campaign", c.campaign_id, "daily_budget", _text(c.daily_budget), c.updated_at) for c in campaigns),
        *(("ad_set", a.ad_set_id, "daily_budget", _text(a.daily_budget), a.updated_at) for a in ad_sets),
        *(("ad", a.ad_id, "status", a.status, a.updated_at) for a in ads),
    ]
    names = ("kinds", "ids", "fields", "values", "times")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return connection.execute(_NOTE, {"account": account, "at": read_at, **columns}).rowcount


def note_logged(connection: Connection, account: Account, edits: Sequence[Edit]) -> int:
    """Takes down what somebody else than we did by Meta's log, the edits that were put back since too; returns how many
    are new. Within `limits.settle` of a sending of ours an edit of the same field is taken for ours.
    """
    columns = {
        "kinds": [one.kind.value for one in edits],
        "ids": [one.entity_id for one in edits],
        "fields": [one.field.value for one in edits],
        "olds": [one.old for one in edits],
        "news": [one.new for one in edits],
        "times": [one.at for one in edits],
    }
    return connection.execute(_NOTE_LOGGED, {"account": account, **columns}).rowcount


def note_conflict(connection: Connection, change: Change, observed: Value) -> None:
    """Takes down the value of a stranger that a change met."""
    connection.execute(
        _NOTE_CONFLICT,
        {
            "account": change.account,
            "kind": change.kind.value,
            "id": change.entity_id,
            "field": change.field.value,
            "old": str(change.expected),
            "new": str(observed),
        },
    )


def newest(connection: Connection, account: Account, start: datetime) -> dict[str, datetime]:
    """The last edit after `start` of each object that had one, by its id."""
    rows = connection.execute(
        text(
            """
            select entity_id, max(edited_at) as at from person_edits
            where account = :account and edited_at > :start group by entity_id
            """
        ),
        {"account": account, "start": start},
    )
    return {row.entity_id: row.at for row in rows}


def budgets(connection: Connection, account: Account, start: datetime) -> dict[str, list[tuple[int, datetime]]]:
    """Daily budgets (minor units) that edits after `start` replaced or set, with the moment, by the object's id."""
    rows = connection.execute(
        text(
            """
            select e.entity_id, v.said, e.edited_at as at
            from person_edits e cross join lateral unnest(array[e.old_value, e.new_value]) v (said)
            where e.account = :account and e.field = 'daily_budget' and e.edited_at > :start
              and v.said ~ '^[0-9]{1,15}$'
            """
        ),
        {"account": account, "start": start},
    )
    found: dict[str, list[tuple[int, datetime]]] = {}
    for row in rows:
        found.setdefault(row.entity_id, []).append((int(row.said), row.at))
    return found


def _text(budget: int | None) -> str:
    return "none" if budget is None else str(budget)
