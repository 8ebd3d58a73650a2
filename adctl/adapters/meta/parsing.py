"""Meta's JSON to domain values: strict whole numbers, aware UTC times, entities."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from adctl.domain.entities import Ad, AdAccount, AdSet, Campaign, Edit, EntityKind, EntityState, Field
from adctl.domain.ids import AdId, AdSetId, CampaignId, CreativeId
from adctl.errors import UnavailableError

Row = Mapping[str, object]

_WHOLE: Final = re.compile(r"\d{1,15}", re.ASCII)
_OBJECT_ID: Final = re.compile(r"\d{1,25}", re.ASCII)


def malformed(row: Row, field: str) -> UnavailableError:
    """The error for a field that is not what Meta documents; nothing is guessed."""
    return UnavailableError(f"meta: object {row.get('id', row.get('ad_id', '?'))}: field {field!r} is malformed")


def text(row: Row, field: str) -> str:
    """A string that must be there and not be empty."""
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise malformed(row, field)
    return value


def maybe_text(row: Row, field: str) -> str | None:
    """A string, None when absent or blank; a NUL or lone surrogate, which no database takes, is dropped."""
    value = row.get(field)
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").encode("utf-8", errors="ignore").decode().strip() or None


def is_object_id(value: str) -> bool:
    """True for the digits that name a Graph object."""
    return _OBJECT_ID.fullmatch(value) is not None


def object_id(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not is_object_id(value):
        raise malformed(row, field)
    return value


def whole(row: Row, field: str) -> int:
    """A whole number that Meta sends as a string ("1000") or, in a few places, as a number; absent is 0."""
    value = row.get(field)
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise malformed(row, field)


def positive(row: Row, field: str) -> float | None:
    """A finite number above zero; None where there is none."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < math.inf else None


def budget(row: Row, field: str) -> int | None:
    """Minor units; Meta sends "0" or nothing where the object owns no budget of that kind."""
    return whole(row, field) or None


def instant(row: Row, field: str) -> datetime | None:
    """Meta's `2026-01-31T08:00:00+0100` as aware UTC, None when absent."""
    value = row.get(field)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise malformed(row, field) from None


def account_of(row: Row) -> AdAccount:
    return AdAccount(
        meta_ad_account=text(row, "id"),
        name=maybe_text(row, "name") or "",
        currency=text(row, "currency"),
        timezone=text(row, "timezone_name"),
        min_daily_budget=whole(row, "min_daily_budget"),
    )


def campaign_of(row: Row) -> Campaign:
    return Campaign(
        campaign_id=CampaignId(object_id(row, "id")),
        name=maybe_text(row, "name") or "",
        status=text(row, "status"),
        effective_status=text(row, "effective_status"),
        daily_budget=budget(row, "daily_budget"),
        lifetime_budget=budget(row, "lifetime_budget"),
        updated_at=instant(row, "updated_time"),
    )


def ad_set_of(row: Row) -> AdSet:
    learning = row.get("learning_stage_info")
    return AdSet(
        ad_set_id=AdSetId(object_id(row, "id")),
        campaign_id=CampaignId(object_id(row, "campaign_id")),
        name=maybe_text(row, "name") or "",
        status=text(row, "status"),
        effective_status=text(row, "effective_status"),
        daily_budget=budget(row, "daily_budget"),
        lifetime_budget=budget(row, "lifetime_budget"),
        learning_stage=maybe_text(learning, "status") if isinstance(learning, dict) else None,
        updated_at=instant(row, "updated_time"),
    )


def ad_of(row: Row) -> Ad:
    creative = row.get("creative")
    return Ad(
        ad_id=AdId(object_id(row, "id")),
        ad_set_id=AdSetId(object_id(row, "adset_id")),
        campaign_id=CampaignId(object_id(row, "campaign_id")),
        name=maybe_text(row, "name") or "",
        status=text(row, "status"),
        effective_status=text(row, "effective_status"),
        creative_id=CreativeId(object_id(creative, "id")) if isinstance(creative, dict) else None,
        created_at=instant(row, "created_time"),
        updated_at=instant(row, "updated_time"),
    )


_EDITS: Final = {
    "update_campaign_budget": (EntityKind.CAMPAIGN, Field.DAILY_BUDGET),
    "update_ad_set_budget": (EntityKind.AD_SET, Field.DAILY_BUDGET),
    "update_ad_run_status": (EntityKind.AD, Field.STATUS),
}


def edit_of(row: Row) -> Edit | None:
    """None for an edit of something that adctl never changes."""
    what, at = _EDITS.get(str(row.get("event_type"))), instant(row, "event_time")
    if what is None or at is None:
        return None
    try:
        values = json.loads(str(row.get("extra_data")))
    except (ValueError, RecursionError):
        values = None
    old, new = (_plain(values.get(name)) if isinstance(values, dict) else "" for name in ("old_value", "new_value"))
    return Edit(kind=what[0], entity_id=object_id(row, "object_id"), field=what[1], old=old, new=new, at=at)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""


def state_of(kind: EntityKind, row: Row) -> EntityState:
    return EntityState(
        kind=kind,
        entity_id=object_id(row, "id"),
        status=text(row, "status"),
        effective_status=text(row, "effective_status"),
        daily_budget=budget(row, "daily_budget"),
        lifetime_budget=budget(row, "lifetime_budget"),
        updated_at=instant(row, "updated_time"),
    )
