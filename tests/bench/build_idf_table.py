"""Computes the shipped table of word rarities from the Upworthy headlines.

Run from the checkout: `python tests/bench/build_idf_table.py PATH/upworthy_headlines.csv`. It writes
adctl/data/idf-1.zlib and prints the checksum that adctl/adapters/rarity_table.py expects; the same headlines
give the same table. A changed one needs a new name there, because vectors of two tables do not compare.

Source: the Upworthy Research Archive, a time series of 32,487 experiments in U.S. media (Matias, Munger, Le Quere,
Ebersole; Scientific Data 2021), CC BY 4.0. The table is derived from it: each distinct headline is one document, and
a bucket's step is round(24 · ln((1 + documents) / (1 + documents with a feature in the bucket))).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adctl.domain.embedding.features import features
from adctl.domain.embedding.hashed_text import IDF_BUCKETS, IDF_STEPS_PER_UNIT

TABLE = Path(__file__).parents[2] / "adctl" / "data" / "idf-1.zlib"
_BATCH = 1000


def headlines(source: Path) -> list[str]:
    """The distinct headlines in order: the arms of a test often repeat one."""
    with source.open(encoding="utf-8", newline="") as lines:
        return sorted({row["headline"] for row in csv.DictReader(lines)})


def rarity_steps(documents: Sequence[str]) -> NDArray[np.uint8]:
    """uint8 (2^18,): the natural logarithm of each bucket's rarity in steps of 1/24, capped at 255."""
    holding = np.zeros(IDF_BUCKETS, np.int64)
    for start in range(0, len(documents), _BATCH):
        found = features(documents[start : start + _BATCH])
        buckets = (found.hashes & np.uint64(IDF_BUCKETS - 1)).astype(np.int64)
        once_per_document = np.unique(found.rows * IDF_BUCKETS + buckets) % IDF_BUCKETS
        holding += np.bincount(once_per_document, minlength=IDF_BUCKETS)
    rarity = np.log((1 + len(documents)) / (1 + holding))
    return np.minimum(np.round(IDF_STEPS_PER_UNIT * rarity), 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("headlines", type=Path, help="upworthy_headlines.csv, with a column 'headline'")
    table = rarity_steps(headlines(parser.parse_args().headlines)).tobytes()
    TABLE.write_bytes(zlib.compress(table, 9))
    sys.stdout.write(f"{TABLE.name} {hashlib.blake2b(table, digest_size=16).hexdigest()}\n")


if __name__ == "__main__":
    main()
