"""Two hosts run one account with different limits: the stricter ones hold on both, and it is said."""

from __future__ import annotations

from datetime import timedelta

from adctl.commands import status
from adctl.commands.status import Expectations
from adctl.domain.report import Cell
from tests.builders import Loop, fact, table

CAP = 'cap_increase_per_24h = "300.00"'
LIMITS = "[accounts.main.limits]"


def on(loop: Loop, host: str, **limits: int) -> None:
    """From now on the loop's runs are those of this host, with these whole limits."""
    kept = [line for line in loop.toml.splitlines() if line.partition(" =")[0] not in {"host_name", *limits}]
    loop.toml = "\n".join([f'host_name = "{host}"', *kept, ""])
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    loop.configure(LIMITS, f"{LIMITS}\n{lines}") if lines else loop.configure()


def settle_of(loop: Loop) -> float:
    value = loop.value("select settle from limits where account = 'main'")
    assert isinstance(value, timedelta)
    return value.total_seconds()


def queue_raise(loop: Loop, place: int = 0) -> None:
    node = loop.owners()[place]
    loop.queue(node, (node.daily_budget or 0) * 11 // 10)


def test_a_weaker_host_does_not_loosen_the_limits_of_a_stricter_one_and_both_are_told(loop: Loop) -> None:
    on(loop, "strict", rate_per_campaign_per_hour=1, settle_seconds=200)
    assert loop.execute().notes == ()
    on(loop, "weak", rate_per_campaign_per_hour=15, settle_seconds=30)
    report = loop.execute()
    (note,) = report.notes
    assert "stricter limits, which hold: rate per campaign, settle." in note
    assert "strict (2026-" in note
    assert (settle_of(loop), loop.value("select rate_per_campaign from limits")) == (200, 1)
    assert loop.reconcile().notes == (note,)


def test_a_limit_that_one_host_alone_changes_counts_at_once(loop: Loop) -> None:
    for seconds in (120, 200, 30):
        on(loop, "one", settle_seconds=seconds)
        assert loop.execute().notes == ()
        assert settle_of(loop) == seconds


def test_a_host_that_is_gone_counts_for_a_day_and_then_no_more(loop: Loop) -> None:
    on(loop, "gone", settle_seconds=200)
    loop.execute()
    on(loop, "here", settle_seconds=30)
    loop.advance(hours=25)
    assert len(loop.execute().notes) == 1
    loop.advance(hours=1)
    assert (loop.execute().notes, settle_of(loop)) == ((), 30)


def test_of_many_hosts_the_newest_are_named_and_those_that_are_gone_are_forgotten(loop: Loop) -> None:
    for number in range(5):
        on(loop, f"pod-{number}", settle_seconds=200)
        loop.execute()
        loop.advance(minutes=1)
    on(loop, "here", settle_seconds=30)
    (note,) = loop.execute().notes
    assert [name in note for name in ("pod-4", "pod-3", "pod-2", "pod-1")] == [True, True, True, False]
    assert " and 2 more." in note
    loop.advance(hours=26)
    loop.execute()
    assert [row["host"] for row in loop.rows("host_limits")] == ["here"]


def test_a_settling_time_is_not_shortened_under_a_sending_that_counts_on_it(loop: Loop) -> None:
    on(loop, "one", settle_seconds=200)
    queue_raise(loop)
    loop.sandbox.meta.faults.arm("close", method="POST")
    loop.execute()
    on(loop, "one", settle_seconds=30)
    loop.advance(seconds=60)
    assert fact(loop.execute(), "sent") == 0
    assert (settle_of(loop), loop.value("select state from pending_ad_changes")) == (200, "unknown")
    loop.advance(seconds=140)
    report = loop.execute()
    assert (settle_of(loop), fact(report, "confirmed"), len(table(report, "changes").rows)) == (30, 1, 2)


def test_status_shows_the_least_cap_of_all_hosts(loop: Loop) -> None:
    def facts(cap: int | None) -> dict[str, Cell]:
        expected = Expectations(insights_age=timedelta(1), crm_age=timedelta(1), cap=cap, host="here")
        return {one.key: one.value for one in status.run(loop.engine, loop.job().profile, expected).facts}

    on(loop, "strict")
    loop.execute()
    assert [facts(cap)["cap"] for cap in (20_000, 40_000, None)] == [20_000, 30_000, None]
    loop.configure(CAP, "")
    loop.execute()
    assert (facts(20_000)["cap"], facts(20_000)["sending"]) == (
        None,
        "off: limits.cap_increase_per_24h is not set on strict",
    )
