"""HubSpot's webhooks as a receiver spooled them: signatures, events, and what tells one event from another.

A spool is JSON Lines. A line is a bare array of events, as HubSpot posts it, or the request as it came:
`{"method": "POST", "uri": "https://…", "headers": {…}, "body": "[…]", "received_at": 1767268800000}`, `body` being the
raw text and `received_at` (epoch milliseconds, optional) when the receiver got it. One array over many lines will do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from adctl.domain.ids import ContactId, DealId
from adctl.errors import ConfigurationError, InputRejectedError

MAX_LINE: Final = 16 << 20
# HubSpot asks to refuse what is older than this; what comes from the future is no better.
SKEW: Final = timedelta(minutes=5)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNATURE: Final = "x-hubspot-signature-v3"
_TIMESTAMP: Final = "x-hubspot-request-timestamp"
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)
# HubSpot decodes these, and no others, before it signs.
_DECODED: Final = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_ENCODED: Final = re.compile("|".join(_DECODED), re.IGNORECASE)
_KINDS: Final = {"0-3": "deal", "0-1": "contact"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request of HubSpot's; `headers` is None where the receiver kept only the events. Header names are lower."""

    line: int
    body: str
    method: str = ""
    uri: str = ""
    headers: Mapping[str, str] | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `key` is the same for each sending of it; `deals` and `contacts` are whom it concerns."""

    key: bytes
    kind: str
    object_id: str
    portal: str
    occurred_at: datetime
    deals: tuple[DealId, ...]
    contacts: tuple[ContactId, ...]


def deliveries(lines: Iterable[bytes], source: str) -> Iterator[Delivery]:
    """The requests of a spool, in order. Raises InputRejectedError with the line for what is neither of the shapes."""
    numbered = enumerate(lines, start=1)
    for number, raw in numbered:
        line = _text(raw, source, number).strip()
        if not line:
            continue
        try:
            value = _json(line)
        except ValueError:
            if not line.startswith("["):
                raise _rejected("is no JSON", source, number) from None
            yield _spread_array(raw, numbered, source, number)
            return
        yield _delivery(value, line, source, number)


def refusal(delivery: Delivery, secrets: Sequence[str], now: datetime) -> str | None:
    """Why a request is not HubSpot's, None when it is, or when it came without headers and so cannot be told.

    Any of the secrets may have signed, so that one can be renewed. Raises ConfigurationError when there is none.
    """
    if delivery.headers is None:
        return None
    if not secrets:
        raise ConfigurationError("hubspot_client_secret: not set", fix="set ADCTL_HUBSPOT_CLIENT_SECRET")
    given, stamp = delivery.headers.get(_SIGNATURE, ""), delivery.headers.get(_TIMESTAMP, "")
    if not given or not _DIGITS.fullmatch(stamp):
        return "no v3 signature with its time"
    received = now if delivery.received_at is None else delivery.received_at
    if abs(received - _instant(int(stamp))) > SKEW:
        return "signed more than five minutes before or after it came"
    # Every secret is tried, so that the time taken tells nothing about which one fits.
    fits = [hmac.compare_digest(_signature(delivery, secret, stamp), given.encode()) for secret in secrets]
    return None if any(fits) else "the signature does not fit"


def events_of(delivery: Delivery, source: str) -> list[Event]:
    """Every event of a request. Raises InputRejectedError for a body that is no array of events."""
    try:
        rows = _json(delivery.body)
        if isinstance(rows, list):
            return [_event(row) for row in rows]
    except ValueError as error:
        raise _rejected(str(error) or "is no JSON", source, delivery.line) from None
    raise _rejected("its body is no array of events", source, delivery.line)


def _spread_array(first: bytes, rest: Iterator[tuple[int, bytes]], source: str, number: int) -> Delivery:
    size, parts = len(first), [first]
    for _, raw in rest:
        size += len(raw)
        if size > MAX_LINE:
            raise _rejected(f"an array of more than {MAX_LINE >> 20} MiB", source, number)
        parts.append(raw)
    whole = _text(b"".join(parts), source, number)
    try:
        _json(whole)
    except ValueError:
        raise _rejected("begins an array that is no JSON", source, number) from None
    return Delivery(line=number, body=whole)


def _delivery(value: object, line: str, source: str, number: int) -> Delivery:
    if isinstance(value, list):
        return Delivery(line=number, body=line)
    if not isinstance(value, dict):
        raise _rejected("is neither an array of events nor a request", source, number)
    headers, received = value.get("headers"), value.get("received_at")
    texts = {name: value.get(name) for name in ("method", "uri", "body")}
    if not isinstance(headers, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise _rejected("a request needs method, uri, body (text) and headers", source, number)
    if received is not None and (isinstance(received, bool) or not isinstance(received, int) or received < 0):
        raise _rejected("received_at is no epoch time in milliseconds", source, number)
    return Delivery(
        line=number,
        body=str(texts["body"]),
        method=str(texts["method"]).upper(),
        uri=str(texts["uri"]),
        headers={str(name).lower(): _header(header) for name, header in headers.items()},
        received_at=None if received is None else _instant(received),
    )


def _header(value: object) -> str:
    """Some servers keep a list of values for each header."""
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    return one if isinstance(one, str) else ""


def _signature(delivery: Delivery, secret: str, stamp: str) -> bytes:
    uri = _ENCODED.sub(lambda found: _DECODED[found[0].upper()], delivery.uri)
    signed = f"{delivery.method}{uri}{delivery.body}{stamp}".encode(errors="surrogatepass")
    return b64encode(hmac.digest(secret.encode(), signed, "sha256"))


def _event(row: object) -> Event:
    if not isinstance(row, dict):
        raise ValueError("an event is no object")
    kind = row.get("subscriptionType", row.get("eventType"))
    occurred = row.get("occurredAt")
    if not isinstance(kind, str) or isinstance(occurred, bool) or not isinstance(occurred, int):
        raise ValueError("an event without subscriptionType and occurredAt")
    kind = _KINDS.get(str(row.get("objectTypeId")), kind.partition(".")[0]) + "." + kind.partition(".")[2]
    return Event(
        key=_key(row),
        kind=kind[:100],
        object_id=_id(row, "objectId") or _id(row, "fromObjectId") or "",
        portal=_id(row, "portalId") or "",
        occurred_at=_instant(occurred),
        deals=tuple(DealId(one) for one in _concerned(row, kind, "deal")),
        contacts=tuple(ContactId(one) for one in _concerned(row, kind, "contact")),
    )


def _concerned(row: Mapping[str, object], kind: str, wanted: str) -> list[str]:
    """The ids of the deals (or contacts) that an event is about, each once."""
    what, _, happened = kind.partition(".")
    if happened == "associationChange":
        first, _, second = str(row.get("associationType")).lower().partition("_to_")
        names = [name for name, side in (("fromObjectId", first), ("toObjectId", second)) if side.startswith(wanted)]
    else:
        names = ["objectId", "primaryObjectId", "newObjectId"] if what == wanted else []
    merged = row.get("mergedObjectIds")
    more = merged if what == wanted and isinstance(merged, list) else []
    ids = [_id(row, name) for name in names] + [_id({"id": one}, "id") for one in more]
    return list(dict.fromkeys(one for one in ids if one))


def _key(row: Mapping[str, object]) -> bytes:
    """eventId is not promised to be unique, so everything that tells two events apart is in it."""
    names = ("eventId", "subscriptionId", "subscriptionType", "objectId", "occurredAt", "propertyName", "propertyValue")
    named = [row.get(name) for name in (*names, "portalId", "fromObjectId", "toObjectId", "associationType")]
    return hashlib.blake2b(json.dumps(named, sort_keys=True).encode(), digest_size=16).digest()


def _id(row: Mapping[str, object], name: str) -> str | None:
    """A record's id; HubSpot's are digits."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str) or not _DIGITS.fullmatch(str(value)):
        raise ValueError(f"an event whose {name} is no id")
    return str(value)


def _instant(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


def _text(raw: bytes, source: str, number: int) -> str:
    if len(raw) > MAX_LINE:
        raise _rejected(f"a line of more than {MAX_LINE >> 20} MiB", source, number)
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _rejected("is not UTF-8", source, number) from None


def _json(text: str) -> object:
    """Raises ValueError for what is no JSON, NaN and nesting without end included."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _rejected(what: str, source: str, line: int) -> InputRejectedError:
    fix = 'a line is an array of events as HubSpot posts it, or {"method": …, "uri": …, "headers": {…}, "body": "[…]"}'
    return InputRejectedError(what, source=source, line=line, fix=fix)
