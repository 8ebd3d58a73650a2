"""What this run has let pass so far, on top of what happened before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from adctl.domain.decisions import Decision
from adctl.domain.entities import Field
from adctl.domain.guards.context import GuardContext, Raise
from adctl.domain.guards.moves import amount, is_kill
from adctl.domain.ids import AdSetId

_DAY = timedelta(hours=24)


class Tally:
    """Counts what passed, so that a batch is held to the same limits as single changes.

    `raised` is what the account was raised by in the last 24 hours, this run included; minor units.
    """

    def __init__(self, context: GuardContext) -> None:
        self._context = context
        self._campaigns: Counter[str] = Counter()
        self._ad_sets: Counter[str] = Counter()
        self._kills = 0
        self._pausing: dict[AdSetId | None, frozenset[str]] = dict(context.pausing.items())
        # A raise leaves the window exactly a day after it happened.
        self._raises = [raised for raised in context.raises if raised.at + _DAY > context.now]
        self.raised = sum(raised.amount for raised in self._raises)
        self._recent_kills = sorted(at for at in context.kills if at + _DAY > context.now)
        self.active_in_all = sum(context.active_ads.values())

    def add(self, decision: Decision, target: int | str) -> None:
        self._campaigns[decision.campaign_id] += 1
        if is_kill(decision):
            self._kills += 1
            self._pausing[decision.ad_set_id] = self._paused_beside(decision) | {decision.entity_id}
        if decision.field is Field.STATUS:
            return
        self._ad_sets[decision.entity_id] += 1
        if (increase := amount(target) - amount(decision.current)) > 0:
            self._raises.append(Raise(at=self._context.now, amount=increase))
            self.raised += increase

    def campaign_actions(self, decision: Decision) -> Sequence[datetime]:
        before = self._context.campaign_actions.get(decision.campaign_id, ())
        return [*before, *[self._context.now] * self._campaigns[decision.campaign_id]]

    def ad_set_actions(self, decision: Decision) -> Sequence[datetime]:
        """Budget changes of the decision's ad set."""
        before = self._context.ad_set_actions.get(AdSetId(decision.entity_id), ())
        return [*before, *[self._context.now] * self._ad_sets[decision.entity_id]]

    def raised_less(self, amount: int) -> datetime:
        """When the oldest raises that make up `amount`, at most `raised`, will have left the window."""
        by_age = sorted(self._raises, key=lambda raised: raised.at)
        gone = accumulate(raised.amount for raised in by_age)
        return next(raised.at + _DAY for raised, sum_ in zip(by_age, gone, strict=True) if sum_ >= amount)

    def kills(self) -> int:
        """Pauses of this run and of the last day."""
        return self._kills + len(self._recent_kills)

    def next_kill(self) -> datetime | None:
        """When the oldest pause of the last day leaves the window, None when there was none before this run."""
        return self._recent_kills[0] + _DAY if self._recent_kills else None

    def active_ads(self, decision: Decision) -> int:
        """Ads of the decision's ad set that are active, less the others that are about to be paused; 0 where nobody has
        counted them."""
        if decision.ad_set_id is None:
            return 0
        return self._context.active_ads.get(decision.ad_set_id, 0) - len(self._paused_beside(decision))

    def _paused_beside(self, decision: Decision) -> frozenset[str]:
        """The others of its ad set that are about to be paused."""
        return self._pausing.get(decision.ad_set_id, frozenset()) - {decision.entity_id}
