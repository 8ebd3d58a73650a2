"""What must not be kept: matching keys past their window, settled rejects, and everything of somebody who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.domain.ids import Account

# In this order: a key goes before the row that says how old it is.
_EXPIRED = {
    "matching_keys": """
        delete from matching_keys k where k.account = :account and (
          (k.owner = 'click' and not exists (select from click_tracking c
            where c.account = k.account and c.click_id = k.owner_id and c.clicked_at >= :clicks_since))
          or (k.owner <> 'click' and not exists (select from conversions c
            where c.account = k.account and c.subject = k.owner and c.subject_id = k.owner_id
              and c.converted_at >= :clicks_since)))
        """,
    "click_tracking": "delete from click_tracking where account = :account and clicked_at < :clicks_since",
    "conversions": "delete from conversions where account = :account and converted_at < :clicks_since",
    "email_keys": """
        delete from email_keys e where e.account = :account and e.owner = 'click' and not exists (
          select from click_tracking c where c.account = e.account and c.click_id = e.owner_id)
        """,
    "rejected_rows": """
        delete from rejected_rows where account = :account
          and (rejected_at < :rejects_since or settled_at < :rejects_since)
        """,
    "earlier_rows": "delete from earlier_rows where account = :account and known_until < :earlier_since",
}
_COUNTED = {
    "matching_keys": """
        select count(*) from matching_keys k where k.account = :account and (
          (k.owner = 'click' and not exists (select from click_tracking c
            where c.account = k.account and c.click_id = k.owner_id and c.clicked_at >= :clicks_since))
          or (k.owner <> 'click' and not exists (select from conversions c
            where c.account = k.account and c.subject = k.owner and c.subject_id = k.owner_id
              and c.converted_at >= :clicks_since)))
        """,
    "click_tracking": "select count(*) from click_tracking where account = :account and clicked_at < :clicks_since",
    "conversions": "select count(*) from conversions where account = :account and converted_at < :clicks_since",
    "email_keys": """
        select count(*) from email_keys e where e.account = :account and e.owner = 'click' and not exists (
          select from click_tracking c
          where c.account = e.account and c.click_id = e.owner_id and c.clicked_at >= :clicks_since)
        """,
    "rejected_rows": """
        select count(*) from rejected_rows where account = :account
          and (rejected_at < :rejects_since or settled_at < :rejects_since)
        """,
    "earlier_rows": "select count(*) from earlier_rows where account = :account and known_until < :earlier_since",
}
# Deals and contacts keep their business figures and lose the click of the person.
_FORGOTTEN = {
    "matching_keys": """
        delete from matching_keys k using email_keys e where k.account = :account and e.account = k.account
          and e.email = any(:emails) and e.owner = k.owner and e.owner_id = k.owner_id
        """,
    "click_tracking": """
        delete from click_tracking c using email_keys e where c.account = :account and e.account = c.account
          and e.email = any(:emails) and e.owner = 'click' and e.owner_id = c.click_id
        """,
    "clicks_of_deals": """
        delete from click_tracking c using email_keys e, deals d where c.account = :account and e.account = c.account
          and d.account = c.account and e.email = any(:emails) and e.owner = 'deal' and d.deal_id = e.owner_id
          and d.click_id = c.click_id
        """,
    "clicks_of_contacts": """
        delete from click_tracking t using email_keys e, contacts c where t.account = :account and e.account = t.account
          and c.account = t.account and e.email = any(:emails) and e.owner = 'contact' and c.contact_id = e.owner_id
          and c.click_id = t.click_id
        """,
    "conversions": """
        delete from conversions c using email_keys e where c.account = :account and e.account = c.account
          and e.email = any(:emails) and e.owner = c.subject and e.owner_id = c.subject_id
        """,
    "deals": """
        update deals d set click_id = null from email_keys e where d.account = :account and e.account = d.account
          and e.email = any(:emails) and e.owner = 'deal' and e.owner_id = d.deal_id and d.click_id is not null
        """,
    "contacts": """
        update contacts c set click_id = null from email_keys e where c.account = :account and e.account = c.account
          and e.email = any(:emails) and e.owner = 'contact' and e.owner_id = c.contact_id and c.click_id is not null
        """,
    "rejected_rows": "delete from rejected_rows where account = :account and email = any(:emails)",
    "email_keys": "delete from email_keys where account = :account and email = any(:emails)",
}


def purge(
    connection: Connection,
    account: Account,
    *,
    clicks_since: datetime,
    rejects_since: datetime,
    earlier_since: datetime,
    dry_run: bool,
) -> Mapping[str, int]:
    """Deletes clicks, conversions and their keys from before `clicks_since`, rejects from before `rejects_since`, and
    rows as they were before `earlier_since`.

    Returns rows by table; a dry run counts them.
    """
    when = {
        "account": account,
        "clicks_since": clicks_since,
        "rejects_since": rejects_since,
        "earlier_since": earlier_since,
    }
    if dry_run:
        return {name: int(connection.scalar(text(count), when) or 0) for name, count in _COUNTED.items()}
    return {name: connection.execute(text(delete), when).rowcount for name, delete in _EXPIRED.items()}


def forget(
    connection: Connection, account: Account, emails: Sequence[tuple[str, bytes]], at: datetime
) -> Mapping[str, int]:
    """Erases what belongs to the (key id, e-mail hash) pairs and remembers them, so that none comes back."""
    found = {"account": account, "emails": [email for _, email in emails]}
    counts = {name: connection.execute(text(erase), found).rowcount for name, erase in _FORGOTTEN.items()}
    for key_id, email in emails:
        connection.execute(
            text(
                """
                insert into forgotten_emails (account, email, key_id, forgotten_at)
                values (:account, :email, :key_id, :at) on conflict do nothing
                """
            ),
            {"account": account, "email": email, "key_id": key_id, "at": at},
        )
    return counts
