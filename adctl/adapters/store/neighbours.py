"""What neighbours are judged and asked by: ads with their vectors and daily results; and the verdict on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np
from sqlalchemy import Connection, text

from adctl.adapters.store import embeddings
from adctl.domain.embedding.embedder import Vectors
from adctl.domain.embedding.index_stamp import embedding_id
from adctl.domain.ids import Account, AdId
from adctl.domain.neighbour_evaluation import Evaluation
from adctl.domain.neighbour_trials import FRESH_DAYS, Trials, allowed, moment_of
from adctl.domain.neighbours import Counts, Ints, Kin, NeighbourRule, neighbour_counts, no_counts

# The newest ads of a year: older ones say little about today's, and a matrix of all pairs must fit into memory.
_MOST_ADS = 5000
_YEAR = timedelta(days=366)


class Outcome(StrEnum):
    """What is counted for what: credited leads for money, clicks for impressions."""

    LEADS = "leads"
    CLICKS = "clicks"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedAds:
    """The newest ads with a vector, and their daily rows: a table of place, day, impressions, clicks, spend, leads."""

    ad_ids: tuple[AdId, ...]
    vectors: Vectors
    campaign: Ints
    born: Ints
    rows: Ints
    today: int

    def trials(self, outcome: Outcome) -> Trials:
        events, exposure = (3, 2) if outcome is Outcome.CLICKS else (5, 4)
        return Trials(
            vectors=self.vectors,
            campaign=self.campaign,
            born=self.born,
            row_ad=self.rows[:, 0],
            row_day=self.rows[:, 1],
            row_events=self.rows[:, events].astype(np.float64),
            row_exposure=self.rows[:, exposure].astype(np.float64),
            today=self.today,
        )


_ADS = text(
    """
    select a.ad_id, a.campaign_id, c.content_hash, min(i.first_day) as born
    from ads a
    join creatives c on c.account = a.account and c.creative_id = a.creative_id
    join embeddings e on e.account = c.account and e.model_id = :model and e.content_hash = c.content_hash
    join insights i on i.account = a.account and i.ad_id = a.ad_id and i.day between :first and :day
    where a.account = :account
    group by a.ad_id, a.campaign_id, c.content_hash
    order by born desc, a.ad_id limit :most
    """
)
_ROWS = text(
    """
    select k.place - 1, i.day - date '2000-01-01', i.impressions, i.clicks, i.spend, i.leads
    from insights i
    join unnest(cast(:ads as text[])) with ordinality as k (ad_id, place) on k.ad_id = i.ad_id
    where i.account = :account and i.day between :first and :day
    order by 1, 2
    """
)
_LEADS = text(
    """
    select k.place - 1, (a.converted_at at time zone s.timezone)::date - date '2000-01-01', 0, 0, 0, count(*)
    from attributions a
    join accounts s on s.account = a.account
    join unnest(cast(:ads as text[])) with ordinality as k (ad_id, place) on k.ad_id = a.ad_id
    where a.account = :account and a.converted_at is not null
    group by 1, 2
    order by 1, 2
    """
)


def embedded_ads(connection: Connection, account: Account, model_id: str, dims: int, day: date) -> EmbeddedAds:
    """The ads as of the account day `day`. Credited deals are the leads; without any, what the platform counts."""
    span = {"account": account, "day": day, "first": day - _YEAR}
    found = connection.execute(_ADS, {**span, "model": model_id, "most": _MOST_ADS}).all()
    ads = [AdId(row.ad_id) for row in found]
    places = [embedding_id(bytes(row.content_hash)) for row in found]
    rows = _table(connection.execute(_ROWS, {**span, "ads": ads}).all())
    leads = _table(connection.execute(_LEADS, {"account": account, "ads": ads}).all())
    if len(leads):
        rows[:, 5] = 0
        rows = np.concatenate([rows, leads])
    return EmbeddedAds(
        ad_ids=tuple(ads),
        vectors=embeddings.vectors_of(connection, account, model_id, dims, places),
        campaign=np.unique([row.campaign_id for row in found], return_inverse=True)[1].astype(np.int64),
        born=np.array([_number(row.born) for row in found], dtype=np.int64),
        rows=rows,
        today=_number(day),
    )


def _table(rows: Sequence[Sequence[object]]) -> Ints:
    return np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 6)


def _number(day: date) -> int:
    return (day - date(2000, 1, 1)).days


_STORE = text(
    """
    insert into neighbour_evaluations as n (account, outcome, model_id, dims, helps, result, evaluated_at)
    values (:account, :outcome, :model, :dims, :helps, cast(:result as jsonb), :at)
    on conflict (account, outcome) do update set model_id = excluded.model_id, dims = excluded.dims,
      helps = excluded.helps, result = excluded.result, evaluated_at = excluded.evaluated_at
    where (n.model_id, n.helps, n.result) is distinct from (excluded.model_id, excluded.helps, excluded.result)
    """
)


def store(
    connection: Connection,
    account: Account,
    model_id: str,
    dims: int,
    evaluations: Mapping[Outcome, Evaluation],
    at: datetime,
) -> int:
    """Replaces the account's verdicts on neighbours; returns how many are new or changed."""
    return sum(
        connection.execute(
            _STORE,
            {
                "account": account,
                "outcome": outcome.value,
                "model": model_id,
                "dims": dims,
                "helps": one.helps,
                "result": json.dumps(asdict(one), sort_keys=True, allow_nan=False),
                "at": at,
            },
        ).rowcount
        for outcome, one in evaluations.items()
    )


_HELPING = text(
    """
    select outcome, model_id, dims, result from neighbour_evaluations
    where account = :account and helps
    order by outcome
    """
)


def kin(connection: Connection, account: Account, ads: Sequence[str], day: date) -> Kin | None:
    """What neighbours say of each of `ads` on `day`, by the outcomes where they were found to help; None without any.

    Only ads of the last four weeks are spoken for: what is older speaks for itself.
    """
    rows = connection.execute(_HELPING, {"account": account}).all()
    if not rows or not ads:
        return None
    place = {AdId(ad_id): at for at, ad_id in enumerate(ads)}
    found = {outcome: no_counts(len(ads)) for outcome in Outcome}
    for row in rows:
        known = embedded_ads(connection, account, row.model_id, row.dims, day)
        counts = found[Outcome(row.outcome)]
        targets, said = _said(known, Outcome(row.outcome), row.result)
        for at, events, expected in zip(targets.tolist(), said.events, said.expected, strict=True):
            if known.ad_ids[at] in place:
                counts.events[place[known.ad_ids[at]]] = events
                counts.expected[place[known.ad_ids[at]]] = expected
    return Kin(leads=found[Outcome.LEADS], clicks=found[Outcome.CLICKS])


def _said(known: EmbeddedAds, outcome: Outcome, result: Mapping[str, object]) -> tuple[Ints, Counts]:
    trials = known.trials(outcome)
    targets = np.flatnonzero(trials.born > trials.today - 2 * FRESH_DAYS)
    moment = moment_of(trials, trials.today, targets)
    cosines = trials.vectors[targets] @ trials.vectors[moment.older].T
    rule, strength = result["rule"], result["strength"]
    assert isinstance(rule, dict)
    assert isinstance(strength, float)
    older = trials.born[moment.older][None, :] < trials.born[targets][:, None]
    may = allowed(trials, moment) & older
    return targets, neighbour_counts(cosines, may, moment.known, NeighbourRule(**rule), strength)
