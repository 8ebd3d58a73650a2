"""Things with their number, in the words of a sentence."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Such as 1 ad, 2 ads and 1,000 ads; `thing` is one of them, and more of them end in s."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
