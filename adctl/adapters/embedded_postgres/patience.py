"""Waiting with a limit: short steps first, longer ones later."""

from __future__ import annotations

import time
from collections.abc import Iterator

_FIRST_STEP = 0.002
_LONGEST_STEP = 0.1


def attempts(seconds: float) -> Iterator[None]:
    """Yields at once, then after growing pauses, until `seconds` have passed; always at least once."""
    deadline = time.monotonic() + seconds
    step = _FIRST_STEP
    yield
    while time.monotonic() < deadline:
        time.sleep(step)
        step = min(step * 2, _LONGEST_STEP)
        yield
