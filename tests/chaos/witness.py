"""A Meta stand-in that remembers what it saw and held, and what PostgreSQL held at the moment a write arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from uuid import UUID

import psycopg

from adctl.sandbox import Exchange, Sandbox
from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from adctl.sandbox.messages import Reply, Request
from adctl.sandbox.meta_server import MetaServer
from adctl.sandbox.world import World

# The newest attempt on the entity, as every other session sees it now.
_NEWEST_ATTEMPT = """
    select a.change_id, a.attempt, coalesce(a.target_budget::text, a.target_status),
      coalesce(a.expected_budget::text, c.expected_status), a.outcome is null and c.state = 'executing'
    from change_attempts a join pending_ad_changes c using (account, change_id)
    where a.entity_id = %s order by a.authorised_at desc, a.attempt desc limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A committed attempt; `under_way` says that it has no answer yet and its change is executing."""

    change_id: UUID
    attempt: int
    target: str
    expected: str
    under_way: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A read that was answered with what the entity held."""

    entity: str
    held: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The whole of a write has arrived; nothing was done with it yet."""

    entity: str
    sent: dict[str, str]
    at: datetime
    attempt: Attempt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A write was carried out."""

    entity: str
    before: str | None
    after: str | None
    at: datetime


Sight = Reading | Arrival | Writing


class Witness(MetaServer):
    """Meta with a memory. `at_arrival` is called when a write has arrived, before anything is done with it."""

    def __init__(self, world: World, token: str, port: int = 0) -> None:
        self.sights: list[Sight] = []
        self.at_arrival: Callable[[], object] = lambda: None
        self.database_url: str | None = None
        self._database: psycopg.Connection[tuple[object, ...]] | None = None
        self._asking = Lock()
        super().__init__(world, token, port)

    def enter(self, request: Request) -> Exchange:
        exchange = super().enter(request)
        if request.method == "POST":
            entity = _entity(request)
            sent = {name: str(value) for name, value in request.body.items()}
            self.sights.append(
                Arrival(entity=entity, sent=sent, at=exchange.world_time, attempt=self._newest_attempt(entity))
            )
            self.at_arrival()
        return exchange

    def answer(self, request: Request) -> Reply:
        entity = _entity(request)
        before = self.held(entity)
        reply = super().answer(request)
        if request.method == "POST":
            self.sights.append(Writing(entity=entity, before=before, after=self.held(entity), at=self.world.now))
        elif reply.status == 200:
            self.sights.append(Reading(entity=entity, held=before))
        return reply

    def held(self, entity: str) -> str | None:
        """The value that changes are about: the daily budget, or the status of an ad."""
        node = self.world.tree.by_id.get(entity)
        if isinstance(node, Ad):
            return node.status
        return str(node.daily_budget) if isinstance(node, AdSet | Campaign) else None

    def arrivals(self) -> list[Arrival]:
        return [sight for sight in self.sights if isinstance(sight, Arrival)]

    def wait_until_idle(self) -> None:
        """Waits until no request is being answered any more, those of dead clients included."""
        deadline = time.monotonic() + 60
        while any(exchange.finished is None for exchange in list(self.log)):
            assert time.monotonic() < deadline, "a request never ended"
            time.sleep(0.01)

    def close(self) -> None:
        super().close()
        if self._database is not None:
            self._database.close()

    def _newest_attempt(self, entity: str) -> Attempt | None:
        with self._asking:
            row = self._ask(entity)
        if row is None:
            return None
        return Attempt(change_id=row[0], attempt=row[1], target=row[2], expected=row[3], under_way=row[4])  # type: ignore[arg-type]

    def _ask(self, entity: str) -> tuple[object, ...] | None:
        """Asks anew when the server went away since the last write."""
        assert self.database_url is not None
        for _ in range(1200):
            try:
                if self._database is None:
                    self._database = psycopg.connect(self.database_url, autocommit=True, connect_timeout=5)
                return self._database.execute(_NEWEST_ATTEMPT, [entity]).fetchone()
            except psycopg.OperationalError:
                self._database = None
                time.sleep(0.05)
        raise AssertionError("the database of the witness did not come back")


class WitnessedSandbox(Sandbox):
    """A sandbox whose Meta is a witness."""

    meta: Witness

    def __init__(self, world: World, *, meta_port: int = 0, hubspot_port: int = 0) -> None:
        super().__init__(world, meta_port=meta_port, hubspot_port=hubspot_port)
        token = self.meta.token
        self.meta.close()
        self.meta = Witness(world, token, meta_port)


def _entity(request: Request) -> str:
    return request.path.rpartition("/")[2]
