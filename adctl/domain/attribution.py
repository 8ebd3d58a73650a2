"""Which ad a deal came from: one attribution per deal, with method, evidence and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from adctl.domain.ids import AdId, DealId
from adctl.domain.matching import LAYER_CONTRADICTIONS, Conversion, Layers, Verdict


class Method(StrEnum):
    URL_PARAM = "url_param"
    FINGERPRINT = "fingerprint"
    PROBABILISTIC = "probabilistic"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A click that is known by its id."""

    click_id: str
    ad_id: AdId
    clicked_at: datetime
    consented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """What a deal brings along to be attributed by. `converted_at` is the lead's creation, not the deal's close.

    `ad_ids` are the ad ids named by the deal and by its contact's landing URL, the deal's first; `click_ids` likewise.
    """

    deal_id: DealId
    converted_at: datetime | None
    ad_ids: tuple[AdId, ...]
    click_ids: tuple[str, ...]
    conversion: Conversion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """`ad_id` is None exactly when the method is NONE; `evidence` says which key matched, or why none did."""

    deal_id: DealId
    ad_id: AdId | None
    method: Method
    confidence: float
    evidence: Mapping[str, str]
    converted_at: datetime | None


_WEEK = timedelta(days=7)
AMBIGUOUS = ("several ads are named", "several clicked ads")


def attribute(
    lead: Lead,
    *,
    known_ads: Set[AdId],
    touches: Mapping[str, Touch],
    window: timedelta = _WEEK,
    layers: Layers | None = None,
) -> Attribution:
    """The layers of the plan in their order: ids first, then the device, then network and time.

    Layer 1 is the ad id in the landing URL, else a click id of a tracked click inside the window. An empty key never
    matches; two different ads of equal rank leave the deal unattributed, no later layer decides between them.
    """
    first = _by_ids(lead, known_ads, touches, window)
    if layers is None or first.ad_id is not None or first.evidence["reason"] in AMBIGUOUS:
        return first
    tried = dict(first.evidence)
    for name, verdict in layers.verdicts(lead.conversion, window).items():
        if verdict.ad_id is not None:
            return _by_layer(lead, Method(name), verdict, tried)
        tried[name] = verdict.evidence["reason"]
        if verdict.ambiguous:
            break
    return replace(first, evidence=tried)


_CONTRADICTED = frozenset({*AMBIGUOUS, "the click is not within the window before the conversion"})


def outlives_its_click(stored: Attribution, found: Attribution, switched_on: Set[Method]) -> bool:
    """Whether a stored attribution by click stays where nothing is found any more.

    Clicks are purged and forgotten, and what they proved stays proven; unless what is left contradicts it, or its
    layer is switched off.
    """
    if found.ad_id is not None or stored.method not in switched_on:
        return False
    reasons = {found.evidence["reason"], found.evidence.get(stored.method.value, "")}
    return not reasons & (_CONTRADICTED | LAYER_CONTRADICTIONS)


@dataclass(slots=True)
class Agreement:
    """How often a layer, asked by itself, names the ad that layer 1 proved: `agree` of `both`."""

    both: int = 0
    agree: int = 0

    def see(self, proved: Attribution, verdict: Verdict) -> None:
        if proved.method is Method.URL_PARAM and verdict.ad_id is not None:
            self.both += 1
            self.agree += proved.ad_id == verdict.ad_id

    @property
    def precision(self) -> float | None:
        return self.agree / self.both if self.both else None


def _by_ids(lead: Lead, known_ads: Set[AdId], touches: Mapping[str, Touch], window: timedelta) -> Attribution:
    named = tuple(dict.fromkeys(ad_id for ad_id in lead.ad_ids if ad_id and ad_id in known_ads))
    if len(named) > 1:
        return _none(lead, {"reason": "several ads are named", "ads": ", ".join(named)})
    if named:
        return _by_url(lead, named[0], {"key": "ad id"})
    clicked = [touches[key] for key in lead.click_ids if key and key in touches]
    inside = [touch for touch in clicked if _inside(touch, lead.converted_at, window)]
    if len({touch.ad_id for touch in inside}) > 1:
        return _none(lead, {"reason": "several clicked ads"})
    if inside:
        evidence = {"key": "click id", "clicked_at": inside[0].clicked_at.isoformat()}
        return _by_url(lead, inside[0].ad_id, evidence)
    return _none(lead, {"reason": _why_not(lead, bool(clicked))})


def _by_layer(lead: Lead, method: Method, verdict: Verdict, tried: Mapping[str, str]) -> Attribution:
    failed = {"url_param" if name == "reason" else name: reason for name, reason in tried.items()}
    return Attribution(
        deal_id=lead.deal_id,
        ad_id=verdict.ad_id,
        method=method,
        confidence=verdict.confidence,
        evidence={**failed, **verdict.evidence},
        converted_at=lead.conversion.converted_at if lead.conversion else lead.converted_at,
    )


def _inside(touch: Touch, converted_at: datetime | None, window: timedelta) -> bool:
    return converted_at is not None and touch.clicked_at <= converted_at <= touch.clicked_at + window


def _why_not(lead: Lead, clicked: bool) -> str:
    if clicked:
        return "the click is not within the window before the conversion"
    if any(lead.ad_ids):
        return "the ad named is not an ad of this account"
    return "the click was not tracked" if any(lead.click_ids) else "no key"


def _by_url(lead: Lead, ad_id: AdId, evidence: Mapping[str, str]) -> Attribution:
    return Attribution(
        deal_id=lead.deal_id,
        ad_id=ad_id,
        method=Method.URL_PARAM,
        confidence=1.0,
        evidence=evidence,
        converted_at=lead.converted_at,
    )


def _none(lead: Lead, evidence: Mapping[str, str]) -> Attribution:
    return Attribution(
        deal_id=lead.deal_id,
        ad_id=None,
        method=Method.NONE,
        confidence=0.0,
        evidence=evidence,
        converted_at=lead.converted_at,
    )
