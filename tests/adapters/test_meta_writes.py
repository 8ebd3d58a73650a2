"""A write to Meta over real HTTP: what each answer proves, and that nothing is ever sent twice or late."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from adctl.adapters.meta import MetaPlatform, Patience
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ports import Stops, WriteAnswer, WriteOutcome
from tests.adapters.canned_meta import AD_SET, CANARY, QUICK, graph_error, meta
from tests.adapters.canned_server import Told, always, in_turn, seconds_taken, serving


def written(told: Told, patience: Patience = QUICK) -> WriteAnswer:
    """The answer of one budget write; asserts that the server saw exactly one request."""
    with meta(always(told), patience) as (platform, server):
        answer = platform.write("20", Field.DAILY_BUDGET, 1200)
        assert server.paths("POST") == ["/v26.0/20"]
        assert len(server.asked) == 1
    return answer


def test_a_write_sends_the_plain_integer_and_is_accepted_only_on_success_true() -> None:
    with meta(always(Told(body={"success": True}))) as (platform, server):
        answer = platform.write("20", Field.DAILY_BUDGET, 1200)
    assert answer.outcome is WriteOutcome.ACCEPTED
    assert server.asked[0].form == {"daily_budget": "1200"}


def test_a_status_is_written_as_its_word() -> None:
    with meta(always(Told(body={"success": True}))) as (platform, server):
        platform.write("30", Field.STATUS, "PAUSED")
    assert server.asked[0].form == {"status": "PAUSED"}


@pytest.mark.parametrize(
    ("field", "target"),
    [
        (Field.DAILY_BUDGET, 0),
        (Field.DAILY_BUDGET, -5),
        (Field.DAILY_BUDGET, True),
        (Field.DAILY_BUDGET, "1200"),
        (Field.STATUS, "DELETED"),
        (Field.STATUS, 1),
    ],
)
def test_a_target_that_no_change_may_hold_is_never_sent(field: Field, target: int | str) -> None:
    with meta(always(Told(body={"success": True}))) as (platform, server):
        with pytest.raises(ValueError, match="cannot be set"):
            platform.write("20", field, target)
        with pytest.raises(ValueError, match="no Graph object id"):
            platform.write("20/adsets", Field.DAILY_BUDGET, 100)
        assert server.asked == []


_MINUTES = {"7": [{"type": "ads_management", "call_count": 100, "estimated_time_to_regain_access": 25}]}
_SECONDS = {"acc_id_util_pct": 100, "reset_time_duration": 900}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proves:
    """What the answer to a write proves, what it stops, and for how many seconds."""

    outcome: WriteOutcome
    stops: Stops = Stops.OBJECT
    wait: int = 0


REFUSED = Proves(outcome=WriteOutcome.REFUSED)
UNKNOWN = Proves(outcome=WriteOutcome.UNKNOWN)
THROTTLED = Proves(outcome=WriteOutcome.DEFERRED, stops=Stops.ACCOUNT, wait=300)
OBJECT = Proves(outcome=WriteOutcome.DEFERRED, stops=Stops.OBJECT, wait=3600)
RIGHTS = Proves(outcome=WriteOutcome.DEFERRED, stops=Stops.RIGHTS, wait=300)
POLICY = Proves(outcome=WriteOutcome.DEFERRED, stops=Stops.POLICY, wait=300)


def for_seconds(wait: int) -> Proves:
    return replace(THROTTLED, wait=wait)


# One line each of the reference's table of codes, then of what is no Graph error at all. `execute` makes of REFUSED a
# failed change, of UNKNOWN one that is read again before anything else, of the others one that waits (test_execute).
ANSWERS: dict[str, tuple[Told, Proves]] = {
    "1 unknown": (graph_error(1), UNKNOWN),
    "1 too much data": (graph_error(1, message="Please reduce the amount of data you're asking for"), UNKNOWN),
    "1/99": (graph_error(1, 99), UNKNOWN),
    "2 temporary": (graph_error(2), UNKNOWN),
    "2 with status 500": (graph_error(2, status=500), UNKNOWN),
    "2/1504038": (graph_error(2, 1504038), UNKNOWN),
    "2/1504043": (graph_error(2, 1504043), UNKNOWN),
    "2/1504044": (graph_error(2, 1504044), UNKNOWN),
    "2/1504041 a wrong parameter": (graph_error(2, 1504041), REFUSED),
    "2/1504042 a wrong parameter": (graph_error(2, 1504042), REFUSED),
    "4 of the app": (graph_error(4), THROTTLED),
    "4/1504022": (graph_error(4, 1504022), THROTTLED),
    "4/1504039": (graph_error(4, 1504039, is_transient=True), THROTTLED),
    "17 of the account": (graph_error(17, 2446079), THROTTLED),
    "17/1487632 as it was once": (graph_error(17, 1487632), OBJECT),
    "32 of the page": (graph_error(32), THROTTLED),
    "613/1487742 calls": (graph_error(613, 1487742), THROTTLED),
    "613/1487632 budget changes": (graph_error(613, 1487632, is_transient=True), OBJECT),
    "613/5044001 a second": (graph_error(613, 5044001, is_transient=True), THROTTLED),
    "613/1996 burst": (graph_error(613, 1996), THROTTLED),
    "613/1487225": (graph_error(613, 1487225), THROTTLED),
    **{f"{code} of a use case": (graph_error(code), THROTTLED) for code in (80000, 80002, 80003, 80004, 80014)},
    "80000/2446079 with status 400": (graph_error(80000, 2446079), THROTTLED),
    "10 permission": (graph_error(10), RIGHTS),
    "200 permission": (graph_error(200), RIGHTS),
    "299 permission": (graph_error(299), RIGHTS),
    "294 permission": (graph_error(294), RIGHTS),
    "300 is no permission": (graph_error(300), UNKNOWN),
    "100 parameter": (graph_error(100), REFUSED),
    "100/33 gone": (graph_error(100, 33), REFUSED),
    "100/1504018 insights timed out": (graph_error(100, 1504018), UNKNOWN),
    "100/1885261 too high": (graph_error(100, 1885261), REFUSED),
    "100/1885272 too low": (graph_error(100, 1885272), REFUSED),
    "100/1885621 of the campaign": (graph_error(100, 1885621), REFUSED),
    "100 with error_data that is no JSON": (graph_error(100, 1885272, error_data="not json"), REFUSED),
    "100 said to be transient": (graph_error(100, is_transient=True), UNKNOWN),
    "100 with status 500": (graph_error(100, status=500), UNKNOWN),
    "100 with status 200": (graph_error(100, status=200), UNKNOWN),
    "100 with status 399": (graph_error(100, status=399), UNKNOWN),
    "102 session": (graph_error(102), RIGHTS),
    **{
        f"190/{subcode} token": (graph_error(190, subcode, status=401), RIGHTS)
        for subcode in (0, 458, 459, 460, 463, 464, 467, 492)
    },
    "104 reset": (graph_error(104), UNKNOWN),
    "368 policy": (graph_error(368), POLICY),
    **{f"{code} wrong": (graph_error(code), REFUSED) for code in (3, 2500, 3018)},
    "506 duplicate": (graph_error(506), REFUSED),
    "803 gone": (graph_error(803), REFUSED),
    "960 batch timeout": (graph_error(960), UNKNOWN),
    "2635 version": (graph_error(2635), REFUSED),
    "2642 cursor": (graph_error(2642), UNKNOWN),
    "a negative code": (graph_error(-2, 2490547), UNKNOWN),
    "a code nobody listed": (graph_error(31337), UNKNOWN),
    "no code": (Told(status=400, body={"error": {"message": "No."}}), UNKNOWN),
    "a code as a word": (Told(status=400, body={"error": {"code": "100"}}), UNKNOWN),
    "a throttle with status 503": (graph_error(4, status=503), UNKNOWN),
    "a throttle and when it ends, in minutes": (
        replace(graph_error(80004), headers={"X-Business-Use-Case-Usage": json.dumps(_MINUTES)}),
        for_seconds(1500),
    ),
    "a throttle and when it ends, in seconds": (
        replace(graph_error(17), headers={"X-Ad-Account-Usage": json.dumps(_SECONDS)}),
        for_seconds(900),
    ),
    "a throttle and Retry-After": (replace(graph_error(4), headers={"Retry-After": "1200"}), for_seconds(1200)),
    "a throttle and no Retry-After": (replace(graph_error(4), headers={"Retry-After": "soon"}), THROTTLED),
    "502 with html": (Told(status=502, body=b"<html>Bad Gateway</html>"), UNKNOWN),
    "200 with html": (Told(body=b"<html>OK</html>"), UNKNOWN),
    "500 without a body": (Told(status=500), UNKNOWN),
    "429 without error": (Told(status=429, body={"message": "Too many requests"}), UNKNOWN),
    "404 without error": (Told(status=404, body={}), UNKNOWN),
    "success true": (Told(body={"success": True}), Proves(outcome=WriteOutcome.ACCEPTED)),
    "success false": (Told(body={"success": False}), UNKNOWN),
    "success as a word": (Told(body={"success": "true"}), UNKNOWN),
    "success as a number": (Told(body={"success": 1}), UNKNOWN),
    "no success": (Told(body={"id": "20"}), UNKNOWN),
    "a list": (Told(body=[{"success": True}]), UNKNOWN),
    "a number": (Told(body=1), UNKNOWN),
    "a string": (Told(body="success"), UNKNOWN),
    "null": (Told(body=None), UNKNOWN),
    "an empty 200": (Told(), UNKNOWN),
    "201 with success": (Told(status=201, body={"success": True}), UNKNOWN),
    "half a body": (Told(body=b'{"success": tru'), UNKNOWN),
    "nesting without end": (Told(body=b"[" * 100_000), UNKNOWN),
    "error as a word": (Told(status=400, body={"error": "no"}), UNKNOWN),
    "error as null": (Told(status=400, body={"error": None}), UNKNOWN),
    "a redirect": (Told(status=302, headers={"Location": "/v26.0/elsewhere"}), UNKNOWN),
    "304": (Told(status=304), UNKNOWN),
    "a dropped connection": (Told(drop=True), UNKNOWN),
    "a body that ends early": (Told(body={"success": True}, promised=500), UNKNOWN),
}


@pytest.mark.parametrize(("told", "proves"), ANSWERS.values(), ids=ANSWERS.keys())
def test_what_each_answer_to_a_write_proves_and_that_it_is_sent_once(told: Told, proves: Proves) -> None:
    answer = written(told)
    assert (answer.outcome, answer.stops) == (proves.outcome, proves.stops)
    # The time that a header told has run since.
    assert proves.wait - 10 <= answer.retry_after <= proves.wait


def test_the_code_of_a_graph_error_names_its_subcode_where_there_is_one() -> None:
    assert [written(graph_error(100, subcode)).code for subcode in (1885272, 0)] == ["100/1885272", "100"]


def test_a_server_that_never_answers_makes_the_write_unknown_by_the_deadline() -> None:
    patience = replace(QUICK, read=30.0, write_deadline=0.4)
    with meta(always(Told(body={"success": True}, wait=20)), patience) as (platform, _server):
        answers: list[WriteAnswer] = []
        taken = seconds_taken(lambda: answers.append(platform.write("20", Field.DAILY_BUDGET, 1200)))
    assert answers[0].outcome is WriteOutcome.UNKNOWN
    assert answers[0].code == "DeadlineExceeded"
    assert 0.35 <= taken < 10


def test_a_server_that_trickles_bytes_cannot_outlast_the_total_deadline() -> None:
    # Given: a byte each 50 ms for 30 s, so that no single read ever times out.
    told = Told(body=b'{"success": true}' + b" " * 600, trickle=0.05)
    patience = replace(QUICK, read=0.5, write_deadline=0.6)
    with meta(always(told), patience) as (platform, _server):
        answers: list[WriteAnswer] = []
        taken = seconds_taken(lambda: answers.append(platform.write("20", Field.DAILY_BUDGET, 1200)))
    assert answers[0].outcome is WriteOutcome.UNKNOWN
    assert 0.55 <= taken < 10


def test_an_abandoned_call_leaves_no_thread_behind() -> None:
    told = Told(body=b" " * 200, trickle=0.05)
    with meta(always(told), replace(QUICK, read=30.0, write_deadline=0.2)) as (platform, _server):
        platform.write("20", Field.DAILY_BUDGET, 1200)
        end = time.monotonic() + 2
        while any(thread.name == "graph-call" for thread in threading.enumerate()):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_write_after_an_abandoned_one_works_on_a_fresh_connection() -> None:
    told = in_turn(Told(wait=5), Told(body={"success": True}))
    with meta(told, replace(QUICK, read=30.0, write_deadline=0.3)) as (platform, server):
        first = platform.write("20", Field.DAILY_BUDGET, 1200)
        second = platform.write("20", Field.DAILY_BUDGET, 1300)
        assert [one.form["daily_budget"] for one in server.asked] == ["1200", "1300"]
    assert (first.outcome, second.outcome) == (WriteOutcome.UNKNOWN, WriteOutcome.ACCEPTED)


def test_a_write_never_rides_on_a_connection_that_was_kept_alive() -> None:
    with meta(in_turn(Told(body=AD_SET), Told(body={"success": True}))) as (platform, server):
        platform.read(EntityKind.AD_SET, "20")
        platform.write("20", Field.DAILY_BUDGET, 1200)
        assert server.connections == 2


def test_a_refused_connection_is_provably_not_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with MetaPlatform(ad_account="7", token=CANARY, base_url=url, patience=QUICK) as platform:
            answer = platform.write("20", Field.DAILY_BUDGET, 1200)
    assert (answer.outcome, answer.stops) == (WriteOutcome.DEFERRED, Stops.NETWORK)
    assert answer.detail == "no connection: nothing was sent"
    assert answer.retry_after > 0


def test_a_tls_handshake_that_fails_is_provably_not_sent() -> None:
    with serving(always(Told(body={"success": True}))) as server:
        url = server.url.replace("http:", "https:")
        with MetaPlatform(ad_account="7", token=CANARY, base_url=url, patience=QUICK) as platform:
            answer = platform.write("20", Field.DAILY_BUDGET, 1200)
        assert server.asked == []
    assert answer.outcome is WriteOutcome.DEFERRED


def test_a_connection_that_comes_up_after_the_deadline_carries_nothing() -> None:
    # Given: a server whose queue is full, so that connecting hangs and succeeds only later.
    with socket.socket() as server, socket.socket() as filler:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        filler.connect(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        patience = replace(QUICK, connect=10.0, write_deadline=0.3)
        with MetaPlatform(ad_account="7", token=CANARY, base_url=url, patience=patience) as platform:
            # When: the deadline passes first, and only then is there room.
            answer = platform.write("20", Field.DAILY_BUDGET, 1200)
            arrived = received_by(server, seconds=4)
    # Then: it was rightly called "not sent", and the late connection brought no byte.
    assert answer.outcome is WriteOutcome.DEFERRED
    assert arrived == [b"", b""]


def received_by(server: socket.socket, *, seconds: float) -> list[bytes]:
    """What each connection that is accepted within the time sends in its first 0.2 s."""
    arrived: list[bytes] = []
    end = time.monotonic() + seconds
    while len(arrived) < 2 and (left := end - time.monotonic()) > 0:
        server.settimeout(left)
        with suppress(TimeoutError):
            connection, _ = server.accept()
            with connection:
                connection.settimeout(0.2)
                try:
                    arrived.append(connection.recv(1000))
                except TimeoutError:
                    arrived.append(b"")
    return arrived


def test_a_write_whose_time_is_over_does_not_leave() -> None:
    with meta(always(Told(body={"success": True}))) as (platform, server):
        answer = platform.write("20", Field.DAILY_BUDGET, 1200, not_after=time.monotonic())
        assert server.asked == []
    assert answer.outcome is WriteOutcome.DEFERRED
