"""HubSpot's records to domain values: stages, deals with their stage moves, contacts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from adctl.adapters.hubspot.properties import Row, amount, instant, landing_keys_of, text
from adctl.domain.deals import Contact, Deal, Outcome, Stage, StageMove
from adctl.domain.ids import ContactId, DealId
from adctl.domain.landing_urls import ad_id_in, click_id_in
from adctl.errors import UnavailableError

# No name, no e-mail: what is not asked for cannot leak.
DEAL_PROPERTIES: Final = (
    "dealstage",
    "pipeline",
    "amount",
    "deal_currency_code",
    "closedate",
    "createdate",
    "hs_lastmodifieddate",
)
WINNER_PROPERTIES: Final = (*DEAL_PROPERTIES, "hs_merged_object_ids")
DEAL_HISTORY: Final = ("dealstage", "pipeline", "amount", "closedate")
# `utm_content` is no property of HubSpot's own: portals make it for a hidden field of their forms. Where there is none,
# asking for it is ignored.
CONTACT_PROPERTIES: Final = ("createdate", "hs_analytics_first_url", "hs_facebook_click_id", "utm_content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A deal's association with a contact; `primary` when its label says so."""

    contact_id: ContactId
    primary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDeal:
    """A deal, its moves, and what in it could not be read."""

    deal: Deal
    moves: Sequence[StageMove]
    complaint: str = ""


def record_id(row: Row) -> str:
    """The record's id; HubSpot's are digits."""
    value = str(row.get("id", ""))
    if not (value.isascii() and value.isdigit()):
        raise UnavailableError(f"hubspot: a record with the id {value[:40]!r}")
    return value


def rows(body: Row, field: str = "results") -> list[Row]:
    """The objects of a list in an answer. A 200 without its list is no empty list."""
    value = body.get(field)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UnavailableError(f"hubspot: an answer without a list of objects in {field!r}")
    return value


def found_or_missing(body: Row) -> list[Row]:
    """The results of a batch read. What does not exist is absent; what HubSpot failed to read (207) is no absence."""
    errors = rows(body, "errors") if "errors" in body else []
    failed = [text(one.get("category")) for one in errors if text(one.get("category")) not in ("", "OBJECT_NOT_FOUND")]
    if failed:
        raise UnavailableError(f"hubspot: a batch was read in part only: {', '.join(sorted(set(failed)))[:200]}")
    return rows(body)


def next_after(body: Row) -> str | None:
    """The paging cursor of the next page, None on the last."""
    after = child(child(body, "paging"), "next").get("after")
    return str(after) if isinstance(after, str | int) and after != "" else None


def child(row: Row, field: str) -> Row:
    value = row.get(field)
    return value if isinstance(value, dict) else {}


def stages_of(pipelines: Row) -> Iterator[Stage]:
    """Every stage of every pipeline in the CRM's own order."""
    for pipeline in rows(pipelines):
        stages = sorted(rows(pipeline, "stages"), key=_order)
        for position, stage in enumerate(stages):
            yield Stage(
                pipeline=text(pipeline.get("id")),
                stage=text(stage.get("id")),
                label=text(stage.get("label")),
                position=position,
                outcome=_outcome(child(stage, "metadata")),
            )


def deal_of(row: Row, *, home_currency: str) -> ReadDeal:
    """A deal with its whole stage history; `home_currency` is that of a deal which names none."""
    properties = child(row, "properties")
    deal_id = DealId(record_id(row))
    currency = text(properties.get("deal_currency_code")).upper() or home_currency
    complaint, minor = "", None
    try:
        minor = amount(properties.get("amount"), currency)
    except ValueError as error:
        complaint = f"deal {deal_id}: {error}; read as no amount"
    deal = Deal(
        deal_id=deal_id,
        pipeline=text(properties.get("pipeline")),
        stage=text(properties.get("dealstage")),
        amount=minor,
        currency=currency,
        created_at=instant(row.get("createdAt")) or instant(properties.get("createdate")),
        closed_at=instant(properties.get("closedate")),
        modified_at=_modified(row),
        archived=row.get("archived") is True,
    )
    return ReadDeal(deal=deal, moves=moves_of(deal, row), complaint=complaint)


def merged_into(row: Row, *, home_currency: str) -> Iterator[Deal]:
    """The deals that a merge into this one ended: no money of their own any more, or revenue would count twice."""
    winner = deal_of(row, home_currency=home_currency).deal
    ids = text(child(row, "properties").get("hs_merged_object_ids")).replace(",", ";").split(";")
    for loser in sorted({one.strip() for one in ids} - {winner.deal_id}):
        if loser.isascii() and loser.isdigit():
            yield replace(
                winner,
                deal_id=DealId(loser),
                amount=None,
                created_at=None,
                closed_at=None,
                archived=True,
                merged_into=winner.deal_id,
            )


def moves_of(deal: Deal, row: Row) -> Sequence[StageMove]:
    """Each entry into a stage, oldest first, with the pipeline that was in force at that moment.

    Moves back and forth are legal; a stage that is only written again is no move.
    """
    history = child(row, "propertiesWithHistory")
    pipelines = _versions(history, "pipeline")
    moves: list[StageMove] = []
    for at, stage in _versions(history, "dealstage"):
        move = StageMove(deal_id=deal.deal_id, pipeline=_pipeline_at(at, pipelines, deal.pipeline), stage=stage, at=at)
        if not moves or (moves[-1].pipeline, moves[-1].stage) != (move.pipeline, move.stage):
            moves.append(move)
    return moves


def contact_of(row: Row) -> Contact:
    """The contact's attribution properties."""
    properties = child(row, "properties")
    keys = landing_keys_of(properties.get("hs_analytics_first_url"))
    created_at = instant(row.get("createdAt")) or instant(properties.get("createdate"))
    if created_at is None:
        raise UnavailableError(f"hubspot: contact {record_id(row)} has no creation time")
    return Contact(
        contact_id=ContactId(record_id(row)),
        created_at=created_at,
        first_url_ad_id=keys.ad_id or ad_id_in(text(properties.get("utm_content"))),
        click_id=click_id_in(text(properties.get("hs_facebook_click_id"))) or keys.click_id,
    )


def links_of(row: Row) -> Iterator[Link]:
    """The contacts in one result of an association read."""
    for entry in rows(row, "to"):
        labels = [text(one.get("label")) for one in rows(entry, "associationTypes")]
        yield Link(
            contact_id=ContactId(linked_id(entry)),
            primary=any("primary" in label.lower() for label in labels),
        )


def linked_id(entry: Row) -> str:
    """The id of the record at the other end of an association."""
    return record_id({"id": entry.get("toObjectId")})


def main_contact(links: Sequence[Link], contacts: Mapping[ContactId, Contact]) -> ContactId | None:
    """The contact a deal is credited to: one labelled primary, else the earliest with an ad click, else the earliest.

    Every rule ends at the smaller id, so that a rerun finds the same one.
    """

    def rank(link: Link) -> tuple[bool, bool, datetime, int]:
        contact = contacts[link.contact_id]
        clicked = contact.first_url_ad_id is not None or contact.click_id is not None
        return not link.primary, not clicked, contact.created_at, int(link.contact_id)

    known = [link for link in links if link.contact_id in contacts]
    return min(known, key=rank).contact_id if known else None


def _order(stage: Row) -> tuple[int, str]:
    position = stage.get("displayOrder")
    return position if isinstance(position, int) else 0, text(stage.get("id"))


def _outcome(metadata: Row) -> Outcome:
    """Metadata are strings. Only the probability is promised; "isClosed" may be missing."""
    if str(metadata.get("isClosed", "true")).lower() != "true":
        return Outcome.OPEN
    try:
        probability = float(str(metadata.get("probability")))
    except ValueError:
        return Outcome.OPEN
    return {1.0: Outcome.WON, 0.0: Outcome.LOST}.get(probability, Outcome.OPEN)


def _modified(row: Row) -> datetime:
    properties = child(row, "properties")
    told = (properties.get("hs_lastmodifieddate"), row.get("updatedAt"), row.get("createdAt"))
    moment = next((found for value in told if (found := instant(value)) is not None), None)
    if moment is None:
        raise UnavailableError(f"hubspot: deal {record_id(row)} has no modification time")
    return moment


def _versions(history: Row, name: str) -> list[tuple[datetime, str]]:
    """The property's values with their time, oldest first, which HubSpot does not promise; blank values left out."""
    entries = rows(history, name) if name in history else []
    versions = [(instant(entry.get("timestamp")), text(entry.get("value"))) for entry in entries]
    return sorted((at, value) for at, value in versions if at is not None and value)


def _pipeline_at(at: datetime, pipelines: list[tuple[datetime, str]], now: str) -> str:
    if not pipelines:
        return now
    since = bisect_right(pipelines, at, key=lambda version: version[0])
    return pipelines[max(since - 1, 0)][1]
