"""How every command runs: settings, database, lock, ledger, report, exit code."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.showing import show, show_error
from adctl.errors import AdctlError, ConfigurationError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adctl.domain.report import Report
    from adctl.settings import Settings


def perform(invocation: Invocation, work: Callable[[Settings], Report | str]) -> NoReturn:
    """Runs the work, prints its report, text or error, and exits with the code that says how it went."""
    perform_alone(invocation, lambda: work(load_settings(invocation)))


def perform_alone(invocation: Invocation, work: Callable[[], Report | str]) -> NoReturn:
    """As `perform`, for work that reads no settings of this host."""
    try:
        code = show(invocation, work())
    except AdctlError as error:
        code = show_error(invocation, error)
    # The drivers' errors cannot be named here without importing them at start-up; what is none of theirs is raised.
    except Exception as error:
        known = _translated(error)
        if known is None:
            raise
        code = show_error(invocation, known)
    raise typer.Exit(code)


def perform_job(
    invocation: Invocation,
    account: str | None,
    work: Callable[[Job], Report],
    *,
    ask: Callable[[Job], None] | None = None,
) -> NoReturn:
    """As `perform`, for a command of the loop: one at a time per account, refused while migrations are pending.

    `ask` comes first, with the Job of a dry run: while a person thinks, no lock is held and no run is in the ledger.
    """

    def whole(settings: Settings) -> Report:
        if ask is not None:
            with _opened(replace(invocation, dry_run=True), settings, account) as job:
                ask(job)
        return _watched(invocation, settings, account, work)

    perform(invocation, whole)


def perform_reading(invocation: Invocation, account: str | None, work: Callable[[Job], Report]) -> NoReturn:
    """As `perform_job`, for a command of people beside the loop: it takes no lock and leaves no ledger row, so that it
    also works while a job runs. Its Job is a dry run with a run id of its own.
    """
    perform(invocation, lambda settings: _read(invocation, settings, account, work))


def _read(invocation: Invocation, settings: Settings, account: str | None, work: Callable[[Job], Report]) -> Report:
    return run_job(replace(invocation, dry_run=True), settings, account, work)


def _watched(invocation: Invocation, settings: Settings, account: str | None, work: Callable[[Job], Report]) -> Report:
    """The job, its begin and end told to a dead-man's switch where one is configured."""
    chosen = settings.account(account)
    url = chosen.ping_url or settings.ping_url
    if url is None or invocation.dry_run:
        return run_job(invocation, settings, account, work)
    from adctl.adapters.pings import Pings

    pings = Pings(url.reveal(), job=invocation.command, account=chosen.name)
    pings.start()
    exit_code = 1
    try:
        report = run_job(invocation, settings, account, work)
        exit_code = report.exit_code
    # Only its exit code is looked at; raised again.
    except Exception as error:
        known = error if isinstance(error, AdctlError) else _translated(error)
        exit_code = 1 if known is None else known.exit_code
        raise
    finally:
        pings.end(exit_code)
    return report


def run_job(invocation: Invocation, settings: Settings, account: str | None, work: Callable[[Job], Report]) -> Report:
    """Runs a command of the loop under its lock, with a row in the ledger of runs; a dry run needs neither."""
    # Standard output is the report's alone, whatever a policy that somebody brought prints.
    with _opened(invocation, settings, account) as job, redirect_stdout(sys.stderr):
        return work(job) if invocation.dry_run else _run_locked(invocation.command, job, work)


@contextmanager
def _opened(invocation: Invocation, settings: Settings, account: str | None) -> Iterator[Job]:
    from adctl.cli.wiring import profile_of

    chosen = settings.account(account)
    profile = profile_of(chosen)
    with database(settings) as engine:
        if invocation.dry_run:
            refuse_pending(engine)
        yield Job(
            settings=settings,
            account=chosen,
            profile=profile,
            engine=engine,
            run_id=uuid4(),
            dry_run=invocation.dry_run,
        )


def _run_locked(name: str, job: Job, work: Callable[[Job], Report]) -> Report:
    from adctl.adapters.db import job_lock, transaction
    from adctl.adapters.store import accounts, runs

    with job_lock(job.engine, name, job.profile.account):
        # Under the lock that keeps migrations out: before it, a newer adctl could still change the schema.
        refuse_pending(job.engine)
        # Two transactions: a new month's partition refers to accounts, so its maker would deadlock with a job that has
        # just written its account and waits for that very month.
        with transaction(job.engine) as connection:
            accounts.ensure(connection, job.profile)
        with transaction(job.engine) as connection:
            runs.start(connection, job.profile.account, name, job.run_id, host=socket.gethostname(), pid=os.getpid())
        try:
            report = work(job)
        except AdctlError as error:
            _finish(job, error.exit_code, error.what, {})
            raise
        _finish(job, report.exit_code, report.summary, {fact.key: fact.value for fact in report.facts})
        return report


def _finish(job: Job, exit_code: int, summary: str, facts: dict[str, object]) -> None:
    from adctl.adapters.db import transaction
    from adctl.adapters.store import runs
    from adctl.redaction import redact

    # This commit waits for the disk and takes along what the job did not wait for: what is printed next, stands.
    with transaction(job.engine) as connection:
        runs.finish(
            connection, job.profile.account, job.run_id, exit_code=exit_code, summary=redact(summary), facts=facts
        )


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """The configured database, or the embedded one for as long as this process needs it."""
    from adctl.adapters.db import open_engine

    if settings.database_url is not None:
        engine = open_engine(settings.database_url.reveal())
        try:
            yield engine
        finally:
            engine.dispose()
        return
    from sqlalchemy import event

    from adctl.adapters.embedded_postgres import EmbeddedServer

    with EmbeddedServer(settings.data_dir, keep_alive=settings.db_keep_alive).attach() as server:
        engine = open_engine(server.url())
        # A server that died since is started again before the next connection.
        event.listen(engine, "do_connect", lambda *_: server.ensure_running())
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def as_asked() -> Iterator[None]:
    """What does not fit is no setting, but what the command line asks for."""
    try:
        yield
    except ConfigurationError as error:
        raise UsageError(error.what, fix=error.fix) from error


def load_settings(invocation: Invocation) -> Settings:
    """The settings in force, with their secrets known to the redaction and log lines set up."""
    from adctl import logs, redaction
    from adctl.settings import load, process_environment

    settings = load(environ=process_environment(), flags={"config": invocation.config})
    redaction.know(settings.secrets())
    logs.configure(stream=sys.stderr, verbosity=invocation.verbose, log_format=settings.log.format)
    return settings


def refuse_pending(engine: Engine) -> None:
    """Raises ConfigurationError where `adctl migrate` has work to do."""
    from adctl.adapters.db import refuse_old_server, transaction
    from adctl.adapters.migrations import refuse_when_pending

    with transaction(engine, read_only=True) as connection:
        refuse_old_server(connection)
        refuse_when_pending(connection)


def _translated(error: Exception) -> AdctlError | None:
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from adctl.adapters.db import translate

    return translate(error) if isinstance(error, DBAPIError | psycopg.Error) else None
