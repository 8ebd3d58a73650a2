"""New deals and money won by the account's own days, out of those deals alone that fall into them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Deal
from adctl.domain.ids import Account, DealId

# The clocks there were put forward at midnight on 8 March 2026: that day began at one.
HAVANA = "America/Havana"
MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone=HAVANA
)
SINCE, UNTIL = date(2026, 3, 8), date(2026, 3, 12)


def a_deal(number: int, created: datetime | None, *, closed: datetime | None = None, currency: str = "USD") -> Deal:
    return Deal(
        deal_id=DealId(str(number)),
        pipeline="default",
        stage="closedwon" if closed else "open",
        amount=number,
        currency=currency,
        created_at=created,
        closed_at=closed,
        modified_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def local(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(HAVANA))


def by_day(engine: Engine, *given: Deal) -> tuple[list[int], list[int]]:
    with transaction(engine) as connection:
        accounts.ensure(connection, MAIN)
        connection.execute(
            text(
                """
                insert into synthetic_revenue_config (account, pipeline, stage, effective_from, value, confidence,
                  outcome, origin, recorded_at)
                values ('main', 'default', 'closedwon', '2000-01-01', 1, 1, 'won', 'configured', adctl_now())
                on conflict do nothing
                """
            )
        )
        connection.execute(text("delete from deals"))
        deals.upsert_deals(connection, MAIN.account, given, source="hubspot", read_at=datetime(2026, 3, 12, tzinfo=UTC))
        new, won = deals.by_day(connection, MAIN, SINCE, UNTIL)
        return list(new), list(won)


def test_days_are_the_accounts_own_and_those_before_the_first_deal_are_left_out(engine: Engine) -> None:
    first = datetime(2026, 3, 8, 5, tzinfo=UTC)
    border = (a_deal(10, first - timedelta(seconds=1)), a_deal(20, first))
    assert by_day(engine, *border) == ([1, 0, 0, 0], [0, 0, 0, 0])
    assert by_day(engine, border[0]) == ([0, 0, 0, 0], [0, 0, 0, 0])
    assert by_day(engine, a_deal(30, local(date(2026, 3, 10)))) == ([1, 0], [0, 0])
    # Closed within the days, created long before them.
    old = a_deal(40, local(date(2025, 1, 1)), closed=local(date(2026, 3, 9)))
    assert by_day(engine, old, a_deal(50, None, currency="EUR", closed=local(date(2026, 3, 9)))) == (
        [0, 0, 0, 0],
        [0, 40, 0, 0],
    )
    assert by_day(engine) == ([0, 0, 0, 0], [0, 0, 0, 0])


def test_deals_that_count_no_more_are_not_the_first_ones(engine: Engine) -> None:
    gone = a_deal(60, local(date(2025, 1, 1)))
    day = local(date(2026, 3, 11))
    assert by_day(engine, a_deal(70, day), a_deal(80, day)) == ([2], [0])
    with transaction(engine) as connection:
        deals.upsert_deals(connection, MAIN.account, [gone], source="hubspot", read_at=day)
        deals.archive_gone(connection, MAIN.account, [gone.deal_id], day)
        assert [list(found) for found in deals.by_day(connection, MAIN, SINCE, UNTIL)] == [[2], [0]]
