"""From ads' verdicts to decisions about the objects that can be changed: owners' budgets and ads' status."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import overload
from uuid import UUID

import numpy as np

from adctl.domain.ad_columns import AdColumns
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId, digest, stable_uuid
from adctl.domain.money import show
from adctl.domain.owners import Owner, Ownership, Unbudgeted
from adctl.domain.policies.protocol import (
    PAUSING,
    VERDICTS,
    Evidence,
    EvidenceColumn,
    Flags,
    Floats,
    Ints,
    Policy,
    PolicyResult,
    Verdict,
    VerdictColumns,
    as_columns,
)

PAUSED = "PAUSED"
_KILL = VERDICTS.index(Verdict.KILL)


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
class Maker:
    """The account, day and policy that all decisions of one plan carry."""

    account: Account
    day: date
    currency: str
    policy: str
    policy_version: str
    parameter_hash: str

    def key(self, kind: EntityKind) -> tuple[str, ...]:
        return (self.account, self.day.isoformat(), self.policy, self.policy_version, self.parameter_hash, kind)

    def decision_id(self, kind: EntityKind, entity_id: str, field: Field) -> UUID:
        return stable_uuid(*self.key(kind), entity_id, field)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdDecisions(Sequence[Decision]):
    """The decisions about all ads' status as columns; read as a sequence, each is built when it is asked for."""

    maker: Maker
    ads: AdColumns
    verdicts: VerdictColumns

    def __len__(self) -> int:
        return len(self.ads)

    @overload
    def __getitem__(self, place: int) -> Decision: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Decision]: ...
    def __getitem__(self, place: int | slice) -> Decision | Sequence[Decision]:
        if isinstance(place, slice):
            return tuple(self._at(ad) for ad in range(*place.indices(len(self))))
        return self._at(range(len(self))[place])

    def ids(self) -> Iterator[UUID]:
        """Every decision's id, without building the decisions."""
        start = "\x1f".join((*self.maker.key(EntityKind.AD), ""))
        known = hashlib.blake2b(start.encode(), digest_size=16)
        for ad_id in self.ads.ad_ids:
            one = known.copy()
            one.update(f"{ad_id}\x1f{Field.STATUS}".encode())
            yield UUID(bytes=one.digest())

    def target(self, ad: int) -> str:
        return PAUSED if self.verdicts.verdict[ad] in PAUSING else self.ads.status[ad]

    @property
    def evidence(self) -> dict[str, EvidenceColumn]:
        """The columns of evidence, the shares of the budget among them."""
        shares: dict[str, EvidenceColumn] = {
            "current_budget": self.verdicts.current_budget,
            "budget": self.verdicts.budget,
        }
        return {**self.verdicts.evidence, **shares}

    def _at(self, ad: int) -> Decision:
        verdict, maker = self.verdicts[ad], self.maker
        return Decision(
            decision_id=maker.decision_id(EntityKind.AD, verdict.ad_id, Field.STATUS),
            account=maker.account,
            day=maker.day,
            entity_kind=EntityKind.AD,
            entity_id=verdict.ad_id,
            campaign_id=self.ads.campaign_ids[self.ads.campaign[ad]],
            ad_set_id=self.ads.ad_set_ids[self.ads.ad_set[ad]],
            field=Field.STATUS,
            current=self.ads.status[ad],
            target=self.target(ad),
            verdict=verdict.verdict,
            confidence=verdict.confidence,
            reason=verdict.reason,
            evidence={**verdict.evidence, "current_budget": verdict.current_budget, "budget": verdict.budget},
            policy=maker.policy,
            policy_version=maker.policy_version,
            parameter_hash=maker.parameter_hash,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPlan:
    """One decision per owner and per ad. `unallocated` is budget that no cap let anyone take; minor units."""

    budgets: tuple[Decision, ...]
    ads: AdDecisions
    unbudgeted: tuple[Unbudgeted, ...]
    unallocated: int

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All of them, built: for tests and small accounts."""
        return (*self.budgets, *self.ads)


def plan_decisions(
    *,
    account: Account,
    day: date,
    currency: str,
    policy: Policy,
    owned: Ownership,
    ads: AdColumns,
    active: Flags,
    result: PolicyResult,
) -> DecisionPlan:
    """Decisions for every owner (budget) and every ad (status), those that keep things as they are included.

    `ads`, which of them are `active` and the verdicts of `result` stand in the same order, and the shares of an owner's
    active ads sum to its budget (`ad_shares`). Raises ValueError when they do not: the difference would be money lost.
    """
    verdicts = as_columns(result.verdicts)
    if ads.ad_ids != verdicts.ad_ids:
        raise ValueError("ads and verdicts are not in the same order")
    maker = Maker(
        account=account,
        day=day,
        currency=currency,
        policy=policy.name,
        policy_version=policy.version,
        parameter_hash=digest(policy.parameters),
    )
    shares = _shares(owned, ads, active, verdicts)
    budgets = tuple(_budget(maker, owner, shares, place) for place, owner in enumerate(owned.owners))
    return DecisionPlan(
        budgets=budgets,
        ads=AdDecisions(maker=maker, ads=ads, verdicts=verdicts),
        unbudgeted=owned.unbudgeted,
        unallocated=result.unallocated,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shares:
    """What each owner's ads have and are to have, as columns of one entry per owner. Money is minor units.

    `ads` are the active ones, `paused` those of them that are to be paused; `feeds` tells that one which has a share of
    the money goes on. A budget of fewer minor units than ads leaves some without a share. `most_up` and `most_down` are
    the ads (indexes) whose shares rise and fall most; -1 where an owner has none.
    """

    verdicts: VerdictColumns
    ads: Ints
    paused: Ints
    feeds: Flags
    before: Ints
    after: Ints
    confidence: Floats
    spend: Ints
    pipeline: Ints | None
    most_up: Ints
    most_down: Ints


def _shares(owned: Ownership, ads: AdColumns, active: Flags, verdicts: VerdictColumns) -> _Shares:
    all_owners, owners = ads.owner(owned), len(owned.owners)
    pausing = np.isin(verdicts.verdict, PAUSING)
    members = active & (all_owners >= 0)
    fed = np.flatnonzero((all_owners >= 0) & (verdicts.current_budget > 0))
    owner, before = all_owners[fed], verdicts.current_budget[fed]
    after = np.where(verdicts.verdict[fed] == _KILL, 0, verdicts.budget[fed])

    def total(values: Ints | Floats | Flags) -> Floats:
        return np.asarray(np.bincount(owner, weights=values, minlength=owners), dtype=np.float64)

    def whole(values: Ints | Floats | Flags) -> Ints:
        return np.rint(total(values)).astype(np.int64)

    shared, change, pipeline = whole(before), verdicts.budget[fed] - before, _pipeline(verdicts)
    return _Shares(
        verdicts=verdicts,
        ads=np.bincount(all_owners[members], minlength=owners),
        paused=np.bincount(all_owners[members & pausing], minlength=owners),
        feeds=total(~pausing[fed]) > 0,
        before=shared,
        after=whole(after),
        # The mean over the owner's money: what a hundred rests on matters a hundred times what one rests on.
        confidence=np.minimum(total(verdicts.confidence[fed] * before) / np.maximum(shared, 1), 1.0),
        spend=whole(_counts(verdicts, "spend")[fed]),
        pipeline=None if pipeline is None else whole(pipeline[fed]),
        most_up=_first(owner, -change, fed, owners),
        most_down=_first(owner, change, fed, owners),
    )


def _counts(verdicts: VerdictColumns, key: str) -> Ints:
    """A column of whole numbers of the evidence, zeros where the policy gives none."""
    column = verdicts.evidence.get(key)
    if isinstance(column, np.ndarray) and column.dtype == np.int64:
        return column.astype(np.int64)
    values = column if isinstance(column, tuple) else (0,) * len(verdicts)
    return np.array([value if isinstance(value, int) else 0 for value in values], dtype=np.int64)


def _pipeline(verdicts: VerdictColumns) -> Ints | Floats | None:
    """What the money that was spent has brought, as far as the policy says: by itself, or by its ROAS."""
    if "pipeline" in verdicts.evidence:
        return _counts(verdicts, "pipeline")
    roas = verdicts.evidence.get("roas")
    return _counts(verdicts, "spend") * np.nan_to_num(roas) if isinstance(roas, np.ndarray) else None


def _first(owner: Ints, key: Ints, fed: Ints, owners: int) -> Ints:
    """Per owner the ad with the smallest key, the first of equals."""
    order = np.lexsort((key, owner))
    first = np.full(owners, -1, dtype=np.int64)
    found, place = np.unique(owner[order], return_index=True)
    first[found] = fed[order[place]]
    return first


def _budget(maker: Maker, owner: Owner, shares: _Shares, place: int) -> Decision:
    ads, paused, before = int(shares.ads[place]), int(shares.paused[place]), int(shares.before[place])
    if ads and before != owner.daily_budget:
        raise ValueError(f"{owner.kind} {owner.entity_id}: shares of {before} in a budget of {owner.daily_budget}")
    target = int(shares.after[place]) if shares.feeds[place] else owner.daily_budget
    return Decision(
        decision_id=maker.decision_id(owner.kind, owner.entity_id, Field.DAILY_BUDGET),
        account=maker.account,
        day=maker.day,
        entity_kind=owner.kind,
        entity_id=owner.entity_id,
        campaign_id=owner.campaign_id,
        ad_set_id=owner.ad_set_id,
        field=Field.DAILY_BUDGET,
        current=owner.daily_budget,
        target=target,
        verdict=_direction(owner.daily_budget, target),
        confidence=float(shares.confidence[place]) if ads else 0.0,
        reason=_budget_reason(maker, owner.daily_budget, target, shares, place),
        evidence={
            "ads": ads,
            "ads_to_be_paused": paused,
            "shares_before": before,
            "shares_after": int(shares.after[place]),
            "spend": int(shares.spend[place]),
            **({} if shares.pipeline is None else {"pipeline": int(shares.pipeline[place])}),
        },
        policy=maker.policy,
        policy_version=maker.policy_version,
        parameter_hash=maker.parameter_hash,
    )


def budget_verdict(verdicts: VerdictColumns, ads: Ints) -> tuple[Verdict, Ints]:
    """The verdict on a budget that feeds `ads` (indexes), and what each of them is to get of it, minor units."""
    after = np.where(verdicts.verdict[ads] == _KILL, 0, verdicts.budget[ads])
    if np.isin(verdicts.verdict[ads], PAUSING).all():
        return Verdict.KEEP, after
    return _direction(int(verdicts.current_budget[ads].sum()), int(after.sum())), after


def _direction(current: int, target: int) -> Verdict:
    if target > current:
        return Verdict.SCALE
    return Verdict.CUT if target < current else Verdict.KEEP


def _budget_reason(maker: Maker, current: int, target: int, shares: _Shares, place: int) -> str:
    """The sentence that names the ad whose share moved most."""
    ads, paused = int(shares.ads[place]), int(shares.paused[place])
    alive = ads - paused
    if not ads:
        return "no active ads"
    if not alive:
        return f"{f'all {ads} active ads are' if ads > 1 else 'its only ad is'} to be paused: no budget would be spent"
    count = f"{alive} active ad{'s' if alive > 1 else ''}"
    if paused:
        count += f", {paused} to be paused"
    if not shares.feeds[place]:
        return f"{count}: the budget stays, though what had a share of it is to be paused"
    if target == current:
        return f"{count}: the shares sum to what the budget is"
    most = shares.verdicts[int((shares.most_up if target > current else shares.most_down)[place])]
    before, after = (show(amount, maker.currency) for amount in (most.current_budget, most.budget))
    return f"{count}; most by ad {most.ad_id}, {before} to {after} ({most.reason})"
