"""All policies by name: the project's own, and those that people bring as "module:Class"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.brought import brought_policy
from adctl.domain.policies.protocol import Policy
from adctl.domain.policies.rules import RulesPolicy
from adctl.errors import ConfigurationError

Parameter = int | float | str | bool
# A policy by its name and its parameters, as `make_policy` makes it.
MakePolicy = Callable[[str, Mapping[str, Parameter]], Policy]

_POLICIES: Mapping[str, Callable[..., Policy]] = {
    "bayes": BayesPolicy,
    "blended": BlendedPolicy,
    "rules": RulesPolicy,
}


# The least and the most that a number may be, but for 0.
_LEAST, _MOST = 1e-9, 1e9
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z]\w*", re.ASCII)


def policy_names() -> tuple[str, ...]:
    return tuple(sorted(_POLICIES))


def make_policy(name: str, parameters: Mapping[str, Parameter]) -> Policy:
    """The policy with its defaults and, over them, `parameters`.

    Raises ConfigurationError for an unknown policy, an unknown parameter, or a value the policy refuses.
    """
    make = _maker(name)
    defaults = make().parameters
    if unknown := sorted(set(parameters) - set(defaults)):
        raise ConfigurationError(
            f"policy {name}: unknown parameter {unknown[0]!r}", fix=f"known are {', '.join(sorted(defaults))}"
        )
    written = {key: _as_written(value, defaults[key]) for key, value in parameters.items()}
    if not is_path(name):
        _refuse_odd(name, written, defaults)
    return make(**written)


def _refuse_odd(name: str, parameters: Mapping[str, Parameter], defaults: Mapping[str, Parameter]) -> None:
    """What is counted is whole, and no number so large or small that arithmetic on money breaks; a policy that somebody
    brought says itself what it takes."""
    for key, value in parameters.items():
        if type(defaults[key]) is int and type(value) is float:
            raise ConfigurationError(f"policy {name}: {key} is {value!r}", fix="give a whole number")
        if isinstance(value, int | float) and value and not _LEAST <= abs(value) <= _MOST:
            raise ConfigurationError(f"policy {name}: {key} is {value!r}", fix=f"give 0 or {_LEAST:g} to {_MOST:g}")


def _maker(name: str) -> Callable[..., Policy]:
    if is_path(name):
        return lambda **parameters: brought_policy(name, parameters)
    if name not in _POLICIES:
        known = ", ".join(policy_names())
        raise ConfigurationError(f"policy {name!r}: unknown", fix=f'use one of {known}, or your own as "module:Class"')
    return _POLICIES[name]


def is_path(name: str) -> bool:
    """Whether the name is the import path of a policy that somebody brought."""
    return _PATH.fullmatch(name) is not None


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
