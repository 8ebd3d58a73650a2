"""A creative's words and attributes from where Meta really keeps them, which differs by kind of ad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from adctl.adapters.meta.parsing import Row, maybe_text, object_id
from adctl.domain import landing_urls
from adctl.domain.creatives import Creative
from adctl.domain.ids import CampaignId, CreativeId

FIELDS: Final = (
    "id,name,title,body,call_to_action_type,image_hash,video_id,link_url,url_tags,object_type,"
    "effective_object_story_id,object_story_spec,asset_feed_spec"
)

_METAS_OWN: Final = frozenset({"fb.me", "www.facebook.com", "facebook.com", "m.me", "wa.me"})

_Part = Mapping[str, str | None]


def creative_of(ad: Row) -> Creative | None:
    """The creative nested in an ad, None when Meta gave none.

    Each attribute comes from the first place that has it: the story (link, video, catalogue template, photo, text),
    then the dynamic asset feed's first asset, then the creative's own top level, which story ads often leave empty.
    """
    row = ad.get("creative")
    if not isinstance(row, dict):
        return None
    parts = _parts(row)

    def first(name: str) -> str | None:
        return next((value for part in parts if (value := part.get(name))), None)

    return Creative(
        creative_id=CreativeId(object_id(row, "id")),
        campaign_id=CampaignId(object_id(ad, "campaign_id")),
        headline=first("headline"),
        body=first("body"),
        description=first("description"),
        call_to_action=first("call_to_action"),
        format=first("format"),
        link_host=_host(first("link")),
        image_hash=first("image_hash"),
        video_id=first("video_id"),
    )


def names_its_ad(ad: Row) -> bool | None:
    """Whether each address behind an ad holds the ad's id, by its URL parameters or by itself; None without addresses.

    The links of instant forms lead to Meta itself and count as none.
    """
    row = _child(ad, "creative")
    if landing_urls.names_its_ad(maybe_text(row, "url_tags") or ""):
        return True
    links = {link for part in _parts(row) if (link := part.get("link")) and _host(link) not in _METAS_OWN}
    return all(map(landing_urls.names_its_ad, links)) if links else None


def _parts(row: Row) -> list[_Part]:
    return [*_story_parts(row), _feed_part(_child(row, "asset_feed_spec")), _top_part(row)]


def _story_parts(row: Row) -> Iterator[_Part]:
    story = _child(row, "object_story_spec")
    if video := _child(story, "video_data"):
        yield _video_part(video)
    for name in ("link_data", "template_data"):
        if data := _child(story, name):
            yield _link_part(data)
            yield from (_card_part(card) for card in _children(data, "child_attachments"))
    for name, kind in (("photo_data", "image"), ("text_data", "text")):
        if data := _child(story, name):
            yield {
                "body": maybe_text(data, "caption") or maybe_text(data, "message"),
                "image_hash": maybe_text(data, "image_hash"),
                "format": kind,
            }


def _link_part(data: Row) -> _Part:
    return {
        "headline": maybe_text(data, "name"),
        "body": maybe_text(data, "message"),
        "description": maybe_text(data, "description"),
        "call_to_action": _call_to_action(data),
        "format": "carousel" if _children(data, "child_attachments") else "image",
        "link": maybe_text(data, "link") or _button_link(data),
        "image_hash": maybe_text(data, "image_hash"),
    }


def _card_part(card: Row) -> _Part:
    return {
        "headline": maybe_text(card, "name"),
        "description": maybe_text(card, "description"),
        "link": maybe_text(card, "link"),
        "image_hash": maybe_text(card, "image_hash"),
        "video_id": maybe_text(card, "video_id"),
    }


def _video_part(data: Row) -> _Part:
    return {
        "headline": maybe_text(data, "title"),
        "body": maybe_text(data, "message"),
        "description": maybe_text(data, "link_description"),
        "call_to_action": _call_to_action(data),
        "format": "video",
        "link": _button_link(data),
        "image_hash": maybe_text(data, "image_hash"),
        "video_id": maybe_text(data, "video_id"),
    }


def _feed_part(feed: Row) -> _Part:
    """The first of each kind of asset; Meta mixes them when it shows the ad."""
    actions = feed.get("call_to_action_types")
    return {
        "headline": _first_of(feed, "titles", "text"),
        "body": _first_of(feed, "bodies", "text"),
        "description": _first_of(feed, "descriptions", "text"),
        "call_to_action": next((name for name in actions if isinstance(name, str)), None)
        if isinstance(actions, list)
        else None,
        "format": "dynamic" if feed else None,
        "link": _first_of(feed, "link_urls", "website_url"),
        "image_hash": _first_of(feed, "images", "hash"),
        "video_id": _first_of(feed, "videos", "video_id"),
    }


def _top_part(row: Row) -> _Part:
    video = maybe_text(row, "video_id")
    image = maybe_text(row, "image_hash")
    return {
        "headline": maybe_text(row, "title"),
        "body": maybe_text(row, "body"),
        "call_to_action": maybe_text(row, "call_to_action_type"),
        "format": "video" if video else "image" if image else None,
        "link": maybe_text(row, "link_url"),
        "image_hash": image,
        "video_id": video,
    }


def _call_to_action(data: Row) -> str | None:
    return maybe_text(_child(data, "call_to_action"), "type")


def _button_link(data: Row) -> str | None:
    return maybe_text(_child(_child(data, "call_to_action"), "value"), "link")


def _host(link: str | None) -> str | None:
    try:
        return urlsplit(link).hostname if link else None
    except ValueError:
        return None


def _child(row: Row, field: str) -> Row:
    value = row.get(field)
    return value if isinstance(value, dict) else {}


def _children(row: Row, field: str) -> list[Row]:
    value = row.get(field)
    return [child for child in value if isinstance(child, dict)] if isinstance(value, list) else []


def _first_of(row: Row, field: str, name: str) -> str | None:
    return next((value for child in _children(row, field) if (value := maybe_text(child, name))), None)
