"""From ads' verdicts to decisions about the objects that can be changed: owners' budgets and ads' status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from adctl.domain.ad_columns import AdColumns
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId, digest, stable_uuid
from adctl.domain.money import show
from adctl.domain.owners import Owner, Ownership, Unbudgeted
from adctl.domain.policies.protocol import AdVerdict, Evidence, Policy, PolicyResult, Verdict

PAUSED = "PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy wants of one entity's field on a day.

    `current` and `target` are both minor units (daily_budget) or both a status. `ad_set_id` is None where a campaign
    owns the budget. `decision_id` is the same for the same account, day, policy, parameters, entity and field.
    """

    decision_id: UUID
    account: Account
    day: date
    entity_kind: EntityKind
    entity_id: str
    campaign_id: CampaignId
    ad_set_id: AdSetId | None
    field: Field
    current: int | str
    target: int | str
    verdict: Verdict
    confidence: float
    reason: str
    evidence: Evidence
    policy: str
    policy_version: str
    parameter_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPlan:
    """One decision per owner and per ad. `unallocated` is budget that no cap let anyone take; minor units."""

    decisions: tuple[Decision, ...]
    unbudgeted: tuple[Unbudgeted, ...]
    unallocated: int


def plan_decisions(
    *,
    account: Account,
    day: date,
    currency: str,
    policy: Policy,
    owned: Ownership,
    ads: AdColumns,
    result: PolicyResult,
) -> DecisionPlan:
    """Decisions for every owner (budget) and every ad (status), those that keep things as they are included.

    `ads` and the verdicts of `result` stand in the same order, and the shares of an owner's active ads sum to its
    budget (`ad_shares`). Raises ValueError when they do not: the difference would be money lost.
    """
    if ads.ad_ids != tuple(verdict.ad_id for verdict in result.verdicts):
        raise ValueError("ads and verdicts are not in the same order")
    book = _Book(account=account, day=day, currency=currency, policy=policy, parameter_hash=digest(policy.parameters))
    fed: list[list[AdVerdict]] = [[] for _ in owned.owners]
    for owner, verdict in zip(ads.owner(owned), result.verdicts, strict=True):
        if owner >= 0 and verdict.current_budget:
            fed[owner].append(verdict)
    budgets = [book.budget(owner, verdicts) for owner, verdicts in zip(owned.owners, fed, strict=True)]
    statuses = [book.status(ads, place, verdict) for place, verdict in enumerate(result.verdicts)]
    return DecisionPlan(decisions=(*budgets, *statuses), unbudgeted=owned.unbudgeted, unallocated=result.unallocated)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """Writes decisions that carry one account, day and policy."""

    account: Account
    day: date
    currency: str
    policy: Policy
    parameter_hash: str

    def budget(self, owner: Owner, verdicts: Sequence[AdVerdict]) -> Decision:
        shared = sum(verdict.current_budget for verdict in verdicts)
        if verdicts and shared != owner.daily_budget:
            raise ValueError(f"{owner.kind} {owner.entity_id}: shares of {shared} in a budget of {owner.daily_budget}")
        alive = [verdict for verdict in verdicts if verdict.verdict is not Verdict.KILL]
        target = sum(verdict.budget for verdict in alive) if alive else owner.daily_budget
        return self._decision(
            kind=owner.kind,
            entity_id=owner.entity_id,
            campaign_id=owner.campaign_id,
            ad_set_id=owner.ad_set_id,
            field=Field.DAILY_BUDGET,
            current=owner.daily_budget,
            target=target,
            verdict=_direction(owner.daily_budget, target),
            confidence=_confidence(verdicts),
            reason=_budget_reason(owner.daily_budget, target, verdicts, alive, self.currency),
            evidence=_budget_evidence(verdicts, alive),
        )

    def status(self, ads: AdColumns, place: int, verdict: AdVerdict) -> Decision:
        status = ads.status[place]
        return self._decision(
            kind=EntityKind.AD,
            entity_id=verdict.ad_id,
            campaign_id=ads.campaign_ids[ads.campaign[place]],
            ad_set_id=ads.ad_set_ids[ads.ad_set[place]],
            field=Field.STATUS,
            current=status,
            target=PAUSED if verdict.verdict is Verdict.KILL else status,
            verdict=verdict.verdict,
            confidence=verdict.confidence,
            reason=verdict.reason,
            evidence={**verdict.evidence, "current_budget": verdict.current_budget, "budget": verdict.budget},
        )

    def _decision(
        self,
        *,
        kind: EntityKind,
        entity_id: str,
        campaign_id: CampaignId,
        ad_set_id: AdSetId | None,
        field: Field,
        current: int | str,
        target: int | str,
        verdict: Verdict,
        confidence: float,
        reason: str,
        evidence: Evidence,
    ) -> Decision:
        name, version = self.policy.name, self.policy.version
        key = (self.account, self.day.isoformat(), name, version, self.parameter_hash, kind, entity_id, field)
        return Decision(
            decision_id=stable_uuid(*key),
            account=self.account,
            day=self.day,
            entity_kind=kind,
            entity_id=entity_id,
            campaign_id=campaign_id,
            ad_set_id=ad_set_id,
            field=field,
            current=current,
            target=target,
            verdict=verdict,
            confidence=confidence,
            reason=reason,
            evidence=evidence,
            policy=name,
            policy_version=version,
            parameter_hash=self.parameter_hash,
        )


def _direction(current: int, target: int) -> Verdict:
    if target > current:
        return Verdict.SCALE
    return Verdict.CUT if target < current else Verdict.KEEP


def _confidence(verdicts: Sequence[AdVerdict]) -> float:
    """The mean over the owner's money: what a hundred rests on matters a hundred times what one rests on."""
    money = sum(verdict.current_budget for verdict in verdicts)
    weighted = sum(verdict.confidence * verdict.current_budget for verdict in verdicts)
    return min(weighted / money, 1.0) if money else 0.0


def _budget_reason(
    current: int, target: int, verdicts: Sequence[AdVerdict], alive: Sequence[AdVerdict], currency: str
) -> str:
    """The sentence that names the ad whose share moved most."""
    if not verdicts:
        return "no active ads"
    if not alive:
        return f"all {len(verdicts)} active ads are to be paused; the budget stops with them"
    count = f"{len(alive)} active ad{'s' if len(alive) > 1 else ''}"
    if killed := len(verdicts) - len(alive):
        count += f", {killed} to be paused"
    if target == current:
        return f"{count}: the shares sum to what the budget is"
    sign = 1 if target > current else -1
    most = max(verdicts, key=lambda verdict: sign * (verdict.budget - verdict.current_budget))
    before, after = (show(amount, currency) for amount in (most.current_budget, most.budget))
    return f"{count}; most by ad {most.ad_id}, {before} to {after} ({most.reason})"


def _budget_evidence(verdicts: Sequence[AdVerdict], alive: Sequence[AdVerdict]) -> Evidence:
    """Sums over the owner's active ads; money in minor units. Spend and return are there when the policy gave them."""
    return {
        "ads": len(verdicts),
        "ads_to_be_paused": len(verdicts) - len(alive),
        "shares_before": sum(verdict.current_budget for verdict in verdicts),
        "shares_after": sum(verdict.budget for verdict in verdicts),
        "spend": _sum(verdicts, "spend"),
        "pipeline": _sum(verdicts, "pipeline"),
    }


def _sum(verdicts: Sequence[AdVerdict], key: str) -> int:
    values = (verdict.evidence.get(key) for verdict in verdicts)
    return sum(value for value in values if isinstance(value, int))
