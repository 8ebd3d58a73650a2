"""Reads the table of word rarities that ships in the package.

The table is computed by tests/bench/build_idf_table.py from the headlines of the Upworthy Research Archive (Matias,
Munger, Le Quere, Ebersole 2021, CC BY 4.0); it holds document frequencies of hashed features and no text.
"""

from __future__ import annotations

import hashlib
import zlib
from importlib.resources import files
from typing import Final

import numpy as np

from adctl.domain.embedding.hashed_text import IDF_BUCKETS, RarityTable
from adctl.errors import ConfigurationError

NAME: Final = "idf-1"
_FILE: Final = "idf-1.zlib"
# blake2b-16 of the unpacked table; another table needs another name, because it makes other vectors.
_CHECKSUM: Final = "0ee50afc4f4083cc0d94f200eba1ee39"


def read_rarity_table() -> RarityTable:
    """The shipped table. Raises ConfigurationError when the installed file is missing or not what was shipped."""
    source = files("adctl") / "data" / _FILE
    try:
        return table_of(source.read_bytes())
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}") from error


def table_of(packed: bytes) -> RarityTable:
    """The table of the shipped file's bytes. Raises ConfigurationError when they are not what was shipped."""
    try:
        unpacked = zlib.decompress(packed, bufsize=IDF_BUCKETS)
    except zlib.error as error:
        raise _broken("is damaged") from error
    if hashlib.blake2b(unpacked, digest_size=16).hexdigest() != _CHECKSUM:
        raise _broken("is damaged: its checksum differs")
    return RarityTable(name=NAME, steps=np.frombuffer(unpacked, np.uint8))


def _broken(reason: str) -> ConfigurationError:
    return ConfigurationError(f"adctl/data/{_FILE} {reason}", fix="reinstall adctl")
