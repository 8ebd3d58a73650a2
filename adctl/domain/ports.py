"""What the commands need of the vendors, as protocols, so that no command knows an SDK."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from adctl.domain.creatives import Creative
from adctl.domain.deals import Contact, Deal, Stage, StageMove
from adctl.domain.entities import Ad, AdAccount, AdSet, Campaign, Edit, EntityKind, EntityState, Field
from adctl.domain.ids import AdId, ContactId, DealId
from adctl.domain.insights import Insight, InsightPart

Progress = Callable[[str], None]


class WriteOutcome(StrEnum):
    """What a write's answer proves: REFUSED and DEFERRED that nothing was done, UNKNOWN nothing at all."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


class Stops(StrEnum):
    """What a DEFERRED answer stops: writes to this object alone, or every write.

    Every write: for a while, until Meta can be reached, until a person has renewed or granted rights, or has settled
    it with Meta.
    """

    OBJECT = "object"
    ACCOUNT = "account"
    NETWORK = "network"
    RIGHTS = "rights"
    POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAnswer:
    """`code` is Meta's `code/subcode` or the transport error's name; `detail` never holds a token.

    DEFERRED is no fault of the change: provably not done; `retry_after` is seconds until it may pass.
    """

    outcome: WriteOutcome
    code: str = ""
    detail: str = ""
    retry_after: int = 0
    stops: Stops = Stops.OBJECT


class ReportState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStatus:
    """How far Meta is with an asynchronous report; `detail` says why it failed."""

    state: ReportState
    percent: int = 0
    detail: str = ""


class AdsPlatform(Protocol):
    """Meta, as adctl uses it. Reads raise UnavailableError, DeniedError or BusyError; a write answers."""

    def usage(self) -> Mapping[str, int]:
        """Use case -> seconds from now until Meta wants to hear of it again; empty when nothing must wait."""
        ...

    def permissions(self) -> frozenset[str]:
        """What the token was granted, as far as Meta tells; empty when it does not."""
        ...

    def minimum_budgets(self) -> Mapping[str, int]:
        """Kind -> the smallest daily budget in the account's currency, minor units."""
        ...

    def image_sizes(self, hashes: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Hash -> (width, height) in pixels, of those images that the account's library holds."""
        ...

    def video_lengths(self, ids: Collection[str]) -> Mapping[str, float]:
        """Id -> seconds, of those videos that the account's library holds."""
        ...

    def edits(self, since: datetime) -> Sequence[Edit] | None:
        """Edits of budgets, and of ads' statuses, from `since` on; None when the log cannot be read."""
        ...

    def account(self) -> AdAccount: ...
    def campaigns(self) -> Iterator[Campaign]: ...
    def ad_sets(self) -> Iterator[AdSet]: ...
    def ads(self) -> Iterator[tuple[Ad, Creative | None]]: ...
    def insights(self, since: date, until: date) -> Iterator[Insight]: ...
    def insights_of_ad(self, ad_id: AdId, since: date, until: date) -> Iterator[Insight]:
        """Of one ad, deleted ones too, which the account's insights leave out."""
        ...

    def start_report(self, part: InsightPart) -> str:
        """Has Meta make a report; returns its id, which later runs may ask for."""
        ...

    def report_status(self, report_run_id: str) -> ReportStatus: ...
    def report_rows(self, report_run_id: str) -> Iterator[Insight]: ...
    def read(self, kind: EntityKind, entity_id: str) -> EntityState | None:
        """The object as it is now, None when Meta says that it does not exist."""
        ...

    def active_ads(self, ad_set_id: str) -> Collection[str]:
        """Ids of the ads in an ad set that are on now and that Meta has not ended."""
        ...

    def write(self, entity_id: str, field: Field, target: int | str, *, not_after: float = math.inf) -> WriteAnswer:
        """Nothing of it is sent after `not_after`, a reading of the monotonic clock in seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DealPage:
    """Deals with their whole stage history; all contacts that belong to them.

    `cursor` goes on with the walk behind this page; `gone` are ids that were asked for and exist no more.
    """

    deals: Sequence[Deal]
    moves: Sequence[StageMove]
    contacts: Sequence[Contact]
    cursor: str = ""
    gone: Sequence[DealId] = ()


class Crm(Protocol):
    """HubSpot, as adctl uses it: read-only. Raises UnavailableError, DeniedError or BusyError (daily limit)."""

    @property
    def complaints(self) -> Sequence[str]:
        """What was read in part so far, one sentence each: deals that vanished, amounts that are no number."""
        ...

    def stages(self) -> Sequence[Stage]: ...
    def deals_modified_since(self, since: datetime | None, *, after: str = "") -> Iterator[DealPage]:
        """Deals by modification time, oldest id first within the filter; None walks everything.

        `after` is the cursor of the last page that was stored.
        """
        ...

    def archived_deals(self, *, after: str = "") -> Iterator[DealPage]: ...
    def deals(self, ids: Sequence[DealId]) -> DealPage:
        """These deals as they are now, archived and merged ones too."""
        ...

    def deals_of_contacts(self, ids: Sequence[ContactId]) -> Sequence[DealId]: ...
    def try_reading(self) -> None:
        """Asks once for each kind of thing that a sync reads. Raises DeniedError with what the token lacks."""
        ...
