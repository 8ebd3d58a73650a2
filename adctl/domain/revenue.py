"""What a deal is worth where it stands: stage values, their templates, synthetic revenue."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from adctl.domain.deals import Deal, Outcome
from adctl.domain.ids import DealId
from adctl.domain.money import show, to_minor
from adctl.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class StageValue:
    """`value` is minor units, `confidence` 0..1 how far the plan trusts it; in force from `effective_from` on."""

    pipeline: str
    stage: str
    value: int
    confidence: float
    outcome: Outcome
    effective_from: datetime


class StageValues:
    """Stage values of one account, looked up by pipeline, stage and moment."""

    def __init__(self, values: Iterable[StageValue]) -> None:
        self._by_stage: dict[tuple[str, str], list[StageValue]] = {}
        for value in sorted(values, key=lambda value: value.effective_from):
            self._by_stage.setdefault((value.pipeline, value.stage), []).append(value)

    def at(self, pipeline: str, stage: str, moment: datetime) -> StageValue | None:
        """The value in force at `moment`, None when there was none yet or the stage is unmapped."""
        dated = self._by_stage.get((pipeline, stage), [])
        place = bisect_right(dated, moment, key=lambda value: value.effective_from)
        return dated[place - 1] if place else None

    def in_force(self, moment: datetime) -> tuple[StageValue, ...]:
        """The value of every stage that has one at `moment`, by pipeline and stage."""
        found = (self.at(pipeline, stage, moment) for pipeline, stage in sorted(self._by_stage))
        return tuple(value for value in found if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticRevenue:
    """`value` is what the deal is worth at its stage, `cash` what it has brought (0 until won); minor units."""

    deal_id: DealId
    value: int
    cash: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedStage:
    """A deal stands where no value is configured. Its worth is unknown, never somebody else's."""

    deal_id: DealId
    pipeline: str
    stage: str

    def __str__(self) -> str:
        return f"deal {self.deal_id}: pipeline {self.pipeline!r}, stage {self.stage!r} has no stage value"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAmount:
    """A won deal's amount is in a currency that is not the account's, and adctl converts none."""

    deal_id: DealId
    currency: str
    expected: str

    def __str__(self) -> str:
        return f"deal {self.deal_id}: amount in {self.currency}, the account counts in {self.expected}"


def taken_out_note(values: Sequence[StageValue], currency: str) -> list[str]:
    """What there is to know of stages that adctl.toml names no more."""
    if not values:
        return []
    named = ", ".join(f"{one.pipeline}/{one.stage} ({show(one.value, currency)})" for one in values)
    return [f"Not in adctl.toml any more, and worth what it said last: {named}. To end that, write them with value 0."]


RevenueProblem = UnmappedStage | ForeignAmount


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueBook:
    """Every deal once, in the order of their ids, and every deal that could not be valued."""

    revenues: tuple[SyntheticRevenue, ...]
    problems: tuple[RevenueProblem, ...]


def synthetic_revenue(
    deal: Deal, values: StageValues, *, at: datetime, currency: str
) -> SyntheticRevenue | RevenueProblem:
    """What `deal` is worth by its current stage alone, not by the events that led there.

    Won: its amount, or the stage's value when nobody filled it in; lost, archived or merged away: 0; open: the
    stage's value. Cash is the won amount. A deal that cannot be valued comes back as a problem, not as an error.
    """
    if deal.archived or deal.merged_into is not None:
        return SyntheticRevenue(deal_id=deal.deal_id, value=0, cash=0, confidence=1.0)
    stage = values.at(deal.pipeline, deal.stage, at)
    if stage is None:
        return UnmappedStage(deal_id=deal.deal_id, pipeline=deal.pipeline, stage=deal.stage)
    if stage.outcome is Outcome.LOST:
        return SyntheticRevenue(deal_id=deal.deal_id, value=0, cash=0, confidence=stage.confidence)
    if stage.outcome is Outcome.OPEN or deal.amount is None:
        return SyntheticRevenue(deal_id=deal.deal_id, value=stage.value, cash=0, confidence=stage.confidence)
    if deal.currency != currency:
        return ForeignAmount(deal_id=deal.deal_id, currency=deal.currency, expected=currency)
    return SyntheticRevenue(deal_id=deal.deal_id, value=deal.amount, cash=deal.amount, confidence=stage.confidence)


def revenue_book(readings: Iterable[Deal], values: StageValues, *, at: datetime, currency: str) -> RevenueBook:
    """Values every deal by its latest reading, so that replays, duplicates and disorder change nothing."""
    results = [synthetic_revenue(deal, values, at=at, currency=currency) for deal in _latest(readings)]
    return RevenueBook(
        revenues=tuple(result for result in results if isinstance(result, SyntheticRevenue)),
        problems=tuple(result for result in results if not isinstance(result, SyntheticRevenue)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDeals:
    """Deals that count and stand in one stage: `priced` of the `deals` have an amount, together `amount` minor units of
    `currency`. All of them are negative for deals that are to be taken away.
    """

    pipeline: str
    stage: str
    currency: str
    deals: int
    priced: int
    amount: int


def taken_away(some: StandingDeals) -> StandingDeals:
    return replace(some, deals=-some.deals, priced=-some.priced, amount=-some.amount)


@dataclass(slots=True, kw_only=True)
class Worth:
    """What many deals are worth together, as `synthetic_revenue` values each: minor units.

    `unmapped` counts the deals by a (pipeline, stage) without a value, `foreign` those won in another currency.
    """

    value: int = 0
    cash: int = 0
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)
    foreign: int = 0


def worth_together(standing: Iterable[StandingDeals], values: StageValues, *, at: datetime, currency: str) -> Worth:
    """The sums of a RevenueBook without an entry for every deal."""
    worth = Worth()
    for some in standing:
        stage = values.at(some.pipeline, some.stage, at)
        if stage is None:
            worth.unmapped[some.pipeline, some.stage] += some.deals
        elif stage.outcome is Outcome.OPEN:
            worth.value += stage.value * some.deals
        elif stage.outcome is Outcome.WON:
            worth.value += stage.value * (some.deals - some.priced)
            if some.currency == currency:
                worth.value += some.amount
                worth.cash += some.amount
            else:
                worth.foreign += some.priced
    worth.unmapped = +worth.unmapped
    return worth


def standing_of(readings: Iterable[Deal]) -> tuple[StandingDeals, ...]:
    """The deals that count, by where they stand."""
    tallies: dict[tuple[str, str, str], list[int]] = {}
    for deal in readings:
        if not deal.archived and deal.merged_into is None:
            tally = tallies.setdefault((deal.pipeline, deal.stage, deal.currency), [0, 0, 0])
            tally[0] += 1
            tally[1] += deal.amount is not None
            tally[2] += deal.amount or 0
    return tuple(
        StandingDeals(pipeline=pipeline, stage=stage, currency=currency, deals=deals, priced=priced, amount=amount)
        for (pipeline, stage, currency), (deals, priced, amount) in tallies.items()
    )


def _latest(readings: Iterable[Deal]) -> list[Deal]:
    latest: dict[DealId, Deal] = {}
    for deal in readings:
        known = latest.get(deal.deal_id)
        if known is None or _age(known) < _age(deal):
            latest[deal.deal_id] = deal
    return [latest[deal_id] for deal_id in sorted(latest)]


def _age(deal: Deal) -> tuple[datetime, bool, str, str, bool, int, str]:
    # Readings of one moment that differ are put in some fixed order, so that the order of arrival never decides.
    gone = deal.archived or deal.merged_into is not None
    return deal.modified_at, gone, deal.pipeline, deal.stage, deal.amount is None, deal.amount or 0, deal.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateStage:
    """`value` is whole major units of whatever currency the account has."""

    stage: str
    value: int
    confidence: float
    outcome: Outcome = Outcome.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTemplate:
    """A starting point for an account's stage values. `average_deal` is major units, `cycle_days` days to a win."""

    name: str
    stages: tuple[TemplateStage, ...]
    average_deal: int
    cycle_days: int
    win_rate: float
    note: str = ""


TEMPLATES: Mapping[str, StageTemplate] = {
    template.name: template
    for template in (
        StageTemplate(
            name="ptd_fitness",
            stages=(
                TemplateStage(stage="lead", value=0, confidence=0.10),
                TemplateStage(stage="appointment_scheduled", value=2250, confidence=0.60),
                TemplateStage(stage="show_up", value=9000, confidence=0.85),
                TemplateStage(stage="closed_won", value=15000, confidence=1.0, outcome=Outcome.WON),
                TemplateStage(stage="closed_lost", value=0, confidence=1.0, outcome=Outcome.LOST),
            ),
            average_deal=15000,
            cycle_days=6,
            win_rate=0.60,
            note="The plan derives 2250 as 15 % × 60 % × 15000, which is 1350; 2250 stays the template's value.",
        ),
        StageTemplate(
            name="ecommerce",
            stages=(
                TemplateStage(stage="add_to_cart", value=15, confidence=0.25),
                TemplateStage(stage="initiated_checkout", value=45, confidence=0.75),
                TemplateStage(stage="purchase", value=60, confidence=1.0, outcome=Outcome.WON),
            ),
            average_deal=60,
            cycle_days=0,
            win_rate=0.75,
        ),
        StageTemplate(
            name="b2b_saas",
            stages=(
                TemplateStage(stage="marketing_qualified_lead", value=100, confidence=0.05),
                TemplateStage(stage="sales_qualified_lead", value=2000, confidence=0.20),
                TemplateStage(stage="demo_scheduled", value=3500, confidence=0.35),
                TemplateStage(stage="proposal_sent", value=6000, confidence=0.60),
                TemplateStage(stage="closed_won", value=10000, confidence=1.0, outcome=Outcome.WON),
            ),
            average_deal=10000,
            cycle_days=45,
            win_rate=0.20,
        ),
    )
}


def template_values(
    name: str, stages: Mapping[str, str], *, pipeline: str, currency: str, effective_from: datetime
) -> Sequence[StageValue]:
    """The template's values for a pipeline whose own stage ids `stages` maps to the template's stages.

    Several stages may share one template stage. Raises ConfigurationError for an unknown template or template stage.
    """
    template = TEMPLATES.get(name)
    if template is None:
        raise ConfigurationError(f"stage template {name!r}: unknown", fix=f"use one of {', '.join(sorted(TEMPLATES))}")
    known = {stage.stage: stage for stage in template.stages}
    if unknown := sorted(set(stages.values()) - set(known)):
        raise ConfigurationError(
            f"stage template {name}: no stage {unknown[0]!r}", fix=f"it has {', '.join(sorted(known))}"
        )
    return [
        StageValue(
            pipeline=pipeline,
            stage=stage,
            value=to_minor(str(known[template_stage].value), currency),
            confidence=known[template_stage].confidence,
            outcome=known[template_stage].outcome,
            effective_from=effective_from,
        )
        for stage, template_stage in stages.items()
    ]
