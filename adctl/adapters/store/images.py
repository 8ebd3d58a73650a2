"""Sizes of the images that creatives show; a video's is that of its picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.staging import merge
from adctl.domain.dna import image_shape
from adctl.domain.ids import Account


def unread(connection: Connection, account: Account, hashes: Collection[str]) -> list[str]:
    """Those of the hashes that Meta was never asked about, in order."""
    return list(
        connection.scalars(
            text(
                """
                select h.hash from unnest(cast(:hashes as text[])) h (hash)
                where not exists (select from images i where i.account = :account and i.image_hash = h.hash)
                group by h.hash order by h.hash
                """
            ),
            {"account": account, "hashes": list(hashes)},
        )
    )


def store(
    connection: Connection, account: Account, asked: Collection[str], sizes: Mapping[str, tuple[int, int]], at: datetime
) -> int:
    """Keeps what Meta said of the hashes `asked`, (width, height) in pixels; returns how many are new or changed."""
    rows = ((account, one, *sizes.get(one, (None, None)), at) for one in asked)
    return merge(connection, "images", ("account", "image_hash"), ("width", "height"), rows, stamps=("read_at",))


def shapes(connection: Connection, account: Account) -> dict[str, str]:
    """Hash -> shape, of the images whose size is known."""
    found = connection.execute(
        text("select image_hash, width, height from images where account = :account and width is not null"),
        {"account": account},
    )
    return {row.image_hash: image_shape(row.width, row.height) for row in found}
