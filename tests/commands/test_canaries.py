"""Tokens and a person's data that come in through the vendors' doors stand in no log, row, argument or traceback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builders import Loop
from tests.commands.hubspot_reading import deals_of
from tests.commands.test_privacy import ADDRESS, IP, KEY, TOKEN, everything_in
from tests.commands.test_webhook_events import event
from tests.conftest import CommandLine, Outcome
from tests.domain.test_webhooks import signed

SECRET = "c4nary-client-secret-of-the-app"
PERSON = (ADDRESS, ADDRESS.split("@")[0], IP, TOKEN)


@pytest.fixture
def adctl(loop: Loop) -> CommandLine:
    """The command line with every secret it can be given, on vendors that hold a person's data wherever they can."""
    deal = next(one for one, record in deals_of(loop).items() if record.links.get("contacts"))
    contact = next(iter(deals_of(loop)[deal].links["contacts"]))
    url = f"https://shop.example/?email={ADDRESS}&ip={IP}&access_token={TOKEN}"
    contents = {"email": ADDRESS, "firstname": ADDRESS, "hs_analytics_first_url": url, "hs_facebook_click_id": ADDRESS}
    loop.sandbox.hubspot.edit_by_person({"type": "contacts", "id": contact, "properties": contents})
    loop.sandbox.hubspot.edit_by_person({"id": deal, "properties": {"dealname": ADDRESS, "amount": ADDRESS}})
    line = loop.command_line()
    line.environment |= {"ADCTL_HUBSPOT_CLIENT_SECRET": SECRET, "ADCTL_PRIVACY_KEY": KEY}
    return line


def assert_clean(loop: Loop, *seen: str) -> None:
    text = "\n".join([*seen, everything_in(loop)])
    for canary in (*PERSON, SECRET, KEY, loop.sandbox.meta_token, loop.sandbox.hubspot_token):
        assert canary not in text


def told(outcome: Outcome) -> str:
    return outcome.out + outcome.err


def test_what_the_vendors_hold_of_a_person_is_not_kept(loop: Loop, adctl: CommandLine) -> None:
    changed = event(loop, "contact.propertyChange", "1", propertyName="email", propertyValue=ADDRESS)
    requests = [[changed], signed("guessed", at=loop.sandbox.world.now, body=json.dumps([changed]))]
    spool = "".join(json.dumps(one) + "\n" for one in requests)

    outcomes = [
        adctl("sync-hubspot", "-vv"),
        adctl("sync-hubspot", "--events", "-", "-vv", "--json", stdin=spool.encode()),
        adctl("sync-hubspot", "--events", "-", "-vv", stdin=f'{spool}{{"{ADDRESS}": "{TOKEN}"\n'.encode()),
    ]

    assert [one.code for one in outcomes] == [0, 3, 65], outcomes
    assert "is not a plain decimal number" in outcomes[0].err
    assert_clean(loop, *map(told, outcomes))


def test_a_vendor_that_repeats_them_in_its_errors_is_not_quoted(loop: Loop, adctl: CommandLine) -> None:
    for server, token in ((loop.sandbox.meta, loop.sandbox.meta_token), (loop.sandbox.hubspot, "")):
        message = f"no right for {token or loop.sandbox.hubspot_token} of {ADDRESS} with {TOKEN}"
        kind = "graph_error" if token else "status"
        body = {"message": message, "category": ADDRESS}
        server.faults.arm(kind, times=None, message=message, code=190, body=body, status=401)

    outcomes = [adctl("sync-meta", "-vv", "--json"), adctl("sync-hubspot", "-vv"), adctl("doctor", "-vv", "--json")]

    assert [one.code for one in outcomes] == [77, 77, 2], outcomes
    assert "no right for" in told(outcomes[1])
    assert_clean(loop, *map(told, outcomes))


def test_a_bug_shows_its_traceback_and_nothing_of_theirs(loop: Loop, adctl: CommandLine) -> None:
    """A row that the database refuses is a bug; SQLAlchemy and PostgreSQL would both quote it."""
    loop.run_sql("alter table contacts add constraint broken check (false) not valid")
    outcome = adctl("sync-hubspot", "-vv")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "broken" in outcome.err
    assert_clean(loop, told(outcome))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="arguments of processes are read from Linux' /proc")
def test_no_process_of_a_run_has_them_among_its_arguments(loop: Loop, adctl: CommandLine) -> None:
    hang = loop.sandbox.hubspot.faults.arm("hang")
    process = adctl.start("sync-hubspot", "-vv")
    deadline = time.monotonic() + 60
    while not hang.hits and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    arguments = "\n".join(_command_lines())
    process.kill()
    process.communicate()
    assert hang.hits == 1
    assert "sync-hubspot\x00-vv" in arguments
    assert_clean(loop, arguments)


def _command_lines() -> Iterator[str]:
    """Of every process on this host, as any user sees them."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        # It may have gone meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            yield place.read_text(errors="replace")
