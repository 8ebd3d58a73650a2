"""What must hold for the file readers whatever bytes they are given."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime

from adctl.adapters.files.ad_performances import read_ad_performances
from adctl.adapters.files.ads_export import read_ads_export
from adctl.adapters.files.crm_export import read_crm_export
from adctl.adapters.files.opened_files import Limits
from adctl.adapters.files.sightings import Kind, open_sightings
from adctl.domain.privacy import privacy_keys
from adctl.domain.rejects import Quarantine
from adctl.errors import InputRejectedError

_NOW = datetime(2026, 10, 8, 12, tzinfo=UTC)
_KEYS = privacy_keys("k" * 32, None)
_LIMITS = Limits(file_bytes=1 << 20, record_chars=1 << 12, field_chars=1 << 10, columns=50, rows=500, seconds=60)
# More than PostgreSQL's bigint holds is no figure of a file.
_MOST = 1 << 63


def look(data: bytes) -> None:
    """Reads the bytes behind the first as every kind of file. Raises AssertionError for what is neither read whole
    nor refused at a line; every other error is a bug as it is.
    """
    if not data:
        return
    content = gzip.compress(data[1:]) if data[0] & 8 else data[1:]
    for read in (_deals, _ads, _clicks, _conversions, _values):
        _refused_with_a_line(read, content, Quarantine(data[0] & 3))


def _refused_with_a_line(read: Callable[[bytes, Quarantine], None], content: bytes, quarantine: Quarantine) -> None:
    try:
        read(content, quarantine)
    except InputRejectedError as error:
        refusal = error
    else:
        assert len(quarantine.rows) <= quarantine.limit
        assert all(one.line >= 1 and one.reason for one in quarantine.presentable(_KEYS))
        return
    assert refusal.line is not None, refusal
    assert len(str(refusal)) < 1_000, refusal


def _deals(content: bytes, quarantine: Quarantine) -> None:
    export = read_crm_export(
        io.BytesIO(content), currency="USD", as_of=_NOW, zone=UTC, limits=_LIMITS, quarantine=quarantine
    )
    assert export.totals.rows == len(export.deals) == len({deal.deal_id for deal in export.deals})
    assert all(abs(deal.amount or 0) < _MOST and deal.stage.isprintable() for deal in export.deals)


def _ads(content: bytes, quarantine: Quarantine) -> None:
    export = read_ads_export(
        io.BytesIO(content), currency="USD", as_of=_NOW.date(), limits=_LIMITS, quarantine=quarantine
    )
    assert all(0 <= one.spend < _MOST and 0 <= one.impressions < _MOST for one in export.insights)
    assert export.totals.spend == sum(one.spend for one in export.insights)


def _clicks(content: bytes, quarantine: Quarantine) -> None:
    _sightings(content, "clicks", quarantine)


def _conversions(content: bytes, quarantine: Quarantine) -> None:
    _sightings(content, "conversions", quarantine)


def _sightings(content: bytes, kind: Kind, quarantine: Quarantine) -> None:
    source = io.BytesIO(content)
    with open_sightings(
        source, kind, as_of=_NOW, zone=UTC, privacy=_KEYS, limits=_LIMITS, quarantine=quarantine
    ) as reading:
        found = list(reading.sightings())
        assert reading.rows == len(found)
    assert all(one.owner_id and (one.keys == () or one.consented) for one in found)


def _values(content: bytes, _quarantine: Quarantine) -> None:
    found = read_ad_performances(io.BytesIO(content), "USD", _LIMITS)
    assert all(0 <= value < _MOST for _, value in found)
    assert len(dict(found)) == len(found)
