"""Accounts, and the clock that every decision uses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from adctl.domain.accounts import AccountProfile
from adctl.domain.entities import AdAccount
from adctl.domain.ids import Account
from adctl.errors import ConfigurationError


def now(connection: Connection) -> datetime:
    """The database's time, one clock for all hosts; simulated in the databases of demo and tests."""
    value = connection.scalar(text("select adctl_now()"))
    assert isinstance(value, datetime)
    return value


def is_simulated(connection: Connection) -> bool:
    """True when the clock is simulated, so that no real vendor may be called."""
    return bool(connection.scalar(text("select exists (select from simulated_clock)")))


def simulate(connection: Connection, at: datetime) -> None:
    """Sets the simulated clock, which turns this into a database for demo or tests for good."""
    connection.execute(
        text("insert into simulated_clock (at) values (:at) on conflict (singleton) do update set at = excluded.at"),
        {"at": at},
    )


_PINNED = text(
    """
    select a.meta_ad_account, a.currency, a.timezone,
      exists (select from campaigns t where t.account = a.account)
      or exists (select from insights t where t.account = a.account)
      or exists (select from deals t where t.account = a.account)
      or exists (select from ad_performances t where t.account = a.account)
      or exists (select from synthetic_revenue_config t where t.account = a.account) as holds_figures
    from accounts a where a.account = :account
    """
)


def check_pinned(connection: Connection, profile: AccountProfile) -> bool:
    """True when the account exists and fits the configuration, False when it is new or holds no figures yet.

    Raises ConfigurationError when the ad account, currency or time zone differ from those of the stored figures.
    """
    row = connection.execute(_PINNED, {"account": profile.account}).one_or_none()
    if row is None:
        return False
    for key in ("meta_ad_account", "currency", "timezone"):
        if getattr(row, key) != getattr(profile, key):
            # A first run that was refused for a slip in adctl.toml must not hold the slip against its correction.
            if not row.holds_figures:
                return False
            raise ConfigurationError(
                f"account {profile.account!r}: {key} is {getattr(profile, key)!r} in the configuration but "
                f"{getattr(row, key)!r} in the database",
                fix="correct adctl.toml; what was read stays as it is, another value needs a database of its own",
            )
    return True


_TWIN = text(
    """
    select a.account from accounts a
    where a.meta_ad_account = :meta_ad_account and a.meta_ad_account <> '' and a.account <> :account
    """
)


def ensure(connection: Connection, profile: AccountProfile) -> None:
    """Creates the account with its controls on first use. Raises ConfigurationError as check_pinned does, and where
    another account has its ad account.
    """
    if check_pinned(connection, profile):
        return
    key = {"account": profile.account}
    # Of two first jobs at once the later one would run into the index on ad accounts before it sees the account.
    connection.execute(text("select pg_advisory_xact_lock(hashtextextended('adctl.accounts', 0))"))
    twin = connection.scalar(_TWIN, {**key, "meta_ad_account": profile.meta_ad_account})
    if twin is not None:
        raise ConfigurationError(
            f"account {profile.account!r}: {profile.meta_ad_account} is the ad account of {twin!r} in this database",
            fix="an ad account has one account in adctl, or each would use up its limits",
        )
    connection.execute(
        text(
            """
            insert into accounts (account, meta_ad_account, hubspot_portal, currency, timezone)
            values (:account, :meta_ad_account, nullif(:hubspot_portal, ''), :currency, :timezone)
            on conflict (account) do update set
              meta_ad_account = excluded.meta_ad_account, hubspot_portal = excluded.hubspot_portal,
              currency = excluded.currency, timezone = excluded.timezone
            """
        ),
        {
            **key,
            "meta_ad_account": profile.meta_ad_account,
            "hubspot_portal": profile.hubspot_portal,
            "currency": profile.currency,
            "timezone": profile.timezone,
        },
    )
    connection.execute(text("insert into controls (account) values (:account) on conflict do nothing"), key)


def update_from_meta(connection: Connection, account: Account, facts: AdAccount) -> int:
    """Stores the name and Meta's minimum budget; returns rows changed."""
    result = connection.execute(
        text(
            """
            update accounts set name = :name, min_daily_budget = :minimum
            where account = :account and (name, min_daily_budget) is distinct from (:name, :minimum)
            """
        ),
        {"account": account, "name": facts.name, "minimum": facts.min_daily_budget},
    )
    return result.rowcount


def min_daily_budget(connection: Connection, account: Account) -> int:
    """Meta's minimum for a daily budget, minor units, 0 when not known."""
    value = connection.scalar(
        text("select min_daily_budget from accounts where account = :account"), {"account": account}
    )
    return int(value or 0)
