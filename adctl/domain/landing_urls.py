"""What a landing page's address says of the ad that led there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from adctl.domain.ids import AdId, is_meta_id

# A word is no id: `undefined` and `not_provided` are what scripts write when there was none.
_CLICK_ID = re.compile(r"(?=.*[0-9]|.*[a-z].*[A-Z]|.*[A-Z].*[a-z])[A-Za-z0-9_.-]{8,512}", re.ASCII)
_LONGEST = 8192
# What Meta fills in when the ad is clicked; `ad_id` is read too where utm_content holds something else.
_NAMES_ITS_AD = re.compile(r"(?:^|[?&])(?:utm_content|ad_id)=\{\{\s*ad\.id\s*\}\}(?=$|[&#])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingKeys:
    """`ad_id` from `utm_content` (filled in by `{{ad.id}}`), `click_id` from `fbclid`; None where absent."""

    ad_id: AdId | None
    click_id: str | None


def landing_keys(url: str) -> LandingKeys:
    """The keys in the query of `url`. What is no address, too long or ambiguous has none: a link is not data."""
    try:
        query = parse_qsl(urlsplit(url).query, max_num_fields=100) if len(url) <= _LONGEST else []
    except ValueError:
        query = []
    return LandingKeys(
        ad_id=ad_id_in(_only([value for name, value in query if name.lower() == "utm_content"])),
        click_id=click_id_in(_only([value for name, value in query if name.lower() == "fbclid"])),
    )


def ad_id_in(text: str) -> AdId | None:
    """The text as an ad id, None when it is something else (`utm_content` is free text)."""
    return AdId(text) if is_meta_id(text) else None


def click_id_in(text: str) -> str | None:
    """The text as a click id, None when it cannot be one."""
    return text if _CLICK_ID.fullmatch(text) else None


def _only(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def names_its_ad(parameters: str) -> bool:
    """Whether an address, or URL parameters, will hold the ad's id once Meta has filled in its macros."""
    return _NAMES_ITS_AD.search(unquote(parameters[:_LONGEST])) is not None
