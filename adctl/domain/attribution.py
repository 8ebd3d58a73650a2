"""Which ad a deal came from: one attribution per deal, with method, evidence and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from adctl.domain.ids import AdId, DealId


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """What a deal brings along to be attributed by. `converted_at` is the lead's creation, not the deal's close.

    `ad_ids` are the ad ids named by the deal and by its contact's landing URL, the deal's first; `click_ids` likewise.
    """

    deal_id: DealId
    converted_at: datetime | None
    ad_ids: tuple[AdId, ...]
    click_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """`ad_id` is None exactly when the method is NONE; `evidence` says which key matched, or why none did."""

    deal_id: DealId
    ad_id: AdId | None
    method: Method
    confidence: float
    evidence: Mapping[str, str]
    converted_at: datetime | None


def attribute(
    lead: Lead, *, known_ads: Set[AdId], touches: Mapping[str, Touch], window: timedelta = timedelta(days=7)
) -> Attribution:
    """Layer 1 of the plan: the ad id in the landing URL, else a click id of a tracked click inside the window.

    An empty key never matches; two different ads of equal rank leave the deal unattributed.
    """
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
