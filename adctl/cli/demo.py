"""`adctl demo`: the whole loop on an embedded PostgreSQL and a simulated world, nothing else needed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli import steps
from adctl.cli.job import Invocation
from adctl.cli.options import Json, examples
from adctl.cli.running import database, perform_alone, run_job
from adctl.cli.showing import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine

    from adctl.cli.job import Job
    from adctl.commands.demo import Truth
    from adctl.domain.report import Report
    from adctl.sandbox import Sandbox, World
    from adctl.settings import Settings

_START = date(2026, 3, 2)
_ACCOUNT = "demo"
_HOUR_OF_DAY = 6


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo", epilog=examples("adctl demo", "adctl demo --seed 7 --days 10", "adctl demo --keep ./demo"))(
        demo
    )


def demo(
    seed: Annotated[int, typer.Option("--seed", min=0, help="The simulated world; the same seed, the same run.")] = 1,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How many simulated days to run.")] = 5,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Keep database and adctl.toml in this new folder, to look around.", metavar="DIR"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the whole loop for some simulated days. Real HTTP, real SDKs, an embedded PostgreSQL, no account needed."""
    perform_alone(Invocation(command="demo", as_json=as_json), lambda: _run(seed, days, keep))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Theatre:
    sandbox: Sandbox
    engine: Engine

    def advance_to(self, to: datetime) -> None:
        from adctl.adapters.db import transaction
        from adctl.adapters.store import accounts

        self.sandbox.advance_to(to)
        with transaction(self.engine) as connection:
            accounts.simulate(connection, to)

    def truth(self) -> Truth:
        return _truth(self.sandbox.world)

    def untouched(self) -> Truth:
        from adctl.sandbox import World

        options = self.sandbox.world.options
        alone = World.generate(**asdict(options))
        alone.advance_to(self.sandbox.world.now)
        return _truth(alone)


def _truth(world: World) -> Truth:
    from adctl.commands.demo import Truth
    from adctl.domain.money import offset

    ads = world.truth()
    scale = offset(world.options.currency)
    return Truth(
        spend=round(sum(ad.daily_spend for ad in ads) * scale),
        value=round(sum(ad.daily_spend * ad.roas for ad in ads) * scale),
    )


def _run(seed: int, days: int, keep: Path | None) -> Report:
    from adctl.adapters import migrations
    from adctl.commands import demo as command
    from adctl.sandbox import Sandbox

    with ExitStack() as stack:
        step = stack.enter_context(progress())
        step("the stand-in vendors")
        sandbox = stack.enter_context(Sandbox.start(seed=seed, start=_START))
        settings = _configure(sandbox, _folder(keep, stack))
        step("the embedded PostgreSQL")
        engine = stack.enter_context(database(settings))
        migrations.migrate(engine, migrations.available())
        theatre = _Theatre(sandbox=sandbox, engine=engine)
        midnight = sandbox.world.now
        mornings = [midnight + timedelta(days=day, hours=_HOUR_OF_DAY) for day in range(days)]
        loop = {name: _job(settings, name, work) for name, work in _LOOP.items()}
        return command.run(theatre, loop, mornings, seed=seed, progress=step)


_LOOP: Mapping[str, Callable[[Job], Report]] = {
    "sync-meta": steps.sync_meta,
    "sync-hubspot": steps.sync_hubspot,
    "ingest-crm": steps.ingest_crm,
    "decide": steps.decide,
    "enqueue": steps.enqueue,
    "execute": steps.execute,
    "index-winners": steps.index_winners,
}


def _job(settings: Settings, name: str, work: Callable[[Job], Report]) -> Callable[[], Report]:
    return lambda: run_job(Invocation(command=name), settings, _ACCOUNT, work)


def _folder(keep: Path | None, stack: ExitStack) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adctl-demo-")))
    from adctl.errors import UsageError

    if keep.exists():
        raise UsageError(f"{keep} exists already", fix="name a new folder")
    keep.mkdir(parents=True)
    return keep.resolve()


def _configure(sandbox: Sandbox, folder: Path) -> Settings:
    """Configuration as a user writes it: a file, tokens in the environment, base URLs that lead to the stand-ins."""
    from adctl import redaction
    from adctl.sandbox.account_table import account_table
    from adctl.settings import load

    file = folder / "adctl.toml"
    file.write_text(f'data_dir = "{folder}"\n\n{account_table(sandbox.world, _ACCOUNT)}')
    settings = load(
        environ={
            "ADCTL_META_TOKEN": sandbox.meta_token,
            "ADCTL_HUBSPOT_TOKEN": sandbox.hubspot_token,
            "ADCTL_META_BASE_URL": sandbox.meta_url,
            "ADCTL_HUBSPOT_BASE_URL": sandbox.hubspot_url,
        },
        flags={"config": file},
    )
    redaction.know(settings.secrets())
    return settings
