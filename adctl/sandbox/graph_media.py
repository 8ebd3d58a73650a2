"""The account's libraries of images and videos as the Graph API shows them."""

from __future__ import annotations

import json
import zlib
from typing import Any

from adctl.sandbox.graph_errors import invalid
from adctl.sandbox.world import World

_SIZES = ((1080, 1080), (1080, 1350), (1080, 1920), (1200, 628))


def images(world: World, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The images of all creatives, those named by `hashes` where it is given; a size follows from its hash."""
    try:
        wanted = json.loads(str(params["hashes"])) if "hashes" in params else None
    except ValueError as error:
        raise invalid("Param hashes must be an array of strings") from error
    held = dict.fromkeys(one for ad in world.tree.ads for one in _hashes(ad.creative.wire))
    return [_image(world, one) for one in held if wanted is None or one in wanted]


def videos(world: World) -> list[dict[str, Any]]:
    """The videos of all creatives; a length in seconds follows from its id."""
    held = dict.fromkeys(wire["video_id"] for ad in world.tree.ads if "video_id" in (wire := ad.creative.wire))
    return [{"id": one, "length": 4 + zlib.crc32(one.encode()) % 7000 / 100} for one in held]


def _image(world: World, image_hash: str) -> dict[str, Any]:
    width, height = _SIZES[int(image_hash[-4:], 16) % len(_SIZES)]
    account = world.tree.account.node_id.removeprefix("act_")
    return {"id": f"{account}:{image_hash}", "hash": image_hash, "width": width, "height": height}


def _hashes(wire: dict[str, Any]) -> list[str]:
    feed = wire.get("asset_feed_spec", {}).get("images", [])
    cards = wire.get("object_story_spec", {}).get("link_data", {}).get("child_attachments", [])
    own = [wire["image_hash"]] if "image_hash" in wire else []
    return [*own, *(one["hash"] for one in feed), *(card["image_hash"] for card in cards)]
