"""Guards that let a decision through or not, whatever its amount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from math import floor

from adctl.domain.change_rows import value_shown
from adctl.domain.counted import counted
from adctl.domain.decisions import Decision
from adctl.domain.entities import EntityKind, Field
from adctl.domain.guards.answers import Guard, Refuse, Wait
from adctl.domain.guards.context import GuardContext
from adctl.domain.guards.moves import is_kill, is_raise
from adctl.domain.guards.tally import Tally

Gate = Callable[[Decision, GuardContext, Tally], Wait | Refuse | None]

_HOUR = timedelta(hours=1)


def unchanged(decision: Decision, context: GuardContext, tally: Tally) -> Refuse | None:
    if decision.target != decision.current:
        return None
    return Refuse(
        guard=Guard.UNCHANGED,
        value=decision.target,
        limit=decision.current,
        reason="it already is what is wanted",
    )


def stale(decision: Decision, context: GuardContext, tally: Tally) -> Refuse | None:
    """Refuses a decision of an earlier day, about a value that has changed since, or about one that Meta was not asked
    for."""
    age = (context.today - decision.day).days
    if age > context.limits.decision_days:
        limit, reason = context.limits.decision_days, f"decided {counted(age, 'day')} ago: decide again"
        return Refuse(guard=Guard.STALE, value=age, limit=limit, reason=reason)
    if decision.current == "UNKNOWN":
        reason = "only a file has named it: run adctl sync-meta and decide again"
        return Refuse(guard=Guard.STALE, value=decision.current, limit="a status", reason=reason)
    found = context.now_in_force.get((decision.entity_id, decision.field), decision.current)
    if found == decision.current:
        return None
    then, now = (value_shown(value, context.currency) for value in (decision.current, found))
    return Refuse(
        guard=Guard.STALE,
        value=found,
        limit=decision.current,
        reason=f"it was {then} when decided and is {now} now: decide again",
    )


def duplicate(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    if (decision.entity_id, decision.field) not in context.in_flight:
        return None
    return Wait(
        guard=Guard.DUPLICATE,
        value=2,
        limit=1,
        until=None,
        reason=f"a change of its {decision.field} is in flight and must end first",
    )


def no_cap(decision: Decision, context: GuardContext, tally: Tally) -> Refuse | None:
    if context.limits.cap is not None:
        return None
    return Refuse(
        guard=Guard.CAP,
        value="not set",
        limit="a number",
        reason="nobody has set how much may be raised in 24 hours",
    )


def unsure(decision: Decision, context: GuardContext, tally: Tally) -> Refuse | None:
    least = context.limits.confidence
    if decision.confidence >= least:
        return None
    return Refuse(
        guard=Guard.CONFIDENCE,
        value=decision.confidence,
        limit=least,
        reason=f"confidence {decision.confidence:.3f} is below {least:.2f}",
    )


def hands_off(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    edited = context.edited.get(decision.entity_id)
    lease = context.limits.hands_off
    if edited is None or edited + lease <= context.now:
        return None
    return Wait(
        guard=Guard.HANDS_OFF,
        value=f"{edited.astimezone(UTC):%Y-%m-%dT%H:%MZ}",
        limit=_hours(lease),
        until=edited + lease,
        reason="a person changed it and is left alone with it",
    )


def quiet_hours(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    if context.limits.quiet_hours is None:
        return None
    begins, ends = hours = context.limits.quiet_hours
    if not _is_quiet(context.now, context.timezone, hours):
        return None
    return Wait(
        guard=Guard.QUIET_HOURS,
        value=f"{context.now.astimezone(context.timezone):%H:%M}",
        limit=f"{begins:%H:%M}-{ends:%H:%M}",
        until=_quiet_until(context.now, context.timezone, hours),
        reason="nothing is sent in the account's quiet hours",
    )


def learning(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    """Leaves a learning ad set alone unless its loss so far has crossed the bound."""
    if not context.learning & {decision.entity_id, decision.ad_set_id}:
        return None
    loss, bound = _loss(decision), context.limits.learning_loss
    if bound is not None and loss >= bound:
        return None
    return Wait(
        guard=Guard.LEARNING,
        value=loss,
        limit="never" if bound is None else bound,
        until=None,
        reason="its ad set is in Meta's learning phase, which a change would begin again",
    )


def freshness(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    """Holds raises and kills back while what they rest on is old, partial or implausible."""
    if not is_raise(decision) and not is_kill(decision):
        return None
    facts, limits = context.freshness, context.limits
    for name, read_at, most in (
        ("insights", facts.insights_at, limits.insights_age),
        ("CRM", facts.crm_at, limits.crm_age),
    ):
        if read_at is None or context.now - read_at > most:
            age = "never read" if read_at is None else _hours(context.now - read_at)
            return _not_fresh(age, _hours(most), f"{name}: {age}, at most {_hours(most)} old")
    return _not_fresh(facts.doubts[0], "none", facts.doubts[0]) if facts.doubts else None


def campaign_rate(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    times, limit = tally.campaign_actions(decision), context.limits.campaign_rate
    return _rate(Guard.CAMPAIGN_RATE, times, limit, context.now)


def ad_set_rate(decision: Decision, context: GuardContext, tally: Tally) -> Wait | None:
    if decision.entity_kind is not EntityKind.AD_SET or decision.field is not Field.DAILY_BUDGET:
        return None
    return _rate(Guard.AD_SET_RATE, tally.ad_set_actions(decision), context.limits.ad_set_rate, context.now)


def last_ad(decision: Decision, context: GuardContext, tally: Tally) -> Refuse | None:
    active = tally.active_ads(decision)
    if not is_kill(decision) or context.limits.kill_last_ad or active > 1:
        return None
    return Refuse(
        guard=Guard.LAST_AD,
        value=active,
        limit=2,
        reason=f"ad set {decision.ad_set_id} would be left without an active ad",
    )


def kills(decision: Decision, context: GuardContext, tally: Tally) -> Wait | Refuse | None:
    if not is_kill(decision):
        return None
    active = tally.active_in_all
    allowed = floor(context.limits.kill_share * active)
    if tally.kills() < allowed:
        return None
    share = f"{float(context.limits.kill_share * 100):g} %"
    reason = f"at most {share} of {active} active ads are paused in a run and in 24 hours, which is {allowed}"
    if not allowed:
        return Refuse(guard=Guard.KILLS, value=1, limit=0, reason=reason)
    return Wait(guard=Guard.KILLS, value=tally.kills() + 1, limit=allowed, until=tally.next_kill(), reason=reason)


GATES: Sequence[Gate] = (
    unchanged,
    stale,
    duplicate,
    no_cap,
    unsure,
    hands_off,
    quiet_hours,
    learning,
    freshness,
    last_ad,
    kills,
    campaign_rate,
    ad_set_rate,
)


def _is_quiet(at: datetime, timezone: tzinfo, hours: tuple[time, time]) -> bool:
    begins, ends = hours
    clock = at.astimezone(timezone).time()
    return begins <= clock < ends if begins <= ends else clock >= begins or clock < ends


# One answer serves all decisions of a run.
@lru_cache(maxsize=1)
def _quiet_until(now: datetime, timezone: tzinfo, hours: tuple[time, time]) -> datetime:
    """The first minute that is not quiet: in a night in which clocks are set, an hour may be missing or come twice."""
    minute = now.replace(second=0, microsecond=0)
    while _is_quiet(minute, timezone, hours):
        minute += timedelta(minutes=1)
    return minute


def _rate(guard: Guard, times: Sequence[datetime], limit: int, now: datetime) -> Wait | None:
    """An action leaves the window exactly an hour after it happened."""
    recent = sorted(time for time in times if time + _HOUR > now)
    if len(recent) < limit:
        return None
    until = recent[-limit] + _HOUR if limit else None
    reason = f"{counted(len(recent), 'action')} in the last hour, at most {limit}"
    return Wait(guard=guard, value=len(recent) + 1, limit=limit, until=until, reason=reason)


def _loss(decision: Decision) -> int:
    """Spend minus what it brought by the decision's evidence, minor units; 0 where that is not said."""
    spend, value, roas = (decision.evidence.get(key) for key in ("spend", "pipeline", "roas"))
    if not isinstance(spend, int):
        return 0
    if value is None and isinstance(roas, int | float):
        value = round(spend * roas)
    return spend - value if isinstance(value, int) else 0


def _not_fresh(value: str, limit: str, reason: str) -> Wait:
    return Wait(guard=Guard.FRESHNESS, value=value, limit=limit, until=None, reason=reason)


def _hours(span: timedelta) -> str:
    return f"{span / _HOUR:.1f} h"
