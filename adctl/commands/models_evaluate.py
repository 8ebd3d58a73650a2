"""Score the challengers against the champion on outcomes that matured since, and promote one that has won."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, models, results, verdicts
from adctl.domain.accounts import AccountProfile
from adctl.domain.margins import Margin, compare
from adctl.domain.models import Event, Model, Role, named, policy_of
from adctl.domain.outcomes import Window
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """Margins by model name, None where nothing matured; `due` is when the first outcome matures."""

    champion: Model | None
    margins: Mapping[str, tuple[Model, Margin | None]]
    due: date | None


def evaluate(engine: Engine, profile: AccountProfile, window: Window) -> Report:
    """Every challenger against the champion, paired by day and ad."""
    with transaction(engine, read_only=True, snapshot=True) as connection:
        found = _evaluated(connection, profile, window)
    champion = found.champion.told if found.champion else "nobody"
    return Report(
        command="models evaluate",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(found, champion),
        facts=(
            Fact(key="champion", label="champion", value=champion),
            Fact(key="horizon", label="days of money after a decision", value=window.horizon, kind=Kind.COUNT),
            Fact(key="maturity", label="days until deals count", value=window.maturity, kind=Kind.COUNT),
        ),
        tables=(_table(found),),
        notes=(
            "Only the champion's budgets were spent. A challenger's are judged at the return that each ad's real money "
            "brought, so what more money would have done to an ad is not known, nor ads that got none (unseen).",
        ),
    )


def _evaluated(connection: Connection, profile: AccountProfile, window: Window) -> _Evaluation:
    today = accounts.now(connection).astimezone(ZoneInfo(profile.timezone)).date()
    lineup = models.in_force(connection, profile.account)
    first = verdicts.first_day(connection, profile.account)
    outcomes = results.results(connection, profile, today, first)
    said = verdicts.said(connection, profile.account, first or today, today)
    champion = next((model for model in lineup if model.role is Role.CHAMPION), None)
    theirs = {model.name: (model, said.get(model.key, {})) for model in lineup if model.role is Role.CHALLENGER}
    ours = said.get(champion.key, {}) if champion else {}
    margins = {
        name: (
            model,
            compare(ours, decided, outcomes, horizon=window.horizon, maturity=window.maturity),
        )
        for name, (model, decided) in theirs.items()
    }
    shared = [day for _, decided in theirs.values() for day in decided.keys() & ours.keys()]
    due = window.due(min(shared)) if shared else None
    return _Evaluation(champion=champion, margins=margins, due=due)


def _summary(found: _Evaluation, champion: str) -> str:
    if not found.margins:
        return f"No challengers: {champion} decides alone."
    ahead = [name for name, (_, margin) in found.margins.items() if margin and margin.lead.low > 0]
    if ahead:
        return f"{', '.join(ahead)} did better than {champion}: adctl models promote {ahead[0]}."
    if all(margin is None for _, margin in found.margins.values()):
        return f"Nothing has matured yet{f'; the first outcome does on {found.due}' if found.due else ''}."
    return f"No challenger did better than {champion} beyond doubt."


def _table(found: _Evaluation) -> Table:
    return Table(
        key="margins",
        title="Return per unit of money, challengers against the champion (95 % intervals over ads)",
        columns=(
            Column(key="model", label="model"),
            Column(key="policy", label="policy"),
            Column(key="days", label="days", kind=Kind.COUNT),
            Column(key="ads", label="ads", kind=Kind.COUNT),
            Column(key="ours", label="champion", kind=Kind.RATIO),
            Column(key="theirs", label="challenger", kind=Kind.RATIO),
            Column(key="lead", label="leads by", kind=Kind.RATIO),
            Column(key="low", label="from", kind=Kind.RATIO),
            Column(key="high", label="to", kind=Kind.RATIO),
            Column(key="moved", label="money moved", kind=Kind.PERCENT),
            Column(key="unseen", label="of it unseen", kind=Kind.PERCENT),
        ),
        rows=tuple(
            {
                "model": name,
                "policy": f"{model.policy} {model.version}",
                **(_figures(margin) if margin else {"days": 0}),
            }
            for name, (model, margin) in found.margins.items()
        ),
        empty="none: adctl models register adds one",
    )


def _figures(margin: Margin) -> dict[str, Cell]:
    return {
        "days": margin.days,
        "ads": margin.ads,
        "first": margin.first.isoformat(),
        "last": margin.last.isoformat(),
        "ours": margin.ours,
        "theirs": margin.theirs,
        "lead": margin.lead.mean,
        "low": margin.lead.low,
        "high": margin.lead.high,
        "moved": margin.moved,
        "unseen": margin.unseen,
    }


def promote(
    engine: Engine,
    profile: AccountProfile,
    name: str,
    window: Window,
    *,
    force: bool,
    reason: str,
    run_id: UUID,
    dry_run: bool = False,
    make: MakePolicy = make_policy,
) -> Report:
    """Makes a challenger the champion; the champion challenges on. Promoting the champion changes nothing.

    Raises UsageError when the margin's interval does not exclude 0, unless `force` is given with a reason; for
    a retired model; ConfigurationError for one whose policy this version does not have.
    """
    if force and not reason.strip():
        raise UsageError("--force: needs a reason", fix="add --reason TEXT, which is kept for ever")
    models.make_all(engine, profile.account, make)
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            models.lock(connection, profile.account)
        found = _evaluated(connection, profile, window)
        model = named(models.registered(connection, profile.account), name)
        champion = found.champion
        assert champion is not None, "an account with models has a champion"
        if model.role is Role.CHAMPION:
            return _promoted(profile, model, "No changes.", None, dry_run=dry_run)
        _refuse(model, make)
        margin = found.margins[name][1]
        if not force:
            _refuse_without_margin(found, name, margin)
        if not dry_run:
            models.crown(connection, profile.account, champion=champion, successor=model)
            models.note(
                connection,
                profile.account,
                name,
                Event.PROMOTED,
                at=accounts.now(connection),
                run_id=run_id,
                reason=reason,
                champion_before=champion.name,
                evidence={"forced": force, **(_finite(margin) if margin else {})},
            )
    told = f"{model.told} is champion instead of {champion.told}, which challenges on."
    return _promoted(profile, model, told, margin, dry_run=dry_run)


def _refuse(model: Model, make: MakePolicy) -> None:
    if model.role is Role.RETIRED:
        raise UsageError(f"model {model.name!r}: is retired", fix="register it again first")
    policy_of(model, make)


def _refuse_without_margin(found: _Evaluation, name: str, margin: Margin | None) -> None:
    fix = "wait for more outcomes, or --force with a --reason"
    if margin is None:
        due = f"; the first does on {found.due}" if found.due else ""
        raise UsageError(f"model {name!r}: no outcome has matured yet{due}", fix=fix)
    if margin.lead.low <= 0:
        raise UsageError(
            f"model {name!r}: its lead of {margin.lead.mean:+.3f} per unit of money may be "
            f"{margin.lead.low:+.3f} to {margin.lead.high:+.3f}, which does not exclude 0",
            fix=fix,
        )


def _finite(margin: Margin) -> dict[str, Cell]:
    """The figures as JSON takes them: an interval without ends has none."""
    infinite = (float("inf"), float("-inf"))
    return {key: None if value in infinite else value for key, value in _figures(margin).items()}


def _promoted(profile: AccountProfile, model: Model, told: str, margin: Margin | None, *, dry_run: bool) -> Report:
    facts = [Fact(key="model", label="model", value=model.name)]
    if margin:
        facts += [
            Fact(key="lead", label="leads by", value=margin.lead.mean, kind=Kind.RATIO),
            Fact(key="low", label="at least", value=margin.lead.low, kind=Kind.RATIO),
            Fact(key="days", label="days compared", value=margin.days, kind=Kind.COUNT),
        ]
    return Report(command="models promote", account=profile.account, dry_run=dry_run, summary=told, facts=tuple(facts))
