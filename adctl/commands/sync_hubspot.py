"""Read deals with every stage move, their contacts and the pipelines from HubSpot."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, runs, walks, webhooks
from adctl.adapters.store.walks import Walk
from adctl.domain.accounts import AccountProfile
from adctl.domain.ids import DealId
from adctl.domain.ports import Crm, DealPage
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.domain.webhooks import Delivery, Event, deliveries, events_of, refusal
from adctl.errors import ConfigurationError

# The search index lags behind: the watermark stays this much before the start of the walk that moves it,
LAG = timedelta(minutes=5)
# and the next walk looks back behind the watermark: what is indexed up to 20 minutes late is found by itself.
OVERLAP = timedelta(minutes=15)
# The list of archived deals goes by id alone and tells nothing of when: it is walked whole, so not every hour. What a
# merge ended is found with its winner.
BIN_EVERY = timedelta(hours=23)
_SOURCE = "hubspot.deals"
_BIN = "hubspot.archived"
_EVENTS_AT_ONCE = 1000
_ASKED_AT_ONCE = 500
# So many deals may be deleted for good before anybody asks whether this is the same portal.
_BELIEVED = 20
_COUNTS = ("stages", "deals", "stage_moves", "contacts")


def run(engine: Engine, profile: AccountProfile, crm: Crm, *, full: bool = False, dry_run: bool = False) -> Report:
    """Reads deals modified since the watermark less an overlap, or all of them with `full`.

    Once a day, and with `full`, archived deals are read, too. A whole walk also finds what was deleted for good: it
    counts no more.

    Each page is stored together with the place where the walk stands: a run that dies is gone on with by the next, and
    then what changed since it began is read too. The watermark moves only when a walk has ended. Raises
    UnavailableError, DeniedError or BusyError of the vendor with the watermark unmoved.
    """
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            accounts.ensure(connection, profile)
        walk, resumed = _walk(connection, profile, full=full)
    stages = crm.stages()
    tally: Counter[str] = Counter(stages=len(stages))
    if not dry_run:
        with transaction(engine) as connection:
            tally["written"] += deals.upsert_stages(connection, profile.account, stages, accounts.now(connection))
    session = _Session(engine=engine, profile=profile, crm=crm, dry_run=dry_run, tally=tally)
    since, missed = walk.since, session.carry_out(walk)
    if resumed and not dry_run:
        with transaction(engine) as connection:
            walk, _ = _walk(connection, profile, full=False)
        missed += session.carry_out(walk)
    return _report(profile, tally, since, missed, crm.complaints, resumed=resumed, dry_run=dry_run)


def run_events(
    engine: Engine,
    profile: AccountProfile,
    crm: Crm,
    spool: Iterable[bytes],
    *,
    source: str,
    secrets: Sequence[str] = (),
    dry_run: bool = False,
) -> Report:
    """Takes spooled webhook requests (see domain/webhooks): every event once, the deals re-read and never trusted.

    `spool` is gone through twice, so that nothing is done when it is none. A line may be longer than MAX_LINE only
    where it is cut. `secrets` may have signed the requests; one that is not HubSpot's is listed and stops nothing.
    Raises InputRejectedError with the line for what is no spool, ConfigurationError when a secret is needed.
    """
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            accounts.ensure(connection, profile)
        now = accounts.now(connection)
    deque(_genuine(deliveries(spool, source), profile, source, secrets, now, Counter(), []), maxlen=0)
    tally: Counter[str] = Counter()
    refused: list[tuple[int, str]] = []
    events = _genuine(deliveries(spool, source), profile, source, secrets, now, tally, refused)
    session = _Session(engine=engine, profile=profile, crm=crm, dry_run=dry_run, tally=tally)
    seen: set[bytes] = set()
    while batch := list(islice(events, _EVENTS_AT_ONCE)):
        fresh = {event.key: event for event in batch if event.key not in seen}
        tally["repeated"] += len(batch) - len(fresh)
        seen |= fresh.keys()
        session.handle(list(fresh.values()))
    return _events_report(profile, tally, refused, crm.complaints, dry_run=dry_run)


def _genuine(
    found: Iterable[Delivery],
    profile: AccountProfile,
    source: str,
    secrets: Sequence[str],
    now: datetime,
    tally: Counter[str],
    refused: list[tuple[int, str]],
) -> Iterator[Event]:
    """The events of the requests that are HubSpot's, for this portal."""
    for delivery in found:
        tally["requests"] += 1
        reason = refusal(delivery, secrets, now)
        if reason is not None:
            refused.append((delivery.line, reason))
            continue
        tally["unsigned"] += delivery.headers is None
        for event in events_of(delivery, source):
            tally["events"] += 1
            if event.portal and profile.hubspot_portal and event.portal != profile.hubspot_portal:
                tally["other_portals"] += 1
            else:
                yield event


def _walk(connection: Connection, profile: AccountProfile, *, full: bool) -> tuple[Walk, bool]:
    """The walk to carry out, and whether an earlier run began it. A whole one takes the place of one that is not."""
    left = walks.unended(connection, profile.account, _SOURCE)
    if left is not None and (left.whole or not full):
        return left, True
    mark = runs.watermark(connection, profile.account, _SOURCE)
    return (
        Walk(
            source=_SOURCE,
            started_at=accounts.now(connection),
            whole=full,
            since=None if full or mark is None else mark - OVERLAP,
            covered_until=mark,
        ),
        False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """What one run works with; `tally` counts over all its walks."""

    engine: Engine
    profile: AccountProfile
    crm: Crm
    dry_run: bool
    tally: Counter[str]

    def carry_out(self, walk: Walk) -> tuple[DealId, ...]:
        """Walks to the end and moves the watermark; returns the deals that earlier walks should have found."""
        with transaction(self.engine, read_only=True) as connection:
            into_bin = walk.whole or walk.phase == "archived" or self._bin_is_due(connection, walk)
        for page, reached in self._pages(walk, into_bin=into_bin):
            self._count(page)
            if not self.dry_run:
                with transaction(self.engine) as connection:
                    self._note_misses(connection, reached, page)
                    self.tally["written"] += _store(connection, self.profile, page)
                    walks.keep(connection, self.profile.account, reached)
        if self.dry_run:
            return ()
        with transaction(self.engine) as connection:
            runs.advance_watermark(connection, self.profile.account, _SOURCE, walk.started_at - LAG)
            if into_bin:
                runs.advance_watermark(connection, self.profile.account, _BIN, walk.started_at)
            walks.end(connection, self.profile.account, _SOURCE)
            return walks.misses(connection, self.profile.account, walk)

    def handle(self, events: Sequence[Event]) -> None:
        """Re-reads what the events are about; what is stored and that they were handled is one transaction a page."""
        account = self.profile.account
        with transaction(self.engine, read_only=True) as connection:
            known = webhooks.handled(connection, account, {event.key for event in events})
        fresh = [event for event in events if event.key not in known]
        contacts = list(dict.fromkeys(one for event in fresh for one in event.contacts))
        ids = [one for event in fresh for one in event.deals]
        ids += self.crm.deals_of_contacts(contacts) if contacts else ()
        page = self.crm.deals(list(dict.fromkeys(ids)))
        others = sum(not event.deals and not event.contacts for event in fresh)
        self.tally.update(repeated=len(events) - len(fresh), others=others)
        self._count(page)
        if self.dry_run:
            return
        with transaction(self.engine) as connection:
            at = accounts.now(connection)
            self.tally["written"] += _store(connection, self.profile, page)
            webhooks.note(connection, account, fresh, at)
            webhooks.drop_old(connection, account, at)

    def _bin_is_due(self, connection: Connection, walk: Walk) -> bool:
        known = runs.watermark(connection, self.profile.account, _BIN)
        return known is None or walk.started_at - known >= BIN_EVERY

    def _pages(self, walk: Walk, *, into_bin: bool) -> Iterator[tuple[DealPage, Walk]]:
        """Pages, each with the walk as it stands once the page is stored."""
        if walk.phase == "deals":
            listed: set[int] = set()
            for page in self.crm.deals_modified_since(walk.since, after=walk.cursor):
                listed.update(int(deal.deal_id) for deal in page.deals)
                reached = replace(walk, cursor=page.cursor)
                yield page, reached
            if walk.whole and listed:
                yield from ((page, reached) for page in self._unlisted(walk.cursor, listed))
            walk = replace(walk, phase="archived", cursor="")
        if not into_bin:
            return
        for page in self.crm.archived_deals(after=walk.cursor):
            yield page, replace(walk, cursor=page.cursor)

    def _unlisted(self, begun_behind: str, listed: set[int]) -> Sequence[DealPage]:
        """What became of deals that count here and were not listed: one deleted for good is in no list and no bin.

        The list goes by id, so a walk that was gone on with answers for what lies behind its cursor. Raises
        ConfigurationError when most of them do not exist: that is another portal.
        """
        floor = int(begun_behind) if begun_behind.isdigit() else 0
        with transaction(self.engine, read_only=True) as connection:
            stored = deals.live_ids(connection, self.profile.account)
        unlisted = sorted(one for one in map(int, stored) if one > floor and one not in listed)
        pages: list[DealPage] = []
        for start in range(0, len(unlisted), _ASKED_AT_ONCE):
            pages.append(self.crm.deals([DealId(str(one)) for one in unlisted[start : start + _ASKED_AT_ONCE]]))
            if sum(len(page.gone) for page in pages) > max(_BELIEVED, len(stored) // 2):
                what = f"hubspot: most of the {len(stored)} deals read so far do not exist in this portal"
                raise ConfigurationError(what, fix="check that ADCTL_HUBSPOT_TOKEN is the same portal's as before")
        return pages

    def _count(self, page: DealPage) -> None:
        self.tally.update(
            deals=len(page.deals), stage_moves=len(page.moves), contacts=len(page.contacts), gone=len(page.gone)
        )

    def _note_misses(self, connection: Connection, walk: Walk, page: DealPage) -> None:
        if not walk.whole or walk.covered_until is None or walk.phase != "deals":
            return
        # What is in the bin is found a little later in the walk.
        covered = [deal for deal in page.deals if deal.modified_at <= walk.covered_until and not deal.archived]
        ids = {deal.deal_id for deal in covered}
        moves = [move for move in page.moves if move.deal_id in ids]
        unlike = walks.unlike_stored(connection, self.profile.account, covered, moves)
        walks.note_misses(connection, self.profile.account, walk, [d for d in covered if d.deal_id in unlike])


def _store(connection: Connection, profile: AccountProfile, page: DealPage) -> int:
    at = accounts.now(connection)
    return (
        deals.upsert_contacts(connection, profile.account, page.contacts)
        + deals.upsert_deals(connection, profile.account, page.deals, source="hubspot", read_at=at)
        + deals.insert_moves(connection, profile.account, page.moves)
        + deals.archive_gone(connection, profile.account, page.gone, at)
    )


def _report(
    profile: AccountProfile,
    tally: Counter[str],
    since: datetime | None,
    missed: tuple[DealId, ...],
    complaints: Sequence[str],
    *,
    resumed: bool,
    dry_run: bool,
) -> Report:
    return Report(
        command="sync-hubspot",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(tally, dry_run=dry_run),
        facts=(
            Fact(key="since", label="since", value=since or "the beginning", kind=Kind.TIME if since else Kind.TEXT),
            *(Fact(key=k, label=k.replace("_", " "), value=tally[k], kind=Kind.COUNT) for k in _COUNTS),
            Fact(key="written", label="rows written", value=tally["written"], kind=Kind.COUNT),
            Fact(key="gone", label="deals gone for good", value=tally["gone"], kind=Kind.COUNT),
            Fact(key="missed", label="missed before", value=len(missed), kind=Kind.COUNT),
            Fact(key="resumed", label="a run before this one was gone on with", value=resumed),
        ),
        tables=(*([_missed_table(missed)] if missed else []), *_complaints_table(complaints)),
    )


def _events_report(
    profile: AccountProfile,
    tally: Counter[str],
    refused: list[tuple[int, str]],
    complaints: Sequence[str],
    *,
    dry_run: bool,
) -> Report:
    labels = {
        "unsigned": "requests without headers",
        "others": "events of other objects",
        "gone": "deals gone for good",
    }
    counts = ("requests", "unsigned", "events", "repeated", "other_portals", "others", *_COUNTS[1:], "gone", "written")
    read = f"{tally['events']} events, {tally['repeated']} of them handled before; {tally['deals']} deals read again"
    return Report(
        command="sync-hubspot",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=f"{read}; nothing written." if dry_run else f"{read}, {tally['written']} rows new or changed.",
        facts=(
            Fact(key="refused", label="requests refused", value=len(refused), kind=Kind.COUNT),
            *(Fact(key=k, label=labels.get(k, k.replace("_", " ")), value=tally[k], kind=Kind.COUNT) for k in counts),
        ),
        tables=(*([_refused_table(refused)] if refused else []), *_complaints_table(complaints)),
        exit_code=3 if refused else 0,
    )


def _refused_table(refused: list[tuple[int, str]]) -> Table:
    return Table(
        key="refused",
        title="Requests that are not HubSpot's",
        columns=(Column(key="line", label="line", kind=Kind.COUNT), Column(key="reason", label="reason")),
        rows=tuple({"line": line, "reason": reason} for line, reason in refused),
        shown=20,
    )


def _complaints_table(complaints: Sequence[str]) -> tuple[Table, ...]:
    if not complaints:
        return ()
    columns = (Column(key="complaint", label="what"),)
    rows = tuple({"complaint": one} for one in complaints)
    return (Table(key="complaints", title="Read in part", columns=columns, rows=rows, shown=20),)


def _missed_table(missed: tuple[DealId, ...]) -> Table:
    return Table(
        key="missed",
        title="Deals that the runs since the watermark had missed",
        columns=(Column(key="deal_id", label="deal"),),
        rows=tuple({"deal_id": one} for one in missed),
        shown=20,
    )


def _summary(tally: Counter[str], *, dry_run: bool) -> str:
    read = f"{tally['deals']} deals and {tally['stage_moves']} stage moves read"
    if dry_run:
        return f"{read}; nothing written."
    return f"{read}, {tally['written']} rows new or changed." if tally["written"] else f"{read}. No changes."
