"""From stored decisions to a margin, a promotion and a calibration, on an account that lives through some days."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text

from adctl.adapters.db import transaction
from adctl.adapters.store import verdicts
from adctl.commands import calibration, models
from adctl.commands.models_evaluate import evaluate, promote
from adctl.domain.outcomes import Window
from adctl.domain.policies.catalogue import make_policy
from adctl.domain.report import Report
from adctl.errors import UsageError
from tests.builders import ACCOUNT, LEDGER, START, Loop

SHORT = Window(horizon=1, maturity=1)


def add(loop: Loop, name: str, policy: str) -> None:
    job = loop.job()
    configured = make_policy(job.account.policy, job.account.policy_parameters)
    wanted = make_policy(policy, {})
    models.register(loop.engine, job.profile, wanted, configured, name=name, run_id=uuid4())


def live(loop: Loop, days: int) -> None:
    """Decides each morning, and reads what the day brought."""
    for _ in range(days):
        loop.decide()
        loop.advance(days=1)
        loop.sync()


def promoted(loop: Loop, name: str, *, force: bool = False, reason: str = "", dry_run: bool = False) -> Report:
    job = loop.job()
    return promote(loop.engine, job.profile, name, SHORT, force=force, reason=reason, run_id=uuid4(), dry_run=dry_run)


def champion(loop: Loop) -> str:
    return str(loop.value("select name from model_registry where role = 'champion'"))


def favour(loop: Loop, name: str) -> None:
    """Makes every ad that the model wants more of than the champion return much, every other one little."""
    loop.run_sql(
        """
        with wish as (
          select d.entity_id, avg((d.evidence ->> 'budget')::float8) filter (where m.name = :name)
            > avg((d.evidence ->> 'budget')::float8) filter (where m.role = 'champion') as more
          from decisions d join model_registry m on (m.policy, m.version, m.parameter_hash)
            = (d.policy, d.version, d.parameter_hash)
          where d.entity_kind = 'ad' group by d.entity_id
        ), days as (
          select i.ad_id, i.day, i.spend, w.more from insights i join wish w on w.entity_id = i.ad_id where i.spend > 0
        ), put as (
          insert into deals
            (account, deal_id, pipeline, stage, amount, currency, created_at, modified_at, source, read_at)
          select 'main', 'made-' || ad_id || day, 'default', 'closedwon', spend * (case when more then 9 else 1 end),
            'USD', day + time '12:00', adctl_now(), 'file', adctl_now() from days returning deal_id
        )
        insert into attributions (account, deal_id, ad_id, method, confidence, evidence, attributed_at)
        select 'main', 'made-' || ad_id || day, ad_id, 'url_param', 1, '{}', adctl_now() from days
        """,
        name=name,
    )


def test_nothing_is_compared_before_it_has_matured(synced: Loop) -> None:
    add(synced, "next", "bayes")
    synced.decide()
    report = evaluate(synced.engine, synced.job().profile, Window())
    assert report.summary.startswith("Nothing has matured yet; the first outcome does on 2026-04-06")
    with pytest.raises(UsageError, match=r"no outcome has matured yet; the first does on .*--force"):
        promote(synced.engine, synced.job().profile, "next", Window(), force=False, reason="", run_id=uuid4())


def test_a_challenger_that_the_outcomes_speak_for_is_promoted_and_one_they_do_not_is_refused(synced: Loop) -> None:
    add(synced, "next", "bayes" if synced.job().account.policy != "bayes" else "blended")
    live(synced, 3)
    before = champion(synced)
    with pytest.raises(UsageError, match="does not exclude 0"):
        promoted(synced, "next")
    favour(synced, "next")

    report = evaluate(synced.engine, synced.job().profile, SHORT)

    (row,) = report.tables[0].rows
    low = row["low"]
    assert isinstance(low, float)
    assert (row["days"], low > 0) == (2, True)
    assert "adctl models promote next" in report.summary

    digest = synced.digest(LEDGER)
    assert "is champion instead of" in promoted(synced, "next", dry_run=True).summary
    assert synced.digest(LEDGER) == digest
    promoted(synced, "next")
    assert champion(synced) == "next"
    assert promoted(synced, "next").summary == "No changes."
    (event,) = [row for row in synced.rows("model_events") if row["event"] == "promoted"]
    assert (event["champion_before"], event["evidence"]["forced"], event["evidence"]["days"]) == (before, False, 2)
    assert event["evidence"]["low"] == pytest.approx(low)


def test_what_was_decided_of_a_day_after_it_had_ended_is_not_scored(synced: Loop) -> None:
    """A challenger that decides the past anew knows what came of it."""
    add(synced, "next", "rules")
    live(synced, 3)
    synced.run_sql("update decisions set decided_at = decided_at + interval '2 days' where shadow")
    assert [row for row in synced.rows("decisions") if row["shadow"] and row["day"] == START]

    (row,) = evaluate(synced.engine, synced.job().profile, SHORT).tables[0].rows

    assert row["days"] == 0
    with transaction(synced.engine, read_only=True) as connection:
        assert verdicts.said(connection, ACCOUNT, START, START).keys() <= {
            (one["policy"], one["version"], one["parameter_hash"])
            for one in synced.rows("decisions")
            if not one["shadow"]
        }


def test_force_promotes_with_a_reason_only_and_a_retired_model_never(synced: Loop) -> None:
    add(synced, "next", "rules")
    with pytest.raises(UsageError, match="needs a reason"):
        promoted(synced, "next", force=True)
    models.retire(synced.engine, synced.job().profile, "next", run_id=uuid4())
    with pytest.raises(UsageError, match="is retired"):
        promoted(synced, "next", force=True, reason="anyway")
    add(synced, "next", "rules")
    promoted(synced, "next", force=True, reason="agreed")
    assert champion(synced) == "next"
    assert synced.rows("model_events")[-1]["reason"] == "agreed"


def test_an_account_that_never_decided_says_so(loop: Loop) -> None:
    assert "No challengers" in evaluate(loop.engine, loop.job().profile, SHORT).summary
    assert calibration.run(loop.engine, loop.job().profile, SHORT).summary == "Nobody has decided yet."
    with pytest.raises(UsageError, match="'nobody': unknown"):
        promoted(loop, "nobody")


def test_verdicts_are_judged_once_their_truth_has_matured(synced: Loop) -> None:
    add(synced, "second", "rules")
    add(synced, "first", "bayes")
    synced.decide()
    early = calibration.run(synced.engine, synced.job().profile, Window())
    assert early.summary.startswith("No verdict can be judged yet")
    synced.advance(days=2)
    synced.sync()
    # A day of the account's money is too little to judge anything.
    synced.run_sql("update insights set spend = spend * 1000 where day > :day", day=START)

    outcome = synced.command_line()("calibration", "--horizon", "1", "--maturity", "1", "--picture", "p.svg", "--json")

    assert outcome.code == 0, outcome.err
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    judged = {row["model"]: row for row in tables["models"]}
    assert list(judged) == [champion(synced), "first", "second"]
    ads = len(synced.rows("ads"))
    for row in judged.values():
        assert row["verdicts"] + row["silent"] + row["little"] == ads
    assert sum(row["verdicts"] for row in tables["reliability"]) == sum(row["verdicts"] for row in judged.values()) > 0
    assert (synced.folder / "p.svg").read_text().startswith("<svg")
    with transaction(synced.engine, read_only=True) as connection:
        stated = connection.scalar(text("select count(*) from decisions where evidence ? 'p_wrong'"))
    assert sum(row["verdicts"] + row["little"] for row in judged.values()) == stated
