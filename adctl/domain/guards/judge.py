"""The one door to the queue: every decision through every guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor

from adctl.domain.decisions import Decision
from adctl.domain.entities import Field
from adctl.domain.guards.answers import Answer, Clip, Guard, Pass, Refuse, Wait
from adctl.domain.guards.budget import BudgetWish, Shaped, is_allowed, shape_budget
from adctl.domain.guards.context import GuardContext
from adctl.domain.guards.draws import jitter_ms
from adctl.domain.guards.gates import GATES
from adctl.domain.guards.moves import amount, is_kill
from adctl.domain.guards.tally import Tally
from adctl.domain.money import show


def judge(decisions: Sequence[Decision], context: GuardContext) -> list[Answer]:
    """One answer per decision, in their order; earlier passes count against the limits of later ones, and raises are
    held to what can pay for them.

    A change takes its decision's id, so that jitter and fuzz are the same however often it is judged.
    """
    tally = Tally(context)
    answers: list[Answer] = []
    for decision in decisions:
        answer = _answer(decision, context, tally)
        if isinstance(answer, Pass):
            tally.add(decision, answer.target)
        answers.append(answer)
    return _funded(decisions, answers, context)


def _funded(decisions: Sequence[Decision], answers: list[Answer], context: GuardContext) -> list[Answer]:
    """Every raise by the same share, so that all of them take what the cuts that pass free, and the day's growth: a
    pause that does not pass leaves its money where it is.
    """
    moves = [
        amount(answer.target) - amount(decision.current)
        if isinstance(answer, Pass) and decision.field is Field.DAILY_BUDGET
        else 0
        for decision, answer in zip(decisions, answers, strict=True)
    ]
    wanted, freed = sum(max(move, 0) for move in moves), sum(max(-move, 0) for move in moves)
    if context.funds is None or not context.limits.funding:
        return answers
    held = [d for d, answer in zip(decisions, answers, strict=True) if is_kill(d) and not isinstance(answer, Pass)]
    paid = max(context.funds.less(held).growth + freed, 0)
    if wanted <= paid:
        return answers
    share = Fraction(paid, wanted)
    return [
        _lowered(decision, answer, floor(move * share), context) if isinstance(answer, Pass) and move > 0 else answer
        for decision, answer, move in zip(decisions, answers, moves, strict=True)
    ]


def _lowered(decision: Decision, answer: Pass, raise_: int, context: GuardContext) -> Pass | Wait:
    """The raise that can be paid for; what other guards do not allow to be that small waits."""
    asked, target = amount(answer.target), amount(decision.current) + raise_
    if is_allowed(_wish(decision, context), target, context.limits, context.now):
        clip = Clip(guard=Guard.FUNDING, before=asked, after=target)
        return replace(answer, target=target, clipped_by=(*answer.clipped_by, clip))
    return Wait(
        guard=Guard.FUNDING,
        value=asked - amount(decision.current),
        limit=raise_,
        until=None,
        reason="passes once cuts, or the last pauses of an ad set, pay for it; raises take no more than these free",
    )


def _answer(decision: Decision, context: GuardContext, tally: Tally) -> Answer:
    for gate in GATES:
        if stopped := gate(decision, context, tally):
            return stopped
    jitter = jitter_ms(decision.decision_id, context.limits.jitter_ms)
    if decision.field is Field.STATUS:
        return Pass(target=decision.target, clipped_by=(), jitter_ms=jitter, fuzz_ppm=0)
    shaped = shape_budget(_wish(decision, context), context.limits, context.now)
    if not isinstance(shaped, Shaped):
        return shaped
    if stopped := _cap(shaped.target - amount(decision.current), context, tally):
        return stopped
    return Pass(target=shaped.target, clipped_by=shaped.clipped_by, jitter_ms=jitter, fuzz_ppm=shaped.fuzz_ppm)


def _wish(decision: Decision, context: GuardContext) -> BudgetWish:
    return BudgetWish(
        change_id=decision.decision_id,
        entity_id=decision.entity_id,
        current=amount(decision.current),
        wanted=amount(decision.target),
        values=context.values.get(decision.entity_id, ()),
        currency=context.currency,
    )


def _cap(increase: int, context: GuardContext, tally: Tally) -> Wait | Refuse | None:
    """Waits until enough of the last day's raises are a day old."""
    cap, total = context.limits.cap, tally.raised + increase
    if increase <= 0 or cap is None or total <= cap:
        return None
    more, all_, most = (show(money, context.currency) for money in (increase, total, cap))
    if increase > cap:
        reason = f"a raise of {more} alone exceeds what may be raised in 24 hours"
        return Refuse(guard=Guard.CAP, value=increase, limit=cap, reason=reason)
    return Wait(
        guard=Guard.CAP,
        value=total,
        limit=cap,
        until=tally.raised_less(total - cap),
        reason=f"with {more} more, {all_} would be raised in 24 hours, at most {most}",
    )
