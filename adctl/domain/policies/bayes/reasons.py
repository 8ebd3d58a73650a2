"""The sentence behind each verdict, citing the number that decided."""

from __future__ import annotations

from adctl.domain.money import show
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.protocol import AdHistory, Evidence, Verdict

_HOURS_PER_DAY = 24.0


def reason(
    history: AdHistory, parameters: BayesParameters, evidence: Evidence, ad: int, verdict: Verdict, change: int
) -> str:
    """`change`: what the ad's budget is to rise by, minor units, of which a verdict that lets it go on says nothing."""
    if not history.active[ad]:
        return "not active"
    if too_early := _zone(history, parameters, evidence, ad):
        return too_early + _money(evidence, change)
    said = f"ROAS {_number(evidence, 'roas'):.2f} ({_number(evidence, 'roas_low'):.2f} to "
    said += f"{_number(evidence, 'roas_high'):.2f})"
    kill, scale = _number(evidence, "p_below_kill"), _number(evidence, "p_above_scale")
    match verdict:
        case Verdict.KILL:
            return f"P(ROAS < {parameters.kill_roas:g} on any budget) = {kill:.3f}; {said}"
        case Verdict.SCALE:
            return f"P(ROAS > {parameters.scale_roas:g}) = {scale:.3f} and its budget binds; {said}"
        case Verdict.CUT:
            return f"{_cut(parameters, evidence)}; {said}"
        case Verdict.WAIT:
            costs, buys = (show(round(_number(evidence, f"waiting_{w}")), history.currency) for w in ("costs", "buys"))
            return (
                f"waiting {parameters.cycle_days:g} d costs {costs} and buys {buys}; {said}{_money(evidence, change)}"
            )
        case Verdict.KEEP:
            return f"P(ROAS < {parameters.kill_roas:g} on any budget) = {kill:.3f}; {said}{_money(evidence, change)}"


def _money(evidence: Evidence, change: int) -> str:
    """Why an ad that goes on gets other money than before."""
    if not change:
        return ""
    more, where = ("more", "here") if change > 0 else ("less", "elsewhere")
    if not _number(evidence, "marginal_roas"):
        return f"; {more} money, as the caps leave it"
    return f"; {more} money: P(it earns more {where}) = {_number(evidence, 'p_moves_right'):.3f}"


def _cut(parameters: BayesParameters, evidence: Evidence) -> str:
    said = f"P(its money earns more elsewhere) = {_number(evidence, 'p_moves_right'):.3f}"
    if evidence.get("shares_its_budget"):
        return f"{said}, and its budget feeds other ads"
    return f"{said}, and it has spent no more than {parameters.platform_minimum:g} a day for {parameters.cut_days} days"


def _zone(history: AdHistory, parameters: BayesParameters, evidence: Evidence, ad: int) -> str:
    days = float(history.age_hours[ad]) / _HOURS_PER_DAY
    if not days >= parameters.min_age:
        return f"age {days:.2f} d is below {parameters.min_age:g} d: too early to judge"
    spend = round(_number(evidence, "spend"))
    if spend < parameters.min_spend * history.minor_per_major:
        return f"{show(spend, history.currency)} spent is below {parameters.min_spend:g}: too early to judge"
    return ""


def _number(evidence: Evidence, key: str) -> float:
    value = evidence.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0
