"""Champion and challengers: one champion whatever happens, challengers in shadow, every change on record."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, models
from adctl.commands import models as command
from adctl.commands.models import register, retire, rollback
from adctl.domain.ids import Account
from adctl.domain.models import Event, Role
from adctl.domain.policies.catalogue import Parameter, make_policy
from adctl.domain.report import Report
from adctl.errors import UsageError
from tests.builders import LEDGER, Loop

MANY = 8


def add(loop: Loop, name: str, policy: str = "rules", **parameters: Parameter) -> Report:
    job = loop.job()
    return register(
        loop.engine,
        job.profile,
        make_policy(policy, parameters),
        make_policy(job.account.policy, job.account.policy_parameters),
        name=name,
        run_id=uuid4(),
    )


def roles(loop: Loop, account: str = "main") -> dict[str, str]:
    return {row["name"]: row["role"] for row in loop.rows("model_registry") if row["account"] == account}


def crown(loop: Loop, name: str) -> None:
    """A promotion as it is written, without asking whether it is deserved."""
    with transaction(loop.engine) as connection:
        models.lock(connection, Account("main"))
        found = {model.name: model for model in models.registered(connection, Account("main"))}
        (champion,) = [model for model in found.values() if model.role is Role.CHAMPION]
        if champion.name == name:
            return
        models.crown(connection, Account("main"), champion=champion, successor=found[name])
        at = accounts.now(connection)
        models.note(
            connection, Account("main"), name, Event.PROMOTED, at=at, run_id=uuid4(), champion_before=champion.name
        )


def shadows(loop: Loop) -> list[dict[str, Any]]:
    return [row for row in loop.rows("decisions") if row["shadow"]]


def test_the_configured_policy_is_the_first_champion_and_a_registered_one_challenges(loop: Loop) -> None:
    add(loop, "cautious", "rules", min_spend=50.0)
    configured = loop.job().account.policy
    assert roles(loop) == {configured: "champion", "cautious": "challenger"}
    assert [(row["name"], row["event"]) for row in loop.rows("model_events")] == [
        (configured, "seeded"),
        ("cautious", "registered"),
    ]


def test_registering_twice_changes_nothing(loop: Loop) -> None:
    add(loop, "cautious")
    before = loop.digest(LEDGER)
    assert add(loop, "cautious").summary == "No changes."
    assert loop.digest(LEDGER) == before


def test_a_name_means_one_model_and_a_model_has_one_name(loop: Loop) -> None:
    add(loop, "cautious")
    with pytest.raises(UsageError, match="choose another name"):
        add(loop, "cautious", min_spend=50.0)
    with pytest.raises(UsageError, match="'cautious' is the same policy"):
        add(loop, "other")


def test_challengers_decide_beside_the_champion_and_reach_no_queue(synced: Loop) -> None:
    add(synced, "rules-1")
    report = synced.decide()
    ads = len(synced.rows("ads"))
    (told,) = [table for table in report.tables if table.key == "challengers"]
    assert told.rows[0]["model"] == "rules-1"
    assert len([row for row in shadows(synced) if row["entity_kind"] == "ad"]) == ads
    assert len({row["parameter_hash"] for row in synced.rows("decisions")}) == 2

    before = synced.digest(LEDGER)
    synced.decide()
    assert synced.digest(LEDGER) == before

    synced.enqueue()
    queued = {row["decision_id"] for row in synced.rows("pending_ad_changes")}
    assert queued
    assert queued.isdisjoint(row["decision_id"] for row in shadows(synced))


def test_a_challenger_decides_no_more_once_the_champions_decisions_are_queued(synced: Loop) -> None:
    """It would know more than the champion did, and be scored on it."""
    add(synced, "shade")
    synced.decide()
    synced.enqueue()
    before = shadows(synced)
    synced.run_sql("update deals set stage = 'closedlost', pipeline = 'default'")
    synced.advance(minutes=5)
    synced.decide(redo=True)
    assert before
    assert shadows(synced) == before


def test_the_database_refuses_a_shadow_decision_in_the_queue(synced: Loop) -> None:
    add(synced, "shade")
    synced.decide()
    synced.enqueue()
    change = synced.rows("pending_ad_changes")[0]
    shadow = next(row for row in shadows(synced) if row["field"] == change["field"])
    change |= {"change_id": shadow["decision_id"], "decision_id": shadow["decision_id"], "decision_day": shadow["day"]}
    change |= {"entity_id": "of nobody else", "clipped_by": "[]"}
    change = {name: value for name, value in change.items() if name not in {"open", "in_line", "stands"}}
    columns = ", ".join(change)
    with pytest.raises(IntegrityError, match="made in shadow"):
        synced.run_sql(f"insert into pending_ad_changes ({columns}) values (:{', :'.join(change)})", **change)


def test_a_promoted_challenger_decides_the_day_anew_and_only_it_is_queued(synced: Loop) -> None:
    add(synced, "new")
    synced.decide()
    crown(synced, "new")
    synced.decide()
    synced.enqueue()
    decided = {row["decision_id"]: row for row in synced.rows("decisions")}
    queued = [decided[row["decision_id"]] for row in synced.rows("pending_ad_changes")]
    assert {row["policy"] for row in queued} <= {"rules"}
    assert {row["policy"] for row in decided.values() if not row["shadow"]} == {"rules"}


def test_another_policy_in_the_settings_does_not_unseat_the_champion(synced: Loop) -> None:
    synced.decide()
    before = roles(synced)
    synced.configure("[accounts.main]\n", "[accounts.main]\npolicy_parameters.kill_roas = 0.1\n")
    report = synced.decide()
    assert roles(synced) == before
    assert any("the champion decides" in note for note in report.notes)
    outcome = synced.command_line()("models", "register", "--name", "edited")
    assert outcome.code == 0, outcome.err
    assert roles(synced) == {**before, "edited": "challenger"}


def test_eight_promotions_at_once_leave_one_champion(loop: Loop) -> None:
    names = [f"m{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        add(loop, name, min_spend=float(number + 1))
    together = Barrier(MANY)

    def promote(name: str) -> None:
        together.wait()
        crown(loop, name)

    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(promote, names))
    assert list(roles(loop).values()).count("champion") == 1
    assert sum(row["event"] == "promoted" for row in loop.rows("model_events")) == MANY


def test_promotions_that_take_no_turns_are_refused_by_the_database(loop: Loop) -> None:
    add(loop, "a")
    with pytest.raises(IntegrityError, match="one_champion"):
        loop.run_sql("update model_registry set role = 'champion'")
    with pytest.raises(IntegrityError, match="without a champion"):
        loop.run_sql("update model_registry set role = 'retired'")
    with pytest.raises(IntegrityError, match="without a champion"):
        loop.run_sql("delete from model_registry where role = 'champion'")
    assert list(roles(loop).values()).count("champion") == 1


def test_a_promotion_killed_half_way_leaves_the_champion(synced: Loop) -> None:
    """The process is killed by SIGKILL after it has unseated the champion, while it waits to crown the challenger."""
    add(synced, "next")
    synced.decide()
    before = roles(synced)
    with synced.engine.connect() as holder, holder.begin():
        holder.execute(text("select from model_registry where name = 'next' for update"))
        line = ("models", "promote", "next", "--force", "--reason", "a test")
        process = synced.command_line().start(*line)
        deadline = time.monotonic() + 300
        # Asked from outside: a transaction goes on seeing the activity that it saw first.
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        while not synced.value(waiting):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert roles(synced) == before
    outcome = synced.command_line()(*line)
    assert outcome.code == 0, outcome.err
    assert roles(synced)["next"] == "champion"


def test_rolling_back_goes_the_way_of_the_promotions_back(loop: Loop) -> None:
    add(loop, "b", min_spend=1.0)
    add(loop, "c", min_spend=2.0)
    first = loop.job().account.policy
    crown(loop, "b")
    crown(loop, "c")
    retire(loop.engine, loop.job().profile, "b", run_id=uuid4())

    def back() -> dict[str, str]:
        rollback(loop.engine, loop.job().profile, reason="worse", run_id=uuid4())
        return roles(loop)

    assert back() == {first: "challenger", "b": "champion", "c": "challenger"}
    assert back() == {first: "champion", "b": "challenger", "c": "challenger"}
    with pytest.raises(UsageError, match="never promoted"):
        back()
    last = loop.rows("model_events")[-1]
    assert (last["event"], last["champion_before"], last["reason"]) == ("rolled_back", "b", "worse")


def test_the_audit_of_models_is_never_rewritten(loop: Loop) -> None:
    add(loop, "a")
    with pytest.raises(IntegrityError, match="never changed or removed"):
        loop.run_sql("update model_events set reason = 'another'")


def test_the_champion_cannot_be_retired(loop: Loop) -> None:
    add(loop, "a")
    with pytest.raises(UsageError, match="is the champion"):
        retire(loop.engine, loop.job().profile, loop.job().account.policy, run_id=uuid4())


def test_a_policy_that_got_a_new_version_goes_on_under_its_name(synced: Loop) -> None:
    synced.decide()
    synced.run_sql("update model_registry set version = '0', parameter_hash = 'of before'")
    synced.decide()
    (row,) = synced.rows("model_registry")
    assert (row["role"], row["version"]) == ("champion", make_policy(row["policy"], {}).version)
    assert [one["event"] for one in synced.rows("model_events")] == ["seeded", "renewed"]


def test_a_challenger_that_this_version_does_not_take_is_left_out_and_named(synced: Loop) -> None:
    add(synced, "old")
    synced.run_sql("""update model_registry set parameters = '{"gone": 1}' where name = 'old'""")
    report = synced.decide()
    assert any("Challenger old did not decide" in note and "gone" in note for note in report.notes)
    assert shadows(synced) == []


def test_two_accounts_have_a_champion_each(loop: Loop) -> None:
    add(loop, "a")
    loop.run_sql(
        "insert into accounts (account, meta_ad_account, currency, timezone) values ('two', 'act_2', 'EUR', 'UTC')"
    )
    with transaction(loop.engine) as connection:
        at = accounts.now(connection)
        models.seed(connection, Account("two"), make_policy("bayes", {}), at=at, run_id=uuid4())
    crown(loop, "a")
    assert roles(loop)["a"] == "champion"
    assert roles(loop, "two") == {"bayes": "champion"}


def test_a_rollback_to_a_model_that_goes_by_another_name_now_names_that_one(loop: Loop) -> None:
    add(loop, "next")
    crown(loop, "next")
    job = loop.job()
    retire(loop.engine, job.profile, job.account.policy, run_id=uuid4())
    add(loop, "again", job.account.policy, **job.account.policy_parameters)
    before = loop.digest(LEDGER)
    with pytest.raises(UsageError, match="the challenger 'again' is the same policy"):
        rollback(loop.engine, job.profile, reason="it paused the best ad", run_id=uuid4())
    assert loop.digest(LEDGER) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("register", "--policy", "guess"), "guess"),
        (("register", "--policy", "no.module:Here"), "cannot be imported"),
        (("register", "--policy", "json:JSONDecoder"), "version is None"),
        (("register", "--policy", "bayes", "--param", "kill_roas=-1"), "kill_roas"),
        (("register", "--policy", "rules", "--name", "Bold"), "'Bold': is no name"),
        (("register", "--policy", "rules", "--param", "nope=1"), "nope"),
        (("register", "--policy", "rules", "--param", "mode"), "key=value"),
        (("retire", "nobody"), "nobody"),
        (("promote", "nobody"), "nobody"),
        (("promote",), "NAME"),
        (("rollback", "--reason", "none"), "never promoted"),
    ],
)
def test_what_is_not_known_is_refused_by_name(loop: Loop, arguments: tuple[str, ...], named: str) -> None:
    before = loop.digest(LEDGER | {"accounts", "controls", "model_registry", "model_events"})
    outcome = loop.command_line()("models", *arguments)
    assert outcome.code == 2, outcome.err
    assert named in outcome.err
    assert loop.digest(LEDGER | {"accounts", "controls", "model_registry", "model_events"}) == before


def test_the_list_shows_roles_days_and_parameters(synced: Loop) -> None:
    add(synced, "a")
    add(synced, "b", "bayes", kill_roas=0.25)
    synced.decide()
    job = synced.job()
    report = command.listing(synced.engine, job.profile, make_policy(job.account.policy, job.account.policy_parameters))
    rows = {row["name"]: row for row in report.tables[0].rows}
    assert (rows["a"]["role"], rows["a"]["days"]) == ("challenger", 1)
    assert "mode=" in str(rows["a"]["parameters"])
    assert rows["a"]["changed"] == "none"
    assert "kill_roas=0.25" in str(rows["b"]["changed"])
    assert rows[job.account.policy]["role"] == "champion"
