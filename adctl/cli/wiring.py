"""From settings to what commands work with: profiles, stage values, limits, policies, embedders."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from adctl.domain.accounts import AccountProfile
from adctl.domain.ids import Account
from adctl.domain.revenue import StageValue, template_values
from adctl.errors import ConfigurationError

if TYPE_CHECKING:
    from adctl.adapters.timed_policies import TimedPolicies
    from adctl.cli.job import Job
    from adctl.domain.changes import Approval
    from adctl.domain.embedding.creative_embedder import CreativeEmbedder
    from adctl.domain.embedding.embedder import TextEmbedder
    from adctl.domain.embedding.hashed_text import RarityTable
    from adctl.domain.guards.limits import Limits
    from adctl.domain.policies.catalogue import MakePolicy
    from adctl.domain.policies.protocol import Policy
    from adctl.domain.winners import WinnerRule
    from adctl.settings import AccountSettings

# Of the hashed text where it stands beside the account's own words.
_HASHED_DIMS = 384


def profile_of(account: AccountSettings) -> AccountProfile:
    """The account as the commands know it."""
    return AccountProfile(
        account=Account(account.name),
        meta_ad_account=account.meta_ad_account or "",
        hubspot_portal=account.hubspot_portal or "",
        currency=account.currency,
        timezone=account.timezone,
    )


def stage_values(account: AccountSettings) -> tuple[StageValue, ...]:
    """The configured stage values: the template's for the default pipeline, the account's own before them.

    HubSpot writes its default stage ids without underscores, so the template's stages answer to both spellings.
    """
    from adctl.adapters.store.revenue import BEGINNING
    from adctl.domain.revenue import TEMPLATES

    found: dict[tuple[str, str], StageValue] = {}
    if account.stage_template is not None:
        names = {
            spelling: stage.stage
            for stage in TEMPLATES[account.stage_template].stages
            for spelling in (stage.stage, stage.stage.replace("_", ""))
        }
        for value in template_values(
            account.stage_template, names, pipeline="default", currency=account.currency, effective_from=BEGINNING
        ):
            found[(value.pipeline, value.stage)] = value
    for pipeline, stages in account.stages.items():
        for stage, settings in stages.items():
            found[(pipeline, stage)] = StageValue(
                pipeline=pipeline,
                stage=stage,
                value=settings.value,
                confidence=float(settings.confidence),
                outcome=settings.outcome,
                effective_from=BEGINNING,
            )
    return tuple(found.values())


def policies_of(account: AccountSettings) -> TimedPolicies:
    """Makes policies; those that somebody brought are stopped after the account's `policy_seconds`."""
    from adctl.adapters.timed_policies import TimedPolicies

    return TimedPolicies(account.policy_seconds)


def policy_of(account: AccountSettings, make: MakePolicy) -> Policy:
    """The configured policy. Raises ConfigurationError for an unknown one or a parameter it does not have."""
    return make(account.policy, account.policy_parameters)


def plan_limits(job: Job) -> Limits:
    """The limits that a plan is judged by."""
    from adctl.domain.guards.limits import Limits

    limits = job.account.limits
    floor = max(limits.floor or 1, _minimum_budget(job))
    return Limits(
        step=_share(limits.step_percent),
        velocity=_share(limits.velocity_percent),
        velocity_window=timedelta(hours=limits.velocity_hours),
        campaign_rate=limits.rate_per_campaign_per_hour,
        ad_set_rate=limits.rate_per_ad_set_per_hour,
        floor=floor,
        ceiling=_ceiling(limits.ceiling, floor),
        floors=job.account.floors,
        ceilings=job.account.ceilings,
        cap=limits.cap_increase_per_24h,
        kill_last_ad=limits.kill_last_ad,
        learning_loss=limits.learning_loss,
        decision_days=limits.decision_days,
        kill_share=_share(limits.kills_per_run_percent),
        insights_age=timedelta(hours=limits.freshness_insights_hours),
        crm_age=timedelta(hours=limits.freshness_crm_hours),
        confidence=float(limits.min_confidence),
        fuzz=_share(limits.fuzz_percent),
        jitter_ms=limits.jitter_ms,
        quiet_hours=limits.quiet_hours,
        hands_off=timedelta(hours=limits.hands_off_hours),
        funding=limits.fund_raises,
        implausible_factor=limits.implausible_factor,
        implausible_crm_factor=limits.implausible_crm_factor,
    )


def _ceiling(ceiling: int | None, floor: int) -> int | None:
    if ceiling is not None and ceiling < floor:
        raise ConfigurationError(
            f"limits.ceiling: {ceiling} minor units are below Meta's minimum or the floor, {floor}", fix="raise it"
        )
    return ceiling


def _share(percent: Decimal) -> Fraction:
    return Fraction(percent) / 100


def send_limits(job: Job) -> Mapping[str, object]:
    """The limits that the database judges each sending by, as this host is configured."""
    limits = job.account.limits
    floor = max(limits.floor or 1, _minimum_budget(job))
    return {
        "host": host_name(job),
        "rate_per_campaign": limits.rate_per_campaign_per_hour,
        "rate_per_ad_set": limits.rate_per_ad_set_per_hour,
        "velocity_percent": limits.velocity_percent,
        "velocity_window": timedelta(hours=limits.velocity_hours),
        "floor_budget": floor,
        "ceiling_budget": _ceiling(limits.ceiling, floor) or 2**62,
        "cap_increase": limits.cap_increase_per_24h,
        "freshness": timedelta(seconds=60),
        "settle": timedelta(seconds=limits.settle_seconds),
        "floors": dict(job.account.floors),
        "ceilings": dict(job.account.ceilings),
        "max_attempts": limits.max_attempts,
        "quiet_from": limits.quiet_hours[0] if limits.quiet_hours else None,
        "quiet_until": limits.quiet_hours[1] if limits.quiet_hours else None,
        "kill_last_ad": limits.kill_last_ad,
    }


def host_name(job: Job) -> str:
    """What this host is called among those that run an account."""
    return job.settings.host_name or socket.gethostname()


def approval_of(account: AccountSettings) -> Approval:
    """Which changes wait for a person."""
    from adctl.domain.changes import Approval

    limits = account.limits
    percent = limits.approval_above_percent
    return Approval(
        manual=limits.approval == "manual",
        above_share=None if percent is None else _share(percent),
        above_amount=limits.approval_above_amount,
    )


def armed_for(account: AccountSettings) -> timedelta | None:
    """How long a `resume` lets an account be sent for, None for ever."""
    return timedelta(hours=account.limits.arm_hours) if account.limits.arm_hours else None


def _minimum_budget(job: Job) -> int:
    from adctl.adapters.db import transaction
    from adctl.adapters.store import accounts

    with transaction(job.engine, read_only=True) as connection:
        return accounts.min_daily_budget(connection, job.profile.account)


def creative_embedder() -> CreativeEmbedder:
    """The embedder that ships with adctl: no fit, no download, the same vectors everywhere."""
    from adctl.adapters.rarity_table import read_rarity_table
    from adctl.domain.embedding.creative_embedder import CreativeEmbedder
    from adctl.domain.embedding.hashed_text import HashedTextEmbedder

    rarity = read_rarity_table()
    return CreativeEmbedder(text=HashedTextEmbedder(rarity=rarity), rarity=rarity)


def embedder_of(job: Job) -> CreativeEmbedder:
    """The embedder that the account is configured with.

    Raises ConfigurationError when its own words were never fitted, or its class is no embedder.
    """
    from adctl.domain.embedding.creative_embedder import CreativeEmbedder

    named = job.account.winners.embedder
    shipped = creative_embedder()
    if named == "hashed":
        return shipped
    if named == "own-words":
        return CreativeEmbedder(text=_own_words(job, shipped.rarity), rarity=shipped.rarity)
    from adctl.adapters.own_embedder import load_text_embedder

    text = load_text_embedder(named, job.account.winners.embedder_directory)
    return CreativeEmbedder(text=text, rarity=shipped.rarity)


def _own_words(job: Job, rarity: RarityTable) -> TextEmbedder:
    from adctl.adapters.db import transaction
    from adctl.adapters.store import fitted_words
    from adctl.domain.embedding.hashed_text import HashedTextEmbedder
    from adctl.domain.embedding.own_words import OwnWordsEmbedder

    with transaction(job.engine, read_only=True) as connection:
        fitted = fitted_words.newest(connection, job.profile.account)
    if fitted is None:
        raise ConfigurationError(
            f"accounts.{job.account.name}.winners.embedder: own-words were never fitted", fix="run adctl winners fit"
        )
    return OwnWordsEmbedder(hashed=HashedTextEmbedder(rarity=rarity, dims=_HASHED_DIMS), words=fitted)


def winner_rule(account: AccountSettings) -> WinnerRule:
    """The account's bar for winners. Raises ConfigurationError for one that nothing or everything would pass."""
    from adctl.domain.winners import WinnerRule

    configured = account.winners
    try:
        return WinnerRule(
            target_roas=float(configured.target_roas),
            target_cost_per_win=configured.target_cost_per_win,
            minimum_spend=configured.min_spend,
            qualify_at=float(configured.min_probability),
            demote_below=float(configured.demote_probability),
            promising_impressions=configured.min_impressions,
        )
    except ValueError as error:
        raise ConfigurationError(
            f"accounts.{account.name}.winners: {error}", fix="correct target_roas or the probabilities in adctl.toml"
        ) from error
