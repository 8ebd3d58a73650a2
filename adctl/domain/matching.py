"""Layers 2 and 3: clicks that a conversion is matched to by what it was seen with, when no id ties them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from adctl.domain.ids import AdId
from adctl.domain.privacy import MatchKeys

FINGERPRINT_CONFIDENCE = 0.90
MOST_PROBABLE = 0.70
_OUTSIDE = "a click of the device outside the window"
_SEVERAL_OF_DEVICE = "clicks on several ads from this device"
_SEVERAL_LIKELY = "likely clicks on several ads"
# What says that a match made earlier was wrong, not only that its click is no longer there.
LAYER_CONTRADICTIONS = frozenset({_OUTSIDE, _SEVERAL_OF_DEVICE, _SEVERAL_LIKELY})
_NEAR = timedelta(hours=24)
# Thousandths, so that 0.5 + 0.2 is exactly 0.7.
_SAME_PREFIX, _SAME_FAMILY, _AT_ONCE, _ENOUGH = 500, 300, 200, 700


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenClick:
    """A consented click with the hashes of what it was seen with."""

    ad_id: AdId
    clicked_at: datetime
    keys: MatchKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A lead as the advertiser's own site saw it; `keys` are empty without consent, one per privacy key otherwise."""

    converted_at: datetime
    keys: tuple[MatchKeys, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one layer says: an ad, or the reason why none."""

    ad_id: AdId | None
    confidence: float = 0.0
    evidence: Mapping[str, str] = field(default_factory=dict)
    ambiguous: bool = False


class ClickPool:
    """Consented clicks by their hashes. An empty hash is never looked up."""

    def __init__(self, clicks: Iterable[SeenClick]) -> None:
        self._by_fingerprint: dict[bytes, list[SeenClick]] = defaultdict(list)
        self._by_prefix: dict[bytes, list[SeenClick]] = defaultdict(list)
        for click in clicks:
            if click.keys.fingerprint:
                self._by_fingerprint[click.keys.fingerprint].append(click)
            if click.keys.ip_prefix:
                self._by_prefix[click.keys.ip_prefix].append(click)

    def of_device(self, keys: MatchKeys) -> list[SeenClick]:
        return self._by_fingerprint.get(keys.fingerprint, []) if keys.fingerprint else []

    def of_network(self, keys: MatchKeys) -> list[SeenClick]:
        return self._by_prefix.get(keys.ip_prefix, []) if keys.ip_prefix else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Which of the two layers an account has switched on, and the clicks they look among."""

    pool: ClickPool
    fingerprint: bool = True
    probabilistic: bool = True

    def verdicts(
        self, conversion: Conversion | None, window: timedelta
    ) -> dict[Literal["fingerprint", "probabilistic"], Verdict]:
        """Each layer by itself, whether an earlier one found something or not."""
        return {
            "fingerprint": self._by_fingerprint(conversion, window),
            "probabilistic": self._by_probability(conversion),
        }

    def _by_fingerprint(self, conversion: Conversion | None, window: timedelta) -> Verdict:
        refusal = _refusal(conversion, switched_on=self.fingerprint)
        if refusal or conversion is None:
            return _no(refusal)
        if not any(keys.fingerprint for keys in conversion.keys):
            return _no("no device key: fewer than three components")
        found = [click for keys in conversion.keys for click in self.pool.of_device(keys)]
        inside = [c for c in found if c.clicked_at <= conversion.converted_at <= c.clicked_at + window]
        if not inside:
            return _no(_OUTSIDE if found else "no click of this device")
        if len({click.ad_id for click in inside}) > 1:
            return _no(_SEVERAL_OF_DEVICE, ambiguous=True)
        last = max(inside, key=lambda click: click.clicked_at)
        evidence = {"key": "device", "clicked_at": last.clicked_at.isoformat()}
        return Verdict(ad_id=last.ad_id, confidence=FINGERPRINT_CONFIDENCE, evidence=evidence)

    def _by_probability(self, conversion: Conversion | None) -> Verdict:
        refusal = _refusal(conversion, switched_on=self.probabilistic)
        if refusal or conversion is None:
            return _no(refusal)
        if not any(keys.ip_prefix for keys in conversion.keys):
            return _no("no network key")
        near = [(click, keys) for keys in conversion.keys for click in self.pool.of_network(keys)]
        scored = [(score(click, keys, conversion.converted_at), click) for click, keys in near]
        likely = [(points, click) for points, click in scored if points >= _ENOUGH * _seconds(_NEAR)]
        if not likely:
            return _no("no click of this network that is likely enough" if near else "no click of this network")
        if len({click.ad_id for _, click in likely}) > 1:
            return _no(_SEVERAL_LIKELY, ambiguous=True)
        points, best = max(likely, key=lambda one: (one[0], one[1].clicked_at))
        share = points / (1000 * _seconds(_NEAR))
        evidence = {"key": "network and time", "score": f"{share:.3f}", "clicked_at": best.clicked_at.isoformat()}
        return Verdict(ad_id=best.ad_id, confidence=min(share, MOST_PROBABLE), evidence=evidence)


def score(click: SeenClick, keys: MatchKeys, converted_at: datetime) -> int:
    """0.5 same network + 0.3 same browser family + 0.2 · (1 − hours/24), times 86,400,000; 0 outside of 24 hours."""
    after = converted_at - click.clicked_at
    if not timedelta() <= after <= _NEAR:
        return 0
    whole = _seconds(_NEAR)
    same_prefix = keys.ip_prefix is not None and keys.ip_prefix == click.keys.ip_prefix
    same_family = keys.agent_family is not None and keys.agent_family == click.keys.agent_family
    fixed = _SAME_PREFIX * same_prefix + _SAME_FAMILY * same_family
    return fixed * whole + int(_AT_ONCE * (whole - after.total_seconds()))


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _refusal(conversion: Conversion | None, *, switched_on: bool) -> str:
    if not switched_on:
        return "switched off"
    return "" if conversion and conversion.keys else "no conversion with consented keys"


def _no(reason: str, *, ambiguous: bool = False) -> Verdict:
    return Verdict(ad_id=None, evidence={"reason": reason}, ambiguous=ambiguous)
