"""The back-test on an account's own past: what a day did not know yet changes nothing of its replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, insights, results, verdicts
from adctl.adapters.store.history import AccountHistory, account_history
from adctl.adapters.store.time_travel import as_known
from adctl.commands.backtest_history import Replay, run
from adctl.domain.attribution import Attribution, Method
from adctl.domain.deals import Deal
from adctl.domain.decisions import plan_decisions
from adctl.domain.ids import Account, AdId, DealId
from adctl.domain.insights import Insight
from adctl.domain.margins import day_return
from adctl.domain.policies.catalogue import make_policy
from adctl.errors import ConfigurationError
from tests.builders import ACCOUNT, START, Loop

SHORT = Replay(horizon=1, maturity=1)


def known(loop: Loop, day: date, at: datetime) -> AccountHistory:
    with as_known(loop.engine, ACCOUNT, at) as connection:
        return account_history(connection, loop.job().profile, day)


def columns(history: AccountHistory) -> Iterator[tuple[str, Any]]:
    for field in fields(history.history):
        value = getattr(history.history, field.name)
        yield field.name, value.tolist() if isinstance(value, np.ndarray) else value


def assert_same(one: AccountHistory, other: AccountHistory) -> None:
    for (name, mine), (_, theirs) in zip(columns(one), columns(other), strict=True):
        assert repr(mine) == repr(theirs), name


def as_stored(value: object) -> object:
    """Evidence is stored with nine digits."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def assert_replayed_as_stored(loop: Loop, day: date, at: datetime) -> int:
    """Decides the day again on what was known at `at`, and compares every decision with the stored one."""
    loaded = known(loop, day, at)
    stored = {row["decision_id"]: row for row in loop.rows("decisions") if row["day"] == day and not row["shadow"]}
    account = loop.job().account
    policy = make_policy(account.policy, account.policy_parameters)
    plan = plan_decisions(
        account=ACCOUNT,
        day=day,
        currency=account.currency,
        policy=policy,
        owned=loaded.owned,
        ads=loaded.ads,
        active=loaded.history.active,
        result=policy.decide(loaded.history),
    )
    for one in plan.decisions:
        row: Mapping[str, Any] = stored[one.decision_id]
        kept = (row["current_budget"], row["target_budget"]) if row["current_budget"] is not None else None
        assert (one.current, one.target) == (kept or (row["current_status"], row["target_status"]))
        assert (one.verdict, one.confidence, one.reason) == (row["verdict"], row["confidence"], row["reason"])
        assert {key: as_stored(value) for key, value in one.evidence.items()} == row["evidence"]
    assert len(plan.decisions) == len(stored)
    return len(stored)


def return_in_force(loop: Loop, day: date, at: datetime) -> float:
    """What the budgets of the day bring at what each ad's money brought on the next."""
    history = known(loop, day, at).history
    with transaction(loop.engine, read_only=True) as connection:
        found = results.results(connection, loop.job().profile, day + timedelta(days=2), date.min)
    told = day_return(found, day, history.ad_ids, horizon=1)
    return float((history.budget * told.returns).sum() / history.budget.sum())


def test_a_day_replayed_is_the_day_decided_whatever_happened_since(synced: Loop) -> None:
    """Two days of the loop: budgets change, ads pause, figures are restated by Meta, deals move on in HubSpot."""
    for _ in range(2):
        synced.decide()
        synced.advance(minutes=5)
        synced.enqueue()
        synced.execute()
        synced.advance(days=1)
        synced.sync()
    synced.decide()
    with transaction(synced.engine, read_only=True) as connection:
        moments = verdicts.decided_at(connection, ACCOUNT)
    assert list(moments) == [START + timedelta(days=ago) for ago in range(3)]
    assert len(synced.rows("earlier_rows")) > 10
    for day, at in moments.items():
        assert assert_replayed_as_stored(synced, day, at) > 24

    report = run(
        synced.engine,
        synced.job().profile,
        make_policy(synced.job().account.policy, synced.job().account.policy_parameters),
        ("rules", "equal"),
        SHORT,
        processes=1,
    )
    rows = {row["policy"]: row for row in report.tables[0].rows}
    assert set(rows) == {"rules", "equal", "as it was", "hindsight"}
    assert report.summary == f"3 days replayed, 1 scored, {START} to {START}."
    assert rows["as it was"]["return"] == pytest.approx(return_in_force(synced, START, moments[START]))
    assert rows["hindsight"]["regret"] == 0
    assert all(0 <= float(str(row["regret"])) <= 1 for row in rows.values())
    assert float(str(rows["equal"]["lead"])) == pytest.approx(
        float(str(rows["rules"]["return"])) - float(str(rows["equal"]["return"]))
    )


def test_a_restated_insight_and_a_late_deal_count_from_the_day_they_were_known(synced: Loop) -> None:
    with transaction(synced.engine, read_only=True) as connection:
        before = accounts.now(connection)
    row = max(synced.rows("insights"), key=lambda one: int(one["spend"]))
    first = Insight(**{one.name: row[one.name] for one in fields(Insight)})
    past = known(synced, START, before)
    synced.advance(days=1)
    with transaction(synced.engine) as connection:
        now = accounts.now(connection)
        insights.upsert(connection, ACCOUNT, [replace(first, spend=first.spend + 777)], now)
        late = Deal(
            deal_id=DealId("late"),
            pipeline="default",
            stage="closedwon",
            amount=123_456,
            currency=synced.job().account.currency,
            created_at=before - timedelta(days=9),
            closed_at=None,
            modified_at=now,
            archived=False,
            merged_into=None,
            contact_id=None,
            ad_id=first.ad_id,
            click_id=None,
        )
        deals.upsert_deals(connection, ACCOUNT, [late], source="hubspot", read_at=now)
        credit = Attribution(
            deal_id=late.deal_id,
            ad_id=AdId(first.ad_id),
            method=Method.URL_PARAM,
            confidence=1.0,
            evidence={},
            converted_at=late.created_at,
        )
        attributions.upsert(connection, ACCOUNT, [[credit]], now)
    assert_same(known(synced, START, before), past)
    assert_same(known(synced, START, now - timedelta(seconds=1)), known(synced, START, now - timedelta(hours=1)))

    after = known(synced, START, now)

    assert int(after.history.row_spend.sum()) == int(past.history.row_spend.sum()) + 777
    assert len(after.history.deal_ad) == len(past.history.deal_ad) + 1
    assert (after.history.deal_days_ago == 9).sum() == (past.history.deal_days_ago == 9).sum() + 1


def test_a_day_that_was_decided_after_it_had_ended_is_replayed_as_of_its_end(synced: Loop) -> None:
    synced.decide()
    synced.advance(days=3)
    synced.sync()
    synced.run_sql("update decisions set decided_at = adctl_now()")
    synced.decide()
    with transaction(synced.engine, read_only=True) as connection:
        moments = verdicts.decided_at(connection, ACCOUNT)
    assert list(moments) == [START + timedelta(days=3)]


def test_the_past_cannot_be_written_and_leaves_nothing_behind(synced: Loop) -> None:
    before = synced.digest()
    with transaction(synced.engine, read_only=True) as connection:
        moment = accounts.now(connection) - timedelta(days=400)
    with as_known(synced.engine, ACCOUNT, moment) as connection:
        assert accounts.now(connection) == moment
        assert len(account_history(connection, synced.job().profile, moment.date()).ads) == 0
    with (
        pytest.raises(DBAPIError, match="read-only transaction"),
        as_known(synced.engine, ACCOUNT, moment) as connection,
    ):
        accounts.ensure(connection, replace(synced.job().profile, account=Account("other"), meta_ad_account="act_2"))
    assert synced.digest() == before


def test_an_account_without_history_is_refused_and_one_of_a_day_says_when_it_matures(loop: Loop) -> None:
    configured = make_policy("bayes", {})
    with pytest.raises(ConfigurationError, match="nothing to replay"):
        run(loop.engine, loop.job().profile, configured, (), SHORT, processes=1)
    loop.sync()
    loop.decide()
    outcome = loop.command_line()("backtest", "--picture", "p.svg")
    assert outcome.code == 0, outcome.err
    assert "1 day replayed, none has matured yet: 2026-03-02 does on 2026-04-06." in outcome.out
    assert "1 of 1 day replayed (2026-03-02)" in outcome.err
    assert "nothing to show yet" in (loop.folder / "p.svg").read_text()
    assert "guess" in loop.command_line()("backtest", "--policy", "guess").err
