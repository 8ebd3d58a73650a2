"""Names for the keys that travel through adctl, so that one cannot stand where another is meant."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import NewType
from uuid import UUID

Account = NewType("Account", str)
CampaignId = NewType("CampaignId", str)
AdSetId = NewType("AdSetId", str)
AdId = NewType("AdId", str)
CreativeId = NewType("CreativeId", str)
DealId = NewType("DealId", str)
ContactId = NewType("ContactId", str)


def digest(value: Mapping[str, object] | list[object] | tuple[object, ...]) -> str:
    """Hex blake2b-16 of the canonical JSON of `value`: equal values have equal digests on every platform."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stable_uuid(*parts: str) -> UUID:
    """The same id for the same parts, for rows that a rerun must find again."""
    return UUID(bytes=hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest())


_META_ID = re.compile(r"[1-9]\d{0,31}", re.ASCII)
_SCIENTIFIC = re.compile(r"\d+(?:[.,]\d*)?[eE][-+]?\d+", re.ASCII)


def is_meta_id(text: str) -> bool:
    """Whether the text is an id of Meta: up to 32 ASCII digits, the first of them no zero."""
    return _META_ID.fullmatch(text) is not None


def has_lost_digits(text: str) -> bool:
    """Whether the text is a number as spreadsheets write one that is too long for them (`1.2E+17`)."""
    return _SCIENTIFIC.fullmatch(text) is not None
