"""Tell a dead-man's switch (healthchecks.io and those that speak its protocol) when a job begins and how it ends."""

from __future__ import annotations

import logging
from uuid import uuid4

import requests

_SECONDS = 5.0
_BUSY = 75
_log = logging.getLogger(__name__)


class Pings:
    """The pings of one run. A switch that cannot be reached is a warning and never changes what the run does."""

    def __init__(self, url: str, *, job: str, account: str) -> None:
        """`url` may hold `{job}` and `{account}`."""
        self._url = url.replace("{job}", job).replace("{account}", account).rstrip("/")
        self._run = str(uuid4())

    def start(self) -> None:
        self._ping("start")

    def end(self, exit_code: int) -> None:
        """0 is success and any other code a failure, but for 75: another run is at work or sending rests."""
        self._ping("log" if exit_code == _BUSY else str(exit_code))

    def _ping(self, what: str) -> None:
        try:
            answer = requests.get(f"{self._url}/{what}", params={"rid": self._run}, timeout=_SECONDS)
            trouble = "" if answer.ok else f"HTTP {answer.status_code}"
        except requests.RequestException as error:
            # The message of the error would tell the address, which is a secret.
            trouble = type(error).__name__
        if trouble:
            _log.warning("the dead-man's switch was not reached (%s): %s", what, trouble)
