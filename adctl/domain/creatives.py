"""What an ad shows: its words and attributes, their fingerprint, and what of them an embedder reads."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from adctl.domain.ids import CampaignId, CreativeId

_CONTENT_FIELDS: Final = (
    "headline",
    "body",
    "description",
    "call_to_action",
    "format",
    "link_host",
    "image_hash",
    "video_id",
    "placement",
)
_NAMED_ATTRIBUTES: Final = ("call_to_action", "format", "placement", "link_host", "image_hash", "video_id")
_QUESTION = re.compile(r"[?？؟¿]")
_NUMBER = re.compile(r"\d")
# Upper ends, in characters, of the classes of headline length; beyond the last one it is "long".
_LENGTH_CLASSES: Final = ((25, "short"), (60, "medium"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Creative:
    """One Meta creative as far as Meta tells it; what it does not tell is None, never an invented value.

    `link_host` is the landing page's host; `image_hash` and `video_id` are Meta's own, never expiring links.
    """

    creative_id: CreativeId
    campaign_id: CampaignId | None = None
    headline: str | None = None
    body: str | None = None
    description: str | None = None
    call_to_action: str | None = None
    format: str | None = None
    link_host: str | None = None
    image_hash: str | None = None
    video_id: str | None = None
    placement: str | None = None


def creative_of_text(text: str) -> Creative:
    """A creative that holds nothing but this text: the query of `winners similar --text`."""
    return Creative(creative_id=CreativeId(""), body=text)


def canonical_json(creative: Creative) -> bytes:
    """The content that is present as ASCII JSON, keys sorted; ids and performance are no content.

    The same ad made five times, or run in two campaigns, therefore has one content and one embedding.
    """
    content = {name: value for name in _CONTENT_FIELDS if (value := getattr(creative, name)) is not None}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def content_hash(creative: Creative) -> bytes:
    """16 bytes of blake2b over `canonical_json`: new numbers never change it, a new word always does."""
    return hashlib.blake2b(canonical_json(creative), digest_size=16).digest()


def creative_text(creative: Creative) -> str:
    """Headline, body and description that are present, one per line; empty when there is none."""
    return "\n".join(part for part in (creative.headline, creative.body, creative.description) if part)


def creative_attributes(creative: Creative) -> dict[str, str]:
    """The attributes that are present, by name, lower case except ids; what is absent has no key.

    From the words: `asks` (a question) and `counts` (a number) in the headline, or in the body where there is no
    headline; `headline_length` is short (to 25 characters), medium (to 60) or long.
    """
    named = {name: value.strip() for name in _NAMED_ATTRIBUTES if (value := getattr(creative, name))}
    folded = {name: value if name in ("image_hash", "video_id") else value.casefold() for name, value in named.items()}
    return {**{name: value for name, value in folded.items() if value}, **_hook(creative)}


def _hook(creative: Creative) -> dict[str, str]:
    opening = (creative.headline or creative.body or "").strip()
    hook: dict[str, str] = {}
    if _QUESTION.search(opening):
        hook["asks"] = "question"
    if _NUMBER.search(opening):
        hook["counts"] = "number"
    if creative.headline and opening:
        hook["headline_length"] = _length_class(len(opening))
    return hook


def _length_class(characters: int) -> str:
    return next((name for limit, name in _LENGTH_CLASSES if characters <= limit), "long")
