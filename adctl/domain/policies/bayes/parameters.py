"""The numbers that the bayes policy is configured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from adctl.errors import ConfigurationError

_PROBABILITIES = frozenset(
    {"kill_certainty", "scale_certainty", "cut_certainty", "wait_shrinks", "gate_alpha", "max_share"}
)
_POSITIVE = frozenset(
    {
        "kill_roas",
        "scale_roas",
        "kill_certainty",
        "scale_certainty",
        "cut_certainty",
        "cut_roas",
        "ramp",
        "cycle_days",
        "horizon_days",
        "temperature_days",
        "campaign_leads",
        "room_shares",
        "draws",
        "gate_alpha",
        "max_share",
    }
)

# More would say nothing new and take hours.
_MOST_DRAWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesParameters:
    """Money is major units, ROAS thresholds ratios, certainties probabilities, times days.

    `min_age` and `min_spend` are the ignorance zone: inside it nothing is killed or cut, whatever the posterior says.
    `ramp` is the factor by which an ad's budget may rise a day, `max_share` the part of the total one ad may have.
    No money goes where its marginal return is below `margin_roas`. `platform_minimum` is the least daily budget that
    the platform spends sensibly: an ad that is given no more and has spent no more for `cut_days` is cut, if its money
    earns more elsewhere and no budget makes it return `cut_roas`, each with `cut_certainty`; one that shares its
    owner's budget, if its money earns more elsewhere with `kill_certainty`.
    `half_life` 0 forgets nothing. `room_shares` is the prior of the daily saturation scale in median daily budgets.
    `campaign_leads` are the leads that a campaign's own rate is shrunk by until the account tells how far its campaigns
    differ, `shift_transitions` the fewest that tell how slow one is.
    `gate` demands an e-value of 1 / `gate_alpha` before a kill, too. `temperature_young` falls to `temperature_old`
    with an ad's age, by half every `temperature_days`. `plan_days` is how far ahead the wear of ads is counted
    when money is shared, `cycle_days` how long WAIT waits, `horizon_days` how long a
    decision is expected to matter.
    """

    kill_roas: float = 0.5
    scale_roas: float = 3.0
    kill_certainty: float = 0.95
    scale_certainty: float = 0.80
    cut_certainty: float = 0.90
    cut_roas: float = 0.75
    min_age: float = 2.0
    min_spend: float = 100.0
    ramp: float = 1.2
    max_share: float = 1.0
    margin_roas: float = 0.0
    platform_minimum: float = 1.0
    cut_days: int = 3
    half_life: float = 0.0
    room_shares: float = 5.0
    campaign_leads: float = 6.0
    shift_transitions: int = 30
    draws: int = 48
    temperature_young: float = 0.7
    temperature_old: float = 0.1
    temperature_days: float = 10.0
    plan_days: float = 28.0
    cycle_days: float = 7.0
    horizon_days: float = 30.0
    wait_shrinks: float = 0.10
    gate: bool = False
    gate_alpha: float = 0.05

    def __post_init__(self) -> None:
        check_numbers("bayes", {key: value for key, value in asdict(self).items() if key != "gate"})
        if not isinstance(self.gate, bool):
            raise ConfigurationError(f"policy bayes: gate is {self.gate!r}", fix="give true or false")
        if self.kill_roas >= self.scale_roas:
            raise ConfigurationError(
                f"policy bayes: kill_roas {self.kill_roas:g} is not below scale_roas {self.scale_roas:g}",
                fix="kill below, scale above",
            )
        if self.draws > _MOST_DRAWS:
            raise ConfigurationError(f"policy bayes: draws is {self.draws}", fix=f"give {_MOST_DRAWS} at most")
        if self.ramp < 1:
            raise ConfigurationError(f"policy bayes: ramp is {self.ramp:g}", fix="give a factor of at least 1")


def check_numbers(policy: str, parameters: Mapping[str, object]) -> None:
    """Raises ConfigurationError for what is no number, is negative, or leaves its range."""
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ConfigurationError(f"policy {policy}: {key} is {value!r}", fix="give a number that is not negative")
        if value == 0 and key in _POSITIVE:
            raise ConfigurationError(f"policy {policy}: {key} is 0", fix="give a number above 0")
        if value > 1 and key in _PROBABILITIES:
            raise ConfigurationError(f"policy {policy}: {key} is {value!r}", fix="give a number between 0 and 1")
