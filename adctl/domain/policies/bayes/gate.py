"""A kill gate with a guarantee: an e-process against "this ad's ROAS is at least the kill threshold"."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from adctl.domain.policies.bayes.special import log_gammainc
from adctl.domain.policies.protocol import Floats


def log_e_value(wins: Floats, exposure: Floats, bar: Floats, *, shape: float, rate: Floats) -> Floats:
    """ln e of `wins` from `exposure` against a Poisson rate of at least `bar`; large values speak against it.

    The alternative is a Gamma(`shape`, `rate`) cut off at `bar`. Whatever the looks and whenever one stops, an ad whose
    rate is at least `bar` reaches e ≥ 1/α with probability α at most. `bar` and `rate` are positive.
    """
    told = shape * np.log(rate) - gammaln(shape) + gammaln(shape + wins) - (shape + wins) * np.log(rate + exposure)
    cut = log_gammainc(shape + wins, (rate + exposure) * bar) - log_gammainc(np.full_like(bar, shape), bar * rate)
    return np.asarray(told + cut - wins * np.log(bar) + exposure * bar, dtype=np.float64)
