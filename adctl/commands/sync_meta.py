"""Read campaigns, ad sets, ads, creatives and daily insights from Meta."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, entities, insights, runs
from adctl.domain.accounts import AccountProfile
from adctl.domain.creatives import Creative
from adctl.domain.entities import Ad, AdAccount
from adctl.domain.insights import Insight
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Fact, Kind, Report
from adctl.errors import ConfigurationError

# Meta restates a day for 28 days.
RESTATED_DAYS = 28
_BATCH = 5000


def run(
    engine: Engine, profile: AccountProfile, platform: AdsPlatform, *, days: int = RESTATED_DAYS, dry_run: bool = False
) -> Report:
    """Reads the account whole and the last `days` account days of insights; the same again writes nothing.

    Raises ConfigurationError when Meta's currency or time zone is not the configured one.
    """
    facts = platform.account()
    _refuse_other_account(profile, facts)
    with transaction(engine, read_only=dry_run) as connection:
        now = accounts.now(connection)
        if not dry_run:
            accounts.ensure(connection, profile)
    until = now.astimezone(ZoneInfo(profile.timezone)).date()
    since = until - timedelta(days=days)
    campaigns = tuple(platform.campaigns())
    ad_sets = tuple(platform.ad_sets())
    ads, creatives = _split(platform.ads())
    changed = 0
    if not dry_run:
        with transaction(engine) as connection:
            changed += accounts.update_from_meta(connection, profile.account, facts)
            changed += entities.upsert_campaigns(connection, profile.account, campaigns, now)
            changed += entities.upsert_ad_sets(connection, profile.account, ad_sets, now)
            changed += entities.upsert_creatives(connection, profile.account, creatives, now)
            changed += entities.upsert_ads(connection, profile.account, ads, now)
            changed += entities.mark_vanished(
                connection, profile.account, campaigns=campaigns, ad_sets=ad_sets, ads=ads, read_at=now
            )
    rows, written = _insights(engine, profile, platform.insights(since, until), dry_run=dry_run)
    if not dry_run:
        with transaction(engine) as connection:
            runs.advance_watermark(connection, profile.account, "meta.insights", now)
    counts = {"campaigns": len(campaigns), "ad_sets": len(ad_sets), "ads": len(ads), "insight_rows": len(rows)}
    return Report(
        command="sync-meta",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(counts, changed + written, dry_run=dry_run),
        facts=(
            *(Fact(key=k, label=k.replace("_", " "), value=v, kind=Kind.COUNT) for k, v in counts.items()),
            Fact(key="spend", label="spend read", value=sum(r.spend for r in rows), kind=Kind.MONEY),
            Fact(key="since", label="since", value=since),
            Fact(key="until", label="until", value=until),
            Fact(key="written", label="rows written", value=changed + written, kind=Kind.COUNT),
        ),
    )


def _insights(
    engine: Engine, profile: AccountProfile, rows: Iterator[Insight], *, dry_run: bool
) -> tuple[list[Insight], int]:
    """Written batch by batch: never a transaction across a request."""
    seen: list[Insight] = []
    written = 0
    while batch := list(islice(rows, _BATCH)):
        seen.extend(batch)
        if not dry_run:
            with transaction(engine) as connection:
                written += insights.upsert(connection, profile.account, batch, accounts.now(connection))
    return seen, written


def _split(pairs: Iterator[tuple[Ad, Creative | None]]) -> tuple[tuple[Ad, ...], tuple[Creative, ...]]:
    ads: list[Ad] = []
    creatives: dict[str, Creative] = {}
    for ad, creative in pairs:
        ads.append(ad)
        if creative is not None:
            creatives[creative.creative_id] = creative
    return tuple(ads), tuple(creatives.values())


def _refuse_other_account(profile: AccountProfile, facts: AdAccount) -> None:
    for key in ("meta_ad_account", "currency", "timezone"):
        if getattr(facts, key) != getattr(profile, key):
            raise ConfigurationError(
                f"accounts.{profile.account}.{key}: Meta says {getattr(facts, key)!r}, "
                f"the configuration {getattr(profile, key)!r}",
                fix="correct adctl.toml",
            )


def _summary(counts: dict[str, int], written: int, *, dry_run: bool) -> str:
    read = f"{counts['ads']} ads and {counts['insight_rows']} daily rows read"
    if dry_run:
        return f"{read}; nothing written."
    return f"{read}, {written} rows new or changed." if written else f"{read}. No changes."
