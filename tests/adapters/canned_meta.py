"""Meta's answers as tests need them, and the platform on a server that gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adctl.adapters.meta import MetaPlatform, Patience
from tests.adapters.canned_server import Answerer, CannedServer, Told, serving

CANARY = "EAABcanary0token"
QUICK = Patience(connect=1.0, read=1.0, read_deadline=1.0, write_deadline=1.0, tries=3, pause=0.01)
ACCOUNT = {
    "id": "act_7",
    "account_id": "7",
    "name": "Shop",
    "currency": "USD",
    "timezone_name": "Europe/Berlin",
    "min_daily_budget": 100,
}
AD_SET = {
    "id": "20",
    "account_id": "7",
    "status": "ACTIVE",
    "effective_status": "CAMPAIGN_PAUSED",
    "daily_budget": "1000",
    "lifetime_budget": "0",
    "updated_time": "2026-01-31T08:00:00+0100",
}
ROW = {
    "account_currency": "USD",
    "campaign_id": "10",
    "adset_id": "20",
    "ad_id": "30",
    "spend": "12.34",
    "impressions": "1000",
    "clicks": "55",
    "inline_link_clicks": "40",
    "date_start": "2026-01-30",
    "date_stop": "2026-01-30",
}


def graph_error(code: int, subcode: int = 0, *, status: int = 400, message: str = "No.", **more: object) -> Told:
    error = {"message": message, "code": code, "error_subcode": subcode, "fbtrace_id": "AbC", **more}
    return Told(status=status, body={"error": error})


@contextmanager
def meta(answer: Answerer, patience: Patience = QUICK) -> Iterator[tuple[MetaPlatform, CannedServer]]:
    with (
        serving(answer) as server,
        MetaPlatform(ad_account="act_7", token=CANARY, base_url=server.url, patience=patience) as platform,
    ):
        yield platform, server


def page(rows: list[dict[str, object]], after: str | None = None) -> Told:
    paging = {"cursors": {"before": "b", "after": after}, "next": f"https://x/?access_token=t&after={after}"}
    return Told(body={"data": rows, "paging": paging if after else {"cursors": {"before": "b", "after": "end"}}})
