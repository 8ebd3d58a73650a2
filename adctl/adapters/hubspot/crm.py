"""`Crm` over HubSpot: walks that lose no deal, with stage history, contacts and merges; nothing is ever written."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Final, Self, TypeVar

from adctl.adapters.hubspot.properties import Row, milliseconds
from adctl.adapters.hubspot.records import (
    CONTACT_PROPERTIES,
    DEAL_HISTORY,
    DEAL_PROPERTIES,
    WINNER_PROPERTIES,
    Link,
    ReadDeal,
    child,
    contact_of,
    deal_of,
    links_of,
    main_contact,
    merged_into,
    next_after,
    record_id,
    rows,
    stages_of,
)
from adctl.adapters.hubspot.session import Patience, RefusedError, Session
from adctl.domain.deals import Contact, Deal, Stage
from adctl.domain.ids import ContactId, DealId
from adctl.domain.ports import DealPage
from adctl.errors import UnavailableError

_LOG: Final = logging.getLogger(__name__)
_SEARCH_PAGE: Final = 200
# HubSpot's own limits for reads that include history, and for reads that do not.
_WITH_HISTORY: Final = 50
_WITHOUT_HISTORY: Final = 100

_Item = TypeVar("_Item")


class HubSpotCrm:
    """One HubSpot portal, as `Crm` describes it. Close it, or use it in a `with` statement.

    `currency` is that of deals which name none. `complaints` collects, over all walks, what was read in part: deals
    that vanished, amounts that are no number.
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

    def deals_modified_since(self, since: datetime | None) -> Iterator[DealPage]:
        """Pages of at most 50 deals. With `since` from the search index, which lags: overlap the watermark.

        None walks the list of all deals, which is not that index and misses nothing.
        """
        if since is None:
            return self._listed(archived=False)
        return self._modified(since)

    def archived_deals(self) -> Iterator[DealPage]:
        """Deals that count no more: those a merge ended, then the rest of the recycling bin (90 days).

        Archiving changes no modification time, so no search finds them. The trace of a merge is on its winner alone.
        """
        merged = {one.deal_id: one for one in self._merged()}
        for batch in _batches(list(merged.values()), _WITH_HISTORY):
            yield DealPage(deals=batch, moves=[], contacts=[])
        yield from self._listed(archived=True, without=merged.keys())

    def _modified(self, since: datetime) -> Iterator[DealPage]:
        for found in self._searched(_filter("hs_lastmodifieddate", "GTE", str(milliseconds(since))), ["hs_object_id"]):
            ids = [record_id(row) for row in found]
            contacts = _Contacts(self._session, ids)
            for batch in _batches(ids, _WITH_HISTORY):
                yield self._page(self._batch(batch), contacts)

    def _merged(self) -> Iterator[Deal]:
        try:
            for found in self._searched(_filter("hs_merged_object_ids", "HAS_PROPERTY"), list(WINNER_PROPERTIES)):
                for row in found:
                    yield from merged_into(row, home_currency=self._currency)
        except RefusedError as error:
            # Such a deal is archived besides, so its money counts once all the same.
            self._complain(f"merged deals cannot be told from archived ones: {error.what}")

    def _searched(self, wanted: Row, properties: Sequence[str]) -> Iterator[list[Row]]:
        """Pages of a search by ascending id. Each page is a new search behind the last id.

        So the 10,000-result cap is never met, any number of deals may share one modification time, and a deal that
        changes meanwhile shifts no page.
        """
        last = 0
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

    def _listed(self, *, archived: bool, without: Collection[str] = ()) -> Iterator[DealPage]:
        after: str | None = None
        while True:
            body = self._session.call(
                self._session.deals.get_page,
                limit=_WITH_HISTORY,
                properties=list(DEAL_PROPERTIES),
                properties_with_history=list(DEAL_HISTORY),
                # The SDK would write Python's "True".
                archived=str(archived).lower(),
                **({"after": after} if after else {}),
            )
            if any((row.get("archived") is True) is not archived for row in rows(body)):
                raise UnavailableError(f"hubspot: asked for archived={archived} deals, got others")
            found = [row for row in rows(body) if record_id(row) not in without]
            if found:
                yield self._page(found, _Contacts(self._session, map(record_id, found)))
            before, after = after, next_after(body)
            if after is None:
                return
            if after == before:
                raise UnavailableError("hubspot: the list of deals repeats its cursor")

    def _batch(self, ids: Sequence[str]) -> list[Row]:
        """The deals of these ids. One archived since the search is absent: the archived walk brings it."""
        body = self._session.call(
            self._session.deal_batches.read,
            batch_read_input_simple_public_object_id={
                "properties": list(DEAL_PROPERTIES),
                "propertiesWithHistory": list(DEAL_HISTORY),
                "inputs": [{"id": one} for one in ids],
            },
        )
        # A merged id may be answered by its winner, which the search finds by itself.
        found = {one: row for row in rows(body) if (one := record_id(row)) in ids}
        missing = [one for one in ids if one not in found]
        if missing:
            self._complain(f"{len(missing)} deals gone between search and read: {', '.join(missing)}")
        return list(found.values())

    def _page(self, found: Iterable[Row], contacts: _Contacts) -> DealPage:
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


class _Contacts:
    """The contacts of some deals: all associations, however many pages, and the contacts' attribution properties."""

    def __init__(self, session: Session, deal_ids: Iterable[str]) -> None:
        self._links = _links(session, list(deal_ids))
        wanted = sorted({link.contact_id for links in self._links.values() for link in links}, key=int)
        self._known: dict[ContactId, Contact] = {}
        for batch in _batches(wanted, _WITHOUT_HISTORY):
            body = session.call(
                session.contact_batches.read,
                batch_read_input_simple_public_object_id={
                    "properties": list(CONTACT_PROPERTIES),
                    "propertiesWithHistory": [],
                    "inputs": [{"id": one} for one in batch],
                },
            )
            for row in rows(body):
                contact = contact_of(row)
                self._known[contact.contact_id] = contact

    def main(self, deal_id: DealId) -> ContactId | None:
        return main_contact(self._links.get(deal_id, []), self._known)

    def of(self, read: Sequence[ReadDeal]) -> list[Contact]:
        """Each contact of these deals once, in the order of ids."""
        ids = {link.contact_id for one in read for link in self._links.get(one.deal.deal_id, [])}
        return [self._known[one] for one in sorted(ids & self._known.keys(), key=int)]


def _links(session: Session, deal_ids: Sequence[str]) -> Mapping[str, list[Link]]:
    """Deal id -> its contacts. A deal without any is simply absent; one with many comes in pages of its own."""
    links: dict[str, list[Link]] = {}
    inputs = [{"id": one} for one in deal_ids]
    asked: set[tuple[str, str]] = set()
    while inputs:
        body = session.call(
            session.associations.get_page,
            "deals",
            "contacts",
            batch_input_public_fetch_associations_batch_request={"inputs": inputs},
        )
        inputs = []
        for row in rows(body):
            deal_id, after = record_id(child(row, "from")), next_after(row)
            links.setdefault(deal_id, []).extend(links_of(row))
            if after is not None:
                if (deal_id, after) in asked:
                    raise UnavailableError(f"hubspot: the associations of deal {deal_id} repeat their cursor")
                asked.add((deal_id, after))
                inputs.append({"id": deal_id, "after": after})
    return links


def _filter(name: str, operator: str, value: str | None = None) -> Row:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value})}


def _search(wanted: Row, last: int, properties: Sequence[str]) -> Row:
    return {
        "filterGroups": [{"filters": [wanted, _filter("hs_object_id", "GTE", str(last + 1))]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": list(properties),
        "limit": _SEARCH_PAGE,
    }


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
