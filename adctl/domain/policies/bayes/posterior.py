"""The posterior of log ROAS: the funnel's terms added up, with what is unsure about the account itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes import normal
from adctl.domain.policies.protocol import Flags, Floats

# Means and spreads are rounded to this many decimals before anything is decided by them: sums of doubles may differ
# in their last digits from one processor to another, decisions must not.
DECIMALS = 9
_SCALE = 10.0**DECIMALS
# Where next to nothing is known, a spread without bound must stay a number.
_LARGEST_LOG = 100.0
Z90 = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """log ROAS of the next day's money is Normal(mean, sd²) per ad (n), at the ad's budget of today.

    `saturation` (at most 0) is the part of the mean that this budget takes: without it stands the `first` unit of a
    day's money, and no budget returns more. `own_sd` leaves out what all ads share, which cannot change their order.
    """

    mean: Floats
    saturation: Floats
    sd: Floats
    own_sd: Floats

    def some(self, chosen: Flags) -> Posterior:
        """That of some ads alone."""
        return Posterior(
            mean=self.mean[chosen],
            saturation=self.saturation[chosen],
            sd=self.sd[chosen],
            own_sd=self.own_sd[chosen],
        )

    @property
    def first(self) -> Floats:
        """The mean of the log ROAS of the first unit of a day's money."""
        return rounded(self.mean - self.saturation)

    def below(self, roas: float | Floats) -> Floats:
        """P(ROAS < roas)."""
        return rounded(normal.below(self._deviates(np.log(roas))))

    def short(self, roas: float | Floats, log_roas: float | Floats, expected: Floats) -> tuple[Floats, Floats]:
        """P(ROAS < roas), not rounded, and E max(roas − ROAS, 0), where the log and what is `expected` are known."""
        z = self._deviates(log_roas)
        below = normal.below(z)
        short = roas * below
        z -= self.sd
        short -= expected * normal.below(z)
        return below, np.maximum(short, 0.0, out=short)

    def shortfall(self, roas: float | Floats) -> Floats:
        """E max(roas − ROAS, 0)."""
        return self.short(roas, np.log(roas), self.expected)[1]

    def surplus(self, roas: float, expected: Floats) -> Floats:
        """E max(ROAS − roas, 0), where what is `expected` is known."""
        return np.maximum(self.short(roas, np.log(roas), expected)[1] + expected - roas, 0.0)

    def _deviates(self, log_roas: float | Floats) -> Floats:
        return np.asarray((log_roas - self.mean) / self.sd, dtype=np.float64)

    @property
    def expected(self) -> Floats:
        return np.exp(self.log_expected)

    @property
    def log_expected(self) -> Floats:
        return np.minimum(self.mean + self.sd**2 / 2, _LARGEST_LOG)

    def quantile(self, deviates: float) -> Floats:
        """exp(mean + deviates·sd): 0 is the median, ±Z90 the ends of the 90 % interval."""
        return np.exp(np.minimum(self.mean + deviates * self.sd, _LARGEST_LOG))


def posterior(first: Floats, saturation: Floats, own_variance: Floats, common_variance: float) -> Posterior:
    return Posterior(
        mean=rounded(first + saturation),
        saturation=rounded(saturation),
        sd=rounded(np.sqrt(own_variance + common_variance)),
        own_sd=rounded(np.sqrt(own_variance)),
    )


def rounded(values: Floats) -> Floats:
    """As np.round does it, with less memory on the way."""
    found = values * _SCALE
    np.rint(found, out=found)
    found /= _SCALE
    return found
