"""Files of clicks and of conversions as a site's own tracking saw them; what is personal leaves here only as hashes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from adctl.adapters.files.opened_files import Limits, Source
from adctl.adapters.files.records import open_records
from adctl.domain.cell_forms import Form
from adctl.domain.cells import Cells, cells_of
from adctl.domain.columns import ColumnMapping, Field, Row, RowSource, fold, resolve_columns
from adctl.domain.ids import AdId
from adctl.domain.landing_urls import click_id_in
from adctl.domain.privacy import MatchKeys, PrivacyKeys, email_hash, match_keys
from adctl.domain.rejects import KeptRows, Quarantine
from adctl.errors import InputRejectedError

Kind = Literal["clicks", "conversions"]

_TITLE_FIX = "have the tracking write it, or give its column one of these titles"
_SEEN_WITH = (
    Field(name="ip", aliases=("ip", "ip address", "client_ip_address")),
    Field(name="user_agent", aliases=("user_agent", "useragent", "client_user_agent")),
    Field(name="consent", aliases=("consent", "consented", "has_consent")),
    Field(name="email", aliases=("email", "e-mail")),
)
_CLICK_FIELDS = (
    Field(name="click_id", aliases=("click_id", "fbclid"), required=True, fix=_TITLE_FIX),
    Field(name="ad_id", aliases=("ad_id", "utm_content"), required=True, fix=_TITLE_FIX),
    Field(name="at", aliases=("clicked_at", "click_time", "timestamp"), required=True, fix=_TITLE_FIX),
    *_SEEN_WITH,
)
_CONVERSION_FIELDS = (
    Field(name="deal_id", aliases=("deal_id", "record id")),
    Field(name="contact_id", aliases=("contact_id",)),
    Field(name="at", aliases=("converted_at", "conversion_time", "timestamp"), required=True, fix=_TITLE_FIX),
    *_SEEN_WITH,
)
# What tells one device from another, by the names that tracking scripts give it; with or without "device " before it.
_COMPONENTS = frozenset(
    {
        "screen",
        "screen resolution",
        "resolution",
        "viewport",
        "color depth",
        "pixel ratio",
        "timezone",
        "time zone",
        "language",
        "languages",
        "platform",
        "os",
        "os version",
        "browser",
        "browser version",
        "model",
        "brand",
        "vendor",
        "hardware concurrency",
        "cores",
        "device memory",
        "memory",
        "touch points",
        "max touch points",
        "touch",
        "gpu",
        "webgl",
        "canvas",
        "audio",
        "fonts",
        "plugins",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One click or conversion. `owner` is `click`, `deal` or `contact`; only a click has an ad.

    `keys` are empty without consent; `email` is hashed under the current key, None without address or key.
    """

    owner: str
    owner_id: str
    ad_id: AdId | None
    at: datetime
    consented: bool
    keys: tuple[MatchKeys, ...]
    email: bytes | None


@contextmanager
def open_sightings(
    source: Source | KeptRows,
    kind: Kind,
    *,
    as_of: datetime,
    zone: tzinfo,
    privacy: PrivacyKeys | None,
    quarantine: Quarantine | None = None,
    limits: Limits | None = None,
) -> Iterator[SightingReading]:
    """A file of clicks (click_id or fbclid, ad_id, clicked_at) or conversions (deal_id or contact_id, converted_at).

    Both may have ip, user_agent, email, consent and device components. Without a column for it nobody has consented.
    No time is later than the day after `as_of`; one without an offset is of `zone`. Raises InputRejectedError and
    UsageError.
    """
    bad = quarantine or Quarantine()
    with open_records(source, limits=limits or Limits()) as table:
        fields = _CLICK_FIELDS if kind == "clicks" else _CONVERSION_FIELDS
        mapping = _mapping(fields, table)
        cells = cells_of(
            table,
            mapping,
            counts=(),
            money=(),
            dates=("at",),
            currency="USD",
            latest=as_of.astimezone(zone).date() + timedelta(days=1),
            quarantine=bad,
        )
        yield SightingReading(cells=cells, zone=zone, privacy=privacy, table=table, quarantine=bad)


def _mapping(fields: tuple[Field, ...], table: RowSource) -> ColumnMapping:
    # No field is money, so no currency matters.
    found = resolve_columns(fields, table.header, {}, currency="USD", source=table.name)
    if "click_id" not in found.columns and not {"deal_id", "contact_id"} & set(found.columns):
        what = "no column for whom it is of; known names: deal_id, contact_id"
        raise InputRejectedError(what, source=table.name, line=1, column="deal_id", fix=_TITLE_FIX)
    devices = {_component(title): title for title in found.ignored if _component(title)}
    read = {f"device:{name}": title for name, title in devices.items()}
    ignored = tuple(title for title in found.ignored if title not in devices.values())
    return ColumnMapping(columns={**found.columns, **read}, ignored=ignored)


def _component(title: str) -> str:
    name = fold(title).removeprefix("device ")
    return name if name in _COMPONENTS or fold(title).startswith("device ") else ""


@dataclass(slots=True, kw_only=True)
class SightingReading:
    """One walk over the rows."""

    cells: Cells
    zone: tzinfo
    privacy: PrivacyKeys | None
    table: RowSource
    quarantine: Quarantine
    rows: int = 0
    consented: int = 0
    unhashed: int = 0
    _ads: dict[int, int] = field(default_factory=dict)

    def sightings(self) -> Iterator[Sighting]:
        """Each good row; what was yielded counts only when the walk ends without InputRejectedError."""
        for row in self.cells.good_rows(self.table, self.quarantine):
            try:
                found = self._sighting(row)
            except InputRejectedError as error:
                self.quarantine.reject(row, error)
            else:
                self.rows += 1
                self.consented += found.consented
                yield found
        if self.table.total not in (None, self.rows + len(self.quarantine.rows)):
            what = f"the file says that it has {self.table.total} records"
            fix = "the file is not whole: export it again"
            raise InputRejectedError(what, source=self.table.name, line=1, fix=fix)

    def _sighting(self, row: Row) -> Sighting:
        at = self.cells.moment(row, "at", zone=self.zone)
        if at is None:
            raise self.cells.misformed(row, "at", "the time is empty", Form.MOMENT)
        owner, owner_id, ad_id = self._owner(row)
        consented = self.cells.answer(row, "consent") or False
        return Sighting(
            owner=owner,
            owner_id=owner_id,
            ad_id=ad_id,
            at=at,
            consented=consented,
            keys=self._keys(row, owner) if consented else (),
            email=email_hash(self.privacy.current, self.cells.text(row, "email")) if self.privacy else None,
        )

    def _owner(self, row: Row) -> tuple[str, str, AdId | None]:
        if "click_id" in self.cells.mapping.columns:
            return "click", self._click_id(row), AdId(self.cells.meta_id(row, "ad_id"))
        for owner in ("deal", "contact"):
            if self.cells.text(row, f"{owner}_id"):
                owner_id = self.cells.crm_id(row, f"{owner}_id")
                self._refuse_another(row, f"{owner}_id", f"{owner} {owner_id}", row.number)
                return owner, owner_id, None
        raise self.cells.refused(row, "deal_id", "the id is empty", fix="give a deal_id or a contact_id")

    def _click_id(self, row: Row) -> str:
        text = self.cells.text(row, "click_id")
        click_id = click_id_in(text)
        if click_id is None:
            what = "the id is empty" if not text else "not a click id"
            raise self.cells.misformed(row, "click_id", what, Form.CLICK_ID)
        # A page that is loaded again tells the same click again; the same click on another ad is a mistake.
        self._refuse_another(row, "ad_id", click_id, hash(self.cells.meta_id(row, "ad_id")))
        return click_id

    def _refuse_another(self, row: Row, name: str, key: str, mark: int) -> None:
        if self._ads.setdefault(hash(key), mark) != mark:
            what = "an earlier row of the file says otherwise of the same id"
            raise self.cells.refused(row, name, what, fix="keep the row that is right")

    def _keys(self, row: Row, owner: str) -> tuple[MatchKeys, ...]:
        device = {
            name.removeprefix("device:"): self.cells.text(row, name)
            for name in self.cells.mapping.columns
            if name.startswith("device:")
        }
        ip, agent = self.cells.text(row, "ip"), self.cells.text(row, "user_agent")
        if self.privacy is None:
            self.unhashed += bool(ip or agent or device)
            return ()
        # A conversion is looked for among clicks of both keys, a click waits under the current one.
        keys = self.privacy.all() if owner != "click" else (self.privacy.current,)
        try:
            found = [match_keys(key, ip=ip, user_agent=agent, device=device) for key in keys]
        except ValueError as error:
            raise self.cells.misformed(row, "ip", str(error), Form.IP) from None
        return tuple(one for one in found if not one.empty)
