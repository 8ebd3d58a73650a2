"""`adctl sandbox`: stand-ins of both vendors in the foreground, with the lines that point adctl at them."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation
from adctl.cli.options import Json, day, examples
from adctl.cli.showing import show_error

if TYPE_CHECKING:
    from adctl.sandbox import Sandbox

_ACCOUNT = "sandbox"
_Port = Annotated[int, typer.Option(min=0, max=65535, help="A port of 127.0.0.1; 0 takes a free one.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "sandbox",
        epilog=examples(
            "adctl sandbox",
            "adctl sandbox --seed 7 --meta-port 8001 --hubspot-port 8002",
            "curl -X POST localhost:8001/_sandbox/advance -H 'Content-Type: application/json' -d '{\"days\": 1}'",
        ),
    )(sandbox)


def sandbox(
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same world.")] = 1,
    start: Annotated[
        date | None,
        typer.Option("--start", parser=day, help="The world's day, instead of today.", metavar="YYYY-MM-DD"),
    ] = None,
    meta_port: _Port = 0,
    hubspot_port: _Port = 0,
    as_json: Json = False,
) -> None:
    """Serve stand-ins of Meta and HubSpot until Ctrl-C.

    They show one simulated world; what is printed points adctl at them.

    Its clock stands still. Each server is steered by JSON below /_sandbox/, without a token:

    POST advance {"days": 1} or {"to": "2026-03-03T06:00:00+00:00"} moves the clock of both.

    POST faults {"kind": "rate_limited", "path": "/search$", "times": 2, "skip": 1, "retry_after": 3} arms a fault for
    the requests whose "method", "path" and "content" match; "times": null means always, "apply": true lets a write
    happen first. GET kinds lists the kinds, GET faults what struck how often, DELETE faults disarms them.

    POST edit {"id": "…", "status": "PAUSED"}, {"restate": "…", "day": "2026-03-01", "clicks": 5} (Meta) or
    {"id": "…", "properties": {…}}, {"archive": "…"}, {"erase": "…"}, {"merge": "…", "into": "…"}, {"add_deals": 3}
    (HubSpot) is a person at work, or the vendor.

    GET log tells every request with its cost in rate-limit points, GET truth what is true of the simulated ads.
    """
    from adctl.errors import UsageError
    from adctl.sandbox import Sandbox

    first = start or datetime.now(UTC).date()  # noqa: TID251 - stands in for vendors, whose day is not the database's
    # Before anything is printed: whoever reads the lines may end this process at once.
    told_to_end = _told_to_end()
    try:
        running = Sandbox.start(seed=seed, start=first, meta_port=meta_port, hubspot_port=hubspot_port)
    except OSError as error:
        refusal = UsageError(f"cannot listen on 127.0.0.1: {error.strerror}", fix="choose other ports, or 0")
        raise typer.Exit(show_error(Invocation(command="sandbox", as_json=as_json), refusal)) from error
    with running:
        _announce(running, as_json=as_json)
        os.read(told_to_end, 1)


def _told_to_end() -> int:
    """What can be read from once SIGINT or SIGTERM has come. Of a wait for anything else the end could be missed: a
    handler may run just before that wait begins."""
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return told


def _announce(running: Sandbox, *, as_json: bool) -> None:
    from adctl import render
    from adctl.domain.report import Fact, Report

    known = {
        "meta_base_url": running.meta_url,
        "meta_token": running.meta_token,
        "hubspot_base_url": running.hubspot_url,
        "hubspot_token": running.hubspot_token,
    }
    if as_json:
        ids = {"meta_ad_account": running.meta_account_id, "hubspot_portal": running.hubspot_portal}
        facts = tuple(Fact(key=key, label=key, value=value) for key, value in {**known, **ids}.items())
        report = Report(command="sandbox", summary="Serving.", facts=facts)
        render.render(report, stream=sys.stdout, as_json=True)
    else:
        render.write(sys.stdout, _lines(running, known))
    sys.stdout.flush()


def _lines(running: Sandbox, known: dict[str, str]) -> str:
    from adctl.sandbox.account_table import account_table

    options = running.world.options
    return "\n".join(
        [
            f"# Stand-ins of Meta and HubSpot: seed {options.seed}, {options.start}. Ctrl-C ends them.",
            f"# Meta:    {running.meta_url}, ad account {running.meta_account_id}",
            f"# HubSpot: {running.hubspot_url}, portal {running.hubspot_portal}",
            "",
            "# For a shell:",
            *(f"export ADCTL_{key.upper()}={value}" for key, value in known.items()),
            "",
            "# For adctl.toml:",
            account_table(running.world, _ACCOUNT),
        ]
    )
