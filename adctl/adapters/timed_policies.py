"""Makes policies; those that people bring are made and asked in processes of their own, which end when time is up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from adctl.adapters.processes import in_time
from adctl.domain.policies.catalogue import Parameter, is_path, make_policy
from adctl.domain.policies.protocol import AdHistory, Policy, PolicyResult
from adctl.errors import AdctlError, ConfigurationError, InputRejectedError

# What `policy_seconds` is where no account says it.
USUAL_SECONDS = 600.0
_MORE = "adctl.toml: policy_seconds"

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPolicy:
    """A brought policy; not a line of its code runs in the process that asks."""

    name: str
    version: str
    parameters: Mapping[str, Parameter]
    seconds: float
    more: str

    def decide(self, history: AdHistory) -> PolicyResult:
        """Raises InputRejectedError when it fails, breaks the protocol, ends its process or takes too long."""
        named, parameters = self.name, self.parameters

        def work() -> PolicyResult:
            return make_policy(named, parameters).decide(history)

        return _apart(work, named, self.seconds, self.more, InputRejectedError)


class TimedPolicies:
    """Makes policies as `make_policy` does, a brought one once; it may take `seconds` to be made and to decide.

    Raises ConfigurationError also for one that ends its process or takes too long to be made, then and ever after:
    whoever needs a policy within a transaction asks before it begins, since one that waits is ended by the database.
    """

    def __init__(self, seconds: float = USUAL_SECONDS, *, more: str = _MORE) -> None:
        """`more` says to people where more time is given."""
        self._seconds = seconds
        self._more = more
        self._made: dict[tuple[str, ...], TimedPolicy | ConfigurationError] = {}

    def __call__(self, name: str, parameters: Mapping[str, Parameter]) -> Policy:
        if not is_path(name):
            return make_policy(name, parameters)
        key = _key(name, parameters)
        made = self._made.get(key) or self._make(name, parameters)
        self._made[key] = made
        if isinstance(made, ConfigurationError):
            raise made
        # As the registry will have it.
        self._made[_key(name, made.parameters)] = made
        return made

    def _make(self, name: str, parameters: Mapping[str, Parameter]) -> TimedPolicy | ConfigurationError:
        def look() -> tuple[str, dict[str, Parameter]]:
            policy = make_policy(name, parameters)
            return policy.version, dict(policy.parameters)

        try:
            version, known = _apart(look, name, self._seconds, self._more, ConfigurationError)
        except ConfigurationError as error:
            return error
        seconds, more = self._seconds, self._more
        return TimedPolicy(name=name, version=version, parameters=known, seconds=seconds, more=more)


def _key(name: str, parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    # 1 is not True here.
    return name, *(f"{key}={value!r}" for key, value in sorted(parameters.items()))


def _apart(work: Callable[[], R], name: str, seconds: float, more: str, error_of: Callable[..., AdctlError]) -> R:
    """What the work gives in a process of its own. Whatever fails in it is raised as `error_of`, in the same words."""

    def heard() -> tuple[R | None, tuple[str, str]]:
        try:
            return work(), ("", "")
        except AdctlError as error:
            return None, (error.what, error.fix)

    try:
        found, (what, fix) = in_time(heard, seconds)
    except TimeoutError as error:
        raise error_of(f"policy {name!r}: {error}, it was stopped", fix=more) from error
    except ChildProcessError as error:
        raise error_of(f"policy {name!r}: {error}", fix="see what in it ends its process") from error
    if found is None:
        raise error_of(what, fix=fix)
    return found
