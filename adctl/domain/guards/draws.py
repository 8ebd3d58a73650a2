"""Chance that is no chance: jitter and fuzz drawn once from a change's own id."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from uuid import UUID

PPM = 1_000_000


def jitter_ms(change_id: UUID, span: tuple[int, int]) -> int:
    """Milliseconds within `span`, both ends included; the same for the same id."""
    low, high = span
    return low + _draw(change_id, "jitter") % (high - low + 1)


def fuzz_ppm(change_id: UUID, most: Fraction) -> int:
    """Parts per million within ±`most`, ends included; the same for the same id."""
    reach = int(most * PPM)
    return _draw(change_id, "fuzz") % (2 * reach + 1) - reach


def fuzzed(amount: int, ppm: int) -> int:
    """`amount` moved by `ppm`, rounded towards `amount`, so that the move never exceeds it."""
    return amount + int(Fraction(amount * ppm, PPM))


def _draw(change_id: UUID, purpose: str) -> int:
    """64 bits that depend on nothing but the id and what they are for."""
    return int.from_bytes(hashlib.blake2b(change_id.bytes, digest_size=8, person=purpose.encode()).digest())
