"""The files of one ingest-crm run: deals, values per ad, clicks, conversions; read strictly, stored all or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from adctl.adapters.files.ad_performances import read_ad_performances
from adctl.adapters.files.crm_export import CrmReading, CrmRecord, open_crm_export
from adctl.adapters.files.opened_files import Limits, Source, rereadable
from adctl.adapters.files.records import holds_performances
from adctl.adapters.files.sightings import Kind, open_sightings
from adctl.adapters.files.spool import Spool
from adctl.adapters.store import attributions, deals, matching, rejects, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Deal, StageMove
from adctl.domain.exports import CrmExport, StageNames
from adctl.domain.ids import AdId
from adctl.domain.privacy import PrivacyKeys, email_hash
from adctl.domain.rejects import KeptRows, Quarantine
from adctl.domain.revenue import StandingDeals, standing_of, taken_away

_BATCH = 5000
# What a statement may take besides.
_STATEMENT_SECONDS = 600
# The hash of an address, and what it belongs to: (hash, `deal` or `contact`, id).
_Email = tuple[bytes, str, str]
_NO_KEY = "{} {} have keys to match by, which are left out: set privacy_key."


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmFile:
    """A file to take in: an export of deals, or the bulk shape of absolute values per ad, told by its content."""

    source: Source | KeptRows
    is_performances: bool = False
    columns: Mapping[str, str] | None = None
    stage_names: StageNames | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What one run takes in. `max_rejects` is the allowance of each file; `privacy` is None without a key."""

    deals: CrmFile | None = None
    clicks: Source | KeptRows | None = None
    conversions: Source | KeptRows | None = None
    privacy: PrivacyKeys | None = None
    max_rejects: int = 0
    limits: Limits = field(default_factory=Limits)
    run_id: UUID | None = None


@dataclass(slots=True, kw_only=True)
class Intake:
    """What was read so far. `accepted` counts rows by kind, `quarantines` holds the others.

    `planned` is what the deals of a file that is only checked would change of those that stand.
    """

    files: Files
    profile: AccountProfile
    now: datetime
    reading: CrmReading | None = None
    export: CrmExport | None = None
    performances: Mapping[AdId, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    quarantines: dict[str, Quarantine] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    planned: list[StandingDeals] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        return sum(len(quarantine.rows) for quarantine in self.quarantines.values())

    @property
    def read(self) -> int:
        """Rows of all files, good and bad."""
        return sum(self.accepted.values()) + self.rejected

    @contextmanager
    def deals_opened(self) -> Iterator[None]:
        """With the main file open: how it writes is known, its deals are read as they are stored or checked.

        Raises InputRejectedError and what the readers raise.
        """
        file, limits = self.files.deals, self.files.limits
        if file is None:
            yield
            return
        if file.is_performances or (not isinstance(file.source, KeptRows) and holds_performances(file.source, limits)):
            assert not isinstance(file.source, KeptRows)
            self.performances = dict(read_ad_performances(file.source, self.profile.currency, limits))
            self.accepted["performances"] = len(self.performances)
            yield
            return
        with open_crm_export(
            file.source,
            currency=self.profile.currency,
            as_of=self.now,
            zone=ZoneInfo(self.profile.timezone),
            stage_names=file.stage_names or StageNames(),
            overrides=file.columns,
            limits=limits,
            quarantine=self._quarantine("crm"),
        ) as self.reading:
            yield

    def store(self, connection: Connection) -> int:
        """Stores everything in the caller's transaction, which a refusal must undo; returns rows new or changed."""
        written, account = 0, self.profile.account
        with Spool[_Email]() as emails:
            if self.reading is not None:
                written += self._store_deals(connection, self.reading, emails)
            if self.performances:
                written += attributions.upsert_performances(connection, account, self.performances, self.now)
            if self.reading is not None or self.performances:
                runs.advance_watermark(connection, account, "crm.file", self.now)
            for kind, source in self._sightings():
                written += self._take_sightings(connection, kind, source)
            if self.files.privacy:
                key_id, links = self.files.privacy.current.key_id, chain.from_iterable(emails.batches())
                written += matching.link_emails(connection, account, links, key_id=key_id)
        return written + self._keep_rejects(connection)

    def check(self, connection: Connection) -> None:
        """Reads what `store` would, and stores nothing."""
        if self.reading is not None:
            for some in _batched(self.reading.records(), _BATCH):
                self.planned += standing_of(record.deal for record in some)
                ids = [record.deal.deal_id for record in some]
                self.planned += map(taken_away, deals.standing(connection, self.profile.account, ids))
            self._know(self.reading)
        for kind, source in self._sightings():
            self._take_sightings(None, kind, source)

    def _quarantine(self, kind: str) -> Quarantine:
        return self.quarantines.setdefault(kind, Quarantine(self.files.max_rejects))

    def _emails(self, record: CrmRecord) -> Iterator[_Email]:
        privacy, deal = self.files.privacy, record.deal
        email = email_hash(privacy.current, record.email) if privacy and record.email else None
        if email is not None:
            yield email, "deal", deal.deal_id
            if deal.contact_id:
                yield email, "contact", deal.contact_id

    def _store_deals(self, connection: Connection, reading: CrmReading, emails: Spool[_Email]) -> int:
        """Deals go to the database as they are read; what comes with them waits, since there is one COPY at a time."""
        account = self.profile.account
        with Spool[StageMove]() as moves:

            def streamed() -> Iterator[Deal]:
                for some in _batched(reading.records(), _BATCH):
                    moves.put([move for record in some for move in record.moves])
                    emails.put([email for record in some for email in self._emails(record)])
                    yield from (record.deal for record in some)

            # One statement lasts as long as the file takes to read, which has a bound of its own.
            longest = (self.files.limits.seconds + _STATEMENT_SECONDS) * 1000
            connection.execute(text("select set_config('statement_timeout', :ms, true)"), {"ms": str(longest)})
            written = deals.upsert_deals(connection, account, streamed(), source="file", read_at=self.now)
            for batch in moves.batches():
                written += deals.insert_moves(connection, account, batch)
        self._know(reading)
        return written

    def _know(self, reading: CrmReading) -> None:
        """What the walk over all deals has found out."""
        self.export = CrmExport(
            deals=(), moves=(), mapping=reading.cells.mapping, totals=reading.totals(), notes=reading.notes()
        )
        self.accepted["crm"] = reading.rows
        self.notes += self.export.notes

    def _sightings(self) -> Iterator[tuple[Kind, Source | KeptRows]]:
        if self.files.clicks is not None:
            yield "clicks", self.files.clicks
        if self.files.conversions is not None:
            yield "conversions", self.files.conversions

    def _take_sightings(self, connection: Connection | None, kind: Kind, source: Source | KeptRows) -> int:
        privacy, written = self.files.privacy, 0
        with open_sightings(
            source,
            kind,
            as_of=self.now,
            zone=ZoneInfo(self.profile.timezone),
            privacy=privacy,
            limits=self.files.limits,
            quarantine=self._quarantine(kind),
        ) as reading:
            if connection is None:
                for _ in reading.sightings():
                    continue
            else:
                key_id = privacy.current.key_id if privacy else ""
                written = matching.store(connection, self.profile.account, reading.sightings(), key_id=key_id)
        self.accepted[kind] = reading.rows
        self.notes += reading.table.notes
        if reading.unhashed:
            self.notes.append(_NO_KEY.format(reading.unhashed, kind))
        return written

    def _keep_rejects(self, connection: Connection) -> int:
        written = 0
        for kind, quarantine in self.quarantines.items():
            source = self._source(kind)
            if source is not None:
                origin = rejects.Origin(kind=kind, source=source, run_id=self.files.run_id)
                written += rejects.keep(
                    connection, self.profile.account, quarantine, origin, privacy=self.files.privacy, at=self.now
                )
        return written

    def _source(self, kind: str) -> Source | KeptRows | None:
        if kind == "crm":
            return self.files.deals.source if self.files.deals else None
        return self.files.clicks if kind == "clicks" else self.files.conversions


def _batched(records: Iterator[CrmRecord], size: int) -> Iterator[list[CrmRecord]]:
    while some := list(islice(records, size)):
        yield some


@contextmanager
def opened(files: Files) -> Iterator[Files]:
    """The files with every pipe among them copied, so that each can be read more than once."""
    with ExitStack() as stack:

        def again(source: Source | KeptRows | None) -> Source | KeptRows | None:
            if source is None or isinstance(source, KeptRows):
                return source
            return stack.enter_context(rereadable(source, files.limits))

        main = files.deals and again(files.deals.source)
        yield replace(
            files,
            deals=replace(files.deals, source=main) if files.deals and main else None,
            clicks=again(files.clicks),
            conversions=again(files.conversions),
        )
