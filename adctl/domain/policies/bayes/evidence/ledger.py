"""The additive ledger of an ad: terms whose sum is the log of its ROAS, each with what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adctl.domain.counted import counted
from adctl.domain.money import show
from adctl.domain.policies.bayes.terms import Terms
from adctl.domain.policies.protocol import Evidence, Fact, Floats

_PREFIX = "log_"
_LABELS = {
    "account": "leads per unit of money, the account's usual",
    "campaign": "the campaign beside the account",
    "clicks": "clicks for the money, times what clicks are worth here",
    "own_leads": "the ad's own leads",
    "neighbours": "what similar, older ads of other campaigns brought",
    "value": "value of a won deal",
    "wear": "wear by what was spent",
    "saturation": "saturation at today's budget",
}
_STEP = "step_"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One term. The log values of an ad's lines sum to the log of its median ROAS; `factor` is exp(`log_value`)."""

    label: str
    log_value: float
    factor: float
    evidence: str


def ledger_columns(terms: Terms, steps: Sequence[str], *, with_kin: bool = False) -> dict[str, Floats | float]:
    """The terms of all ads as evidence columns; together they sum to log `roas`."""
    columns: dict[str, Floats | float] = {
        "account": terms.account,
        "campaign": terms.campaign,
        "clicks": terms.clicks,
        "own_leads": terms.own,
    }
    if with_kin:
        columns["neighbours"] = terms.neighbours
    for place, step in enumerate(steps):
        columns[_STEP + step] = terms.steps[:, place]
    columns |= {"value": terms.value, "wear": terms.wear, "saturation": terms.posterior.saturation}
    return {_PREFIX + key: column for key, column in columns.items()}


def ledger(evidence: Evidence, currency: str) -> tuple[LedgerLine, ...]:
    """The lines of one ad's evidence, as it was decided or as it was stored; none for another policy's evidence. Money
    is in `currency`."""
    return tuple(
        LedgerLine(
            label=_label(key), log_value=float(value), factor=math.exp(value), evidence=_said(key, evidence, currency)
        )
        for key, value in evidence.items()
        if key.startswith(_PREFIX) and isinstance(value, int | float)
    )


def _label(key: str) -> str:
    name = key.removeprefix(_PREFIX)
    return f"P(on to {name.removeprefix(_STEP)})" if name.startswith(_STEP) else _LABELS.get(name, name)


def _said(key: str, evidence: Evidence, currency: str) -> str:
    name = key.removeprefix(_PREFIX)
    if name.startswith(_STEP):
        step = name.removeprefix(_STEP)
        came, passed, waiting = (evidence.get(f"{word}_{step}") for word in ("came", "passed", "waiting"))
        return f"{passed} of {_counted(came, 'deal')} passed, {waiting} still open"
    match name:
        case "own_leads":
            return _against(evidence.get("deals"), evidence.get("leads_usual"))
        case "neighbours":
            return _against(evidence.get("kin_leads"), evidence.get("kin_usual"))
        case "clicks":
            return f"{_counted(evidence.get('clicks'), 'click')}, elasticity {_brief(evidence.get('elasticity'))}"
        case "value":
            return f"{_counted(evidence.get('won_deals'), 'won deal')} of its own"
        case "wear":
            return f"{_money(evidence.get('spend'), currency)} spent"
        case "saturation":
            return f"{_money(evidence.get('share'), currency)} a day"
        case _:
            return "all ads of the account" if name == "account" else "all ads of the campaign"


def _brief(value: Fact) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _against(leads: Fact, usual: Fact) -> str:
    return f"{_counted(leads, 'lead')} where {_brief(usual)} would be usual"


def _counted(number: Fact, thing: str) -> str:
    return counted(number, thing) if isinstance(number, int) else f"{_brief(number)} {thing}s"


def _money(amount: Fact, currency: str) -> str:
    return show(amount, currency) if isinstance(amount, int) else "nothing"
