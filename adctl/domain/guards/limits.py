"""The numbers the guards hold decisions against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from fractions import Fraction

from adctl.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One account's limits. Money is minor units; shares are exact fractions (`Fraction("0.2")`, never 0.2).

    `cap` is how much may be raised in any rolling 24 hours; None means that nobody has set it and nothing is sent.
    `floors` and `ceilings` are those of single campaigns and ad sets by id, beside the account's own.
    `learning_loss`: spend minus synthetic revenue from which even a learning ad set is touched; None: never.
    `funding`: raises take no more than what cuts free and what the day's decisions let the total grow by.
    `implausible_factor`: a last day of spend beyond so many times the usual, or below its inverse is doubted; 0: none.
    `implausible_crm_factor`: a last day of deals beyond so many times the greatest before, or without any; 0: none.
    `quiet_hours` are (from, until) in the account's time zone and may pass midnight. Raises ConfigurationError.
    """

    step: Fraction = Fraction(1, 2)
    velocity: Fraction = Fraction(1, 5)
    velocity_window: timedelta = timedelta(hours=6)
    campaign_rate: int = 15
    ad_set_rate: int = 3
    floor: int = 1
    ceiling: int | None = None
    floors: Mapping[str, int] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)
    cap: int | None = None
    kill_share: Fraction = Fraction(1, 5)
    kill_last_ad: bool = False
    insights_age: timedelta = timedelta(hours=26)
    crm_age: timedelta = timedelta(hours=26)
    decision_days: int = 1
    learning_loss: int | None = None
    confidence: float = 0.70
    fuzz: Fraction = Fraction(3, 100)
    jitter_ms: tuple[int, int] = (3_000, 18_000)
    quiet_hours: tuple[time, time] | None = None
    hands_off: timedelta = timedelta(hours=72)
    funding: bool = True
    implausible_factor: int = 5
    implausible_crm_factor: int = 5

    def __post_init__(self) -> None:
        for name in ("step", "velocity", "kill_share", "fuzz"):
            share = getattr(self, name)
            if not isinstance(share, Fraction) or not 0 <= share <= 1:
                raise _refused(name, share, "give an exact fraction between 0 and 1")
        for name in ("campaign_rate", "ad_set_rate", "cap", "learning_loss", "decision_days"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise _refused(name, count, "give a number that is not negative")
        self._check_ranges()

    def _check_ranges(self) -> None:
        if self.floor < 1:
            raise _refused("floor", self.floor, "give at least one minor unit")
        if self.ceiling is not None and self.ceiling < self.floor:
            raise _refused("ceiling", self.ceiling, f"give at least the floor, {self.floor}")
        if not 0 <= self.confidence <= 1:
            raise _refused("confidence", self.confidence, "give a number between 0 and 1")
        if not 0 <= self.jitter_ms[0] <= self.jitter_ms[1]:
            raise _refused("jitter_ms", self.jitter_ms, "give two numbers, the lesser first")


def _refused(name: str, value: object, fix: str) -> ConfigurationError:
    return ConfigurationError(f"limit {name} is {value}", fix=fix)
