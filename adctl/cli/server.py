"""`adctl db`: the embedded PostgreSQL, for people."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation
from adctl.cli.options import Config, Json, examples
from adctl.cli.running import load_settings, perform
from adctl.cli.showing import show_error
from adctl.errors import AdctlError, ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from adctl.adapters.embedded_postgres import EmbeddedServer, ServerStatus
    from adctl.domain.report import Fact, Report
    from adctl.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the commands below `db`."""
    db = typer.Typer(
        help="The embedded PostgreSQL. It starts by itself when a command needs it; these are for people.",
        no_args_is_help=True,
    )
    db.command("start", epilog=examples("adctl db start"))(start)
    db.command("stop", epilog=examples("adctl db stop"))(stop)
    db.command("status", epilog=examples("adctl db status", "adctl db status --json"))(status)
    db.command("url", epilog=examples("adctl db url", 'pg_dump "$(adctl db url)" > backup.sql'))(url)
    db.command("psql", epilog=examples("adctl db psql", "adctl db psql -- -c 'select count(*) from ads'"))(psql)
    app.add_typer(db, name="db")


def start(as_json: Json = False, config: Config = None) -> None:
    """Start the embedded server and keep it running until `adctl db stop`."""

    def work(settings: Settings) -> Report:
        server = _server(settings)
        server.start()
        return _report("db start", "The embedded server runs until `adctl db stop`.", server.status())

    perform(Invocation(command="db start", as_json=as_json, config=config), work)


def stop(as_json: Json = False, config: Config = None) -> None:
    """Stop the embedded server. That happens at once, or when the last command that uses it ends."""

    def work(settings: Settings) -> Report:
        server = _server(settings)
        if not server.status().data_directory.exists():
            return _report("db stop", "There is no embedded server yet.", server.status())
        done = server.stop()
        kept = settings.db_keep_alive
        when = f"{kept} s (db_keep_alive) after" if kept else "as soon as"
        summary = "The embedded server is stopped." if done else f"It stops {when} the last command using it ends."
        return _report("db stop", summary, server.status())

    perform(Invocation(command="db stop", as_json=as_json, config=config), work)


def status(as_json: Json = False, config: Config = None) -> None:
    """Show whether the embedded server runs. Also where its data is and who uses it; nothing is started."""

    def work(settings: Settings) -> Report:
        found = _embedded(settings).status()
        if settings.database_url is not None:
            summary = "A database URL is configured; the embedded server is not used."
        else:
            summary = "It runs." if found.running else "It is at rest and starts when a command needs it."
        return _report("db status", summary, found)

    perform(Invocation(command="db status", as_json=as_json, config=config), work)


def url(
    show_password: Annotated[bool, typer.Option("--show-password", help="Print the password too.")] = False,
    config: Config = None,
) -> None:
    """Print the URL of the database in use, for other programs. The password is masked.

    pg_dump must not be older than the server, whose version `adctl db status` names.
    """
    invocation = Invocation(command="db url", config=config)
    try:
        address, hint = _url(load_settings(invocation), show_password=show_password)
    except AdctlError as error:
        raise typer.Exit(show_error(invocation, error)) from error
    from adctl import render

    render.write(sys.stdout, address)
    if hint:
        render.write(sys.stderr, hint)


def _url(settings: Settings, *, show_password: bool) -> tuple[str, str]:
    """The address, and what its reader should know."""
    if settings.database_url is not None:
        from adctl.settings.kinds import masked

        whole = settings.database_url.reveal()
        shown = whole if show_password else masked(whole)
        return shown, "" if shown == whole else "the password is masked; --show-password prints it"
    server = _embedded(settings)
    found = server.status()
    if not found.running:
        raise UnavailableError("the embedded server is at rest", fix="run adctl db start")
    hint = "" if found.keeps_running else "the server stops when its last user leaves; adctl db start keeps it"
    return server.libpq_url(), hint


def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to psql; write -- before them.", metavar="-- ARGUMENTS")
    ] = None,
    config: Config = None,
) -> None:
    """Open psql on the database in use; its exit code is ours."""
    invocation = Invocation(command="db psql", config=config)
    try:
        code = _psql(load_settings(invocation), arguments or [])
    except AdctlError as error:
        code = show_error(invocation, error)
    raise typer.Exit(code)


def _psql(settings: Settings, arguments: list[str]) -> int:
    from adctl.settings import process_environment

    server = _embedded(settings)
    environment = dict(process_environment())
    attached = server.attach() if settings.database_url is None else nullcontext()
    with attached:
        target, secrets = (
            (server.libpq_url(), {}) if settings.database_url is None else _target(settings.database_url.reveal())
        )
        # Everything psql is told by flags may also stand in the arguments; the target comes first.
        return _in_front([str(server.psql_path), "--dbname", target, *arguments], {**environment, **secrets})


def _target(address: str) -> tuple[str, Mapping[str, str]]:
    """The connection for the argument list, which every user of this host can read, and its password apart."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from sqlalchemy import make_url

    plain = make_url(address).set(drivername="postgresql").render_as_string(hide_password=False)
    parts = conninfo_to_dict(plain)
    password = parts.pop("password", None)
    # libpq knows no variable for it: psql asks on the terminal.
    parts.pop("sslpassword", None)
    return make_conninfo("", **parts), {} if password is None else {"PGPASSWORD": str(password)}


def _in_front(command: list[str], environment: Mapping[str, str]) -> int:
    """Runs a child that owns the terminal: Ctrl-C is its own affair, SIGTERM ends it and then us."""
    children: list[subprocess.Popen[bytes]] = []
    told: list[int] = []

    def end(number: int, _: object) -> None:
        told.append(number)
        for child in children:
            child.terminate()

    # Before the child exists, or a SIGTERM in between would orphan it; handlers, not "ignore", which it would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, end)
    with subprocess.Popen(command, env=environment) as child:
        children.append(child)
        if told:
            child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


def _server(settings: Settings) -> EmbeddedServer:
    """The embedded server, if it is the database in use."""
    if settings.database_url is not None:
        raise ConfigurationError(
            "a database URL is configured; the embedded server is not used",
            fix="unset database_url and ADCTL_DATABASE_URL to use it",
        )
    return _embedded(settings)


def _embedded(settings: Settings) -> EmbeddedServer:
    from adctl.adapters.embedded_postgres import EmbeddedServer

    return EmbeddedServer(settings.data_dir, keep_alive=settings.db_keep_alive)


def _report(command: str, summary: str, found: ServerStatus) -> Report:
    from adctl.domain.report import Report

    return Report(command=command, summary=summary, facts=_facts(found))


def _facts(found: ServerStatus) -> tuple[Fact, ...]:
    from adctl.domain.report import Fact

    return (
        Fact(key="running", label="running", value=found.running),
        Fact(key="keeps_running", label="kept running", value=found.keeps_running),
        Fact(key="version", label="PostgreSQL", value=found.version),
        Fact(key="source", label="programs from", value=found.source),
        Fact(key="data_directory", label="data", value=str(found.data_directory)),
        Fact(key="socket_directory", label="socket", value=str(found.socket_directory)),
        Fact(key="pid", label="pid", value=found.pid),
        Fact(key="users", label="used by", value=", ".join(map(str, found.users)) or None),
    )
