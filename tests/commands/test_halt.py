"""The kill switch: nothing is sent from the moment it is thrown, on any host, until somebody allows it."""

from __future__ import annotations

import pytest

from adctl.cli.wiring import profile_of
from adctl.commands import halt, resume
from adctl.errors import BusyError
from tests.builders import Loop


def _queued(loop: Loop) -> None:
    loop.sync_meta()
    owner = loop.owners()[0]
    loop.queue(owner, (owner.daily_budget or 0) + 100)


@pytest.mark.parametrize("everyone", [False, True])
def test_nothing_is_sent_while_halted_and_all_after_resume(loop: Loop, everyone: bool) -> None:
    # given a change that is due
    _queued(loop)
    engine = loop.job().engine
    profile = None if everyone else profile_of(loop.settings.account())

    halted = halt.run(engine, profile, reason="a person looks into it")

    assert halted.summary.startswith("Sending is halted for ")
    with pytest.raises(BusyError, match="halted"):
        loop.execute()
    assert loop.posts() == []
    assert loop.rows("change_attempts") == []

    resume.run(engine, profile)
    loop.advance(minutes=6)

    loop.execute()
    assert len(loop.posts()) == 1
    assert [row["state"] for row in loop.rows("pending_ad_changes")] == ["completed"]


def test_halting_and_resuming_twice_changes_nothing(loop: Loop) -> None:
    _queued(loop)
    engine, profile = loop.job().engine, profile_of(loop.settings.account())
    halt.run(engine, profile, reason="once")
    before = loop.digest()

    assert halt.run(engine, profile, reason="once").summary == "No changes."
    assert loop.digest() == before
    assert resume.run(engine, profile).summary.startswith("Sending is allowed")
    assert resume.run(engine, profile).summary == "No changes."


def test_an_account_stays_halted_while_every_account_is(loop: Loop) -> None:
    _queued(loop)
    engine, profile = loop.job().engine, profile_of(loop.settings.account())
    halt.run(engine, None, reason="the bank called")
    halt.run(engine, profile, reason="this one too")

    report = resume.run(engine, profile)

    assert "the bank called" in report.notes[0]
    with pytest.raises(BusyError):
        loop.execute()


def test_an_account_that_is_armed_for_hours_sends_only_after_a_resume_and_stops_by_itself(loop: Loop) -> None:
    loop.configure("[accounts.main.limits]", "[accounts.main.limits]\narm_hours = 4")
    _queued(loop)
    line = loop.command_line()
    assert line("execute").code == 75
    assert "armed until" in line("status").out
    assert loop.posts() == []

    assert "armed until" in line("resume").out
    loop.advance(hours=4)
    assert line("execute").code == 75
    assert line("resume").code == 0
    loop.advance(hours=3)
    assert line("execute").code == 0
    assert len(loop.posts()) == 1


def test_the_switch_is_thrown_from_the_command_line(loop: Loop) -> None:
    _queued(loop)
    adctl = loop.command_line()

    thrown, waiting = adctl("halt", "--reason", "tests"), adctl("execute")
    shown = adctl("status")
    released = adctl("resume")

    assert (thrown.code, waiting.code, released.code) == (0, 75, 0)
    assert "run adctl resume" in waiting.err
    assert "halted: tests" in shown.out


def test_an_account_beside_all_is_unclear_to_resume_and_halts_all(
    loop: Loop,
) -> None:
    _queued(loop)
    adctl = loop.command_line()
    assert adctl("halt", "--all", "-a", "main").code == 0
    refused = adctl("resume", "--all", "-a", "main")
    assert (refused.code, adctl("execute").code) == (2, 75)
    assert "not both" in refused.err


def test_all_are_halted_and_resumed_without_naming_one_of_several_accounts(loop: Loop) -> None:
    loop.configure("[accounts.main]", '[accounts.second]\ncurrency = "USD"\ntimezone = "UTC"\n\n[accounts.main]')
    _queued(loop)
    adctl = loop.command_line()

    assert adctl("halt").code == 2
    assert adctl("halt", "--all", "--reason", "tests").code == 0
    assert adctl("execute", "--account", "main").code == 75
    assert adctl("resume", "--all").code == 0
    assert loop.value("select count(*) from controls where halted") == 0
