"""Take secrets and personal data out of text before anybody sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

_MASK = "***"
# A shorter value would blacken ordinary words; passwords that short are still caught by the patterns.
_SHORTEST = 6
# Ends of names: what comes before them in a name is left out, because matching it would cost quadratic time.
_NAMES = r"(?:token|secret|password|passwd|appsecret_proof|api_?key|hapikey|signature)"

_PATTERNS = (
    # access_token=…, also percent-encoded, as in the query string of every request to Meta.
    (re.compile(rf"(?i)({_NAMES}(?:=|%3D)[\"']?)[^\s&\"'<>,;)\]}}]+"), rf"\1{_MASK}"),
    # "access_token": "…" in JSON and in the repr of a dictionary.
    (re.compile(rf"(?i)({_NAMES}[\"']\s*:\s*[\"'])[^\"']+"), rf"\1{_MASK}"),
    (re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:[a-z]+ +)?)[^\s\"',;}]+"), rf"\1{_MASK}"),
    (re.compile(r"(\b(?:Bearer|Basic|OAuth) +)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{_MASK}"),
    # Tokens as Meta and HubSpot write them, wherever they stand.
    (re.compile(r"\bEAA[0-9A-Za-z]{20,}"), _MASK),
    (re.compile(r"\bpat-[a-z]{2}\d-[0-9A-Fa-f-]{20,}"), _MASK),
    # Greedy up to the last "@": a password may hold one.
    (re.compile(r"(://[^\s:/@]{0,200}:)[^\s\"']{1,500}@"), rf"\1{_MASK}@"),
    # An e-mail address, but not the user of a URL. The bound and the look-behind keep long texts linear.
    (re.compile(r"(?<![\w.+-])(?<!://)[\w.+-]{1,64}(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), f"{_MASK}@{_MASK}"),
)

_known: set[str] = set()


def know(secrets: Iterable[str]) -> None:
    """Remember secret values of this process; from now on no text shows them, plain or percent-encoded."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            _known.update((secret, quote(secret, safe=""), quote(secret)))


def forget() -> None:
    """Drop all remembered values, for a process that serves several settings one after another."""
    _known.clear()


def redact_known(text: str) -> str:
    """`text` with `***` for every remembered secret: for data that may rightly hold an address."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def redact(text: str) -> str:
    """`text` without remembered secrets, anything that looks like one, and e-mail addresses."""
    text = redact_known(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
