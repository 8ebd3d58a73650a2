"""The contacts of deals: associations to their last page, and the contacts' attribution properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from adctl.adapters.hubspot.properties import Row
from adctl.adapters.hubspot.records import (
    CONTACT_PROPERTIES,
    Link,
    ReadDeal,
    child,
    contact_of,
    found_or_missing,
    linked_id,
    links_of,
    main_contact,
    next_after,
    record_id,
    rows,
)
from adctl.adapters.hubspot.session import Session, batches
from adctl.domain.deals import Contact
from adctl.domain.ids import ContactId, DealId
from adctl.errors import UnavailableError

Links = Mapping[str, Sequence[Link]]

# HubSpot's own limits for reads without history and for reads of associations.
_CONTACTS: Final = 100
_INPUTS: Final = 1000


class DealContacts:
    """The contacts behind some deals' associations, each read once."""

    def __init__(self, session: Session, links: Links) -> None:
        self._links = links
        wanted = sorted({link.contact_id for some in links.values() for link in some}, key=int)
        self._known: dict[ContactId, Contact] = {}
        for batch in batches(wanted, _CONTACTS):
            body = session.call(
                session.contact_batches.read,
                batch_read_input_simple_public_object_id={
                    "properties": list(CONTACT_PROPERTIES),
                    "propertiesWithHistory": [],
                    "inputs": [{"id": one} for one in batch],
                },
            )
            for row in found_or_missing(body):
                contact = contact_of(row)
                self._known[contact.contact_id] = contact

    def main(self, deal_id: DealId) -> ContactId | None:
        return main_contact(self._links.get(deal_id, ()), self._known)

    def of(self, read: Iterable[ReadDeal]) -> list[Contact]:
        """Each contact of these deals once, in the order of ids."""
        ids = {link.contact_id for one in read for link in self._links.get(one.deal.deal_id, ())}
        return [self._known[one] for one in sorted(ids & self._known.keys(), key=int)]


def links_by_deal(session: Session, deal_ids: Iterable[str]) -> Links:
    """Deal id -> its contacts. A deal without any is simply absent; one with many comes in pages of its own."""
    links: dict[str, list[Link]] = {}
    for row in _associations(session, "deals", "contacts", deal_ids):
        links.setdefault(record_id(child(row, "from")), []).extend(links_of(row))
    return links


def deals_behind(session: Session, contact_ids: Iterable[str]) -> list[DealId]:
    """The deals of these contacts, each once."""
    found = _associations(session, "contacts", "deals", contact_ids)
    return list(dict.fromkeys(DealId(linked_id(entry)) for row in found for entry in rows(row, "to")))


def _associations(session: Session, kind: str, other: str, ids: Iterable[str]) -> Iterator[Row]:
    """The results of reading associations, to the last page of each record."""
    waiting = [{"id": one} for one in ids]
    asked: set[tuple[str, str]] = set()
    while waiting:
        inputs, waiting = waiting[:_INPUTS], waiting[_INPUTS:]
        body = session.call(
            session.associations.get_page,
            kind,
            other,
            batch_input_public_fetch_associations_batch_request={"inputs": inputs},
        )
        for row in found_or_missing(body):
            yield row
            own_id, after = record_id(child(row, "from")), next_after(row)
            if after is None:
                continue
            if (own_id, after) in asked:
                raise UnavailableError(f"hubspot: the associations of {kind[:-1]} {own_id} repeat their cursor")
            asked.add((own_id, after))
            waiting.append({"id": own_id, "after": after})


def links_beside(session: Session, found: Sequence[Row]) -> Links:
    """Deal id -> its contacts, from what a list shows beside each deal.

    Only the first hundred are there and no labels, so a deal with more than one contact is asked for by itself.
    """
    single: dict[str, list[Link]] = {}
    several: list[str] = []
    for row in found:
        beside = child(child(row, "associations"), "contacts")
        ids = {record_id(one) for one in rows(beside)} if beside else set()
        if len(ids) > 1 or next_after(beside) is not None:
            several.append(record_id(row))
        elif ids:
            single[record_id(row)] = [Link(contact_id=ContactId(ids.pop()), primary=False)]
    return {**single, **links_by_deal(session, several)}
