"""What older, similar creatives say of a new ad's rate: counts that stand beside its prior and never outweigh it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adctl.domain.embedding.copies import VARIANT_COSINE
from adctl.domain.embedding.embedder import Vectors

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourRule:
    """How much one of the `nearest` neighbours counts: weight·((cosine − noise) / (1 − noise))² of its events.

    No neighbour brings more than `most_expected` events that were to be expected of it, and all together no more than
    `share` of the prior's own strength. What is as similar as a variant is no neighbour: it is the same ad again.
    """

    nearest: int = 10
    weight: float = 0.02
    noise: float = 0.3
    power: float = 2.0
    share: float = 0.5
    most_expected: float = 30.0
    copy_from: float = VARIANT_COSINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Per ad: events and how many would have been expected at the account's usual rate; zeros say nothing."""

    events: Floats
    expected: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """What neighbours say of each of n ads: leads for the money, and clicks for the impressions."""

    leads: Counts
    clicks: Counts


def no_counts(n: int) -> Counts:
    return Counts(events=np.zeros(n), expected=np.zeros(n))


def usual_rate(events: Floats, exposure: Floats, all_events: float, all_exposure: float, strength: float) -> float:
    """Events per unit of exposure of the recent ads, shrunk to those of all ads by `strength` events."""
    overall = (all_events + 0.5) / max(all_exposure, 1e-12)
    return float((events.sum() + strength) / (exposure.sum() + strength / overall))


def neighbour_counts(cosines: Vectors, allowed: Flags, known: Counts, rule: NeighbourRule, strength: float) -> Counts:
    """Pseudo-counts of t ads from c candidates: `cosines` and `allowed` have shape (t, c), `known` shape c.

    `strength` is the shape of the Gamma prior of mean 1 that the counts stand beside, in expected events.
    """
    nearness = np.clip((cosines.astype(np.float64) - rule.noise) / (1 - rule.noise), 0.0, None)
    weights = rule.weight * nearness**rule.power * (allowed & (cosines < rule.copy_from))
    if weights.shape[1] > rule.nearest:
        least = np.partition(weights, -rule.nearest, axis=1)[:, -rule.nearest, None]
        weights *= weights >= least
    scale = np.minimum(1.0, rule.most_expected / np.maximum(known.expected, 1e-12))
    events, expected = weights @ (known.events * scale), weights @ (known.expected * scale)
    fade = np.minimum(1.0, rule.share * strength / np.maximum(expected, 1e-12))
    return Counts(events=events * fade, expected=expected * fade)
