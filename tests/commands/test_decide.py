"""decide: a verdict for every ad and a budget for every owner, with evidence, once a day, from what came back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adctl.domain.report import Report
from adctl.errors import UsageError
from tests.builders import BLENDED, LEDGER, START, Loop, fact, table


def decisions(loop: Loop, field: str) -> dict[str, dict[str, Any]]:
    """Today's decisions of the champion by entity."""
    today = loop.sandbox.world.today
    return {row["entity_id"]: row for row in loop.rows("decisions") if row["day"] == today and row["field"] == field}


def verdicts(loop: Loop) -> dict[str, str]:
    return {entity: row["verdict"] for entity, row in decisions(loop, "status").items()}


def killed(loop: Loop) -> str:
    """An ad that is to be killed."""
    return next(ad for ad, verdict in verdicts(loop).items() if verdict == "kill")


def test_every_owner_of_a_budget_and_every_ad_is_decided(synced: Loop) -> None:
    report = synced.decide()
    tree = synced.sandbox.world.tree
    owners = [one.id for one in synced.owners()]
    assert set(decisions(synced, "daily_budget")) == set(owners)
    assert set(decisions(synced, "status")) == {ad.id for ad in tree.ads}
    assert fact(report, "written") == len(owners) + len(tree.ads)


def test_the_total_is_kept_to_one_minor_unit(synced: Loop) -> None:
    report = synced.decide()
    budgets = decisions(synced, "daily_budget").values()
    before, after = (sum(row[side] for row in budgets) for side in ("current_budget", "target_budget"))
    left = fact(report, "unallocated")
    assert isinstance(left, int)
    assert before == fact(report, "budget_before") == sum(owner.daily_budget or 0 for owner in synced.owners())
    assert abs(before - after - left) <= 1
    assert any(row["current_budget"] != row["target_budget"] for row in budgets)


def test_under_an_advantage_campaign_budget_the_campaign_is_decided_and_not_its_ad_sets(synced: Loop) -> None:
    synced.decide()
    tree = synced.sandbox.world.tree
    (campaign,) = [one for one in tree.campaigns if one.daily_budget is not None]
    budgets = decisions(synced, "daily_budget")
    assert budgets[campaign.id]["entity_kind"] == "campaign"
    assert not {one.id for one in tree.ad_sets if one.campaign is campaign} & set(budgets)
    assert {row["entity_kind"] for entity, row in budgets.items() if entity != campaign.id} == {"ad_set"}


def test_ads_are_only_ever_paused(synced: Loop) -> None:
    synced.decide()
    for row in decisions(synced, "status").values():
        assert (row["entity_kind"], row["target_budget"]) == ("ad", None)
        assert row["target_status"] == ("PAUSED" if row["verdict"] == "kill" else row["current_status"])
    assert "kill" in verdicts(synced).values()


def test_each_decision_carries_policy_evidence_and_the_number_that_decided(synced: Loop) -> None:
    synced.decide()
    (champion,) = synced.rows("model_registry")
    for row in synced.rows("decisions"):
        assert (row["policy"], row["version"], row["parameter_hash"]) == (
            champion["policy"],
            champion["version"],
            champion["parameter_hash"],
        )
        assert row["reason"]
        assert row["evidence"]
    one = decisions(synced, "status")[killed(synced)]
    assert f"ROAS {one['evidence']['pipeline_roas']:.3f} is below 0.5" in one["reason"]


def test_the_report_has_the_plans_fields_and_the_decisions_id_for_each_ad(synced: Loop) -> None:
    rows = table(synced.decide(), "ads").rows
    wanted = {"ad_id", "current_budget", "recommended_budget", "change_percentage", "confidence", "reason"}
    wanted |= {"impressions", "clicks", "ctr", "pipeline_roas", "ctr_weight", "roas_weight", "blended_score"}
    wanted |= {"decay_factor", "age_hours", "decision_id"}
    assert len(rows) == 24
    assert all(wanted <= set(row) for row in rows)


def test_deciding_twice_changes_nothing(synced: Loop) -> None:
    synced.decide()
    before = synced.digest(LEDGER)
    report = synced.decide()
    assert report.summary.endswith("No changes.")
    assert fact(report, "written") == 0
    assert synced.digest(LEDGER) == before


def test_a_dry_run_decides_the_same_and_writes_nothing(synced: Loop) -> None:
    before = synced.digest()
    planned = synced.decide(dry_run=True)
    assert synced.digest() == before
    done = synced.decide()
    assert list(table(planned, "ads").rows) == list(table(done, "ads").rows)
    assert list(table(planned, "budgets").rows) == list(table(done, "budgets").rows)
    assert synced.posts() == []


def _lose_everything(loop: Loop) -> None:
    loop.run_sql("update deals set stage = 'closedlost', pipeline = 'default'")


def test_what_was_decided_stands_for_the_day_even_when_figures_change(synced: Loop) -> None:
    synced.decide()
    before = synced.digest(LEDGER)
    _lose_everything(synced)
    report = synced.decide()
    assert any("--redo" in note for note in report.notes)
    assert synced.digest(LEDGER)["decisions"] == before["decisions"]


def test_a_redo_replaces_what_was_not_queued_and_nothing_else(synced: Loop) -> None:
    synced.decide()
    synced.enqueue()
    queued = {row["decision_id"] for row in synced.rows("pending_ad_changes")}
    before = {row["decision_id"]: row for row in synced.rows("decisions")}
    _lose_everything(synced)
    synced.advance(minutes=5)

    report = synced.decide(redo=True)

    after = {row["decision_id"]: row for row in synced.rows("decisions")}
    replaced = {key for key in after if after[key] != before[key]}
    assert queued
    assert set(after) == set(before)
    assert replaced
    assert not replaced & queued
    assert fact(report, "written") == len(replaced)


def test_deals_that_move_change_the_next_days_decision(synced: Loop) -> None:
    synced.decide()
    ad = killed(synced)
    for row in synced.rows("attributions"):
        if row["ad_id"] == ad:
            won = {"pipeline": "default", "dealstage": "closedwon", "amount": "9000"}
            synced.sandbox.hubspot.edit_by_person({"id": row["deal_id"], "properties": won})
    synced.advance(days=1)
    synced.sync()

    synced.decide()

    assert verdicts(synced)[ad] == "scale"
    assert {row["day"] for row in synced.rows("decisions")} == {START, START + timedelta(days=1)}


def test_values_reported_per_ad_stand_instead_of_the_ads_deals(synced: Loop) -> None:
    synced.decide(dry_run=True)
    rows = table(synced.decide(dry_run=True), "ads").rows
    ad = str(next(row["ad_id"] for row in rows if row["verdict"] == "scale"))
    synced.run_sql(
        "insert into ad_performances values ('main', :ad, 100, adctl_now())",
        ad=ad,
    )
    after = {row["ad_id"]: row for row in table(synced.decide(dry_run=True), "ads").rows}
    assert after[ad]["verdict"] == "kill"


def test_a_deleted_ad_gets_no_share_of_the_budget(synced: Loop) -> None:
    ad = next(one for one in synced.sandbox.world.tree.ads if one.status == "ACTIVE")
    synced.sandbox.meta.edit_by_person({"id": ad.id, "status": "DELETED"})
    synced.sync_meta()
    rows = {row["ad_id"]: row for row in table(synced.decide(), "ads").rows}
    assert (rows[ad.id]["current_budget"], rows[ad.id]["recommended_budget"]) == (0, 0)
    assert rows[ad.id]["reason"] == "not active"


def test_an_account_without_data_decides_nothing_and_says_so(loop: Loop) -> None:
    report = loop.decide()
    assert loop.rows("decisions") == []
    assert "no ads" in report.summary
    assert table(report, "ads").empty == "No ads are known: run adctl sync-meta or adctl ingest-ads."
    outcome = loop.command_line()("decide")
    assert outcome.code == 0
    assert "run adctl sync-meta" in outcome.out


@pytest.mark.parametrize("wrong", ['policy = "guess"\n', f'{BLENDED}policy_parameters.mode = "hope"\n'])
def test_an_unknown_policy_or_mode_is_refused(synced: Loop, wrong: str) -> None:
    synced.configure(BLENDED, wrong)
    before = synced.digest(LEDGER)
    outcome = synced.command_line()("decide")
    assert outcome.code == 78
    assert "unknown" in outcome.err
    assert synced.digest(LEDGER) == before


def test_unless_told_otherwise_bayes_decides_and_gives_each_return_with_its_interval(synced: Loop) -> None:
    synced.configure(BLENDED, "")
    report = synced.decide()
    rows = decisions(synced, "status").values()
    assert {row["policy"] for row in rows} == {"bayes"}
    for row in rows:
        evidence = row["evidence"]
        assert 0 < evidence["roas_low"] < evidence["roas"] < evidence["roas_high"]
        assert 0 <= evidence["p_wrong"] <= 1
    budgets = [row for row in table(report, "budgets").rows if row["before"] != row["after"]]
    assert budgets
    assert all(float(str(row["confidence"])) >= 0.5 for row in budgets)


def test_the_ads_of_a_file_are_decided_without_budgets(loop: Loop, shared_data: Any) -> None:
    loop.ingest_ads(shared_data / "kag_facebook_ads.csv")
    report: Report = loop.decide()
    assert len(table(report, "ads").rows) == 1_143
    assert decisions(loop, "daily_budget") == {}
    assert any("more without a budget of their own" in note for note in report.notes)


def test_a_day_that_has_not_begun_is_refused(synced: Loop) -> None:
    """Its own run would find it decided, on what was known the day before."""
    with pytest.raises(UsageError, match="2026-03-03 has not begun"):
        synced.decide(as_of=START + timedelta(days=1))
    assert synced.rows("decisions") == []


def test_a_day_that_is_over_is_decided_again_on_what_was_known_then_and_nothing_is_written(synced: Loop) -> None:
    done = synced.decide()
    synced.enqueue()
    synced.advance(days=1)
    _lose_everything(synced)
    synced.sync_meta()
    before = synced.digest(LEDGER)

    again, standing = synced.decide(as_of=START, dry_run=True), synced.decide(as_of=START)

    assert list(table(again, "ads").rows) == list(table(done, "ads").rows)
    assert list(table(again, "budgets").rows) == list(table(done, "budgets").rows)
    assert any("on what was known at" in note for note in again.notes)
    assert fact(standing, "written") == 0
    with pytest.raises(UsageError, match=f"{START} is over"):
        synced.decide(as_of=START, redo=True)
    assert synced.digest(LEDGER) == before


def test_a_day_that_was_never_decided_is_so_as_of_its_end_and_stays_undecided(synced: Loop) -> None:
    synced.advance(days=1)
    known = synced.decide(dry_run=True, as_of=START)
    _lose_everything(synced)

    report = synced.decide(as_of=START)

    assert list(table(report, "ads").rows) == list(table(known, "ads").rows)
    assert (report.dry_run, fact(report, "written"), synced.rows("decisions")) == (True, 0, [])
    assert synced.rows("model_registry") == []
