"""stages: what is in force since when, what has no value, what a deal and an ad are worth, what deals teach."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adctl.cli.wiring import stage_values
from adctl.commands import stages_check, stages_learn, stages_list, stages_roas, stages_value, stages_withdraw
from adctl.domain.report import Report
from adctl.errors import ConfigurationError, UsageError
from tests.builders import START, Loop, fact, table


@pytest.fixture
def sold(synced: Loop) -> Loop:
    """An account with enough won deals to learn from."""
    synced.run_sql(
        """
        with won as (select deal_id, created_at from deals where pipeline = 'default' order by deal_id limit 12)
        update deals d set stage = 'closedwon', amount = 50000 + 1000 * length(d.deal_id), closed_at = d.created_at
          + interval '3 days' from won where won.deal_id = d.deal_id
        """
    )
    return synced


def test_list_shows_each_value_with_the_time_from_which_it_holds(synced: Loop) -> None:
    job = synced.job()
    report = stages_list.run(synced.engine, job.profile, stage_values(job.account), note="a word on the template")
    rows = list(table(report, "stages").rows)
    assert len(rows) == len(synced.rows("synthetic_revenue_config"))
    assert all(row["in_force"] for row in rows)
    assert {row["origin"] for row in rows} == {"configured"}
    assert report.notes == ("a word on the template",)


def test_the_template_says_what_its_own_arithmetic_gives(synced: Loop) -> None:
    synced.configure("[accounts.main]\n", '[accounts.main]\nstage_template = "ptd_fitness"\n')
    outcome = synced.command_line()("stages", "list")
    assert outcome.code == 0
    assert "which is 1350; 2250 stays the template's value" in outcome.out


def test_check_names_what_has_no_value_and_exits_with_3(synced: Loop) -> None:
    job = synced.job()
    assert stages_check.run(synced.engine, job.profile, ()).exit_code == 0
    synced.run_sql("delete from synthetic_revenue_config where stage = 'contractsent'")
    synced.run_sql("update deals set stage = 'nobody' where deal_id = (select min(deal_id) from deals)")
    report = stages_check.run(synced.engine, job.profile, ())
    assert report.exit_code == 3
    assert [(row["stage"], row["deals"]) for row in table(report, "unmapped_stages").rows if row["stage"] == "nobody"]
    assert "contractsent" in {row["stage"] for row in table(report, "unmapped_stages").rows}
    assert fact(report, "unmapped") == 2


def test_a_stage_taken_out_of_the_configuration_keeps_its_value_and_is_named_until_it_is_ended(synced: Loop) -> None:
    said = "Not in adctl.toml any more, and worth what it said last: default/contractsent ("
    line = next(one for one in synced.toml.splitlines() if "contractsent" in one)
    synced.configure(f"{line}\n", "# contractsent\n")
    job = synced.job()
    left = stage_values(job.account)

    def worth() -> object:
        return fact(stages_value.run(synced.engine, job.profile, "default/contractsent", left), "value")

    def named(report: Report) -> bool:
        return any(note.startswith(said) for note in report.notes)

    before = worth()
    assert named(synced.ingest_crm())
    assert before
    assert worth() == before
    assert named(stages_list.run(synced.engine, job.profile, left))
    checked = stages_check.run(synced.engine, job.profile, left)
    assert (named(checked), checked.exit_code) == (True, 0)

    synced.configure("# contractsent\n", '"contractsent" = { value = 0, confidence = 0, outcome = "open" }\n')
    assert not named(synced.ingest_crm())
    assert worth() == 0
    synced.configure('"contractsent" = { value = 0, confidence = 0, outcome = "open" }\n', "")
    assert not named(synced.ingest_crm())


def test_value_is_that_of_a_deal_where_it_stands_or_of_a_stage(synced: Loop) -> None:
    job = synced.job()
    deal = next(row for row in synced.rows("deals") if row["stage"] == "appointmentscheduled")
    of_deal = stages_value.run(synced.engine, job.profile, deal["deal_id"], ())
    of_stage = stages_value.run(synced.engine, job.profile, "default/appointmentscheduled", ())
    assert fact(of_deal, "value") == fact(of_stage, "value")
    assert fact(stages_value.run(synced.engine, job.profile, "appointmentscheduled", ()), "outcome") == "open"
    with pytest.raises(UsageError, match="'nothing' is no deal and no stage with a value"):
        stages_value.run(synced.engine, job.profile, "nothing", ())
    synced.run_sql("delete from synthetic_revenue_config where stage = 'appointmentscheduled'")
    with pytest.raises(ConfigurationError, match="has no stage value"):
        stages_value.run(synced.engine, job.profile, deal["deal_id"], ())


def test_roas_is_the_value_of_an_ads_deals_for_its_spend(synced: Loop) -> None:
    profile = synced.job().profile
    rows = list(table(stages_roas.run(synced.engine, profile), "ads").rows)
    shown = [row["roas"] for row in rows if isinstance(row["roas"], float)]
    assert shown == sorted(shown, reverse=True)
    ad = str(rows[0]["ad_id"])
    spend = synced.value("select sum(spend)::bigint from insights where ad_id = :ad", ad=ad)
    assert rows[0]["spend"] == spend
    assert rows[0]["roas"] == pytest.approx(int(str(rows[0]["value"])) / spend)
    assert list(table(stages_roas.run(synced.engine, profile, ad=ad), "ads").rows) == [rows[0]]
    with pytest.raises(UsageError, match="ad 'x' is not known"):
        stages_roas.run(synced.engine, profile, ad="x")


def test_learn_shows_drift_and_writes_only_when_asked(sold: Loop) -> None:
    profile = sold.job().profile
    sold.run_sql("update synthetic_revenue_config set value = value * 100 where outcome = 'open'")
    before = sold.digest()
    report = stages_learn.run(sold.engine, profile)
    assert sold.digest() == before
    rows = [row for row in table(report, "stages").rows if row["pipeline"] == "default"]
    assert rows[-1]["stage"] == "closedwon"
    values = [int(str(row["learned"])) for row in rows]
    assert values == sorted(values)
    assert [row["outside"] for row in rows if row["stage"] == "contractsent"] == [True]
    assert fact(report, "written") == 0


def test_learned_values_hold_from_their_day_on_and_old_days_keep_theirs(sold: Loop) -> None:
    profile = sold.job().profile
    tomorrow = START + timedelta(days=1)
    report = stages_learn.run(sold.engine, profile, write=True, start=tomorrow)
    learned = {row["stage"]: row["learned"] for row in table(report, "stages").rows if row["pipeline"] == "default"}
    assert fact(report, "written") == fact(report, "learned") != 0
    old = stages_value.run(sold.engine, profile, "default/contractsent", ())
    sold.advance(days=1)
    # Also where adctl.toml still says what it said before.
    new = stages_value.run(sold.engine, profile, "default/contractsent", stage_values(sold.job().account))
    assert fact(new, "value") == learned["contractsent"] != fact(old, "value")
    listed = [row for row in table(stages_list.run(sold.engine, profile, ()), "stages").rows]
    assert [row["in_force"] for row in listed if (row["pipeline"], row["stage"]) == ("default", "contractsent")] == [
        False,
        True,
    ]
    # The configuration is as it was, so taking it in again does not end what was learned.
    sold.ingest_crm()
    assert fact(stages_value.run(sold.engine, profile, "default/contractsent", ()), "value") == learned["contractsent"]


def test_what_is_learned_today_also_replaces_what_was_configured_today(sold: Loop) -> None:
    """The configured value holds from the moment it was taken in, which is later than the day began."""
    profile = sold.job().profile
    sold.run_sql(
        """
        insert into synthetic_revenue_config
          (account, pipeline, stage, effective_from, value, confidence, outcome, origin, recorded_at)
        values ('main', 'default', 'contractsent', adctl_now() - interval '1 minute', 7, 0.5, 'open', 'configured',
          adctl_now())
        """
    )
    report = stages_learn.run(sold.engine, profile, write=True)
    learned = {row["stage"]: row["learned"] for row in table(report, "stages").rows if row["pipeline"] == "default"}
    assert fact(stages_value.run(sold.engine, profile, "default/contractsent", ()), "value") == learned["contractsent"]
    assert fact(stages_learn.run(sold.engine, profile, write=True), "written") == 0


def test_learning_twice_changes_nothing_and_a_past_day_is_refused(sold: Loop) -> None:
    profile = sold.job().profile
    stages_learn.run(sold.engine, profile, write=True)
    before = sold.digest()
    report = stages_learn.run(sold.engine, profile, write=True)
    assert report.summary.endswith("No changes.")
    assert sold.digest() == before
    with pytest.raises(UsageError, match="is past"):
        stages_learn.run(sold.engine, profile, write=True, start=START - timedelta(days=1))


def test_learn_on_the_command_line(sold: Loop) -> None:
    outcome = sold.command_line()("stages", "learn", "--write", "--dry-run", "--json")
    assert (outcome.code, outcome.document["command"], outcome.document["dry_run"]) == (0, "stages learn", True)
    assert sold.value("select count(*) from synthetic_revenue_config where origin = 'learned'") == 0


def test_a_mistaken_day_is_taken_back_once_and_what_held_stays(sold: Loop) -> None:
    profile = sold.job().profile
    before = sold.rows("synthetic_revenue_config")
    later = START + timedelta(days=40)
    written = fact(stages_learn.run(sold.engine, profile, write=True, start=later), "written")
    assert any("adctl stages withdraw" in note for note in stages_list.run(sold.engine, profile, ()).notes)
    other = stages_withdraw.run(sold.engine, profile, start=later - timedelta(days=1))
    assert fact(other, "withdrawn") == 0
    assert other.summary == f"No learned value begins on {later - timedelta(days=1)}. No changes."

    planned = stages_withdraw.run(sold.engine, profile, start=later, dry_run=True)
    assert (fact(planned, "withdrawn"), len(table(planned, "stages").rows)) == (0, written)
    report = stages_withdraw.run(sold.engine, profile)

    assert fact(report, "withdrawn") == written
    assert sold.rows("synthetic_revenue_config") == before
    kept = "select count(*) from earlier_rows where row_before->>'origin' = 'learned'"
    assert sold.value(kept) == written
    digest = sold.digest()
    again = stages_withdraw.run(sold.engine, profile)
    assert (again.summary, sold.digest()) == ("No learned value is waiting for its day. No changes.", digest)


def test_values_that_hold_already_are_never_taken_back(sold: Loop) -> None:
    profile = sold.job().profile
    stages_learn.run(sold.engine, profile, write=True)
    before = sold.rows("synthetic_revenue_config")

    with pytest.raises(UsageError, match="hold already"):
        stages_withdraw.run(sold.engine, profile, start=START)
    outcome = sold.command_line()("stages", "withdraw", "--from", START.isoformat())
    assert (outcome.code, "adctl stages learn --write puts others in force" in outcome.err) == (2, True)
    assert fact(stages_withdraw.run(sold.engine, profile), "withdrawn") == 0
    assert sold.rows("synthetic_revenue_config") == before
