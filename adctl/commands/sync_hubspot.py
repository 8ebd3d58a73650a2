"""Read deals with every stage move, their contacts and the pipelines from HubSpot."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import chain

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.ports import Crm, DealPage
from adctl.domain.report import Fact, Kind, Report

# The search index lags behind: what was changed shortly before a run may be found only later.
OVERLAP = timedelta(minutes=15)
_SOURCE = "hubspot.deals"


def run(engine: Engine, profile: AccountProfile, crm: Crm, *, full: bool = False, dry_run: bool = False) -> Report:
    """Reads deals modified since the watermark less an overlap, or all of them with `full`; archived ones always.

    Each page is stored in a transaction of its own; the watermark moves only after the last one, so a run that dies
    is simply repeated. Raises UnavailableError, DeniedError or BusyError of the vendor with the watermark unmoved.
    """
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            accounts.ensure(connection, profile)
        started = accounts.now(connection)
        mark = runs.watermark(connection, profile.account, _SOURCE)
    since = None if full or mark is None else mark - OVERLAP
    stages = crm.stages()
    tally: Counter[str] = Counter(stages=len(stages))
    if not dry_run:
        with transaction(engine) as connection:
            tally["written"] += deals.upsert_stages(connection, profile.account, stages, started)
    for page in chain(crm.deals_modified_since(since), crm.archived_deals()):
        tally += Counter(deals=len(page.deals), stage_moves=len(page.moves), contacts=len(page.contacts))
        if not dry_run:
            with transaction(engine) as connection:
                tally["written"] += _store(connection, profile, page)
    if not dry_run:
        with transaction(engine) as connection:
            runs.advance_watermark(connection, profile.account, _SOURCE, started)
    counts = ("stages", "deals", "stage_moves", "contacts")
    return Report(
        command="sync-hubspot",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(tally, dry_run=dry_run),
        facts=(
            Fact(key="since", label="since", value=since or "the beginning", kind=Kind.TIME if since else Kind.TEXT),
            *(Fact(key=k, label=k.replace("_", " "), value=tally[k], kind=Kind.COUNT) for k in counts),
            Fact(key="written", label="rows written", value=tally["written"], kind=Kind.COUNT),
        ),
    )


def _store(connection: Connection, profile: AccountProfile, page: DealPage) -> int:
    at = accounts.now(connection)
    return (
        deals.upsert_contacts(connection, profile.account, page.contacts)
        + deals.upsert_deals(connection, profile.account, page.deals, source="hubspot", read_at=at)
        + deals.insert_moves(connection, profile.account, page.moves)
    )


def _summary(tally: Counter[str], *, dry_run: bool) -> str:
    read = f"{tally['deals']} deals and {tally['stage_moves']} stage moves read"
    if dry_run:
        return f"{read}; nothing written."
    return f"{read}, {tally['written']} rows new or changed." if tally["written"] else f"{read}. No changes."
