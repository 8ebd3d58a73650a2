"""Policies are made by name, and what is not known is refused."""

from __future__ import annotations

import pytest

from adctl.domain.ids import digest
from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.catalogue import make_policy, policy_names
from adctl.errors import ConfigurationError


def test_a_policy_is_made_with_its_defaults() -> None:
    assert make_policy("blended", {}) == BlendedPolicy()


def test_parameters_replace_defaults() -> None:
    policy = make_policy("blended", {"mode": "direct", "kill_roas": 0.4})

    assert policy == BlendedPolicy(mode="direct", kill_roas=0.4)
    assert policy.parameters["kill_roas"] == 0.4


def test_every_listed_policy_can_be_made() -> None:
    assert [make_policy(name, {}).name for name in policy_names()] == list(policy_names())


def test_a_number_written_without_its_point_has_the_same_hash() -> None:
    assert digest(make_policy("blended", {"scale_roas": 3}).parameters) == digest(BlendedPolicy().parameters)


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"policy 'bandit': unknown \(use one of bayes, blended"):
        make_policy("bandit", {})


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="unknown parameter 'kill_roi'"):
        make_policy("blended", {"kill_roi": 1.0})


@pytest.mark.parametrize(
    ("policy", "key", "value", "fix"),
    [
        ("bayes", "draws", 2.5, "give a whole number"),
        ("bayes", "draws", 1e9, "give a whole number"),
        ("bayes", "draws", 1_000_000, "give 10000 at most"),
        ("bayes", "ramp", 1e300, "give 0 or 1e-09 to 1e\\+09"),
        ("blended", "max_change", 1e-300, "give 0 or 1e-09 to 1e\\+09"),
        ("blended", "floor", float("inf"), "give 0 or"),
    ],
)
def test_a_number_that_no_decision_could_be_made_with_is_refused(policy: str, key: str, value: float, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=f"policy {policy}: {key} is .*{fix}"):
        make_policy(policy, {key: value})


@pytest.mark.parametrize("value", ["0.5", True])
def test_a_value_of_the_wrong_type_is_refused(value: str | bool) -> None:
    with pytest.raises(ConfigurationError, match="kill_roas is"):
        make_policy("blended", {"kill_roas": value})


@pytest.mark.parametrize("mode", ["thompson", 1])
def test_an_unknown_mode_is_refused(mode: str | int) -> None:
    with pytest.raises(ConfigurationError, match="unknown mode"):
        make_policy("blended", {"mode": mode})
