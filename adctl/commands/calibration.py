"""Did stated chances come true: of the verdicts with a chance of being wrong of 5 to 10 %, how many were wrong."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, models, results, verdicts
from adctl.domain.accounts import AccountProfile
from adctl.domain.calibration_report import reliability_chart, reliability_table
from adctl.domain.judged import Judged, judged
from adctl.domain.outcomes import truth
from adctl.domain.report import Column, Fact, Kind, Report, Table


def run(engine: Engine, profile: AccountProfile, *, maturity: int) -> Report:
    """The stored verdicts of every model, champion and challengers, that were made at least `maturity` days ago.

    The truth of an ad is the return on all its money that is that old. Verdicts of newer days are counted, not judged.
    """
    with transaction(engine, read_only=True, snapshot=True) as connection:
        today = accounts.now(connection).astimezone(ZoneInfo(profile.timezone)).date()
        first = verdicts.first_day(connection, profile.account)
        names = {model.key: model.name for model in models.registered(connection, profile.account)}
        said = verdicts.said(connection, profile.account, first or today, today)
        outcomes = results.results(connection, profile, today, None if first is None else date.min)
    last = today - timedelta(days=max(maturity, 1))
    known = truth(outcomes, maturity=maturity)
    found = {
        names.get(key, f"{key[0]} {key[1]} {key[2][:6]}"): judged(
            {day: one for day, one in days.items() if day <= last}, outcomes.ad_ids, known
        )
        for key, days in said.items()
    }
    waiting = sum(len(one.ad_ids) for days in said.values() for day, one in days.items() if day > last)
    return _report(profile, found, first, last, waiting, maturity)


def _report(
    profile: AccountProfile, found: dict[str, Judged], first: date | None, last: date, waiting: int, maturity: int
) -> Report:
    told = {name: one.bands for name, one in found.items() if one.bands}
    verdicts_judged = sum(one.verdicts for one in found.values())
    return Report(
        command="calibration",
        account=profile.account,
        summary=_summary(first, verdicts_judged, maturity),
        facts=(
            Fact(key="judged", label="verdicts judged", value=verdicts_judged, kind=Kind.COUNT),
            Fact(key="waiting", label="too new to judge", value=waiting, kind=Kind.COUNT),
            Fact(key="made_until", label="made until", value=last),
        ),
        tables=(
            reliability_table(
                told,
                who="model",
                title="Verdicts by their stated chance of being wrong, and how many were (95 % intervals over ads)",
                empty="nothing to judge yet",
            ),
            _judged_table(found),
        ),
        notes=(
            "A verdict is held against the return on its ad's mature money, which few deals leave uncertain: `unclear` "
            "counts the verdicts whose bound lies within that uncertainty. They are in the bands all the same.",
        ),
        charts=(reliability_chart(told),),
    )


def _judged_table(found: dict[str, Judged]) -> Table:
    return Table(
        key="models",
        title="Verdicts by model",
        columns=(
            Column(key="model", label="model"),
            Column(key="verdicts", label="judged", kind=Kind.COUNT),
            Column(key="wrong", label="wrong", kind=Kind.COUNT),
            Column(key="unclear", label="unclear", kind=Kind.COUNT),
            Column(key="silent", label="stated nothing", kind=Kind.COUNT),
            Column(key="unspent", label="no mature money", kind=Kind.COUNT),
        ),
        rows=tuple(
            {
                "model": name,
                "verdicts": one.verdicts,
                "wrong": one.wrong,
                "unclear": one.unclear,
                "silent": one.silent,
                "unspent": one.unspent,
            }
            for name, one in found.items()
        ),
        empty="nobody has decided yet: adctl decide",
    )


def _summary(first: date | None, count: int, maturity: int) -> str:
    if first is None:
        return "Nobody has decided yet."
    if not count:
        due = first + timedelta(days=max(maturity, 1))
        return f"No verdict can be judged yet: those of {first} are {maturity} days old on {due}."
    return f"{count} verdicts judged against returns that are at least {maturity} days old."
