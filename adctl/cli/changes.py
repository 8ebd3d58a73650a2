"""The commands about changes in the queue: list, show, approve, cancel, resolve, undo."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import perform_job, perform_reading
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.commands.changes import Survey
    from adctl.domain.report import Report

app = typer.Typer(
    name="changes",
    help="The queue in people's hands: list, approve, cancel, settle.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Ids = Annotated[list[str] | None, typer.Argument(help="Changes by id, or by its first characters.", metavar="CHANGE")]
Change = Annotated[str, typer.Argument(help="The change by id, or by its first characters.", metavar="CHANGE")]
By = Annotated[str | None, typer.Option("--by", help="Who says so; else the login name.", metavar="NAME")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="With --all: go on without asking.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the audit.")]


class Listed(StrEnum):
    """What `changes list` may be narrowed to."""

    PROPOSED = "proposed"
    PENDING = "pending"
    CLAIMED = "claimed"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Settled(StrEnum):
    """How a conflict may end."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"


def register(parent: typer.Typer) -> None:
    """Adds the group, and `undo` beside it."""
    parent.add_typer(app)
    parent.command("undo", epilog=examples("adctl undo 3f2a9c1e --dry-run", "adctl undo --run 6d0c…"))(undo)


@app.command("list", epilog=examples("adctl changes list", "adctl changes list --state conflict --state unknown"))
def list_changes(
    state: Annotated[list[Listed] | None, typer.Option("--state", help="Only these; else all that are open.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="At most so many, the newest.")] = 100,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """List changes, the open ones unless --state says otherwise."""

    def work(job: Job) -> Report:
        from adctl.commands.changes import OPEN, listed
        from adctl.domain.changes import State

        return listed(job.engine, job.profile, [State(one) for one in state or OPEN], most=most)

    perform_reading(Invocation(command="changes list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("show", epilog=examples("adctl changes show 3f2a9c1e", "adctl changes show 3f2a9c1e --json"))
def show(
    change: Change, account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0
) -> None:
    """Show one change whole. That is what was wanted, what clipped it, every attempt and every move."""

    def work(job: Job) -> Report:
        from adctl.commands.changes import shown

        return shown(job.engine, job.profile, change)

    perform_reading(Invocation(command="changes show", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command(
    "approve",
    epilog=examples("adctl changes approve 3f2a9c1e", "adctl changes approve --all --yes --by ann"),
)
def approve(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are proposed; asks before.")] = False,
    yes: Yes = False,
    by: By = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Let proposed changes be sent. Who approved them and when is recorded."""

    def work(job: Job, chosen: Sequence[str] | Survey) -> Report:
        from adctl.commands.changes import approve as run

        return run(job.engine, job.profile, chosen, by=_who(by), dry_run=job.dry_run)

    invocation = Invocation(command="changes approve", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)
    _perform_many(invocation, account, work, ids, "proposed" if everything else None, yes=yes)


@app.command(
    "cancel",
    epilog=examples(
        "adctl changes cancel 3f2a9c1e --reason 'the offer ended'",
        "adctl changes cancel --all --reason 'the offer ended'",
    ),
)
def cancel(
    reason: Reason,
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are pending; asks before.")] = False,
    yes: Yes = False,
    by: By = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """End changes that no worker holds; what Meta holds stays as it is."""

    def work(job: Job, chosen: Sequence[str] | Survey) -> Report:
        from adctl.commands.changes import cancel as run

        return run(job.engine, job.profile, chosen, by=_who(by), reason=_why(reason), dry_run=job.dry_run)

    invocation = Invocation(command="changes cancel", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)
    _perform_many(invocation, account, work, ids, "pending" if everything else None, yes=yes)


def _perform_many(
    invocation: Invocation,
    account: str | None,
    work: Callable[[Job, Sequence[str] | Survey], Report],
    ids: list[str] | None,
    state: str | None,
    *,
    yes: bool,
) -> NoReturn:
    """Moves the changes that are named, or those in one state: just those that were counted when it asked."""
    found: list[Survey] = []

    def ask(job: Job) -> None:
        from adctl.commands.changes import survey
        from adctl.domain.changes import State

        if bool(ids) == (state is not None):
            raise UsageError("which changes is not clear", fix="name their ids, or give --all")
        if state is not None:
            found.append(survey(job.engine, job.profile, State(state)))
            if found[0].records and not (yes or invocation.dry_run):
                _confirm(f"{invocation.command}: {found[0].said(job.profile.currency)}")

    perform_job(invocation, account, lambda job: work(job, found[0] if found else ids or []), ask=ask)


def _confirm(told: str) -> None:
    """Raises UsageError unless a person says yes; where nobody can be asked, that has to be said beforehand."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(told, fix="give --yes to go on, or --dry-run to look")
    sys.stderr.write(f"{told}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed: nothing was changed")


@app.command(
    "resolve",
    epilog=examples(
        "adctl changes resolve 3f2a9c1e --as cancelled --reason 'the new value is right'",
        "adctl changes resolve 3f2a9c1e --as completed --reason 'set by hand'",
    ),
)
def resolve(
    change: Change,
    reason: Reason,
    to: Annotated[Settled, typer.Option("--as", help="completed only when Meta, read now, holds the target.")],
    by: By = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Settle a conflict after a look at Meta."""

    def work(job: Job) -> Report:
        from adctl.cli.vendors import meta
        from adctl.commands.changes import resolve as run
        from adctl.domain.changes import State

        with meta(job) as platform:
            return run(
                job.engine,
                job.profile,
                platform,
                change,
                State(to),
                by=_who(by),
                reason=_why(reason),
                dry_run=job.dry_run,
            )

    perform_job(
        Invocation(command="changes resolve", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def undo(
    change: Annotated[
        str | None, typer.Argument(help="The change by id, or by its first characters.", metavar="CHANGE")
    ] = None,
    of_run: Annotated[
        UUID | None, typer.Option("--run", help="All changes that this run queued or sent.", metavar="RUN")
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Queue the opposite of what was sent. Only where Meta still holds just that; execute carries it out."""

    def work(job: Job) -> Report:
        from adctl.cli.vendors import meta
        from adctl.cli.wiring import approval_of, plan_limits
        from adctl.commands.undo import run

        if (change is None) == (of_run is None):
            raise UsageError("what to take back is not clear", fix="name a change, or give --run")
        with meta(job) as platform:
            return run(
                job.engine,
                job.profile,
                platform,
                plan_limits(job),
                run_id=job.run_id,
                change=change,
                of_run=of_run,
                approval=approval_of(job.account),
                expire=timedelta(hours=job.account.limits.expire_hours),
                dry_run=job.dry_run,
            )

    perform_job(
        Invocation(command="undo", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def login_name() -> str:
    """Who runs this process, by the system's own book; the number of a user it does not list."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _who(by: str | None) -> str:
    if by is not None and not by.strip():
        raise UsageError("--by names nobody", fix="name who says so, or leave it out")
    return by or login_name()


def _why(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason says nothing", fix="say why; it stays in the audit")
    return reason
