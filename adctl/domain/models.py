"""Models: a policy with parameters under a name, one of them the champion, the others challengers or retired."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from adctl.domain.ids import digest
from adctl.domain.policies.catalogue import MakePolicy, Parameter, make_policy, policy_names
from adctl.domain.policies.protocol import Policy
from adctl.errors import UsageError

NOT_CONFIGURED = (
    "adctl.toml configures another policy or other parameters than the champion's, and the champion decides: "
    "adctl models register and adctl models promote change that."
)
# As the registry's table has it.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    RETIRED = "retired"


class Event(StrEnum):
    """What happens to a model; kept for ever."""

    SEEDED = "seeded"
    REGISTERED = "registered"
    RENEWED = "renewed"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`parameters` are all of the policy's, defaults included; `version` and `parameter_hash` as it last decided."""

    name: str
    policy: str
    version: str
    parameter_hash: str
    parameters: Mapping[str, Parameter]
    role: Role
    registered_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        """What its decisions are known by."""
        return self.policy, self.version, self.parameter_hash

    @property
    def told(self) -> str:
        return f"{self.name} ({self.policy} {self.version})"


def model_of(policy: Policy, *, name: str, role: Role, at: datetime) -> Model:
    return Model(
        name=name,
        policy=policy.name,
        version=policy.version,
        parameter_hash=digest(policy.parameters),
        parameters=policy.parameters,
        role=role,
        registered_at=at,
    )


def checked_name(name: str) -> str:
    """The name, as the registry takes it. Raises UsageError for any other."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"model {name!r}: is no name", fix="use small letters and digits, dots, dashes and underscores; 63 at most"
        )
    return name


def usual_name(policy: Policy) -> str:
    """What a model of the policy is called when nobody says: of a brought policy it is the class in small letters."""
    return policy.name.rpartition(":")[2].lower()[:40]


def policy_of(model: Model, make: MakePolicy = make_policy) -> Policy:
    """The policy as this version of adctl has it. Raises ConfigurationError when it takes its parameters no more."""
    return make(model.policy, model.parameters)


def changed(model: Model) -> Mapping[str, Parameter]:
    """The parameters that are not what the policy has of itself; all of a policy that somebody brought, which is not
    made for that."""
    if model.policy not in policy_names():
        return model.parameters
    usual = make_policy(model.policy, {}).parameters
    return {key: value for key, value in model.parameters.items() if usual.get(key) != value}


def renewed(model: Model, policy: Policy) -> Model:
    """The model as it decides now: a newer adctl may bring another version of its policy, or new parameters."""
    return replace(
        model, version=policy.version, parameter_hash=digest(policy.parameters), parameters=policy.parameters
    )


def named(models: Sequence[Model], name: str) -> Model:
    """The model of that name. Raises UsageError for an unknown one."""
    for model in models:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in models) or "none"
    raise UsageError(f"model {name!r}: unknown", fix=f"registered are {known}")


def is_configured(models: Sequence[Model], configured: Policy) -> bool:
    """False when another model decides than the configured policy with its parameters."""
    key = configured.name, configured.version, digest(configured.parameters)
    return all(model.key == key for model in models if model.role is Role.CHAMPION)
