"""`Crm` over HubSpot: walks that lose no deal, with stage history, contacts and merges; nothing is ever written."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Final, Self

from adctl.adapters.hubspot.contacts import DealContacts, deals_behind, links_beside, links_by_deal
from adctl.adapters.hubspot.properties import Row, milliseconds
from adctl.adapters.hubspot.records import (
    DEAL_HISTORY,
    DEAL_PROPERTIES,
    WINNER_PROPERTIES,
    Link,
    deal_of,
    found_or_missing,
    merged_into,
    next_after,
    record_id,
    rows,
    stages_of,
)
from adctl.adapters.hubspot.session import Body, Patience, RefusedError, Session, batches
from adctl.domain.counted import counted
from adctl.domain.deals import Deal, Stage
from adctl.domain.ids import ContactId, DealId
from adctl.domain.ports import DealPage
from adctl.errors import UnavailableError

_LOG: Final = logging.getLogger(__name__)
_SEARCH_PAGE: Final = 200
# HubSpot's own limit for reads that include history.
_WITH_HISTORY: Final = 50
# So many pages are one to the caller: reads of contacts and associations are full then, and little is lost with a run
# that dies.
_LIST_PAGES: Final = 10
_SEARCH_PAGES: Final = 2


class HubSpotCrm:
    """One HubSpot portal, as `Crm` describes it. Close it, or use it in a `with` statement.

    `currency` is that of deals which name none.
    """

    def __init__(
        self,
        *,
        token: str,
        currency: str,
        base_url: str = "https://api.hubapi.com",
        patience: Patience | None = None,
    ) -> None:
        self._session = Session(token=token, base_url=base_url, patience=patience or Patience())
        self._currency = currency
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._session.close()

    def stages(self) -> Sequence[Stage]:
        return list(stages_of(self._session.call(self._session.pipelines.get_all, "deals")))

    def deals_modified_since(self, since: datetime | None, *, after: str = "") -> Iterator[DealPage]:
        """Pages of deals. With `since` from the search index, which lags: overlap the watermark; those that merges into
        the found ones ended are among them.

        None walks the list of all deals, which is not that index and misses nothing. `after` is a page's cursor.
        """
        if since is None:
            return self._listed(archived=False, after=after)
        return self._modified(since, int(after or 0))

    def archived_deals(self, *, after: str = "") -> Iterator[DealPage]:
        """Deals that count no more: those a merge ended, then the rest of the recycling bin (90 days).

        Archiving changes no modification time, so no search finds them. The trace of a merge is on its winner alone.
        """
        merged = {one.deal_id: one for one in self._merged()}
        if not after:
            for batch in batches(list(merged.values()), _WITH_HISTORY):
                yield DealPage(deals=batch, moves=[], contacts=[])
        yield from self._listed(archived=True, after=after, without=merged.keys())

    def deals(self, ids: Sequence[DealId]) -> DealPage:
        """These deals as they are now: live or archived, and those that a merge ended under their winner's name."""
        wanted = list(dict.fromkeys(ids))
        found = self._read(wanted, archived=False)
        shown = {record_id(row) for row in found}
        losers = self._losers(found)
        missing = [one for one in wanted if one not in shown | {one.deal_id for one in losers}]
        binned = self._read(missing, archived=True)
        rest = set(missing) - {record_id(row) for row in binned}
        both = [*found, *binned]
        page = self._page(both, DealContacts(self._session, links_by_deal(self._session, map(record_id, both))))
        return replace(page, deals=[*page.deals, *losers], gone=[one for one in wanted if one in rest])

    def deals_of_contacts(self, ids: Sequence[ContactId]) -> Sequence[DealId]:
        return deals_behind(self._session, list(dict.fromkeys(ids)))

    def try_reading(self) -> None:
        self._list_page(archived=False, after="")
        links = links_by_deal(self._session, ["1"])
        DealContacts(self._session, links or {"1": [Link(contact_id=ContactId("1"), primary=False)]})

    def _modified(self, since: datetime, last: int) -> Iterator[DealPage]:
        wanted = _filter("hs_lastmodifieddate", "GTE", str(milliseconds(since)))
        pages = self._searched(wanted, ["hs_object_id"], last)
        while some := list(islice(pages, _SEARCH_PAGES)):
            ids = [record_id(row) for found in some for row in found]
            contacts = DealContacts(self._session, links_by_deal(self._session, ids))
            read = self._batch(ids)
            page = self._page(read, contacts)
            yield replace(page, deals=[*page.deals, *self._losers(read)], cursor=ids[-1])

    def _losers(self, found: Sequence[Row]) -> list[Deal]:
        """The deals that merges into these ended: no search finds them, and their money would count beside these."""
        shown = {record_id(row) for row in found}
        return [
            one for row in found for one in merged_into(row, home_currency=self._currency) if one.deal_id not in shown
        ]

    def _merged(self) -> Iterator[Deal]:
        try:
            for found in self._searched(_filter("hs_merged_object_ids", "HAS_PROPERTY"), list(WINNER_PROPERTIES)):
                for row in found:
                    yield from merged_into(row, home_currency=self._currency)
        except RefusedError as error:
            # Such a deal is archived besides, so its money counts once all the same.
            self._complain(f"merged deals cannot be told from archived ones: {error.what}")

    def _searched(self, wanted: Row, properties: Sequence[str], last: int = 0) -> Iterator[list[Row]]:
        """Pages of a search by ascending id, behind `last`. Each page is a new search behind the last id.

        So the 10,000-result cap is never met, any number of deals may share one modification time, and a deal that
        changes meanwhile shifts no page.
        """
        while True:
            body = self._session.search_deals(_search(wanted, last, properties))
            found = rows(body)
            ids = [int(record_id(row)) for row in found]
            if any(later <= earlier for earlier, later in zip([last, *ids], ids, strict=False)):
                raise UnavailableError("hubspot: a search that does not go on behind the last id")
            if found:
                yield found
                last = ids[-1]
            total = body.get("total")
            if not found or (isinstance(total, int) and total <= len(found)):
                return

    def _listed(self, *, archived: bool, after: str, without: Collection[str] = ()) -> Iterator[DealPage]:
        """Pages of the list; a page's cursor leads behind it, the last one's to itself: there is nothing behind it."""
        after = self._cursor_in_force(archived, after)
        while True:
            found: list[Row] = []
            ended = False
            for _ in range(_LIST_PAGES):
                body = self._list_page(archived=archived, after=after)
                found += [row for row in rows(body) if record_id(row) not in without]
                before, after = after, next_after(body) or after
                if ended := next_after(body) is None:
                    break
                if after == before:
                    raise UnavailableError("hubspot: the list of deals repeats its cursor")
            if found:
                contacts = DealContacts(self._session, links_beside(self._session, found))
                yield replace(self._page(found, contacts), cursor=after)
            if ended:
                return

    def _cursor_in_force(self, archived: bool, after: str) -> str:
        """The cursor of an earlier run, or the beginning when HubSpot does not know it any more."""
        try:
            if after:
                self._list_page(archived=archived, after=after)
        except RefusedError as error:
            self._complain(f"the walk begins again: {error.what}")
            return ""
        return after

    def _list_page(self, *, archived: bool, after: str) -> Body:
        body = self._session.call(
            self._session.deals.get_page,
            limit=_WITH_HISTORY,
            properties=list(DEAL_PROPERTIES),
            properties_with_history=list(DEAL_HISTORY),
            associations=["contacts"],
            # The SDK would write Python's "True".
            archived=str(archived).lower(),
            **({"after": after} if after else {}),
        )
        if any((row.get("archived") is True) is not archived for row in rows(body)):
            raise UnavailableError(f"hubspot: asked for archived={archived} deals, got others")
        return body

    def _batch(self, ids: Sequence[str]) -> list[Row]:
        """The deals of these ids. One archived since the search is absent: the archived walk brings it."""
        wanted = frozenset(ids)
        # A merged id may be answered by its winner, which the search finds by itself.
        found = {one: row for row in self._read(ids, archived=False) if (one := record_id(row)) in wanted}
        missing = [one for one in ids if one not in found]
        if missing:
            self._complain(f"{counted(len(missing), 'deal')} gone between search and read: {', '.join(missing)}")
        return list(found.values())

    def _read(self, ids: Sequence[str], *, archived: bool) -> list[Row]:
        """What a read by id gives for these, each once; what does not exist is absent."""
        found: dict[str, Row] = {}
        for batch in batches(ids, _WITH_HISTORY):
            body = self._session.call(
                self._session.deal_batches.read,
                archived=str(archived).lower(),
                batch_read_input_simple_public_object_id={
                    "properties": list(WINNER_PROPERTIES),
                    "propertiesWithHistory": list(DEAL_HISTORY),
                    "inputs": [{"id": one} for one in batch],
                },
            )
            found.update({record_id(row): row for row in found_or_missing(body)})
        return list(found.values())

    def _page(self, found: Iterable[Row], contacts: DealContacts) -> DealPage:
        read = [deal_of(row, home_currency=self._currency) for row in found]
        for one in read:
            if one.complaint:
                self._complain(one.complaint)
        return DealPage(
            deals=[replace(one.deal, contact_id=contacts.main(one.deal.deal_id)) for one in read],
            moves=[move for one in read for move in one.moves],
            contacts=contacts.of(read),
        )

    def _complain(self, what: str) -> None:
        self.complaints.append(what)
        _LOG.warning("hubspot: %s", what)


def _filter(name: str, operator: str, value: str | None = None) -> Row:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value})}


def _search(wanted: Row, last: int, properties: Sequence[str]) -> Row:
    return {
        "filterGroups": [{"filters": [wanted, _filter("hs_object_id", "GTE", str(last + 1))]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": list(properties),
        "limit": _SEARCH_PAGE,
    }
