"""Who takes part in a comparison: the registered policies and the baselines, by name with parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adctl.domain.policies.catalogue import MakePolicy, is_path, make_policy, parameter, policy_names
from adctl.domain.policies.protocol import Policy
from adctl.domain.policies.rules import RulesPolicy
from adctl.domain.simulation.baselines import EqualSplit, LeadThompson, WindowedBlended
from adctl.errors import ConfigurationError

_BASELINES: Mapping[str, Callable[[], Policy]] = {
    "equal": EqualSplit,
    "rules-roas": lambda: RulesPolicy(mode="roas", window_days=14, min_spend=200.0),
    "lead-thompson": LeadThompson,
    "blended-best": WindowedBlended,
}


def contender_names() -> tuple[str, ...]:
    return (*policy_names(), *_BASELINES)


def contender(spec: str, make: MakePolicy = make_policy) -> Policy:
    """The contender of a spec: a name, or the import path of a brought policy, and after another colon parameters:
    `rules:mode=roas,window_days=14`, `my_policies:CheapClicks:least_spend=50`.

    Raises ConfigurationError for an unknown name or parameter, and for a value that makes no sense.
    """
    name, _, listed = spec.partition(":")
    if name in _BASELINES:
        if listed:
            raise ConfigurationError(f"policy {name!r}: takes no parameters", fix="write the name alone")
        return _BASELINES[name]()
    made, _, more = listed.partition(":")
    if name not in policy_names() and is_path(f"{name}:{made}"):
        name, listed = f"{name}:{made}", more
    elif name not in policy_names():
        raise ConfigurationError(f"policy {name!r}: unknown", fix=f"use one of {', '.join(contender_names())}")
    return make(name, dict(parameter(part) for part in listed.split(",") if part))
