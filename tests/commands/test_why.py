"""why: what was decided about an entity, the ledger it rests on, what became of it, and why nothing was done."""

from __future__ import annotations

import io
import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from adctl import render
from adctl.adapters.db import transaction
from adctl.adapters.store.history import account_history
from adctl.commands import why
from adctl.domain import money
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.flips import with_spend
from adctl.domain.policies.protocol import Verdict
from adctl.domain.report import Report
from adctl.errors import UsageError
from tests.builders import BLENDED, START, Loop, fact, table


def asked(loop: Loop, entity: str, **options: Any) -> Report:
    return why.run(loop.engine, loop.job().profile, entity, **options)


def decided(loop: Loop, **wanted: object) -> list[dict[str, Any]]:
    """The day's decisions that have these values."""
    return [row for row in loop.rows("decisions") if all(row[key] == value for key, value in wanted.items())]


@pytest.fixture
def bayes(synced: Loop) -> Loop:
    """An account that the default policy decides for."""
    synced.configure(BLENDED)
    return synced


def test_the_ledgers_logs_add_up_to_the_posterior_and_its_factors_multiply(bayes: Loop) -> None:
    bayes.decide()
    for row in decided(bayes, field="status")[:2]:
        report = asked(bayes, row["entity_id"])
        *terms, total = table(report, "ledger").rows
        logs = [term["log"] for term in terms if isinstance(term["log"], float)]
        assert sum(logs) == pytest.approx(total["log"])
        assert math.exp(sum(logs)) == pytest.approx(fact(report, "roas"), rel=1e-6)
        assert math.prod(float(str(term["factor"])) for term in terms) == pytest.approx(total["factor"], rel=1e-6)
        assert [term["term"] for term in terms][:3] == [
            "leads per unit of money, the account's usual",
            "the campaign beside the account",
            "clicks for the money, times what clicks are worth here",
        ]


def test_the_ledgers_logs_add_up_as_they_are_printed(bayes: Loop) -> None:
    bayes.decide()
    stream = io.StringIO()
    render.render(asked(bayes, decided(bayes, field="status")[0]["entity_id"]), stream=stream)
    printed = stream.getvalue().split("Ledger: ")[1].split("\n\n")[0]
    *terms, total = [Decimal(log) for log in re.findall(r"  (-?\d+\.\d{9})  ", printed)]
    assert len(terms) > 8
    assert sum(terms) == total


def test_of_an_ad_that_is_paused_no_chance_is_told_that_it_should_be(bayes: Loop) -> None:
    bayes.decide()
    paused = next(row for row in decided(bayes, field="status", current_status="PAUSED"))
    running = next(row for row in decided(bayes, verdict="keep", current_status="ACTIVE"))
    told = {one.key for one in asked(bayes, paused["entity_id"]).facts}
    assert not told & {"p_wrong", "loss_if_wrong"}
    assert {"roas", "p_below_kill"} <= told
    assert {"p_wrong", "loss_if_wrong"} <= {one.key for one in asked(bayes, running["entity_id"]).facts}


def test_every_part_of_the_evidence_is_told(bayes: Loop) -> None:
    bayes.decide()
    row = decided(bayes, field="status")[0]
    report = asked(bayes, row["entity_id"])
    told = {one.key for one in report.facts}
    assert told >= {"spend", "mature_spend", "wins_expected", "wins_expected_in_days", "roas", "roas_low", "roas_high"}
    assert told >= {"p_wrong", "loss_if_wrong", "waiting_costs", "waiting_buys", "flips_at_roas", "verdict"}
    came = [line["came"] for line in table(report, "funnel").rows]
    assert came == sorted(came, key=lambda count: -int(str(count)))
    assert row["reason"] in report.summary
    for key in ("roas", "p_wrong", "flips_at_roas"):
        assert fact(report, key) == row["evidence"][key]
    share, spend = (money.show(row["evidence"][key], "USD") for key in ("share", "spend"))
    besides = {line["fact"]: (line["value"], line.get("minor_units")) for line in table(report, "evidence").rows}
    assert besides["share"] == (share, row["evidence"]["share"])
    rests_on = {line["rests_on"] for line in table(report, "ledger").rows}
    assert {f"{spend} spent", f"{share} a day"} <= rests_on


def test_an_ad_that_likely_should_be_paused_and_goes_on_says_what_a_pause_needs(bayes: Loop) -> None:
    bayes.decide()
    kept = [row for row in decided(bayes, verdict="keep", field="status") if row["evidence"]["current_budget"]]
    likely = next(row for row in kept if row["evidence"]["p_wrong"] > 0.5 and "too early" not in row["reason"])
    unlikely = next(row for row in kept if row["evidence"]["p_wrong"] < 0.5)
    report = asked(bayes, likely["entity_id"])
    labels = {one.key: one.label for one in report.facts}
    assert labels["p_wrong"] == "P(wrong: it should be paused)"
    said = f"It likely ({likely['evidence']['p_wrong']:.1%}) returns less than 0.5 on any budget and goes on: "
    note = next(note for note in report.notes if note.startswith(said))
    assert "a pause needs 95%" in note
    assert f"{money.show(likely['evidence']['budget'], 'USD')} wanted" in note
    assert not any("likely" in note for note in asked(bayes, unlikely["entity_id"]).notes)


def test_the_spend_that_would_flip_a_verdict_is_told_as_of_that_day_and_flips_it(bayes: Loop) -> None:
    policy = BayesPolicy()
    with transaction(bayes.engine, read_only=True, snapshot=True) as connection:
        history = account_history(connection, bayes.job().profile, START).history
    bayes.decide()
    verdicts = policy.decide(history).verdicts
    # Later figures change nothing about that day.
    bayes.advance(days=1)
    bayes.sync()
    told = 0
    for verdict in (Verdict.KILL, Verdict.SCALE, Verdict.KEEP, Verdict.WAIT):
        for ad in [place for place, one in enumerate(verdicts) if one.verdict is verdict][:1]:
            report = asked(bayes, verdicts[ad].ad_id, day=START)
            facts = {one.key: one.value for one in report.facts}
            if "flips_at_spend" not in facts:
                assert "would flip the verdict" in report.notes[-1]
                continue
            told += 1
            spend, spent = facts["flips_at_spend"], facts["spend"]
            assert isinstance(spend, int)
            assert isinstance(spent, int)
            nearer = spend + (1 if spend < spent else -1)
            assert policy.decide(with_spend(history, ad, spend)).verdicts[ad].verdict == facts["flips_to"] != verdict
            assert policy.decide(with_spend(history, ad, nearer)).verdicts[ad].verdict is verdict
    assert told


def test_a_budget_that_was_sent_is_followed_to_its_audit_rows(synced: Loop) -> None:
    synced.decide()
    synced.enqueue()
    synced.advance(minutes=5)
    synced.execute()
    done = [row for row in synced.rows("pending_ad_changes") if row["state"] == "completed"]
    assert done
    report = asked(synced, done[0]["entity_id"])
    words = [str(row["what"]) for row in table(report, "events").rows]
    assert words[:2] == ["guards: pass", "queued"]
    assert "attempt 1" in words
    assert words[-1] == "executing to completed"
    history = [row for row in synced.rows("ad_change_history") if row["change_id"] == done[0]["change_id"]]
    details = " ".join(str(row["detail"]) for row in table(report, "events").rows)
    assert all(f"audit row {row['seq']}" in details for row in history)


def test_what_the_guards_held_back_says_which_and_why(synced: Loop) -> None:
    synced.configure("min_confidence = 0.60", "min_confidence = 0.99")
    synced.decide()
    synced.enqueue()
    answers = {row["decision_id"]: row for row in synced.rows("guard_answers")}
    held = [row for row in synced.rows("decisions") if answers.get(row["decision_id"], {}).get("answer") == "refuse"]
    assert held
    report = asked(synced, held[0]["entity_id"])
    answer = answers[held[0]["decision_id"]]
    assert f"was refused ({answer['guard']}: {answer['reason']})" in report.summary
    before = synced.digest()
    synced.enqueue()
    assert synced.digest()["guard_answers"] == before["guard_answers"]


def test_an_entity_that_is_kept_says_that_nothing_was_to_be_changed(synced: Loop) -> None:
    synced.decide()
    kept = next(row for row in decided(synced, field="status") if row["target_status"] == row["current_status"])
    report = asked(synced, kept["entity_id"])
    assert "nothing was to be changed" in report.summary
    assert table(report, "events").rows == ()


def test_an_ad_set_below_a_campaigns_budget_names_the_campaign(synced: Loop) -> None:
    synced.decide()
    tree = synced.sandbox.world.tree
    ad_set = next(one for one in tree.ad_sets if one.campaign.daily_budget is not None)
    assert f"its campaign owns the budget: adctl why {ad_set.campaign.id}" in asked(synced, ad_set.id).summary
    assert fact(asked(synced, ad_set.campaign.id), "verdict") in {"keep", "scale", "cut"}


def test_a_budget_is_the_sum_of_what_was_decided_about_its_ads(bayes: Loop) -> None:
    bayes.decide()
    budgets = decided(bayes, field="daily_budget")
    assert {row["entity_kind"] for row in budgets} == {"ad_set", "campaign"}
    for row in budgets:
        *ads, total = table(asked(bayes, row["entity_id"]), "shares").rows
        assert len(ads) == row["evidence"]["ads"]
        assert (total["before"], total["after"]) == (row["current_budget"], row["evidence"]["shares_after"])
        assert all(isinstance(ad["roas"], float) and isinstance(ad["p_wrong"], float) for ad in ads)


def test_the_day_chooses_the_decision(synced: Loop) -> None:
    synced.decide()
    synced.advance(days=1)
    synced.decide()
    ad = decided(synced, field="status")[0]["entity_id"]
    days = [asked(synced, ad, day=day).summary.split(", ")[1][:10] for day in (START, START + timedelta(days=1))]
    assert days == [START.isoformat(), (START + timedelta(days=1)).isoformat()]
    assert asked(synced, ad).summary.startswith(f"ad {ad}, {START + timedelta(days=1)}")
    assert "nothing was decided: no decision of 2020-01-01" in asked(synced, ad, day=START.replace(2020, 1, 1)).summary


def test_an_unknown_entity_is_refused_and_an_account_without_decisions_says_so(synced: Loop) -> None:
    with pytest.raises(UsageError, match="'nothing' is no ad, ad set or campaign"):
        asked(synced, "nothing")
    ad = synced.sandbox.world.tree.ads[0].id
    assert "run adctl decide" in asked(synced, ad).summary
    adctl = synced.command_line()
    synced.decide()
    outcome = adctl("why", ad, "--json")
    assert (outcome.code, outcome.document["command"]) == (0, "why")
    refused = adctl("why", "--at", START.isoformat(), "nothing")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_of_a_budget_it_is_told_what_is_believed_of_its_ads_together_and_what_would_flip_it(bayes: Loop) -> None:
    bayes.decide()
    (row, *_) = [one for one in decided(bayes, field="daily_budget") if one["verdict"] in ("scale", "cut")]
    report = asked(bayes, row["entity_id"])
    facts = {one.key: one.value for one in report.facts}
    low, middle, high, wrong, loss = (
        float(str(facts[key])) for key in ("roas_low", "roas", "roas_high", "p_wrong", "loss_if_wrong")
    )
    assert 0 < low < middle < high
    assert 0 <= wrong <= 1
    assert loss >= 0
    assert "flips_at_spend" in facts or "would flip the verdict" in report.notes[-1]
    assert facts.get("flips_to") != row["verdict"]


def test_of_a_queued_budget_it_is_said_that_its_ads_were_decided_again(synced: Loop) -> None:
    synced.decide()
    synced.enqueue()
    (queued, *_) = [row for row in synced.rows("pending_ad_changes") if row["field"] == "daily_budget"]
    assert not any("decided again" in note for note in asked(synced, queued["entity_id"]).notes)
    synced.run_sql("update deals set stage = 'closedlost', pipeline = 'default'")
    synced.advance(minutes=5)
    synced.decide(redo=True)
    assert any("decided again" in note for note in asked(synced, queued["entity_id"]).notes)
