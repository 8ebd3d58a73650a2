"""What pays for raises besides cuts: the day's growth, and budgets that stop with their ads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from adctl.domain.decisions import Decision
from adctl.domain.guards.moves import is_kill


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """What became of a decision that was queued: `move` is what it adds to the daily budgets, minor units."""

    move: int
    stands: bool
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """What all budgets together may still grow by today beyond what cuts free, minor units; negative when cuts must
    make good for it first.

    `stopping` are the budgets, by their owners' ids, whose money it counts on, for all ads of theirs are to be paused.
    """

    growth: int
    stopping: Mapping[str, int]

    def less(self, pauses: Iterable[Decision]) -> Funds:
        """The funds when these pauses do not come about: a budget goes on with any of its ads."""
        going_on = {str(owner) for pause in pauses for owner in (pause.ad_set_id, pause.campaign_id)}
        still = {owner: money for owner, money in self.stopping.items() if owner not in going_on}
        return Funds(growth=self.growth - sum(self.stopping.values()) + sum(still.values()), stopping=still)


def funds_of(
    of_day: Collection[Decision], stopping: Mapping[str, int], queued: Mapping[UUID, Queued], *, surely: bool
) -> Funds:
    """What the day's decisions let the budgets grow by, less what was queued of them. `surely`: a cut or a pause that
    waits for approval is none.
    """
    wanted = sum(d.target - d.current for d in of_day if isinstance(d.target, int) and isinstance(d.current, int))
    counted = {
        decision: one for decision, one in queued.items() if one.stands and not (surely and one.waits and one.move <= 0)
    }
    lost = [d for d in of_day if is_kill(d) and d.decision_id in queued and d.decision_id not in counted]
    growth = max(wanted, 0) - sum(one.move for one in counted.values())
    return Funds(growth=growth, stopping=stopping).less(lost)
