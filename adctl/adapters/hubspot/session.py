"""One HubSpot account through the real SDK: cached api objects, bounded calls, retries, typed errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from hubspot import HubSpot
from hubspot.crm.associations.v4.exceptions import ApiException as AssociationsApiException
from hubspot.crm.contacts.exceptions import ApiException as ContactsApiException
from hubspot.crm.deals.exceptions import ApiException as DealsApiException
from hubspot.crm.pipelines.exceptions import ApiException as PipelinesApiException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from adctl.errors import BusyError, DeniedError, UnavailableError

Endpoint = Callable[..., Any]
Body = Mapping[str, object]
_Item = TypeVar("_Item")

# The SDK has one such class per package, without a common parent of their own.
_API_ERRORS: Final = (DealsApiException, ContactsApiException, PipelinesApiException, AssociationsApiException)
# A TLS failure surfaces as an AttributeError inside the SDK, a body of broken bytes as a ValueError.
_TRANSPORT_ERRORS: Final = (HTTPError, OSError, AttributeError, ValueError)
_LONGEST_PAUSE: Final = 8.0
_CHUNK: Final = 1 << 16
# Cloudflare, in front of HubSpot, answers so to a malformed token.
_MALFORMED_TOKEN: Final = 530
# HubSpot moves the account to another data centre, for up to a day.
_MIGRATING: Final = 477
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds and counts. `deadline` bounds reading one body; a pause beyond `longest_wait` ends the run instead.

    `rate_pause` is waited where a 429 does not say how long; `search_interval` keeps below 4 searches a second.
    """

    connect: float = 5.0
    read: float = 30.0
    deadline: float = 120.0
    tries: int = 4
    pause: float = 0.5
    rate_pause: float = 10.0
    longest_wait: float = 15.0
    search_interval: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class RefusedError(UnavailableError):
    """HubSpot will not answer this request however often it is sent."""


class Session:
    """Calls endpoints of the SDK and returns their JSON. No message holds the token."""

    def __init__(self, *, token: str, base_url: str, patience: Patience) -> None:
        self._token = token
        self._patience = patience
        self._next_search = 0.0
        # One loop below retries, for POST searches as well, and decides by the body of a 429; urllib3 would sleep for
        # as long as Retry-After says, which for a daily limit is hours.
        never = Retry(total=0)
        client = HubSpot(access_token=token, host=base_url.rstrip("/"), retry=never)
        # Each walk through the attributes builds a new connection pool, so each api object is taken once.
        self.deals = client.crm.deals.basic_api
        self.deal_batches = client.crm.deals.batch_api
        self._deal_search = client.crm.deals.search_api
        self.contact_batches = client.crm.contacts.batch_api
        self.associations = client.crm.associations.v4.batch_api
        self.pipelines = client.crm.pipelines.pipelines_api

    def close(self) -> None:
        """Drop the connections."""
        for api in (
            self.deals,
            self.deal_batches,
            self._deal_search,
            self.contact_batches,
            self.associations,
            self.pipelines,
        ):
            api.api_client.rest_client.pool_manager.clear()

    def search_deals(self, request: Body) -> Body:
        """One deal search, at most one per `search_interval`: searches have a tight limit of their own."""
        time.sleep(max(0.0, self._next_search - time.monotonic()))
        self._next_search = time.monotonic() + self._patience.search_interval
        return self.call(self._deal_search.do_search, public_object_search_request=dict(request))

    def call(self, endpoint: Endpoint, *args: object, **kwargs: object) -> Body:
        """The JSON object an endpoint answers with status 2xx; adctl only reads, so every call may be repeated.

        Raises DeniedError, BusyError (a rate limit that outlasts our patience) or UnavailableError.
        """
        attempt = 0
        while True:
            attempt += 1
            answer = self._answer(endpoint, args, kwargs)
            if isinstance(answer, _Answer) and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                pause = self._rate_limit_pause(answer, last=attempt >= self._patience.tries)
            else:
                result = self._judged(answer)
                if not isinstance(result, str):
                    return result
                if attempt >= self._patience.tries:
                    raise UnavailableError(result, fix="check the network and HubSpot's status page")
                pause = min(self._patience.pause * 2 ** (attempt - 1), _LONGEST_PAUSE)
            time.sleep(pause)

    def _answer(self, endpoint: Endpoint, args: tuple[object, ...], kwargs: Mapping[str, object]) -> _Answer | str:
        """What came back, or the name of the transport failure."""
        timeout = (self._patience.connect, self._patience.read)
        try:
            response = endpoint(*args, **kwargs, _preload_content=False, _request_timeout=timeout)
            return _Answer(status=response.status, headers=_lower(response.headers), body=self._whole(response))
        except _API_ERRORS as error:
            if not error.status:
                return "TLS failure"
            return _Answer(status=error.status, headers=_lower(error.headers), body=str(error.body).encode())
        except _TRANSPORT_ERRORS as error:
            return type(error).__name__

    def _whole(self, response: BaseHTTPResponse) -> bytes:
        """The body; a timeout of the HTTP library bounds each read only, and a trickle of bytes would never end."""
        end = time.monotonic() + self._patience.deadline
        chunks: list[bytes] = []
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            if time.monotonic() > end:
                response.close()
                raise TimeoutError("the answer took longer than the deadline")
        return b"".join(chunks)

    def _judged(self, answer: _Answer | str) -> Body | str:
        """The body of a good answer, or why trying again may help; raises what no further try can cure."""
        if isinstance(answer, str):
            return f"hubspot: no answer ({answer})"
        body = _object(answer.body)
        if 200 <= answer.status < 300:
            return body if body is not None else f"hubspot: http {answer.status} without a JSON object"
        what = self._told(answer, body)
        if answer.status in (HTTPStatus.UNAUTHORIZED, _MALFORMED_TOKEN):
            raise DeniedError(what, fix="renew the private app's token (ADCTL_HUBSPOT_TOKEN)")
        if answer.status == HTTPStatus.FORBIDDEN:
            raise DeniedError(
                what, fix="grant the private app crm.objects.{deals,contacts}.read and crm.schemas.*.read"
            )
        if answer.status == _MIGRATING:
            raise BusyError(what, fix="the account is being migrated; a later tick goes on")
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _PASSING:
            return what
        raise RefusedError(what)

    def _rate_limit_pause(self, answer: _Answer, *, last: bool) -> float:
        """Seconds until a rate-limited call may be repeated; BusyError when that is not within this run."""
        body = _object(answer.body) or {}
        policy = str(body.get("policyName", ""))
        told = answer.headers.get("retry-after", "")
        pause = float(told) if told.isascii() and told.isdigit() else self._patience.rate_pause
        if policy.upper() == "DAILY" or "daily" in str(body.get("message", "")).lower():
            raise BusyError("hubspot: the daily limit of calls is used up", fix="the next tick after midnight goes on")
        if last or pause > self._patience.longest_wait:
            raise BusyError(f"hubspot: rate limited ({policy or 'no policy named'})", fix=f"wait {pause:.0f} s")
        return pause

    def _told(self, answer: _Answer, body: Body | None) -> str:
        message = str((body or {}).get("message", "")).replace(self._token, "***")[:200]
        return f"hubspot: http {answer.status} {message}".strip()


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """The items in portions of at most `size`, HubSpot's limit for one call."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
