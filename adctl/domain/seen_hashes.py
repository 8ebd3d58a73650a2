"""Which of millions of things were met before, in little memory."""

from __future__ import annotations

from array import array
from typing import Final

_FREE: Final = 0


class SeenHashes:
    """A set of 64-bit hashes at 16 to 32 bytes each, where Python's takes some 70."""

    def __init__(self) -> None:
        # A free place holds 0, so that hash has a place of its own.
        self._zero = False
        self._places = array("q", [_FREE]) * 1024
        self._taken = 0

    def __len__(self) -> int:
        return self._taken + self._zero

    def add(self, one: int) -> bool:
        """False when it was there already."""
        if one == _FREE:
            added, self._zero = not self._zero, True
            return added
        if 2 * self._taken >= len(self._places):
            self._grow()
        added = self._put(one)
        self._taken += added
        return added

    def _put(self, one: int) -> bool:
        places, last = self._places, len(self._places) - 1
        place = one & last
        while places[place] != _FREE:
            if places[place] == one:
                return False
            place = (place + 1) & last
        places[place] = one
        return True

    def _grow(self) -> None:
        earlier, self._places = self._places, array("q", [_FREE]) * (2 * len(self._places))
        for one in earlier:
            if one != _FREE:
                self._put(one)
