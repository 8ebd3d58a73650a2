"""The settings of the guards between a decision and Meta."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import Annotated

from adctl.settings import kinds
from adctl.settings.keys import choice, flag, money, number, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSettings:
    """The guards between a decision and Meta. Percentages are exact numbers (50 means 50 %), money is minor units."""

    step_percent: Annotated[Decimal, number("Largest change of one decision, % of the budget.", 0, 100)] = Decimal(50)
    velocity_percent: Annotated[
        Decimal, number("A target stays within this % of every value in force in the last velocity_hours.", 0, 100)
    ] = Decimal(20)
    velocity_hours: Annotated[int, whole("Hours that velocity_percent looks back.", 1, 168)] = 6
    rate_per_campaign_per_hour: Annotated[int, whole("Writes per campaign in any rolling hour.", 1, 1000)] = 15
    # Meta blocks an ad set for an hour at its 5th budget change, and one stays reserved for undo.
    rate_per_ad_set_per_hour: Annotated[
        int, whole("Budget changes per ad set in any rolling hour; one more stays reserved for undo.", 1, 3)
    ] = 3
    floor: Annotated[
        int | None, money("No daily budget goes below this amount; unset: Meta's own minimum.", example='"5.00"')
    ] = None
    ceiling: Annotated[
        int | None, money("No daily budget goes above this amount; unset: no ceiling.", example='"500.00"')
    ] = None
    cap_increase_per_24h: Annotated[
        int | None,
        money("Sum of all raises in any rolling 24 hours; UNSET MEANS: NOTHING IS EVER SENT.", example='"100.00"'),
    ] = None
    fund_raises: Annotated[
        bool, flag("Raises take no more than what cuts free, beyond what the day's decisions let the total grow by.")
    ] = True
    kills_per_run_percent: Annotated[Decimal, number("Ads paused by one run, % of the active ones.", 0, 100)] = Decimal(
        20
    )
    kill_last_ad: Annotated[bool, flag("Let even the last active ad of an ad set be paused.")] = False
    min_confidence: Annotated[Decimal, number("Decisions below this confidence are only reported.", 0, 1)] = Decimal(
        "0.70"
    )
    fuzz_percent: Annotated[
        Decimal, number("Budgets vary by up to this %, drawn once per change; 0 turns it off.", 0, 10)
    ] = Decimal(3)
    jitter_ms: Annotated[
        tuple[int, int], kinds.interval("Pause before a write in milliseconds, drawn once per change.", 0, 600_000)
    ] = (3000, 18000)
    freshness_insights_hours: Annotated[
        int, whole("No raise and no kill when Meta's figures are older than this.", 1, 336)
    ] = 36
    freshness_crm_hours: Annotated[int, whole("No raise and no kill when CRM data is older than this.", 1, 336)] = 36
    implausible_factor: Annotated[
        int,
        whole(
            "No raise and no kill when the last day's spend is this many times the usual, or 1/this; 0: off.", 0, 100
        ),
    ] = 5
    implausible_crm_factor: Annotated[
        int,
        whole(
            "The same when the last day's new deals or won money are this many times the greatest day's of four weeks,"
            " or none though every day had some; 0: off.",
            0,
            100,
        ),
    ] = 5
    learning_phase: Annotated[
        bool, flag("Leave ad sets in Meta's learning phase alone unless the loss bound is crossed.")
    ] = True
    learning_loss: Annotated[
        int | None,
        money("A learning ad set that lost this much is touched all the same; unset: never.", example='"200.00"'),
    ] = None
    decision_days: Annotated[int, whole("Days after which a decision is too old to be queued.", 0, 28)] = 1
    quiet_hours: Annotated[
        tuple[time, time] | None,
        kinds.quiet_hours('Nothing is sent in this span of the account\'s own time, such as "22:00-06:00".'),
    ] = None
    hands_off_hours: Annotated[int, whole("After a person's edit adctl leaves the object alone this long.", 0, 720)] = (
        72
    )
    settle_seconds: Annotated[
        int, whole("Wait before an unknown write is judged; must exceed http.write_deadline_seconds.", 2, 3600)
    ] = 120
    max_attempts: Annotated[
        int, whole("Times a change is sent when it is not known to be done; what Meta puts off does not count.", 1, 10)
    ] = 3
    arm_hours: Annotated[
        int, whole("Sending goes on for this long after `adctl resume`, then stops by itself; 0: until halted.", 0, 24)
    ] = 0
    approval: Annotated[
        str, choice("auto: queued changes are sent; manual: each waits for `adctl changes approve`.", "auto", "manual")
    ] = "auto"
    approval_above_percent: Annotated[
        Decimal | None,
        number("Changes beyond this % of the budget wait for approval; a pause counts as 100.", 0, 100, example="15"),
    ] = None
    approval_above_amount: Annotated[
        int | None, money("Changes beyond this amount a day wait for approval.", example='"50.00"')
    ] = None
    expire_hours: Annotated[int, whole("A change that could not be sent for this long is dropped.", 1, 720)] = 24
