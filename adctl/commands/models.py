"""The models of an account: list them, register a challenger, retire one, go back to the champion before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, decisions, models
from adctl.domain.accounts import AccountProfile
from adctl.domain.models import (
    NOT_CONFIGURED,
    Event,
    Model,
    Role,
    changed,
    checked_name,
    is_configured,
    model_of,
    named,
    policy_of,
    usual_name,
)
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.protocol import Policy
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.errors import UsageError


def listing(engine: Engine, profile: AccountProfile, configured: Policy) -> Report:
    """Every model with its role and how many days it has decided."""
    with transaction(engine, read_only=True) as connection:
        found = models.registered(connection, profile.account)
        days = decisions.days_decided(connection, profile.account)
    champion = next((model for model in found if model.role is Role.CHAMPION), None)
    return Report(
        command="models list",
        account=profile.account,
        summary=f"The champion is {champion.told}."
        if champion
        else f"No models yet: {configured.name} will be the first.",
        tables=(_table(found, days),),
        notes=() if is_configured(found, configured) else (NOT_CONFIGURED,),
    )


def register(
    engine: Engine,
    profile: AccountProfile,
    policy: Policy,
    configured: Policy,
    *,
    name: str | None,
    run_id: UUID,
    dry_run: bool = False,
) -> Report:
    """Makes the policy a challenger. An account without models first gets the configured policy as its champion.

    The same again changes nothing. Raises UsageError for what is no name or means another model, and for a policy with
    parameters that another model in force has.
    """
    with transaction(engine, read_only=dry_run) as connection:
        now = accounts.now(connection)
        if not dry_run:
            accounts.ensure(connection, profile)
            models.seed(connection, profile.account, configured, at=now, run_id=run_id)
            models.lock(connection, profile.account)
        found = models.registered(connection, profile.account)
        wanted = model_of(policy, name="", role=Role.CHALLENGER, at=now)
        wanted = replace(
            wanted, name=checked_name(name) if name else f"{usual_name(policy)}-{wanted.parameter_hash[:6]}"
        )
        changed = _refuse_or_new(found, wanted)
        if changed and not dry_run:
            models.store(connection, profile.account, wanted)
            models.note(connection, profile.account, wanted.name, Event.REGISTERED, at=now, run_id=run_id)
    told = f"{wanted.told} decides in shadow from the next adctl decide on." if changed else "No changes."
    return _changed("models register", profile, wanted, told, dry_run=dry_run)


def _refuse_or_new(found: tuple[Model, ...], wanted: Model) -> bool:
    """False when the model is in force already."""
    for model in found:
        if model.name == wanted.name and model.key != wanted.key:
            raise UsageError(
                f"model {model.name!r}: is {model.policy} {model.version} as registered before, not what is asked for",
                fix="choose another name",
            )
        if model.key == wanted.key and model.name == wanted.name and model.role is not Role.RETIRED:
            return False
    _refuse_twin(found, wanted)
    return True


def _refuse_twin(found: tuple[Model, ...], wanted: Model) -> None:
    for model in found:
        if model.key == wanted.key and model.name != wanted.name and model.role is not Role.RETIRED:
            raise UsageError(
                f"model {wanted.name!r}: the {model.role} {model.name!r} is the same policy with the same parameters",
                fix=f"change a parameter, or take {model.name}",
            )


def retire(engine: Engine, profile: AccountProfile, name: str, *, run_id: UUID, dry_run: bool = False) -> Report:
    """Ends a challenger; its decisions stay. The champion cannot be retired, only replaced."""
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            models.lock(connection, profile.account)
        model = named(models.registered(connection, profile.account), name)
        if model.role is Role.CHAMPION:
            raise UsageError(f"model {name!r}: is the champion", fix="promote another one first")
        changed = model.role is not Role.RETIRED
        if changed and not dry_run:
            models.store(connection, profile.account, replace(model, role=Role.RETIRED))
            models.note(connection, profile.account, name, Event.RETIRED, at=accounts.now(connection), run_id=run_id)
    return _changed(
        "models retire", profile, model, f"{model.told} is retired." if changed else "No changes.", dry_run=dry_run
    )


def rollback(
    engine: Engine,
    profile: AccountProfile,
    *,
    reason: str,
    run_id: UUID,
    dry_run: bool = False,
    make: MakePolicy = make_policy,
) -> Report:
    """Makes the champion before the present one champion again, a retired one too; the present one challenges on.

    Raises UsageError when the present champion was never promoted, and when the one before it was retired and is
    registered under another name by now.
    """
    with transaction(engine, read_only=True) as connection:
        _, back = _before(connection, profile)
    # `make` remembers: the transaction does not stand still for one that is slow.
    policy_of(back, make)
    with transaction(engine, read_only=dry_run) as connection:
        if not dry_run:
            models.lock(connection, profile.account)
        champion, back = _before(connection, profile)
        policy_of(back, make)
        if not dry_run:
            _crown(connection, profile, champion, back, reason, run_id)
    told = f"{back.told} is champion again instead of {champion.told}."
    return _changed("models rollback", profile, back, told, dry_run=dry_run)


def _before(connection: Connection, profile: AccountProfile) -> tuple[Model, Model]:
    """The champion, and the one before it."""
    found = models.registered(connection, profile.account)
    champion = next((model for model in found if model.role is Role.CHAMPION), None)
    before = models.champion_before(connection, profile.account, champion.name) if champion else None
    if champion is None or before is None:
        raise UsageError("the champion was never promoted: there is none before it", fix="adctl models list")
    back = named(found, before)
    _refuse_twin(found, back)
    return champion, back


def _crown(
    connection: Connection, profile: AccountProfile, champion: Model, back: Model, reason: str, run_id: UUID
) -> None:
    models.crown(connection, profile.account, champion=champion, successor=back)
    models.note(
        connection,
        profile.account,
        back.name,
        Event.ROLLED_BACK,
        at=accounts.now(connection),
        run_id=run_id,
        reason=reason,
        champion_before=champion.name,
    )


def _changed(command: str, profile: AccountProfile, model: Model, told: str, *, dry_run: bool) -> Report:
    return Report(
        command=command,
        account=profile.account,
        dry_run=dry_run,
        summary=told,
        facts=(
            Fact(key="model", label="model", value=model.name),
            Fact(key="policy", label="policy", value=f"{model.policy} {model.version}"),
        ),
    )


def _table(found: tuple[Model, ...], days: Mapping[tuple[str, str, str], int]) -> Table:
    return Table(
        key="models",
        title="Models",
        columns=(
            Column(key="name", label="model"),
            Column(key="role", label="role"),
            Column(key="policy", label="policy"),
            Column(key="version", label="version"),
            Column(key="days", label="days decided", kind=Kind.COUNT),
            Column(key="registered_at", label="registered", kind=Kind.TIME),
            Column(key="changed", label="parameters other than usual"),
        ),
        rows=tuple(
            {
                "name": model.name,
                "role": model.role.value,
                "policy": model.policy,
                "version": model.version,
                "days": days.get(model.key, 0),
                "registered_at": model.registered_at,
                "changed": _listed(changed(model)) or "none",
                "parameters": _listed(model.parameters),
                "parameter_hash": model.parameter_hash,
            }
            for model in found
        ),
        empty="none; adctl decide registers the configured policy",
    )


def _listed(parameters: Mapping[str, Cell]) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in parameters.items())


def _plain(value: Cell) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
