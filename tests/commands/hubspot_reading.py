"""HubSpot's side of a loop as the tests of its commands use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from adctl.adapters.hubspot import HubSpotCrm
from adctl.commands import sync_hubspot
from adctl.domain.report import Report
from adctl.sandbox.crm import Record
from tests.adapters.canned_hubspot import QUICK
from tests.builders import Loop

_READS = ("/search", "/batch/read")


def deals_of(loop: Loop) -> Mapping[int, Record]:
    return loop.sandbox.world.portal.collections["deals"].records


@contextmanager
def impatient(loop: Loop) -> Iterator[HubSpotCrm]:
    """With little patience, so that a test of failure does not wait."""
    with HubSpotCrm(
        token=loop.sandbox.hubspot_token, currency="USD", base_url=loop.sandbox.hubspot_url, patience=QUICK
    ) as crm:
        yield crm


def sync(loop: Loop, *, full: bool = False) -> Report:
    with impatient(loop) as crm:
        return sync_hubspot.run(loop.engine, loop.job().profile, crm, full=full)


def only_reads(loop: Loop) -> bool:
    return all(one.method == "GET" or one.path.endswith(_READS) for one in loop.sandbox.hubspot_log)


def watermark(loop: Loop) -> Any:
    return loop.value("select until from sync_watermarks where source = 'hubspot.deals'")
