"""Spooled webhooks: what is HubSpot's, what is one event sent twice, and what is no spool at all."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.webhooks import MAX_LINE, Delivery, deliveries, events_of, refusal
from adctl.errors import ConfigurationError, InputRejectedError

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
MOVED = {
    "eventId": 1,
    "subscriptionId": 12,
    "portalId": 62515,
    "occurredAt": 1_767_268_800_000,
    "subscriptionType": "deal.propertyChange",
    "attemptNumber": 0,
    "objectId": 1148,
    "propertyName": "dealstage",
    "propertyValue": "closedwon",
}


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def signed(
    secret: str, *, uri: str = "https://x.example/hook", at: datetime = NOW, body: str = "[]", signed_uri: str = ""
) -> dict[str, object]:
    """A request as a receiver spools it, signed over `signed_uri` where that differs from the one it came on."""
    stamp = str(milliseconds(at))
    text = f"POST{signed_uri or uri}{body}{stamp}"
    signature = b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
    return {"method": "POST", "uri": uri, "headers": headers, "body": body}


def read(*lines: object) -> list[Delivery]:
    return list(deliveries([json.dumps(line).encode() + b"\n" for line in lines], "spool"))


def one(request: Mapping[str, object]) -> Delivery:
    [delivery] = read(request)
    return delivery


# --- signatures ------------------------------------------------------------------------------------------------------


def test_hubspots_own_signature_passes_and_any_change_does_not() -> None:
    good = signed("s3cret", body=json.dumps([MOVED]))
    assert refusal(one(good), ["s3cret"], NOW) is None
    for name, value in (("method", "PUT"), ("uri", "https://x.example/hooks"), ("body", "[] ")):
        assert refusal(one({**good, name: value}), ["s3cret"], NOW) == "the signature does not fit"
    assert refusal(one(good), ["another"], NOW) == "the signature does not fit"


def test_the_previous_secret_still_passes_while_it_is_renewed() -> None:
    request = one(signed("old"))
    assert refusal(request, ["new", "old"], NOW) is None
    assert refusal(request, ["new"], NOW) == "the signature does not fit"


@pytest.mark.parametrize(("seconds", "passes"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_more_than_five_minutes_either_way_are_refused(seconds: int, passes: bool) -> None:
    request = one(signed("s3cret", at=NOW + timedelta(seconds=seconds)))
    assert (refusal(request, ["s3cret"], NOW) is None) is passes


def test_a_spool_that_lay_for_a_week_counts_from_when_it_was_received() -> None:
    request = signed("s3cret", at=NOW - timedelta(days=7))
    late = one({**request, "received_at": milliseconds(NOW - timedelta(days=7, seconds=-2))})
    assert refusal(one(request), ["s3cret"], NOW) is not None
    assert refusal(late, ["s3cret"], NOW) is None


def test_the_characters_that_hubspot_decodes_are_decoded_and_others_are_not() -> None:
    uri, decoded = "https://x.example/h?a=%2Fb%3aC%20d%26", "https://x.example/h?a=/b:C%20d%26"
    assert refusal(one(signed("s3cret", uri=uri, signed_uri=decoded)), ["s3cret"], NOW) is None


@pytest.mark.parametrize("headers", [{}, {"X-HubSpot-Signature-v3": "x"}, {"X-HubSpot-Request-Timestamp": "1"}])
def test_a_request_without_signature_or_time_is_refused(headers: dict[str, str]) -> None:
    assert refusal(one({**signed("s3cret"), "headers": headers}), ["s3cret"], NOW) == "no v3 signature with its time"


def test_header_names_have_no_case_and_values_may_stand_in_a_list() -> None:
    request = signed("s3cret")
    headers = request["headers"]
    assert isinstance(headers, dict)
    odd = {name.upper(): [value] for name, value in headers.items()}
    assert refusal(one({**request, "headers": odd}), ["s3cret"], NOW) is None


def test_signed_requests_need_a_secret_and_bare_arrays_do_not() -> None:
    with pytest.raises(ConfigurationError, match="hubspot_client_secret"):
        refusal(one(signed("s3cret")), [], NOW)
    [bare] = read([MOVED])
    assert refusal(bare, [], NOW) is None


# --- events ----------------------------------------------------------------------------------------------------------


def test_every_event_of_an_array_is_read() -> None:
    [bare] = read([MOVED, {**MOVED, "objectId": 1149}, {**MOVED, "subscriptionType": "contact.creation"}])
    events = events_of(bare, "spool")
    assert [(one.deals, one.contacts) for one in events] == [(("1148",), ()), (("1149",), ()), ((), ("1148",))]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"attemptNumber": 3}, True),
        ({"eventId": 2}, False),
        ({"subscriptionId": 13}, False),
        ({"objectId": 1}, False),
        ({"occurredAt": 1_767_268_800_001}, False),
        ({"propertyName": "amount"}, False),
        ({"propertyValue": "closedlost"}, False),
    ],
)
def test_an_event_sent_again_is_the_same_and_another_is_not(change: dict[str, object], same: bool) -> None:
    [bare] = read([MOVED, {**MOVED, **change}])
    first, second = events_of(bare, "spool")
    assert (first.key == second.key) is same


@pytest.mark.parametrize(
    ("event", "deals", "contacts"),
    [
        ({"subscriptionType": "deal.deletion"}, ("1148",), ()),
        ({"subscriptionType": "object.creation", "objectTypeId": "0-3"}, ("1148",), ()),
        ({"subscriptionType": "object.creation", "objectTypeId": "0-1"}, (), ("1148",)),
        ({"subscriptionType": "company.creation"}, (), ()),
        (
            {"subscriptionType": "deal.merge", "primaryObjectId": 5, "mergedObjectIds": [6, 7]},
            ("1148", "5", "6", "7"),
            (),
        ),
        (
            {
                "subscriptionType": "contact.associationChange",
                "objectId": None,
                "associationType": "CONTACT_TO_DEAL",
                "fromObjectId": 8,
                "toObjectId": 9,
            },
            ("9",),
            ("8",),
        ),
    ],
)
def test_an_event_names_whom_it_concerns(
    event: dict[str, object], deals: tuple[str, ...], contacts: tuple[str, ...]
) -> None:
    [bare] = read([{**MOVED, **event}])
    [read_event] = events_of(bare, "spool")
    assert (read_event.deals, read_event.contacts) == (deals, contacts)


# --- spools ----------------------------------------------------------------------------------------------------------


def test_an_array_may_run_over_many_lines_behind_a_byte_order_mark() -> None:
    text = b"\xef\xbb\xbf" + json.dumps([MOVED], indent=2).encode()
    [bare] = deliveries(text.splitlines(keepends=True), "spool")
    assert len(events_of(bare, "spool")) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"method": "POST"',
        b"[{]",
        b"7",
        b'"text"',
        b'{"method": "POST", "uri": "u", "headers": {}, "body": []}',
        b'{"method": "POST", "uri": "u", "headers": {}, "body": "[]", "received_at": "now"}',
        b"\xff\xfe[]",
        b"[" * 100_000,
        b"[" + b" " * MAX_LINE + b"]",
    ],
)
def test_what_is_no_spool_is_refused_with_its_line(line: bytes) -> None:
    with pytest.raises(InputRejectedError) as refused:
        list(deliveries([b"[]\n", line], "spool"))
    assert refused.value.line == 2


@pytest.mark.parametrize(
    "events",
    [
        "{}",
        "[1]",
        "[NaN]",
        "[{}]",
        json.dumps([{**MOVED, "objectId": "x"}]),
        json.dumps([{**MOVED, "occurredAt": True}]),
        json.dumps([{**MOVED, "occurredAt": 10**18}]),
    ],
)
def test_a_body_that_holds_no_events_is_refused(events: str) -> None:
    with pytest.raises(InputRejectedError):
        events_of(Delivery(line=3, body=events), "spool")


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'[{"a": 1}]', b'{"method": ""}', b"[", b"]"]), max_size=4))
def test_bytes_of_any_kind_are_read_or_refused(lines: list[bytes]) -> None:
    def read_all() -> None:
        for delivery in deliveries(lines, "spool"):
            refusal(delivery, ["s3cret"], NOW)
            events_of(delivery, "spool")

    with suppress(InputRejectedError):
        read_all()
