"""Take a creative in that won elsewhere, with its record: it is refused unless the record proves a winner here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, added_creatives, winner_figures, winners
from adctl.domain.accounts import AccountProfile
from adctl.domain.creatives import Creative, content_hash, creative_attributes, creative_text
from adctl.domain.report import Fact, Kind, Report
from adctl.domain.winner_plan import account_prior, stranger_prior
from adctl.domain.winners import (
    CreativeRecord,
    Verdict,
    WinnerRule,
    WinnerState,
    judge,
    probability_above_target,
)
from adctl.errors import InputRejectedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a creative did elsewhere; money is minor units of the account's currency."""

    impressions: int
    clicks: int
    spend: int
    wins: int
    value: int


def run(
    engine: Engine,
    profile: AccountProfile,
    creative: Creative,
    proof: Proof | None,
    rule: WinnerRule,
    *,
    lag_days: int = winner_figures.ATTRIBUTION_LAG_DAYS,
    dry_run: bool = False,
) -> Report:
    """Stores the creative and its record, which adctl index-winners then counts with what its ads do here.

    Raises InputRejectedError when the creative shows nothing, has no record, or is not proven by it.
    """
    if not creative_text(creative) and not creative_attributes(creative):
        raise InputRejectedError("the creative shows nothing: no word and no attribute", fix="give a headline or body")
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        if _wins(connection, profile, content_hash(creative)) and proof is None:
            return _report(profile, "The creative is a winner already. No changes.", None, dry_run)
        verdict, record = _judged(connection, profile, proof, rule, lag_days)
    if verdict.state is not WinnerState.WINNER:
        raise InputRejectedError(f"not proven to be a winner: {verdict.reason}", fix="add it when its record is longer")
    written = 0
    if not dry_run:
        with transaction(engine) as connection:
            accounts.ensure(connection, profile)
            written = added_creatives.add(connection, profile.account, creative, record, now)
    told = f"Proven: {verdict.reason}"
    told += "; nothing written." if dry_run else "." if written else ". No changes."
    return _report(profile, told, verdict, dry_run)


def _wins(connection: Connection, profile: AccountProfile, content: bytes) -> bool:
    return winners.states(connection, profile.account).get(content) is WinnerState.WINNER


def _judged(
    connection: Connection, profile: AccountProfile, proof: Proof | None, rule: WinnerRule, lag_days: int
) -> tuple[Verdict, CreativeRecord]:
    if proof is None:
        raise InputRejectedError(
            "not proven to be a winner: there is no record of it",
            fix="give --impressions, --clicks, --spend, --wins and --value",
        )
    record = CreativeRecord(
        impressions=proof.impressions,
        clicks=proof.clicks,
        spend=proof.spend,
        wins=proof.wins,
        value=proof.value,
        matured=proof.impressions >= rule.promising_impressions,
    )
    now = accounts.now(connection)
    figures, values = winner_figures.mature(connection, profile, now, lag_days)
    prior = account_prior(figures, values) or stranger_prior([record], rule.target_roas)
    probability = probability_above_target(record, prior, rule.target_roas) if prior else 0.0
    return judge(rule, record, probability, WinnerState.NONE), record


def _report(profile: AccountProfile, summary: str, verdict: Verdict | None, dry_run: bool) -> Report:
    facts = (
        (
            Fact(key="probability", label="P(ROAS > target)", value=round(verdict.probability, 4), kind=Kind.RATIO),
            Fact(key="spend", label="spend", value=verdict.spend, kind=Kind.MONEY),
        )
        if verdict
        else ()
    )
    return Report(
        command="winners add",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=summary,
        facts=facts,
    )
