"""Sizes of the images and lengths of the videos that creatives show; the size of a video is that of its picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.staging import merge
from adctl.domain.dna import image_shape
from adctl.domain.ids import Account

_UNREAD_IMAGES = text(
    """
    select h.hash from unnest(cast(:asked as text[])) h (hash)
    where not exists (select from images i where i.account = :account and i.image_hash = h.hash)
    group by h.hash order by h.hash
    """
)
_UNREAD_VIDEOS = text(
    """
    select a.id from unnest(cast(:asked as text[])) a (id)
    where not exists (select from videos v where v.account = :account and v.video_id = a.id)
    group by a.id order by a.id
    """
)


def unread_images(connection: Connection, account: Account, hashes: Collection[str]) -> list[str]:
    """Those of the hashes that Meta was never asked about, in order."""
    return list(connection.scalars(_UNREAD_IMAGES, {"account": account, "asked": list(hashes)}))


def unread_videos(connection: Connection, account: Account, ids: Collection[str]) -> list[str]:
    """Those of the videos that Meta was never asked about, in order."""
    return list(connection.scalars(_UNREAD_VIDEOS, {"account": account, "asked": list(ids)}))


def store_images(
    connection: Connection, account: Account, asked: Collection[str], sizes: Mapping[str, tuple[int, int]], at: datetime
) -> int:
    """Keeps what Meta said of the hashes `asked`, (width, height) in pixels; returns how many are new or changed."""
    rows = ((account, one, *sizes.get(one, (None, None)), at) for one in asked)
    return merge(connection, "images", ("account", "image_hash"), ("width", "height"), rows, stamps=("read_at",))


def store_videos(
    connection: Connection, account: Account, asked: Collection[str], lengths: Mapping[str, float], at: datetime
) -> int:
    """Keeps what Meta said of the videos `asked`, seconds; returns how many are new or changed."""
    rows = ((account, one, lengths.get(one), at) for one in asked)
    return merge(connection, "videos", ("account", "video_id"), ("seconds",), rows, stamps=("read_at",))


def shapes(connection: Connection, account: Account) -> dict[str, str]:
    """Hash -> shape, of the images whose size is known."""
    found = connection.execute(
        text("select image_hash, width, height from images where account = :account and width is not null"),
        {"account": account},
    )
    return {row.image_hash: image_shape(row.width, row.height) for row in found}


def lengths(connection: Connection, account: Account) -> dict[str, float]:
    """Id -> seconds, of the videos whose length is known."""
    found = connection.execute(
        text("select video_id, seconds from videos where account = :account and seconds is not null"),
        {"account": account},
    )
    return {row.video_id: row.seconds for row in found}
