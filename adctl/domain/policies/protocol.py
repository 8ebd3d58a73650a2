"""The one protocol of all policies: daily history in as columns, verdicts with evidence out.

A policy of your own is a class with a version, its parameters and `decide`, named by its import path; "Extend" in the
README writes one. `decide` must be pure: whatever it draws, it draws from a generator seeded by account, day and
version. Money must be kept: the budgets of all ads and `unallocated` sum to what the active ads have. Evidence columns
`roas_low` and `roas_high` (a 90 % interval), `p_wrong`, `wrong_roas` and `wrong_above` are what calibration and the
simulated worlds judge a policy's honesty by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from adctl.domain.fatigue import Fatigue
from adctl.domain.neighbours import Kin

Ints = NDArray[np.int64]
# How many deals an ad has: half the memory.
DealCounts = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int8]
Fact = bool | int | float | str | None
Evidence = Mapping[str, Fact]
EvidenceColumn = Ints | DealCounts | Floats | Flags | tuple[Fact, ...] | Fact


class Verdict(StrEnum):
    KEEP = "keep"
    SCALE = "scale"
    CUT = "cut"
    KILL = "kill"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdHistory:
    """What is known of one account's n ads on a day, as columns. Money is minor units, days count back from `day`.

    Ads (shape n): `ad_ids`, `campaign` (index of its campaign), `active`, `age_hours` since the ad was created, and
    `budget`, the ad's share of its owner's daily budget: 0 for an ad that is not active, or whose budget is not adctl's
    to change; it can be given nothing.
    Daily rows (shape m), in any order: `row_ad` indexes the ads, `row_days_ago` ≥ 0, counts and spend of that day.
    Credited deals (shape k): `deal_ad` indexes the ads, `deal_value` is synthetic revenue at the current stage,
    `deal_cash` the won amount (0 until won), `deal_days_ago` the age of the deal's creation.
    Funnel (S stages): `stages` names them in the CRM's order, the last one is won. `deal_entered` (k, S) is how many
    days before the end of `day` the deal first reached that stage or a later one, NaN where it never did;
    `deal_lost` (k,) the same for being marked lost.
    `shared` (n) says which ads have a budget's owner in common with other active ads: only a pause takes money from
    such an ad alone; shape 0 where nobody shares.
    `fatigue` tells which ads wear out by their click rate and frequency; None where nobody looked.
    `kin` is what similar, older ads say of each ad's leads and clicks; None where that does not help.
    """

    account: str
    day: date
    currency: str
    minor_per_major: int
    ad_ids: tuple[str, ...]
    campaign: Ints
    active: Flags
    age_hours: Floats
    budget: Ints
    row_ad: Ints
    row_days_ago: Ints
    row_impressions: Ints
    row_clicks: Ints
    row_spend: Ints
    row_leads: Ints
    deal_ad: Ints
    deal_days_ago: Ints
    deal_value: Ints
    deal_cash: Ints
    stages: tuple[str, ...] = ()
    deal_entered: Floats = field(default_factory=lambda: np.empty((0, 0)))
    deal_lost: Floats = field(default_factory=lambda: np.empty(0))
    shared: Flags = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    fatigue: Fatigue | None = None
    kin: Kin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdVerdict:
    """One ad's verdict. `budget` is the recommended share in minor units; `reason` cites the number that decided."""

    ad_id: str
    verdict: Verdict
    current_budget: int
    budget: int
    confidence: float
    reason: str
    evidence: Evidence


VERDICTS = tuple(Verdict)
# The codes of the verdicts that pause an ad: who is cut has no money to speak of left, or cannot be given less.
PAUSING = tuple(VERDICTS.index(one) for one in (Verdict.CUT, Verdict.KILL))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerdictColumns(Sequence[AdVerdict]):
    """The verdicts of n ads as columns; read as a sequence, each ad's verdict is built when it is asked for.

    `verdict` indexes VERDICTS; budgets are minor units. An evidence column has one entry per ad, or is the one value
    that all share; NaN stands for None. `reason` makes the sentence of one ad, by its index.
    """

    ad_ids: tuple[str, ...]
    verdict: Codes
    current_budget: Ints
    budget: Ints
    confidence: Floats
    evidence: Mapping[str, EvidenceColumn]
    reason: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.ad_ids)

    @overload
    def __getitem__(self, place: int) -> AdVerdict: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[AdVerdict]: ...
    def __getitem__(self, place: int | slice) -> AdVerdict | Sequence[AdVerdict]:
        if isinstance(place, slice):
            return tuple(self._at(ad) for ad in range(*place.indices(len(self))))
        return self._at(range(len(self))[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def evidence_of(self, ad: int) -> Evidence:
        """One ad's evidence; each fact is looked up when it is asked for."""
        return _EvidenceRow(self.evidence, ad)

    def _at(self, ad: int) -> AdVerdict:
        return AdVerdict(
            ad_id=self.ad_ids[ad],
            verdict=VERDICTS[int(self.verdict[ad])],
            current_budget=int(self.current_budget[ad]),
            budget=int(self.budget[ad]),
            confidence=float(self.confidence[ad]),
            reason=self.reason(ad),
            evidence=self.evidence_of(ad),
        )


class _EvidenceRow(Mapping[str, Fact]):
    """One ad's row of the evidence columns."""

    __slots__ = ("_ad", "_columns")

    def __init__(self, columns: Mapping[str, EvidenceColumn], ad: int) -> None:
        self._columns = columns
        self._ad = ad

    def __getitem__(self, key: str) -> Fact:
        return _fact(self._columns[key], self._ad)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return repr(dict(self))


def _fact(column: EvidenceColumn, ad: int) -> Fact:
    if isinstance(column, np.ndarray):
        value: bool | int | float = column.item(ad)
        return None if value != value else value
    return column[ad] if isinstance(column, tuple) else column


def as_columns(verdicts: Sequence[AdVerdict]) -> VerdictColumns:
    """The verdicts as columns, whatever way the policy gave them."""
    if isinstance(verdicts, VerdictColumns):
        return verdicts
    keys = dict.fromkeys(key for one in verdicts for key in one.evidence)
    return VerdictColumns(
        ad_ids=tuple(one.ad_id for one in verdicts),
        verdict=np.array([VERDICTS.index(one.verdict) for one in verdicts], dtype=np.int8),
        current_budget=np.array([one.current_budget for one in verdicts], dtype=np.int64),
        budget=np.array([one.budget for one in verdicts], dtype=np.int64),
        confidence=np.array([one.confidence for one in verdicts], dtype=np.float64),
        evidence={key: tuple(one.evidence.get(key) for one in verdicts) for key in keys},
        reason=lambda ad: verdicts[ad].reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """The verdicts in the order of the ads; `unallocated` is budget (minor units) that caps left over.

    The project's own policies give `VerdictColumns`; a small policy may give a tuple.
    """

    verdicts: Sequence[AdVerdict]
    unallocated: int


class Policy(Protocol):
    """A named, versioned, pure way to decide: the same history gives the same result, bit for bit."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]: ...
    def decide(self, history: AdHistory) -> PolicyResult: ...
