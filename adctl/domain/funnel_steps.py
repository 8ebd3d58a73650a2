"""The steps that all of an account's deals are counted on, whatever pipeline they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adctl.domain.deals import Outcome, Stage
from adctl.domain.revenue import StageValue

StageKey = tuple[str, str]
_WON = "won"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlace:
    """Where a stage stands: `step` counts from 1, the last step is won; 0 is no step (lost, or nobody knows)."""

    step: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelSteps:
    """`names` are the stages of the pipeline with most deals, in its order; `places` has every known stage by
    (pipeline, stage)."""

    names: tuple[str, ...]
    places: Mapping[StageKey, StepPlace]


def funnel_steps(
    stages: Sequence[Stage], values: Sequence[StageValue], deals: Mapping[str, int], seen: Sequence[StageKey] = ()
) -> FunnelSteps:
    """Puts every stage on the steps of the pipeline with most `deals` (by pipeline).

    The order is the CRM's. A pipeline that only files have told of (its stages are `seen`) goes by its stages' values.
    What a stage means is what is configured, else what the CRM says. A stage of another pipeline stands as far along
    as its place among its own pipeline's stages, rounded down: it never counts for more than it is.
    """
    configured = {(value.pipeline, value.stage): value for value in values}
    rows = {(stage.pipeline, stage.stage): stage for stage in stages}
    known = {stage.pipeline for stage in stages}
    told = [key for key in seen if key[0] not in known and key in configured]
    rank = {key: (float(stage.position), key[1]) for key, stage in rows.items()}
    rank |= {key: (float(configured[key].value), key[1]) for key in told}
    outcomes = {key: configured[key].outcome if key in configured else rows[key].outcome for key in rank}
    pipelines = {
        pipeline: [key for key in sorted(rank, key=rank.__getitem__) if key[0] == pipeline]
        for pipeline in sorted({key[0] for key in rank})
    }
    if not pipelines:
        return FunnelSteps(names=(), places={})
    first = max(pipelines, key=lambda pipeline: deals.get(pipeline, 0))
    names = _names(pipelines[first], outcomes)
    places: dict[StageKey, StepPlace] = {}
    for keys in pipelines.values():
        places |= _places(keys, outcomes, len(names))
    return FunnelSteps(names=names, places=places)


def _names(keys: Sequence[StageKey], outcomes: Mapping[StageKey, Outcome]) -> tuple[str, ...]:
    won = [stage for pipeline, stage in keys if outcomes[pipeline, stage] is Outcome.WON]
    return (*(key[1] for key in keys if outcomes[key] is Outcome.OPEN), won[0] if won else _WON)


def _places(keys: Sequence[StageKey], outcomes: Mapping[StageKey, Outcome], steps: int) -> dict[StageKey, StepPlace]:
    way = [key for key in keys if outcomes[key] is Outcome.OPEN]
    places = {
        key: StepPlace(step=max((place + 1) * steps // (len(way) + 1), 1) if steps > 1 else 0, outcome=Outcome.OPEN)
        for place, key in enumerate(way)
    }
    for key in keys:
        if outcomes[key] is not Outcome.OPEN:
            step = steps if outcomes[key] is Outcome.WON else 0
            places[key] = StepPlace(step=step, outcome=outcomes[key])
    return places
