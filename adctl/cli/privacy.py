"""The commands that let personal data go: purge, forget."""

from __future__ import annotations

import sys
from datetime import timedelta
from getpass import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import perform_job
from adctl.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from adctl.domain.privacy import PrivacyKeys
    from adctl.domain.report import Report

_LONGEST_LINE = 1024


def register(parent: typer.Typer) -> None:
    """Adds the commands."""
    parent.command("purge", epilog=examples("adctl purge --dry-run", "adctl purge"))(purge)
    parent.command("forget", epilog=examples("adctl forget < address.txt", "adctl forget --email -"))(forget)


def privacy_of(job: Job) -> PrivacyKeys | None:
    """The keys that personal data is hashed with, None when there is none. Raises ConfigurationError for a weak one."""
    from adctl.domain.privacy import privacy_keys

    current = job.account.privacy_key or job.settings.privacy_key
    previous = job.account.privacy_key_previous or job.settings.privacy_key_previous
    return privacy_keys(current.reveal(), previous.reveal() if previous else None) if current else None


def purge(
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Delete clicks, keys and rejected rows past their time. See retention in adctl.toml."""

    def work(job: Job) -> Report:
        from adctl.commands.purge import run

        kept = job.account.retention
        window = timedelta(days=job.account.attribution_window_days)
        return run(
            job.engine,
            job.profile,
            clicks=window + timedelta(days=kept.click_days),
            rejects=timedelta(days=kept.reject_days),
            dry_run=job.dry_run,
        )

    perform_job(
        Invocation(command="purge", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def forget(
    email: Annotated[str, typer.Option("--email", help="- for standard input; never the address.", metavar="-")] = "-",
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Erase what belongs to an e-mail address. It is read from standard input or asked for, and never an argument."""

    def work(job: Job) -> Report:
        from adctl.commands.forget import run

        keys = privacy_of(job)
        if keys is None:
            raise ConfigurationError(
                "privacy_key: not set, so no address was ever kept, not even as a hash",
                fix="set ADCTL_PRIVACY_KEY to the key that the files were taken in with",
            )
        return run(job.engine, job.profile, _address(email), keys)

    perform_job(Invocation(command="forget", as_json=as_json, config=config, verbose=verbose), account, work)


def _address(option: str) -> str:
    if option != "-":
        what = "--email: an address on the command line is visible to every user of this host"
        raise UsageError(what, fix="give it on standard input: adctl forget < file")
    if sys.stdin.isatty():
        return getpass("E-mail address (not shown): ")
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    return line.decode("utf-8", "replace").strip()
