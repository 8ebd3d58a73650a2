"""Decisions as lines of COPY's text format, made by the column: a million ads without an object for each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

import numpy as np

from adctl.adapters.store.staging import copy_text
from adctl.domain.decisions import AdDecisions, Decision, DecisionPlan
from adctl.domain.entities import EntityKind, Field
from adctl.domain.policies.protocol import VERDICTS, EvidenceColumn

_BLOCK = 8_192
_NULL = "\\N"
# As many digits as evidence needs; the decision itself was made with all of them.
_FLOAT = "%.9g"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLines:
    """The lines of one run in the order of the table's key, values and stamp; decisions in `queued` have none."""

    run_id: UUID
    at: datetime
    queued: Collection[UUID]
    shadow: bool

    @property
    def _is_shadow(self) -> str:
        return "t" if self.shadow else "f"

    def of_plan(self, plan: DecisionPlan) -> Iterator[bytes]:
        budgets = [self._budget_line(d) for d in plan.budgets if d.decision_id not in self.queued]
        yield "".join(budgets).encode()
        yield from self._ad_blocks(plan.ads)

    def _budget_line(self, decision: Decision) -> str:
        return _line(
            decision.account,
            decision.day.isoformat(),
            str(decision.decision_id),
            str(self.run_id),
            decision.policy,
            decision.policy_version,
            decision.parameter_hash,
            self._is_shadow,
            decision.entity_kind.value,
            decision.entity_id,
            decision.campaign_id,
            decision.ad_set_id,
            decision.field.value,
            str(decision.current),
            str(decision.target),
            None,
            None,
            decision.verdict.value,
            repr(decision.confidence),
            decision.reason,
            json.dumps(dict(decision.evidence)),
            self.at.isoformat(),
        )

    def _ad_blocks(self, decisions: AdDecisions) -> Iterator[bytes]:
        """Some thousand lines at a time: one template, filled with a tuple per ad."""
        ids = decisions.ids()
        template, evidence = self._template(decisions)
        fixed = _Fixed(decisions)
        for start in range(0, len(decisions), _BLOCK):
            ads = range(start, min(start + _BLOCK, len(decisions)))
            columns = [column(ads.start, ads.stop) for column in evidence]
            rows = zip(islice(ids, len(ads)), *fixed.columns(ads), *columns, strict=True)
            yield "".join([template % row for row in rows if row[0] not in self.queued]).encode()

    def _template(self, decisions: AdDecisions) -> tuple[str, list[Callable[[int, int], Sequence[object]]]]:
        """The line with its gaps, and what fills those of the evidence from a first ad to a last one."""
        maker = decisions.maker
        # In the order in which jsonb keeps them, so that PostgreSQL has nothing to sort.
        keys = sorted(decisions.evidence, key=lambda key: (len(key.encode()), key))
        columns = {key: _column(decisions.evidence[key]) for key in keys}
        evidence = ", ".join(f"{_literal(copy_text(json.dumps(key)))}: {form}" for key, (form, _) in columns.items())
        same = (
            str(self.run_id),
            maker.policy,
            maker.policy_version,
            maker.parameter_hash,
            self._is_shadow,
            EntityKind.AD.value,
        )
        parts = [
            *(_literal(copy_text(one)) for one in (maker.account, maker.day.isoformat())),
            "%s",
            *(_literal(copy_text(one)) for one in same),
            *("%s", "%s", "%s"),
            Field.STATUS.value,
            *(_NULL, _NULL, "%s", "%s", "%s", "%r", "%s"),
            f"{{{evidence}}}",
            _literal(self.at.isoformat()),
        ]
        return "\t".join(parts) + "\n", [fill for _, fill in columns.values()]


class _Fixed:
    """What every line has beside its evidence, by the column."""

    def __init__(self, decisions: AdDecisions) -> None:
        self._decisions = decisions
        ads = decisions.ads
        self._campaigns = [copy_text(one) for one in ads.campaign_ids]
        self._ad_sets = [copy_text(one) for one in ads.ad_set_ids]
        self._verdicts = [verdict.value for verdict in VERDICTS]

    def columns(self, part: range) -> tuple[Sequence[object], ...]:
        """Ad, campaign, ad set, status, wanted status, verdict, confidence and reason of some ads."""
        decisions, ads, verdicts = self._decisions, self._decisions.ads, self._decisions.verdicts
        cut = slice(part.start, part.stop)
        return (
            [copy_text(one) for one in ads.ad_ids[cut]],
            [self._campaigns[place] for place in ads.campaign[cut].tolist()],
            [self._ad_sets[place] for place in ads.ad_set[cut].tolist()],
            [copy_text(one) for one in ads.status[cut]],
            [copy_text(decisions.target(ad)) for ad in part],
            [self._verdicts[code] for code in verdicts.verdict[cut].tolist()],
            verdicts.confidence[cut].tolist(),
            [copy_text(verdicts.reason(ad)) for ad in part],
        )


def _column(column: EvidenceColumn) -> tuple[str, Callable[[int, int], Sequence[object]]]:
    """The gap of an evidence column in JSON within COPY's text, and what fills it."""
    if isinstance(column, tuple):
        return "%s", lambda first, last: [_json(value) for value in column[first:last]]
    if not isinstance(column, np.ndarray):
        shared = _json(column)
        return "%s", lambda first, last: [shared] * (last - first)
    if column.dtype == np.bool_:
        return "%s", lambda first, last: ["true" if value else "false" for value in column[first:last].tolist()]
    if column.dtype == np.float64 and np.isfinite(column).all():
        return _FLOAT, lambda first, last: column[first:last].tolist()
    if column.dtype == np.float64:
        return "%s", lambda first, last: [_number(value) for value in column[first:last].tolist()]
    return "%d", lambda first, last: column[first:last].tolist()


def _number(value: float) -> str:
    return _FLOAT % value if math.isfinite(value) else "null"


def _json(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return copy_text(json.dumps(value))


def _literal(text: str) -> str:
    """A text that stands in a template as it is."""
    return text.replace("%", "%%")


def _line(*fields: str | None) -> str:
    return "\t".join(_NULL if field is None else copy_text(field) for field in fields) + "\n"
