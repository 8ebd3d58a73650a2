"""A write to Meta over real HTTP: what each answer proves, and that nothing is ever sent twice or late."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

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


@pytest.mark.parametrize(
    ("code", "subcode"), [(100, 1885272), (100, 1885621), (100, 33), (100, 1885261), (506, 0), (2635, 0)]
)
def test_a_4xx_with_a_permanent_graph_error_proves_a_refusal(code: int, subcode: int) -> None:
    answer = written(graph_error(code, subcode))
    assert answer.outcome is WriteOutcome.REFUSED
    assert answer.code == (f"{code}/{subcode}" if subcode else str(code))


@pytest.mark.parametrize(
    ("code", "subcode", "wait"),
    [(613, 1487632, 3600), (17, 1487632, 3600), (17, 2446079, 300), (4, 0, 300), (80004, 0, 300), (613, 5044001, 300)],
)
def test_a_throttle_defers_and_says_for_how_long(code: int, subcode: int, wait: int) -> None:
    answer = written(graph_error(code, subcode, is_transient=True))
    assert (answer.outcome, answer.retry_after) == (WriteOutcome.DEFERRED, wait)


def test_a_throttle_waits_as_long_as_the_usage_header_says() -> None:
    usage = {"7": [{"type": "ads_management", "call_count": 100, "estimated_time_to_regain_access": 25}]}
    told = replace(graph_error(80004), headers={"X-Business-Use-Case-Usage": json.dumps(usage)})
    assert 1490 <= written(told).retry_after <= 1500


@pytest.mark.parametrize(
    ("code", "subcode", "stops"),
    [
        (613, 1487632, Stops.OBJECT),
        (17, 1487632, Stops.OBJECT),
        (613, 1487742, Stops.ACCOUNT),
        (4, 0, Stops.ACCOUNT),
        (80004, 0, Stops.ACCOUNT),
        (102, 0, Stops.RIGHTS),
        (190, 463, Stops.RIGHTS),
        (10, 0, Stops.RIGHTS),
        (200, 0, Stops.RIGHTS),
        (294, 0, Stops.RIGHTS),
        (368, 0, Stops.POLICY),
    ],
)
def test_what_is_no_fault_of_the_change_defers_it_and_says_what_it_stops(code: int, subcode: int, stops: Stops) -> None:
    answer = written(graph_error(code, subcode, status=401 if code == 190 else 400))
    assert (answer.outcome, answer.stops) == (WriteOutcome.DEFERRED, stops)


UNKNOWN = {
    "code 1": graph_error(1),
    "code 2": graph_error(2),
    "code 1 with too much data": graph_error(1, message="Please reduce the amount of data you're asking for"),
    "batch timeout": graph_error(960),
    "transient in the permanent class": graph_error(100, is_transient=True),
    "a code nobody listed": graph_error(31337),
    "a negative code": graph_error(-2),
    "a permanent error with status 500": graph_error(100, status=500),
    "a permanent error with status 200": graph_error(100, status=200),
    "a throttle with status 503": graph_error(4, status=503),
    "502 with html": Told(status=502, body=b"<html>Bad Gateway</html>"),
    "500 without a body": Told(status=500),
    "429 without error": Told(status=429, body={"message": "Too many requests"}),
    "404 without error": Told(status=404, body={}),
    "success false": Told(body={"success": False}),
    "success as a word": Told(body={"success": "true"}),
    "success as a number": Told(body={"success": 1}),
    "no success": Told(body={"id": "20"}),
    "a list": Told(body=[{"success": True}]),
    "a number": Told(body=1),
    "a string": Told(body="success"),
    "null": Told(body=None),
    "an empty 200": Told(),
    "201 with success": Told(status=201, body={"success": True}),
    "half a body": Told(body=b'{"success": tru'),
    "nesting without end": Told(body=b"[" * 100_000),
    "error as a word": Told(status=400, body={"error": "no"}),
    "error as null": Told(status=400, body={"error": None}),
    "a redirect": Told(status=302, headers={"Location": "/v26.0/elsewhere"}),
    "304": Told(status=304),
    "a dropped connection": Told(drop=True),
    "a body that ends early": Told(body={"success": True}, promised=500),
}


@pytest.mark.parametrize("told", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_answer_that_proves_nothing_is_unknown_and_is_not_sent_again(told: Told) -> None:
    assert written(told).outcome is WriteOutcome.UNKNOWN


def test_error_data_that_is_no_json_does_not_hide_the_refusal() -> None:
    assert written(graph_error(100, 1885272, error_data="not json")).code == "100/1885272"


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
