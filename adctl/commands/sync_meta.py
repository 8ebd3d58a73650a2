"""Read campaigns, ad sets, ads, creatives and daily insights from Meta."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, entities, insights, media, person_edits, reports, runs
from adctl.adapters.store.reports import PendingReport
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.creatives import Creative
from adctl.domain.entities import Ad, AdAccount, AdSet, Campaign
from adctl.domain.insights import Insight, InsightPart
from adctl.domain.ports import AdsPlatform, ReportState
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.errors import BusyError, ConfigurationError, UnavailableError

# Meta restates a day for 28 days.
RESTATED_DAYS = 28
# From so many expected rows on (ads times days), Meta makes a report instead of answering page by page.
REPORT_FROM = 20_000
# A report that is not there after this long is asked for in smaller parts; asking again for the same makes it worse.
_GIVEN_UP = timedelta(minutes=60)
_STALE = timedelta(hours=24)
_REPORTS_AT_ONCE = 4
_POLL_SECONDS = 5
_PATIENCE_SECONDS = 120
_BATCH = 5000
# How late Meta's log of edits may be is nowhere said.
_LOG_LAG = timedelta(hours=24)
_UNLOGGED = "Meta's log of edits could not be read: what a person set and put back between two runs goes unnoticed."
_NAMELESS = (
    "{} running ads do not name themselves in the address they lead to, so their deals are credited by click id, "
    "device or chance at best: add utm_content={{{{ad.id}}}} to their URL parameters in Ads Manager."
)


def run(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    *,
    days: int = RESTATED_DAYS,
    dry_run: bool = False,
    report_from: int = REPORT_FROM,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Reads the account whole and the last `days` account days of insights; the same again writes nothing.

    Raises ConfigurationError when Meta's currency or time zone is not the configured one, BusyError while Meta wants to
    be left alone (without asking anything) and when a report is still being made: the next run reads it.
    """
    _refuse_while_resting(engine, profile)
    with _noting_usage(engine, profile, platform, dry_run=dry_run):
        return _Session(
            engine=engine, profile=profile, platform=platform, dry_run=dry_run, tally=Counter(), sleep=sleep
        ).sync(days, report_from)


def _refuse_while_resting(engine: Engine, profile: AccountProfile) -> None:
    with transaction(engine, read_only=True) as connection:
        resting = reports.waits(connection, profile.account)
    if resting:
        use_case, until = max(resting.items(), key=lambda item: item[1])
        raise BusyError(
            f"meta: {use_case} of account {profile.account!r} rests until {until:%Y-%m-%d %H:%M:%S} UTC",
            fix="a tick after that goes on",
        )


@contextmanager
def _noting_usage(engine: Engine, profile: AccountProfile, platform: AdsPlatform, *, dry_run: bool) -> Iterator[None]:
    """However the run ends, what Meta said of its limits holds for the next one."""
    try:
        yield
    finally:
        waits = platform.usage()
        if waits and not dry_run:
            with transaction(engine) as connection:
                reports.note_waits(connection, profile.account, waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objects:
    """All that the account holds."""

    campaigns: tuple[Campaign, ...]
    ad_sets: tuple[AdSet, ...]
    ads: tuple[Ad, ...]
    creatives: tuple[Creative, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """What one run works with; `tally` counts insight rows, spend (minor units) and rows written."""

    engine: Engine
    profile: AccountProfile
    platform: AdsPlatform
    dry_run: bool
    tally: Counter[str]
    sleep: Callable[[float], None]

    def sync(self, days: int, report_from: int) -> Report:
        facts = self.platform.account()
        _refuse_other_account(self.profile, facts)
        with transaction(self.engine, read_only=self.dry_run) as connection:
            now = accounts.now(connection)
            if not self.dry_run:
                accounts.ensure(connection, self.profile)
        until = now.astimezone(ZoneInfo(self.profile.timezone)).date()
        since = until - timedelta(days=days)
        minima = self.platform.minimum_budgets()
        if not facts.min_daily_budget:
            facts = replace(facts, min_daily_budget=minima.get("min_daily_budget_imp", 0))
        campaigns, ad_sets = tuple(self.platform.campaigns()), tuple(self.platform.ad_sets())
        ads, creatives = _split(self.platform.ads())
        objects = _Objects(campaigns=campaigns, ad_sets=ad_sets, ads=ads, creatives=creatives)
        if not self.dry_run:
            self._store_objects(objects, facts, minima, now)
            self._read_edits(now)
            self._read_media(objects.creatives, now)
        reached = self._read_insights(since, until, now, objects, report_from)
        self._read_deleted_ads(since, until)
        if not self.dry_run:
            with transaction(self.engine) as connection:
                runs.advance_watermark(connection, self.profile.account, "meta.insights", reached)
        return self._report(objects, since, until)

    def _store_objects(self, objects: _Objects, facts: AdAccount, minima: Mapping[str, int], now: datetime) -> None:
        account = self.profile.account
        with transaction(self.engine) as connection:
            self.tally["written"] += (
                person_edits.note(
                    connection,
                    account,
                    campaigns=objects.campaigns,
                    ad_sets=objects.ad_sets,
                    ads=objects.ads,
                    read_at=now,
                )
                + accounts.update_from_meta(connection, account, facts)
                + entities.upsert_minimum_budgets(connection, account, minima, now)
                + entities.upsert_campaigns(connection, account, objects.campaigns, now)
                + entities.upsert_ad_sets(connection, account, objects.ad_sets, now)
                + entities.upsert_creatives(connection, account, objects.creatives, now)
                + entities.upsert_ads(connection, account, objects.ads, now)
                + entities.mark_vanished(
                    connection,
                    account,
                    campaigns=objects.campaigns,
                    ad_sets=objects.ad_sets,
                    ads=objects.ads,
                    read_at=now,
                )
            )

    def _read_edits(self, now: datetime) -> None:
        """Of the time since the last run, and what Meta's log may have been late with then."""
        account = self.profile.account
        with transaction(self.engine, read_only=True) as connection:
            last = runs.watermark(connection, account, "meta.insights") or now
        edits = self.platform.edits(last - _LOG_LAG)
        if edits is None:
            self.tally["unlogged"] = 1
        elif edits:
            with transaction(self.engine) as connection:
                self.tally["written"] += person_edits.note_logged(connection, account, edits)

    def _read_media(self, creatives: Collection[Creative], now: datetime) -> None:
        """Asks for the size of each image and the length of each video once: what their ids stand for never changes."""
        account = self.profile.account
        with transaction(self.engine, read_only=True) as connection:
            hashes = {one.image_hash for one in creatives if one.image_hash}
            new_images = media.unread_images(connection, account, hashes)
            new_videos = media.unread_videos(connection, account, {one.video_id for one in creatives if one.video_id})
        if new_images:
            sizes = self.platform.image_sizes(new_images)
            with transaction(self.engine) as connection:
                self.tally["written"] += media.store_images(connection, account, new_images, sizes, now)
        if new_videos:
            lengths = self.platform.video_lengths(new_videos)
            with transaction(self.engine) as connection:
                self.tally["written"] += media.store_videos(connection, account, new_videos, lengths, now)

    def _read_insights(self, since: date, until: date, now: datetime, objects: _Objects, report_from: int) -> datetime:
        """Reads the days, or what an earlier run had wanted of Meta; returns when what was read had been wanted."""
        if self.dry_run:
            self._take(self.platform.insights(since, until))
            return now
        with transaction(self.engine) as connection:
            reports.drop(connection, self.profile.account, now - _STALE)
            left = reports.pending(connection, self.profile.account)
            large = len(objects.ads) * ((until - since).days + 1) >= report_from
            if large and not left:
                reports.want(connection, self.profile.account, [InsightPart(since=since, until=until)], now)
        if not left and not large:
            self._take(self.platform.insights(since, until))
            return now
        self._read_reports([one for one in objects.campaigns if one.status != "DELETED"])
        return min((one.wanted_at for one in left), default=now)

    def _read_reports(self, campaigns: list[Campaign]) -> None:
        """Until none is left; BusyError when Meta takes longer than this run has patience for."""
        waited = 0
        while True:
            with transaction(self.engine) as connection:
                left = reports.pending(connection, self.profile.account)
            if not left:
                return
            if any([self._advance(one, campaigns) for one in left[:_REPORTS_AT_ONCE]]):
                continue
            if waited >= _PATIENCE_SECONDS:
                raise BusyError(f"meta: {len(left)} reports are still being made", fix="the next tick reads them")
            self.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    def _advance(self, one: PendingReport, campaigns: list[Campaign]) -> bool:
        """Takes one report a step further; False when there is nothing to do but wait."""
        if one.report_run_id is None or one.requested_at is None:
            run_id = self.platform.start_report(one.part)
            with transaction(self.engine) as connection:
                reports.requested(connection, self.profile.account, one.part, run_id, accounts.now(connection))
            return True
        status = self.platform.report_status(one.report_run_id)
        if status.state is ReportState.DONE:
            self._take(self.platform.report_rows(one.report_run_id))
            with transaction(self.engine) as connection:
                reports.done(connection, self.profile.account, one.part)
            return True
        with transaction(self.engine) as connection:
            age = accounts.now(connection) - one.requested_at
            if status.state is ReportState.RUNNING and age <= _GIVEN_UP:
                return False
            smaller = one.part.halves([campaign.campaign_id for campaign in campaigns])
            if not smaller:
                raise UnavailableError(f"meta: no report of {one.part}: {status.detail or 'not made within an hour'}")
            reports.done(connection, self.profile.account, one.part)
            reports.want(connection, self.profile.account, smaller, one.wanted_at)
        return True

    def _read_deleted_ads(self, since: date, until: date) -> None:
        """What was spent before it was deleted is restated too, and the account's insights leave it out."""
        with transaction(self.engine, read_only=True) as connection:
            deleted = insights.of_deleted_ads(connection, self.profile.account, since)
        for ad_id in deleted:
            self._take(self.platform.insights_of_ad(ad_id, since, until))

    def _take(self, rows: Iterable[Insight]) -> None:
        """Written batch by batch: never a transaction across a request."""
        source = iter(rows)
        while batch := list(islice(source, _BATCH)):
            self.tally.update(insight_rows=len(batch), spend=sum(row.spend for row in batch))
            if not self.dry_run:
                with transaction(self.engine) as connection:
                    self.tally["written"] += insights.upsert(
                        connection, self.profile.account, batch, accounts.now(connection)
                    )

    def _report(self, objects: _Objects, since: date, until: date) -> Report:
        counts = {
            "campaigns": len(objects.campaigns),
            "ad_sets": len(objects.ad_sets),
            "ads": len(objects.ads),
            "insight_rows": self.tally["insight_rows"],
        }
        nameless = [ad for ad in objects.ads if ad.effective_status == "ACTIVE" and ad.names_itself is False]
        return Report(
            command="sync-meta",
            account=self.profile.account,
            currency=self.profile.currency,
            dry_run=self.dry_run,
            summary=_summary(counts, self.tally["written"], dry_run=self.dry_run),
            facts=(
                *(Fact(key=k, label=k.replace("_", " "), value=v, kind=Kind.COUNT) for k, v in counts.items()),
                Fact(key="spend", label="spend read", value=self.tally["spend"], kind=Kind.MONEY),
                Fact(key="since", label="since", value=since),
                Fact(key="until", label="until", value=until),
                Fact(key="written", label="rows written", value=self.tally["written"], kind=Kind.COUNT),
                Fact(key="nameless", label="ads without their id", value=len(nameless), kind=Kind.COUNT),
            ),
            tables=(_nameless_table(nameless),) if nameless else (),
            notes=(
                *((_NAMELESS.format(len(nameless)),) if nameless else ()),
                *((_UNLOGGED,) if self.tally["unlogged"] else ()),
            ),
        )


def _split(pairs: Iterator[tuple[Ad, Creative | None]]) -> tuple[tuple[Ad, ...], tuple[Creative, ...]]:
    ads: list[Ad] = []
    creatives: dict[str, Creative] = {}
    for ad, creative in pairs:
        ads.append(ad)
        if creative is not None:
            creatives[creative.creative_id] = creative
    return tuple(ads), tuple(creatives.values())


def _nameless_table(ads: list[Ad]) -> Table:
    return Table(
        key="nameless",
        title="Running ads without their id in the address",
        columns=(Column(key="ad_id", label="ad"), Column(key="name", label="name")),
        rows=tuple({"ad_id": ad.ad_id, "name": ad.name} for ad in ads),
        shown=20,
    )


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
    return f"{read}, {counted(written, 'row')} new or changed." if written else f"{read}. No changes."
