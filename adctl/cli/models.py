"""The commands about models: list, register, evaluate, promote, roll back, retire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Horizon, Json, Maturity, Verbose, examples
from adctl.cli.running import as_asked, perform_job, perform_reading

if TYPE_CHECKING:
    from adctl.domain.policies.catalogue import MakePolicy
    from adctl.domain.policies.protocol import Policy
    from adctl.domain.report import Report

app = typer.Typer(
    name="models",
    help="Who decides: one champion, and challengers in its shadow. adctl.toml's policy is the first "
    "champion; from then on the registry says who it is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="The model, from `adctl models list`.", metavar="NAME")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.", metavar="TEXT")]


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app)


@app.command("list", epilog=examples("adctl models list", "adctl models list --json"))
def list_models(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """List the champion, the challengers and the retired models. Their parameters stand beside them."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policies_of
        from adctl.commands.models import listing

        return listing(job.engine, job.profile, _configured(job, policies_of(job.account)))

    perform_reading(Invocation(command="models list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command(
    "register",
    epilog=examples(
        "adctl models register --policy bayes --param kill_roas=0.4 --name cautious",
        "adctl models register --policy rules --param mode=roas --dry-run",
        "adctl models register --policy my_policies:CheapClicks --param least_spend=50",
        "adctl models register   # what adctl.toml configures now",
    ),
)
def register_model(
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="The policy, or your own as module:Class; adctl.toml's when not given.", metavar="POLICY"
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter, repeatable.", metavar="KEY=VALUE")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it, instead of the policy and a hash.", metavar="NAME")
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Register a challenger. It decides in shadow on every run, and nothing of it is ever queued."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policies_of
        from adctl.commands.models import register as run

        make = policies_of(job.account)
        configured = _configured(job, make)
        wanted = _wanted(job, policy, parameters or [], make)
        return run(job.engine, job.profile, wanted, configured, name=name, run_id=job.run_id, dry_run=job.dry_run)

    perform_job(_invocation("models register", as_json, config, verbose, dry_run), account, work)


@app.command("evaluate", epilog=examples("adctl models evaluate", "adctl models evaluate --maturity 45 --json"))
def evaluate_models(
    horizon: Horizon = 7,
    maturity: Maturity = 28,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Score the challengers against the champion. What the money after each decision has brought by now counts."""

    def work(job: Job) -> Report:
        from adctl.commands.models_evaluate import evaluate
        from adctl.domain.outcomes import Window

        return evaluate(job.engine, job.profile, Window(horizon=horizon, maturity=maturity))

    invocation = Invocation(command="models evaluate", as_json=as_json, config=config, verbose=verbose)
    perform_reading(invocation, account, work)


@app.command(
    "promote",
    epilog=examples(
        "adctl models promote cautious --dry-run",
        "adctl models promote cautious",
        "adctl models promote cautious --force --reason 'agreed with sales'",
    ),
)
def promote_model(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Without the margin; needs --reason.")] = False,
    reason: Reason = "",
    horizon: Horizon = 7,
    maturity: Maturity = 28,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Make a challenger the champion. That takes a lead whose interval excludes 0, or --force."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policies_of
        from adctl.commands.models_evaluate import promote
        from adctl.domain.outcomes import Window

        return promote(
            job.engine,
            job.profile,
            name,
            Window(horizon=horizon, maturity=maturity),
            force=force,
            reason=reason,
            run_id=job.run_id,
            dry_run=job.dry_run,
            make=policies_of(job.account),
        )

    perform_job(_invocation("models promote", as_json, config, verbose, dry_run), account, work)


@app.command("retire", epilog=examples("adctl models retire cautious"))
def retire_model(
    name: Name,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """End a challenger; what it decided stays."""

    def work(job: Job) -> Report:
        from adctl.commands.models import retire

        return retire(job.engine, job.profile, name, run_id=job.run_id, dry_run=job.dry_run)

    perform_job(_invocation("models retire", as_json, config, verbose, dry_run), account, work)


@app.command("rollback", epilog=examples("adctl models rollback --reason 'it paused the best ad'"))
def rollback_model(
    reason: Reason,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Make the champion before the present one champion again."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policies_of
        from adctl.commands.models import rollback

        return rollback(
            job.engine,
            job.profile,
            reason=reason,
            run_id=job.run_id,
            dry_run=job.dry_run,
            make=policies_of(job.account),
        )

    perform_job(_invocation("models rollback", as_json, config, verbose, dry_run), account, work)


def _invocation(command: str, as_json: bool, config: Path | None, verbose: int, dry_run: bool) -> Invocation:
    return Invocation(command=command, as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)


def _configured(job: Job, make: MakePolicy) -> Policy:
    from adctl.cli.wiring import policy_of

    return policy_of(job.account, make)


def _wanted(job: Job, policy: str | None, parameters: list[str], make: MakePolicy) -> Policy:
    """The policy that is meant: the configured one, with parameters of its own over the configured ones."""
    from adctl.domain.policies.catalogue import parameter

    with as_asked():
        given = dict(parameter(part) for part in parameters)
        if policy is None:
            return make(job.account.policy, {**job.account.policy_parameters, **given})
        return make(policy, given)
