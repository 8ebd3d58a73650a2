"""The registry of models: who is champion, who challenges, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from adctl.adapters.db import transaction
from adctl.domain.ids import Account
from adctl.domain.models import Event, Model, Role, model_of, policy_of, usual_name
from adctl.domain.policies.catalogue import MakePolicy
from adctl.domain.policies.protocol import Policy
from adctl.errors import ConfigurationError


def lock(connection: Connection, account: Account) -> None:
    """One transaction after the other may change an account's models: its row orders them."""
    connection.execute(text("select from accounts where account = :account for update"), {"account": account})


_REGISTERED = text(
    """
    select name, policy, version, parameter_hash, parameters, role, registered_at from model_registry
    where account = :account
    order by array_position(array['champion', 'challenger', 'retired'], role), registered_at, name
    """
)


def registered(connection: Connection, account: Account) -> tuple[Model, ...]:
    """All models of the account: the champion, the challengers, the retired ones, each in the order they came."""
    rows = connection.execute(_REGISTERED, {"account": account})
    return tuple(Model(**{**row._mapping, "role": Role(row.role)}) for row in rows)


_STORE = text(
    """
    insert into model_registry (account, name, policy, version, parameter_hash, parameters, role, registered_at)
    values (:account, :name, :policy, :version, :parameter_hash, cast(:parameters as jsonb), :role, :registered_at)
    on conflict (account, name) do update set version = excluded.version, parameter_hash = excluded.parameter_hash,
      parameters = excluded.parameters, role = excluded.role
    """
)


def store(connection: Connection, account: Account, model: Model) -> None:
    """Writes a model, new or changed. PostgreSQL refuses a second champion and a second model of one kind."""
    connection.execute(
        _STORE,
        {
            "account": account,
            "name": model.name,
            "policy": model.policy,
            "version": model.version,
            "parameter_hash": model.parameter_hash,
            "parameters": json.dumps(dict(model.parameters)),
            "role": model.role.value,
            "registered_at": model.registered_at,
        },
    )


def crown(connection: Connection, account: Account, *, champion: Model, successor: Model) -> None:
    """The successor becomes champion, the champion a challenger; in this order, as there is never a second champion."""
    store(connection, account, replace(champion, role=Role.CHALLENGER))
    store(connection, account, replace(successor, role=Role.CHAMPION))


def note(
    connection: Connection,
    account: Account,
    name: str,
    event: Event,
    *,
    at: datetime,
    run_id: UUID,
    reason: str = "",
    champion_before: str | None = None,
    evidence: Mapping[str, object] | None = None,
) -> None:
    """Adds to the audit of models."""
    connection.execute(
        text(
            """
            insert into model_events (account, at, name, event, champion_before, reason, evidence, run_id)
            values (:account, :at, :name, :event, :champion_before, :reason, cast(:evidence as jsonb), :run_id)
            """
        ),
        {
            "account": account,
            "at": at,
            "name": name,
            "event": event.value,
            "champion_before": champion_before,
            "reason": reason,
            "evidence": json.dumps(dict(evidence or {})),
            "run_id": run_id,
        },
    )


def seed(connection: Connection, account: Account, policy: Policy, *, at: datetime, run_id: UUID) -> None:
    """Makes the configured policy the first champion of an account that has no models."""
    lock(connection, account)
    if registered(connection, account):
        return
    name = usual_name(policy)
    store(connection, account, model_of(policy, name=name, role=Role.CHAMPION, at=at))
    note(connection, account, name, Event.SEEDED, at=at, run_id=run_id, reason="the configured policy")


def champion_before(connection: Connection, account: Account, name: str) -> str | None:
    """Whom the model replaced when it was promoted last, None when it never was."""
    value = connection.scalar(
        text(
            """
            select champion_before from model_events
            where account = :account and name = :name and event = 'promoted' order by number desc limit 1
            """
        ),
        {"account": account, "name": name},
    )
    assert value is None or isinstance(value, str)
    return value


def in_force(connection: Connection, account: Account) -> tuple[Model, ...]:
    """The champion, then the challengers."""
    return tuple(model for model in registered(connection, account) if model.role is not Role.RETIRED)


def make_all(engine: Engine, account: Account, make: MakePolicy) -> None:
    """Lets `make`, which remembers, make those in force, so that no transaction stands still for one that is slow."""
    with transaction(engine, read_only=True) as connection:
        found = in_force(connection, account)
    for model in found:
        # Said where it is needed.
        with suppress(ConfigurationError):
            policy_of(model, make)


def renew(connection: Connection, account: Account, model: Model, *, at: datetime, run_id: UUID) -> None:
    """Notes a version or parameters that came with a newer adctl; nothing when they are the stored ones.

    A challenger that is now the same as another model in force is retired; the champion never is.
    """
    in_force_now = {one.name: one for one in in_force(connection, account)}
    if in_force_now[model.name].key == model.key:
        return
    for one in in_force_now.values():
        if one.name != model.name and one.key == model.key:
            twin = one if one.role is Role.CHALLENGER else model
            store(connection, account, replace(in_force_now[twin.name], role=Role.RETIRED))
            note(
                connection, account, twin.name, Event.RETIRED, at=at, run_id=run_id, reason="the same as another model"
            )
            if twin is model:
                return
    store(connection, account, model)
    reason = f"{model.policy} {in_force_now[model.name].version} became {model.version}"
    note(connection, account, model.name, Event.RENEWED, at=at, run_id=run_id, reason=reason)
