"""Did stated chances come true: of the verdicts with a chance of being wrong of 5 to 10 %, how many were wrong."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, models, results, verdicts
from adctl.domain.accounts import AccountProfile
from adctl.domain.calibration_report import reliability_chart, reliability_table
from adctl.domain.counted import counted
from adctl.domain.judged import LEAST_DEALS, Judged, judged
from adctl.domain.outcomes import Window
from adctl.domain.report import Column, Fact, Kind, Report, Table


def run(engine: Engine, profile: AccountProfile, window: Window) -> Report:
    """The stored verdicts of every model, champion and challengers, against what the money after them brought.

    A verdict's outcome is that of `models evaluate`; those whose has not matured yet are counted, not judged.
    """
    with transaction(engine, read_only=True, snapshot=True) as connection:
        today = accounts.now(connection).astimezone(ZoneInfo(profile.timezone)).date()
        first = verdicts.first_day(connection, profile.account)
        names = {model.key: model.name for model in models.registered(connection, profile.account)}
        outcomes = results.results(connection, profile, today, None if first is None else date.min)
        said = verdicts.said(connection, profile.account, max(first or today, outcomes.since), today)
    # Those of the registry in its order; then who is in it no more in this form.
    found = {
        names.get(key, f"{key[0]} {key[1]} {key[2][:6]}"): judged(
            said[key], outcomes, horizon=window.horizon, maturity=window.maturity
        )
        for key in (*(key for key in names if key in said), *sorted(said.keys() - names.keys()))
    }
    return _report(profile, found, first, window)


def _report(profile: AccountProfile, found: dict[str, Judged], first: date | None, window: Window) -> Report:
    told = {name: one.bands for name, one in found.items() if one.bands}
    verdicts_judged = sum(one.verdicts for one in found.values())
    return Report(
        command="calibration",
        account=profile.account,
        summary=_summary(first, verdicts_judged, window),
        facts=(
            Fact(key="judged", label="verdicts judged", value=verdicts_judged, kind=Kind.COUNT),
            Fact(
                key="waiting",
                label="too new to judge",
                value=sum(one.waiting for one in found.values()),
                kind=Kind.COUNT,
            ),
            Fact(key="horizon", label="days of money after a verdict", value=window.horizon, kind=Kind.COUNT),
            Fact(key="maturity", label="days until deals count", value=window.maturity, kind=Kind.COUNT),
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
            "A verdict is held against the return on what its ad spent after it, as models evaluate does. Who is "
            f"stopped spends nothing: a pause is judged by the money of the {window.maturity} days up to it (`by money "
            "before`), whose deals were mostly open when it was decided; what was known by then speaks for the pause.",
            f"Money that would bring fewer than {LEAST_DEALS:g} usual deals at a verdict's bound judges nothing (`too "
            "little money`). `unclear` counts the verdicts whose bound lies within the 90 % interval that the number "
            "of deals leaves of the return; they are in the bands all the same.",
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
            Column(key="earlier", label="by money before", kind=Kind.COUNT),
            Column(key="unclear", label="unclear", kind=Kind.COUNT),
            Column(key="silent", label="stated nothing", kind=Kind.COUNT),
            Column(key="little", label="too little money", kind=Kind.COUNT),
            Column(key="waiting", label="too new", kind=Kind.COUNT),
        ),
        rows=tuple(
            {
                "model": name,
                "verdicts": one.verdicts,
                "wrong": one.wrong,
                "earlier": one.earlier,
                "unclear": one.unclear,
                "silent": one.silent,
                "little": one.little,
                "waiting": one.waiting,
            }
            for name, one in found.items()
        ),
        empty="nobody has decided yet: adctl decide",
    )


def _summary(first: date | None, count: int, window: Window) -> str:
    if first is None:
        return "Nobody has decided yet."
    if not count:
        return f"No verdict can be judged yet: what comes of those of {first} has matured by {window.due(first)}."
    return f"{counted(count, 'verdict')} judged by what the money brought, at least {window.maturity} days later."
