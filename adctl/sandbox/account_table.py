"""The sandbox's account as a table of adctl.toml, so that it is configured as any other."""

from __future__ import annotations

from adctl.sandbox.crm import Pipeline
from adctl.sandbox.world import World

# Of the deals that HubSpot's own probability calls won, so many are; a stage is worth its probability of a mean deal.
_REALISED = 0.6


def account_table(world: World, name: str) -> str:
    """The `[accounts.NAME]` tables: ids, currency, time zone, stage values, and limits that let a demo move."""
    account = world.tree.account
    lines = [
        f"[accounts.{name}]",
        f'meta_ad_account = "{account.node_id}"',
        f'hubspot_portal = "{world.portal.id}"',
        f'currency = "{world.options.currency}"',
        f'timezone = "{world.options.timezone}"',
        "",
        f"[accounts.{name}.limits]",
        'cap_increase_per_24h = "300.00"',
        "jitter_ms = [0, 0]",
    ]
    for pipeline in world.portal.pipelines:
        lines += ["", f'[accounts.{name}.stages."{pipeline.id}"]', *_stages(pipeline, world.options.deal_value)]
    return "\n".join(lines) + "\n"


def _stages(pipeline: Pipeline, deal_value: float) -> list[str]:
    return [
        f'"{stage.id}" = {{ value = "{value:.2f}", confidence = {stage.probability}, outcome = "{outcome}" }}'
        for stage in pipeline.stages
        for outcome, value in [_worth(float(stage.probability), deal_value, closed=stage.closed)]
    ]


def _worth(probability: float, deal_value: float, *, closed: bool) -> tuple[str, float]:
    if closed:
        return ("won", deal_value) if probability else ("lost", 0.0)
    return "open", probability * deal_value * _REALISED
