"""Names for the keys that travel through adctl, so that one cannot stand where another is meant."""

from __future__ import annotations

import hashlib
import json
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
