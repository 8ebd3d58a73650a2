"""Bring the database to this version of adctl."""

from __future__ import annotations

from sqlalchemy import Engine

from adctl.adapters import migrations
from adctl.adapters.db import refuse_old_server, server_version, transaction
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table


def run(engine: Engine, *, dry_run: bool = False) -> Report:
    """Applies pending migrations in order; a dry run only lists them.

    Raises ConfigurationError when an applied file was edited, BusyError when another migration holds the lock.
    """
    files = migrations.available()
    with transaction(engine, read_only=True) as connection:
        refuse_old_server(connection)
        before = migrations.status(connection, files)
        server = server_version(connection)
    done = () if dry_run else migrations.migrate(engine, files)
    waiting = () if not dry_run else tuple(m.name for m in before.pending)
    states = {name: "applied" for name in before.applied}
    states |= {m.name: "pending" for m in before.pending if m.name in waiting}
    states |= {name: "applied now" for name in done}
    rows: tuple[dict[str, Cell], ...] = tuple({"name": m.name, "state": states.get(m.name, "applied")} for m in files)
    return Report(
        command="migrate",
        dry_run=dry_run,
        summary=_summary(len(done), len(waiting)),
        facts=(
            Fact(key="server", label="PostgreSQL", value=server, kind=Kind.COUNT),
            Fact(key="applied", label="applied now", value=len(done), kind=Kind.COUNT),
            Fact(key="pending", label="pending", value=len(waiting), kind=Kind.COUNT),
        ),
        tables=(
            Table(
                key="migrations",
                title="Migrations",
                columns=(Column(key="name", label="file"), Column(key="state", label="state")),
                rows=rows,
            ),
        ),
    )


def _summary(done: int, waiting: int) -> str:
    if done:
        return f"{done} migrations applied."
    return f"{waiting} migrations would be applied." if waiting else "No changes."
