"""The simulated HubSpot portal's store: deals and contacts with property history, associations, pipelines."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import NamedTuple

Properties = dict[str, str | None]

MODIFIED = {"deals": "hs_lastmodifieddate", "contacts": "lastmodifieddate"}


class Version(NamedTuple):
    """One value a property has had; `at` is epoch milliseconds."""

    value: str | None
    at: int
    source: str
    source_id: str


@dataclass(slots=True, kw_only=True)
class Record:
    """A deal or a contact; times are epoch milliseconds. Archiving leaves `updated` as it is, as the vendor does."""

    id: int
    created: int
    updated: int
    properties: Properties
    history: dict[str, list[Version]]
    archived_at: int | None = None
    merged_into: int | None = None
    links: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Stage:
    """A pipeline's stage; probability 1.0 and closed is won, 0.0 and closed is lost."""

    id: str
    label: str
    probability: str
    closed: bool


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """A deal pipeline with its stages in order."""

    id: str
    label: str
    stages: list[Stage]
    updated: int


class Collection:
    """All records of one type, ordered by id; `revision` grows with every change."""

    def __init__(self, modified_property: str) -> None:
        self.modified_property = modified_property
        self.records: dict[int, Record] = {}
        self.ids: list[int] = []
        self.revision = 0

    def add(self, record: Record) -> None:
        """Stores a new record."""
        self.records[record.id] = record
        insort(self.ids, record.id)
        self.revision += 1

    def after(self, record_id: int) -> Iterator[Record]:
        """Records with a greater id, in order of id."""
        for position in range(bisect_right(self.ids, record_id), len(self.ids)):
            yield self.records[self.ids[position]]


class Portal:
    """One HubSpot portal."""

    def __init__(self, portal_id: int, currency: str, timezone: str, pipelines: list[Pipeline]) -> None:
        self.id = portal_id
        self.currency = currency
        self.timezone = timezone
        self.pipelines = pipelines
        self.collections = {kind: Collection(name) for kind, name in MODIFIED.items()}
        self._stages = {stage.id: stage for pipeline in pipelines for stage in pipeline.stages}

    def create(self, kind: str, record_id: int, at: int, properties: Properties, source: str = "INTEGRATION") -> Record:
        """Creates a record at `at`; the properties it is given open their history."""
        collection = self.collections[kind]
        record = Record(id=record_id, created=at, updated=at, properties={}, history={})
        own: Properties = {"hs_object_id": str(record_id), "createdate": iso_ms(at)}
        self._set(collection, record, at, own | properties, source)
        collection.add(record)
        return record

    def change(self, kind: str, record_id: int, at: int, properties: Properties, source: str = "CRM_UI") -> Record:
        """Sets properties and moves the record's modification time; KeyError for an unknown record."""
        collection = self.collections[kind]
        record = collection.records[record_id]
        self._set(collection, record, at, properties, source)
        collection.revision += 1
        return record

    def archive(self, kind: str, record_id: int, at: int) -> None:
        """Puts a record into the bin: searches stop finding it, its modification time stays."""
        collection = self.collections[kind]
        collection.records[record_id].archived_at = at
        collection.revision += 1

    def erase(self, kind: str, record_id: int) -> None:
        """Deletes a record for good, as the bin does after 90 days and a request for erasure at once."""
        collection = self.collections[kind]
        record = collection.records.pop(record_id)
        collection.ids.remove(record_id)
        collection.revision += 1
        for other, links in record.links.items():
            for linked in links:
                self.collections[other].records[linked].links[kind].pop(record_id, None)

    def merge(self, kind: str, winner_id: int, loser_id: int, at: int) -> None:
        """Folds the loser into the winner, which lists it in `hs_merged_object_ids`; the loser is archived."""
        winner, loser = (self.collections[kind].records[i] for i in (winner_id, loser_id))
        merged = [part for part in (winner.properties.get("hs_merged_object_ids") or "").split(";") if part]
        self.archive(kind, loser_id, at)
        loser.merged_into = winner_id
        for other, links in loser.links.items():
            winner.links.setdefault(other, {}).update(links)
        names = ";".join([*merged, str(loser_id)])
        self.change(kind, winner_id, at, {"hs_merged_object_ids": names}, source="MERGE_OBJECTS")

    def associate(self, deal_id: int, contact_id: int, labels: tuple[str, ...] = ()) -> None:
        """Links a deal and a contact both ways, optionally with labels people gave the link."""
        self.collections["deals"].records[deal_id].links.setdefault("contacts", {})[contact_id] = labels
        self.collections["contacts"].records[contact_id].links.setdefault("deals", {})[deal_id] = labels

    def rename_pipeline(self, pipeline_id: str, label: str, at: int) -> None:
        """Gives a pipeline another label; its id stays. StopIteration for an unknown pipeline."""
        pipeline = next(pipeline for pipeline in self.pipelines if pipeline.id == pipeline_id)
        pipeline.label, pipeline.updated = label, at

    def _set(self, collection: Collection, record: Record, at: int, properties: Properties, source: str) -> None:
        full = properties | self._stage_properties(properties) | {collection.modified_property: iso_ms(at)}
        for name, value in full.items():
            if name in record.properties and record.properties[name] == value:
                continue
            record.history.setdefault(name, []).append(Version(value, at, source, f"userId:{record.id % 7 + 1}"))
            record.properties[name] = value
        record.updated = at

    def _stage_properties(self, properties: Properties) -> Properties:
        """What HubSpot derives from the stage."""
        stage = self._stages.get(properties.get("dealstage") or "")
        if stage is None:
            return {}
        return {
            "hs_deal_stage_probability": stage.probability,
            "hs_is_closed": str(stage.closed).lower(),
            "hs_is_closed_won": str(stage.closed and stage.probability == "1.0").lower(),
        }


def default_pipelines(at: int) -> list[Pipeline]:
    """The portal's pipelines: HubSpot's own with its named stages, and one people made, with numeric ids."""
    named = [
        ("appointmentscheduled", "Appointment Scheduled", "0.2"),
        ("qualifiedtobuy", "Qualified To Buy", "0.4"),
        ("presentationscheduled", "Presentation Scheduled", "0.6"),
        ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
        ("contractsent", "Contract Sent", "0.9"),
        ("closedwon", "Closed Won", "1.0"),
        ("closedlost", "Closed Lost", "0.0"),
    ]
    numeric = [
        ("1084213001", "New enquiry", "0.1"),
        ("1084213002", "Site visit", "0.3"),
        ("1084213003", "Offer sent", "0.5"),
        ("1084213004", "Signed", "1.0"),
        ("1084213005", "Not now", "0.0"),
    ]
    return [_pipeline("default", "Sales Pipeline", named, at), _pipeline("1084213", "Installations", numeric, at)]


def _pipeline(pipeline_id: str, label: str, rows: list[tuple[str, str, str]], at: int) -> Pipeline:
    stages = [Stage(id=i, label=name, probability=p, closed=p in ("1.0", "0.0")) for i, name, p in rows]
    return Pipeline(id=pipeline_id, label=label, stages=stages, updated=at)


def iso_ms(at: int) -> str:
    """Epoch milliseconds as HubSpot prints them: 2026-01-31T10:00:00.123Z, without the fraction when it is zero."""
    seconds, millis = divmod(at, 1000)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, second = divmod(rest, 60)
    fraction = f".{millis:03d}" if millis else ""
    return f"{_civil(days)}T{hours:02d}:{minutes:02d}:{second:02d}{fraction}Z"


@cache
def _civil(days: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
