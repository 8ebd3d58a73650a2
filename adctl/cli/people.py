"""Commands that people ask around the loop: how it stands, what is wrong, how it is set up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, Json, examples
from adctl.cli.running import database, perform, perform_alone, perform_reading, refuse_pending
from adctl.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adctl.domain.report import Report
    from adctl.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("status", epilog=examples("adctl status", "adctl status -a main --json"))(status)
    app.command("doctor", epilog=examples("adctl doctor", "adctl doctor --json"))(doctor)
    app.command("halt", epilog=examples("adctl halt -a main --reason 'wrong stage values'", "adctl halt --all"))(halt)
    app.command("resume", epilog=examples("adctl resume -a main", "adctl resume --all"))(resume)
    app.command(
        "init", epilog=examples("adctl init", "mkdir -p ~/.config/adctl && adctl init ~/.config/adctl/adctl.toml")
    )(init)
    app.command("config", epilog=examples("adctl config", "adctl config --json"))(config)


def status(account: Account = None, as_json: Json = False, config: Config = None) -> None:
    """Show the last runs, how old data is, the queue, the money."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import host_name
        from adctl.commands.status import Expectations, run

        limits = job.account.limits
        expectations = Expectations(
            insights_age=timedelta(hours=limits.freshness_insights_hours),
            crm_age=timedelta(hours=limits.freshness_crm_hours),
            cap=limits.cap_increase_per_24h,
            unattributed=float(job.account.attribution.unattributed_warn_percent) / 100,
            host=host_name(job),
        )
        return run(job.engine, job.profile, expectations)

    perform_reading(Invocation(command="status", as_json=as_json, config=config), account, work)


def halt(
    account: Account = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every account of the database.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the status.")] = "halted by hand",
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Stop every sending at once, on every host. Reading, deciding and queueing go on."""

    def work(engine: Engine, job: Job | None) -> Report:
        from adctl.commands.halt import run

        return run(engine, job.profile if job else None, reason=reason)

    _switch(Invocation(command="halt", as_json=as_json, config=config), account, work, everyone=everyone)


def resume(
    account: Account = None,
    everyone: Annotated[bool, typer.Option("--all", help="End the halt of every account.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Allow the sending again after a halt."""

    def work(engine: Engine, job: Job | None) -> Report:
        from adctl.cli.wiring import armed_for
        from adctl.commands.resume import run

        if everyone and account is not None:
            raise UsageError("which accounts is not clear", fix="give --all or --account, not both")
        return run(engine, job.profile if job else None, armed_for=armed_for(job.account) if job else None)

    _switch(Invocation(command="resume", as_json=as_json, config=config), account, work, everyone=everyone)


def _switch(
    invocation: Invocation, account: str | None, work: Callable[[Engine, Job | None], Report], *, everyone: bool
) -> None:
    """Works on one account, or (None) on every one: then nobody needs to say which."""

    def on_all(settings: Settings) -> Report:
        with database(settings) as engine:
            refuse_pending(engine)
            return work(engine, None)

    if everyone:
        perform(invocation, on_all)
    perform_reading(invocation, account, lambda job: work(job.engine, job))


def doctor(account: Account = None, as_json: Json = False, config: Config = None) -> None:
    """Check all that a run needs, one line a check with its fix. Exit code 0: all well, 1: warnings, 2: critical."""
    invocation = Invocation(command="doctor", as_json=as_json, config=config)

    def work() -> Report:
        from adctl.cli.checkup import examine

        return examine(invocation, account)

    perform_alone(invocation, work)


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.", metavar="FILE")] = Path("adctl.toml"),
    as_json: Json = False,
) -> None:
    """Write a settings file with every key explained. One that is there already is never touched."""

    def work() -> Report:
        from adctl.commands.init import run
        from adctl.settings import commented_example

        return run(file, commented_example())

    perform_alone(Invocation(command="init", as_json=as_json), work)


def config(as_json: Json = False, config: Config = None) -> None:
    """Print every setting and where it came from. Secrets are masked."""
    perform(Invocation(command="config", as_json=as_json, config=config), _effective)


def _effective(settings: Settings) -> Report:
    from adctl.domain.report import Column, Report, Table
    from adctl.settings import effective

    rows = effective(settings)
    given = sum(origin != "default" for _, _, origin in rows)
    file = str(settings.config_file.absolute()) if settings.config_file else "no settings file"
    return Report(
        command="config",
        summary=f"{len(rows)} settings, of them given: {given}; {file}.",
        tables=(
            Table(
                key="settings",
                title="Settings",
                columns=(
                    Column(key="key", label="setting"),
                    Column(key="value", label="value"),
                    Column(key="origin", label="from"),
                ),
                rows=tuple({"key": key, "value": value, "origin": origin} for key, value, origin in rows),
            ),
        ),
        notes=("`policy` is an account's first champion; from then on adctl models says who decides.",),
    )
