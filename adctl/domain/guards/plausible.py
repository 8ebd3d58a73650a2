"""Whether figures moved as figures do, or as a broken source would have them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

# With fewer days before it nobody knows what is usual.
_FEWEST_DAYS = 4
# A CRM's days are few and uneven: more of them are asked for, and only those on which anything came count.
_FEWEST_CRM_DAYS = 14


def doubt(days: Sequence[int], factor: int) -> str | None:
    """Why the last of these daily totals of spend (consecutive complete days, oldest first) is not to be believed.

    None when it is within `factor` times the median of the days before, or when too little is known; factor 0 never
    doubts.
    """
    if not factor or len(days) <= _FEWEST_DAYS:
        return None
    *before, last = days
    usual = median(before)
    if usual <= 0:
        return None
    if usual > last * factor:
        return f"spend of the last day is {last / usual:.0%} of the usual, less than 1/{factor}: is it read in full?"
    if last > usual * factor:
        return f"spend of the last day is {last / usual:.1f} times the usual, more than {factor}"
    return None


def crm_doubt(what: str, days: Sequence[int], factor: int) -> str | None:
    """Why the last of these daily totals of `what` (consecutive complete days, oldest first) is not to be believed.

    It is more than `factor` times the greatest day before, or nothing where every day before had something. None when
    neither is so, or when too little is known; factor 0 never doubts.
    """
    if not factor or sum(day > 0 for day in days[:-1]) < _FEWEST_CRM_DAYS:
        return None
    *before, last = days
    if last <= 0 and min(before) > 0:
        return f"{what} of the last day: none, which was so on no day before: is the CRM read in full?"
    if last > max(before) * factor:
        times = last / max(before)
        return f"{what} of the last day: {times:.1f} times the greatest day before, more than {factor}: is it right?"
    return None
