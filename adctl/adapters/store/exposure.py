"""Whether an account's changes are sent at all, how much it may spend a day, and what was raised of late."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from adctl.domain.ids import Account


def daily_budget(connection: Connection, account: Account) -> int:
    """The sum of all daily budgets in force, minor units: those of active campaigns and of active ad sets in them."""
    value = connection.scalar(
        text(
            """
            select coalesce(sum(b.daily_budget), 0)::bigint from (
              select c.daily_budget from campaigns c where c.account = :account and c.status = 'ACTIVE'
              union all
              select s.daily_budget from ad_sets s
              join campaigns c on c.account = s.account and c.campaign_id = s.campaign_id and c.status = 'ACTIVE'
              where s.account = :account and s.status = 'ACTIVE'
            ) b
            """
        ),
        {"account": account},
    )
    return int(value or 0)


def raised_since(connection: Connection, account: Account, start: datetime) -> int:
    """The sum of authorised raises after `start`, minor units, as the cap counts: what may have been applied counts,
    a change that was sent again counts once.
    """
    value = connection.scalar(
        text(
            """
            select coalesce(sum(s.raise), 0)::bigint from (
              select max(a.target_budget - a.expected_budget) as raise from change_attempts a
              where a.account = :account and a.field = 'daily_budget' and a.target_budget > a.expected_budget
                and a.authorised_at > :start and coalesce(a.outcome, 'unknown') in ('accepted', 'unknown')
              group by a.change_id
            ) s
            """
        ),
        {"account": account, "start": start},
    )
    return int(value or 0)


EVERY_ACCOUNT = Account("*")


def set_halted(
    connection: Connection, account: Account, *, halted: bool, reason: str, armed_for: timedelta | None = None
) -> bool:
    """Stops or allows the sending for one account or EVERY_ACCOUNT; True when that changes anything.

    Allowed for `armed_for` from now, None: until somebody stops it. Once a halt is committed no attempt begins: an
    authorisation reads this row under a lock.
    """
    changed = connection.execute(
        text(
            """
            insert into controls as c (account, halted, reason, armed_until, changed_at)
            values (:account, :halted, :reason, adctl_now() + cast(:armed_for as interval), adctl_now())
            on conflict (account) do update
              set halted = excluded.halted, reason = excluded.reason, changed_at = excluded.changed_at,
                armed_until = case when excluded.halted then c.armed_until else excluded.armed_until end
              where (c.halted, c.reason) is distinct from (excluded.halted, excluded.reason)
                or not excluded.halted and c.armed_until is distinct from excluded.armed_until
            """
        ),
        {"account": account, "halted": halted, "reason": reason or None, "armed_for": armed_for},
    )
    return changed.rowcount == 1


_HALT = text(
    """
    select halt_reason(array(select c from controls c where c.account in ('*', :account))),
      exists (select from accounts a where a.account = :account) as known
    """
)


def halt(connection: Connection, account: Account) -> str | None:
    """Why nothing is sent for this account, by the same rule as an authorisation; None when sending is on."""
    reason, known = connection.execute(_HALT, {"account": account}).one()
    if reason == _NO_ROW:
        return "off: adctl resume allows it" if known else "off: nothing was read for this account yet"
    return None if reason is None else str(reason)


# As halt_reason says that nobody ever allowed or forbade it.
_NO_ROW = "no control row"


def armed_until(connection: Connection, account: Account) -> datetime | None:
    """Until when the account may be sent for, None when no end is set."""
    value = connection.scalar(
        text("select min(armed_until) from controls where account in ('*', :account)"), {"account": account}
    )
    assert value is None or isinstance(value, datetime)
    return value


def limit_arming(connection: Connection, account: Account, span: timedelta | None) -> None:
    """Holds the account to be armed for at most `span`; one that nobody armed yet is not armed. None: for ever."""
    connection.execute(
        text(
            """
            update controls
            set armed_until = least(coalesce(armed_until, adctl_now()), adctl_now() + cast(:span as interval))
            where account = :account and cast(:span as interval) is not null
              and coalesce(armed_until, 'infinity') > adctl_now() + cast(:span as interval)
            """
        ),
        {"account": account, "span": span},
    )
