"""All policies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.protocol import Policy
from adctl.domain.policies.rules import RulesPolicy
from adctl.errors import ConfigurationError

Parameter = int | float | str | bool

_POLICIES: Mapping[str, Callable[..., Policy]] = {
    "bayes": BayesPolicy,
    "blended": BlendedPolicy,
    "rules": RulesPolicy,
}


def policy_names() -> tuple[str, ...]:
    return tuple(sorted(_POLICIES))


def make_policy(name: str, parameters: Mapping[str, Parameter]) -> Policy:
    """The policy with its defaults and, over them, `parameters`.

    Raises ConfigurationError for an unknown policy, an unknown parameter, or a value the policy refuses.
    """
    make = _POLICIES.get(name)
    if make is None:
        raise ConfigurationError(f"policy {name!r}: unknown", fix=f"use one of {', '.join(policy_names())}")
    defaults = make().parameters
    if unknown := sorted(set(parameters) - set(defaults)):
        raise ConfigurationError(
            f"policy {name}: unknown parameter {unknown[0]!r}", fix=f"known are {', '.join(sorted(defaults))}"
        )
    return make(**{key: _as_written(value, defaults[key]) for key, value in parameters.items()})


def _as_written(value: Parameter, default: Parameter) -> Parameter:
    """3 for 3.0, so that one configuration has one parameter hash however its numbers are written."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    return value


def parameter(text: str) -> tuple[str, Parameter]:
    """`key=value` as a person types it: a whole number, a number, true, false, or else a word."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"parameter {text!r}: no key=value", fix="write key=value, as in kill_roas=0.4")
    return key.strip(), _value(value.strip())


def _value(text: str) -> Parameter:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
