"""The shipped table of rarities is read as shipped or not at all."""

from __future__ import annotations

import zlib
from importlib.resources import files

import numpy as np
import pytest

from adctl.adapters.rarity_table import read_rarity_table, table_of
from adctl.domain.embedding.features import word_hashes
from adctl.errors import ConfigurationError

SHIPPED = (files("adctl") / "data" / "idf-1.zlib").read_bytes()


def test_the_shipped_table_knows_frequent_from_rare_words() -> None:
    the, coach, unseen = read_rarity_table().weights(word_hashes(["the", "coach", "zzyzzx"])).tolist()

    assert 1 < the < 3 < coach < unseen < 11


@pytest.mark.parametrize("place", [0, 1, 1000, len(SHIPPED) // 2, len(SHIPPED) - 1])
def test_a_flipped_bit_is_refused(place: int) -> None:
    damaged = bytearray(SHIPPED)
    damaged[place] ^= 1

    with pytest.raises(ConfigurationError, match=r"idf-1\.zlib is damaged"):
        table_of(bytes(damaged))


def test_half_a_table_and_another_table_are_refused() -> None:
    for other in (SHIPPED[: len(SHIPPED) // 2], b"", zlib.compress(np.zeros(1 << 18, np.uint8).tobytes())):
        with pytest.raises(ConfigurationError, match="reinstall adctl"):
            table_of(other)
