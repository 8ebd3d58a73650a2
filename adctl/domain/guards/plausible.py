"""Whether figures moved as figures do, or as a broken source would have them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

# With fewer days before it nobody knows what is usual.
_FEWEST_DAYS = 4


def doubt(days: Sequence[int], factor: int) -> str | None:
    """Why the last of these daily totals of spend (consecutive complete days, oldest first) is not to be believed.

    None when it is within `factor` times the median of the days before, or when too little is known; factor 0 never
    doubts.
    """
    if not factor or len(days) <= _FEWEST_DAYS:
        return None
    *before, last = days
    usual = median(before)
    if usual > 0 and not usual <= last * factor:
        return f"spend of the last day is {last / usual:.0%} of the usual, less than 1/{factor}: is it read in full?"
    if usual > 0 and last > usual * factor:
        return f"spend of the last day is {last / usual:.1f} times the usual, more than {factor}"
    return None
