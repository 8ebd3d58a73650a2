"""What was found in somebody's export, read and added up: of ads, of a CRM."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adctl.domain.columns import ColumnMapping, fold
from adctl.domain.deals import Deal, Outcome, StageMove
from adctl.domain.ids import AdId, AdSetId, CampaignId
from adctl.domain.insight_table import InsightTable

_PIPELINE_SUFFIX = re.compile(r" \([^()]*\)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdsTotals:
    """Sums over the file; money in minor units. `rows` counts the rows read, without a summary row."""

    rows: int = 0
    impressions: int = 0
    clicks: int = 0
    link_clicks: int = 0
    spend: int = 0
    leads: int = 0
    purchases: int = 0
    purchase_value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFound:
    """`name` is empty when the file has none."""

    campaign_id: CampaignId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdSetFound:
    ad_set_id: AdSetId
    campaign_id: CampaignId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdFound:
    ad_id: AdId
    ad_set_id: AdSetId
    campaign_id: CampaignId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdsExport:
    """A whole file. `insights` has one entry per ad and period, rows of `breakdowns` added up.

    `dated` is False when the file has no dates and every row stands on the day it was read as of. `total_checked`
    says that the file states its own total and that it is the sum of the rows.
    """

    insights: InsightTable
    campaigns: tuple[CampaignFound, ...]
    ad_sets: tuple[AdSetFound, ...]
    ads: tuple[AdFound, ...]
    mapping: ColumnMapping
    breakdowns: tuple[str, ...]
    totals: AdsTotals
    dated: bool
    total_checked: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNames:
    """Which names mean won and lost, compared without case; every other stage is open.

    `opening` is the stage that an `engage_date` is the entry to, `pipeline` the pipeline of a file without one. A
    pipeline's name in brackets behind the stage (`Closed Won (Sales Pipeline)`) is not compared.
    """

    won: frozenset[str] = frozenset({"Won", "Closed Won", "closedwon"})
    lost: frozenset[str] = frozenset({"Lost", "Closed Lost", "closedlost"})
    opening: str = "Engaging"
    pipeline: str = "default"

    def outcome(self, stage: str) -> Outcome:
        names = {fold(stage), fold(_PIPELINE_SUFFIX.sub("", stage))}
        if names & {fold(name) for name in self.won}:
            return Outcome.WON
        return Outcome.LOST if names & {fold(name) for name in self.lost} else Outcome.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTotal:
    """The deals that stand in one stage; `value` is minor units, deals without an amount counting 0."""

    pipeline: str
    stage: str
    outcome: Outcome
    deals: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmTotals:
    """`won_value` is minor units; `stages` in the order in which the file first names them."""

    rows: int
    won_value: int
    stages: tuple[StageTotal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmExport:
    """A whole file: its deals, the stage moves that its dates prove, and what it adds up to."""

    deals: tuple[Deal, ...]
    moves: tuple[StageMove, ...]
    mapping: ColumnMapping
    totals: CrmTotals
    notes: tuple[str, ...]
