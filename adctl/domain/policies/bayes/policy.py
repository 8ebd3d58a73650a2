"""The bayes policy: infer each ad's ROAS from a delay-corrected funnel, judge it, share the money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from adctl.domain.ids import digest
from adctl.domain.policies.bayes.bounds import Standing
from adctl.domain.policies.bayes.budget import Shares, above_level, rightly_moved, share_out
from adctl.domain.policies.bayes.evidence.columns import known_columns, said_columns
from adctl.domain.policies.bayes.fitting import View, matured_exposure, view_of
from adctl.domain.policies.bayes.gate import log_e_value
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.pieces import by_pieces, some
from adctl.domain.policies.bayes.posterior import Posterior, rounded
from adctl.domain.policies.bayes.reasons import reason
from adctl.domain.policies.bayes.terms import Fitted
from adctl.domain.policies.bayes.verdicts import Judgement, judge, killable
from adctl.domain.policies.protocol import (
    VERDICTS,
    AdHistory,
    Codes,
    Flags,
    Floats,
    Ints,
    PolicyResult,
    Verdict,
    VerdictColumns,
)

_HOURS_PER_DAY = 24.0
_KILL, _CUT = VERDICTS.index(Verdict.KILL), VERDICTS.index(Verdict.CUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What is inferred of an account on a day, and how its money is to be shared; `room` is major units a day."""

    policy: BayesPolicy
    history: AdHistory
    view: View
    refused: Flags
    room: Floats
    shares: Shares

    def judge(self, posterior: Posterior) -> Judgement:
        """The verdicts if that were known of each ad's ROAS, the shares as they are."""
        return by_pieces(len(self.room), lambda part: self._judge(posterior, part, self._above(part)))

    def said(self, part: slice) -> Said:
        """What is said of some of the ads."""
        above = self._above(part)
        judgement = self._judge(self.view.posterior, part, above)
        moved = rightly_moved(above, self.history.budget[part], self.shares.budget[part])
        # Who is cut is paused: all of its money moves.
        cut = judgement.verdict == _CUT
        moved[cut] = rounded(ndtr(-above[cut]))
        return Said(
            verdict=judgement.verdict,
            confidence=np.where(judgement.verdict == _KILL, 1.0 - judgement.wrong, moved),
            evidence={**said_columns(self.history, self.view, judgement, part), "p_moves_right": moved},
        )

    def _judge(self, posterior: Posterior, part: slice, above: Floats) -> Judgement:
        """The posterior is of all ads, `above` of the part."""
        policy, history, after = self.policy, self.history, self.shares.budget[part]
        minimum = int(np.ceil(policy.platform_minimum * history.minor_per_major))
        shared = history.shared[part] if len(history.shared) else None
        standing = replace(
            policy.standing(history, self.view, self.refused, part),
            starved=policy.starved(history, self.view, part, after <= minimum),
            outdone=policy.outdone(some(self.view.posterior, part), above, shared),
        )
        return judge(some(posterior, part), standing, policy, history.budget[part], after, minimum)

    def _above(self, part: slice) -> Floats:
        money = self.history.minor_per_major
        return above_level(
            some(self.view.posterior, part), self.room[part], self.history.budget[part], self.shares.level, money
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A verdict on each ad, and the evidence that is made with it. The confidence is that of a kill, and else the
    chance that the ad's money moves the right way."""

    verdict: Codes
    confidence: Floats
    evidence: dict[str, Ints | Floats | Flags]


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Which ads are to be killed, and so get no money."""

    ads: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesPolicy(BayesParameters):
    """The parameters' meaning is theirs; design and mathematics are those of design/decision-engine.md.

    Ads are expected in the order of their ids (any order decides alike below some thousand ads). Deals dated more
    than a day before their ad existed are ignored and counted.
    """

    @property
    def name(self) -> str:
        return "bayes"

    @property
    def version(self) -> str:
        return "1"

    @property
    def parameters(self) -> Mapping[str, int | float | str | bool]:
        return asdict(self)

    def fit(self, history: AdHistory) -> Fitted:
        """The account's numbers of this day, to be passed to `decide` for some days."""
        return view_of(history, self, None).fitted

    def decide(self, history: AdHistory, fitted: Fitted | None = None) -> PolicyResult:
        """A verdict per ad; the shares of the active ads and `unallocated` sum to what they had before."""
        weighed = self.weigh(history, fitted)
        said, shares = by_pieces(len(history.ad_ids), weighed.said), weighed.shares
        columns = {
            **known_columns(history, weighed.view, shares),
            **said.evidence,
            "shares_its_budget": history.shared if len(history.shared) else False,
        }

        # No share of a total that is too small for all may raise an ad that is paused.
        budget, cut = shares.budget.copy(), np.flatnonzero(said.verdict == _CUT)
        budget[cut] = np.minimum(budget[cut], history.budget[cut])

        def sentence(ad: int) -> str:
            verdict, change = VERDICTS[int(said.verdict[ad])], int(budget[ad] - history.budget[ad])
            return reason(history, self, verdicts.evidence_of(ad), ad, verdict, change)

        verdicts = VerdictColumns(
            ad_ids=history.ad_ids,
            verdict=said.verdict,
            current_budget=history.budget,
            budget=budget,
            confidence=said.confidence,
            evidence=columns,
            reason=sentence,
        )
        return PolicyResult(
            verdicts=verdicts, unallocated=shares.unallocated + int((shares.budget[cut] - budget[cut]).sum())
        )

    def weigh(self, history: AdHistory, fitted: Fitted | None = None) -> Weighed:
        """All that the verdicts rest on, the shares of the money among it."""
        view = view_of(history, self, fitted)
        posterior, refused = view.posterior, self._refused(view)

        def stopped_some(part: slice) -> _Stopped:
            return _Stopped(killable(some(posterior, part), self.standing(history, view, refused, part), self))

        room, stopped = self._room(view), by_pieces(len(history.ad_ids), stopped_some).ads
        shares = share_out(history, self, self._seed, posterior, room, stopped)

        return Weighed(policy=self, history=history, view=view, refused=refused, room=room, shares=shares)

    @property
    def _seed(self) -> str:
        return f"{self.name}\x1f{self.version}\x1f{digest(self.parameters)}"

    def _room(self, view: View) -> Floats:
        """Each ad's room for a day's money that also counts the wear it will bring over the days planned for.

        At a steady spend b an ad's log return falls by b / room at once and on average by wear·b·days / 2 more.
        """
        return np.asarray(
            1 / (1 / view.fitted.response.room + view.told.wear.rate * self.plan_days / 2), dtype=np.float64
        )

    def standing(self, history: AdHistory, view: View, refused: Flags, part: slice) -> Standing:
        """That of some of the ads, before anyone is known to be starved or outdone."""
        # An age that is not a number protects.
        age = history.age_hours[part]
        spent = np.round(view.told.sums.spend[part] / history.minor_per_major, 6)
        return Standing(
            active=history.active[part],
            protected=~((age >= self.min_age * _HOURS_PER_DAY) & (spent >= self.min_spend)),
            refused=refused[part],
            starved=np.zeros(len(spent), dtype=np.bool_),
            outdone=np.full(len(spent), -np.inf),
            budget=view.told.budget[part],
            next_sd=view.terms.next_sd[part],
        )

    def outdone(self, view: Posterior, above: Floats, shared: Flags | None) -> Floats:
        """The log ROAS up to which an ad's money earns more elsewhere as surely as a cut demands, its uncertainty as it
        is. Where next to nothing is left to be taken that is less sure, but the ad must be poor, too."""
        likely = ndtri(self.cut_certainty)
        poor = np.log(self.cut_roas) + view.saturation - likely * view.sd
        bound = np.minimum(view.mean - (above + likely) * view.own_sd, poor)
        if shared is not None:
            surely = view.mean - (above + ndtri(self.kill_certainty)) * view.own_sd
            bound = np.where(shared, surely, bound)
        bound = rounded(bound)
        np.copyto(bound, -np.inf, where=np.isnan(bound))
        return bound

    def starved(self, history: AdHistory, view: View, part: slice, tiny: Flags) -> Flags:
        """Of the ads that are given next to nothing (`tiny`) those that have had no more for days, and those that share
        their owner's budget: the platform, not we, splits that, and to lower it would starve their siblings."""
        starved = history.shared[part] & tiny if len(history.shared) else np.zeros(len(tiny), dtype=np.bool_)
        (few,) = (tiny & ~starved & (history.age_hours[part] >= self.cut_days * _HOURS_PER_DAY)).nonzero()
        recent = view.told.rows.recent(few + part.start, self.cut_days)
        starved[few] = recent <= self.platform_minimum * self.cut_days
        return starved

    def _refused(self, view: View) -> Flags:
        """Ads that the e-process does not let be killed; none while the gate is off."""
        if not self.gate:
            return np.zeros(len(view.told.budget), dtype=np.bool_)
        return np.asarray(self._log_e(view) < -np.log(self.gate_alpha), dtype=np.bool_)

    def _log_e(self, view: View) -> Floats:
        exposure = matured_exposure(view, self.half_life)
        worth = np.exp(view.fitted.values.worth)
        bar = np.full(len(exposure), self.kill_roas / worth)
        # The alternative: wins at the account's own rate, spread as its leads are.
        shape = view.fitted.leads.shape
        usual = float(np.exp(view.fitted.leads.log_rate + np.log(view.fitted.stages.chance).sum()))
        wins = view.came[:, -1].astype(np.float64)
        return log_e_value(wins, exposure, bar, shape=shape, rate=np.full(len(exposure), shape / usual))
