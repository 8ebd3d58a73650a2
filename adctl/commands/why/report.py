"""What is told of one entity's decision: a sentence, the figures, the ledger, the deals, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from adctl.adapters.store.audit import Event
from adctl.adapters.store.guard_answers import Answered
from adctl.domain.change_rows import value_shown
from adctl.domain.decisions import Decision
from adctl.domain.entities import EntityKind, Field, is_on
from adctl.domain.models import Model
from adctl.domain.policies.bayes.evidence.ledger import ledger
from adctl.domain.policies.protocol import Evidence, Verdict
from adctl.domain.report import Cell, Column, Fact, Kind, Table
from adctl.domain.shares_report import shares_after, shares_table

# Facts that are told as sentences and figures of their own, with how each is read; money is minor units.
POSTERIOR = (
    ("roas", "ROAS, median", Kind.RATIO),
    ("roas_low", "ROAS, 5 % below", Kind.RATIO),
    ("roas_high", "ROAS, 5 % above", Kind.RATIO),
    ("p_below_kill", "P(ROAS below the kill bar on any budget)", Kind.PERCENT),
    ("p_above_scale", "P(ROAS above the scale bar)", Kind.PERCENT),
    ("p_wrong", "P(wrong)", Kind.PERCENT),
    ("loss_if_wrong", "expected loss if wrong", Kind.MONEY),
    ("waiting_costs", "waiting costs", Kind.MONEY),
    ("waiting_buys", "waiting buys", Kind.MONEY),
    ("flips_at_roas", "would flip at a median ROAS of (its share as it is)", Kind.RATIO),
    ("spend", "spent", Kind.MONEY),
    ("mature_spend", "of it mature", Kind.MONEY),
    ("wins_expected", "wins still expected", Kind.RATIO),
    ("wins_expected_in_days", "in days, on average", Kind.RATIO),
)
# What would be right where a verdict on an ad is wrong.
_WRONG = {
    Verdict.KILL: "P(wrong: it should go on)",
    Verdict.CUT: "P(wrong: it should go on)",
    Verdict.SCALE: "P(wrong: it deserves no more)",
    Verdict.WAIT: "P(wrong: it should be paused)",
    Verdict.KEEP: "P(wrong: it should be paused)",
}
_OF_A_RUNNING_AD = frozenset({"p_wrong", "loss_if_wrong"})
# Other facts that are money.
_MONEY = frozenset({"budget", "current_budget", "share", "shares_before", "shares_after", "pipeline", "cash"})
_DECIDED_AGAIN = "Its ads were decided again after it had been queued: their shares add up to another budget."
_STEP_WORDS = ("came_", "passed_", "waiting_")
# The terms of the ledger in the order of the funnel; those of the stages stand between.
_TERMS = ("account", "campaign", "clicks", "own_leads", "neighbours", "step", "value", "wear", "saturation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is stored about one entity's decision."""

    kind: EntityKind
    name: str
    decision: Decision | None
    decided_at: datetime | None
    answer: Answered | None
    events: tuple[Event, ...]
    model: Model | None
    undecided: str
    stages: tuple[str, ...]
    ads: tuple[Decision, ...]


def summary_of(entity_id: str, case: Case, currency: str) -> str:
    what = f"{case.kind.replace('_', ' ')} {entity_id}"
    if case.decision is None:
        return f"{what}: nothing was decided: {case.undecided}."
    decision = case.decision
    current, target = value_shown(decision.current, currency), value_shown(decision.target, currency)
    wanted = f"{current} to {target}" if decision.target != decision.current else "as it is"
    return f"{what}, {decision.day}: {decision.verdict} ({decision.reason}); {_done(case, wanted)}."


def _done(case: Case, wanted: str) -> str:
    decision = case.decision
    if case.events:
        return f"{wanted}; {case.events[-1].what}"
    if decision is None or decision.target == decision.current:
        return "nothing was to be changed"
    if case.answer is None:
        return f"{wanted} is wanted, and no guard was asked yet"
    if case.answer.answer == "pass":
        return f"{wanted} passed the guards and was not queued: another change of it was in flight"
    word = "waits" if case.answer.answer == "wait" else "was refused"
    return f"{wanted} {word} ({case.answer.guard}: {case.answer.reason})"


def told(case: Case, currency: str) -> tuple[tuple[Fact, ...], tuple[Table, ...]]:
    if case.decision is None:
        return (Fact(key="name", label="name", value=case.name),), ()
    decision, evidence = case.decision, case.decision.evidence
    money = Kind.MONEY if decision.field is Field.DAILY_BUDGET else Kind.TEXT
    facts = [
        Fact(key="name", label="name", value=case.name),
        Fact(key="decided_at", label="decided", value=case.decided_at, kind=Kind.TIME),
        Fact(key="policy", label="policy", value=f"{decision.policy} {decision.policy_version}"),
        Fact(key="decision_id", label="decision", value=str(decision.decision_id)),
        Fact(key="verdict", label="verdict", value=decision.verdict.value),
        Fact(key="current", label=f"{decision.field.replace('_', ' ')} then", value=decision.current, kind=money),
        Fact(key="target", label="wanted", value=decision.target, kind=money),
        Fact(key="confidence", label="confidence", value=decision.confidence, kind=Kind.PERCENT),
    ]
    facts += [
        Fact(
            key=key,
            label=_WRONG[decision.verdict] if key == "p_wrong" else label,
            value=_cell(evidence[key], kind),
            kind=kind,
        )
        for key, label, kind in POSTERIOR
        if key in evidence and not (key in _OF_A_RUNNING_AD and _stands(decision))
    ]
    shares = (shares_table(case.ads),) if decision.field is Field.DAILY_BUDGET else ()
    ledger_and_funnel = (*_ledger_table(evidence, case.stages, currency), *_step_table(evidence, case.stages))
    return tuple(facts), (*shares, *ledger_and_funnel, _rest(evidence, currency))


def _stands(decision: Decision) -> bool:
    """True for an ad that was paused already, so that no verdict on it can be wrong."""
    return decision.field is Field.STATUS and not is_on(str(decision.current))


def _cell(value: Cell, kind: Kind) -> Cell:
    return round(value) if kind is Kind.MONEY and isinstance(value, float) else value


def _ordered(evidence: Evidence, stages: Sequence[str]) -> Evidence:
    """The ledger's terms and the counts of deals in the funnel's order, which the database does not keep."""
    place = {stage: number for number, stage in enumerate(stages)}

    def rank(key: str) -> tuple[int, int]:
        term = key.removeprefix("log_")
        stage = term.removeprefix("step_").removeprefix("came_")
        word = "step" if stage != term else term
        return _TERMS.index(word) if word in _TERMS else len(_TERMS), place.get(stage, len(place))

    kept = [key for key in evidence if key.startswith(("log_", "came_"))]
    return {key: evidence[key] for key in sorted(kept, key=rank)} | dict(evidence)


def _ledger_table(evidence: Evidence, stages: Sequence[str], currency: str) -> tuple[Table, ...]:
    """The terms whose sum is the log of the median ROAS; nothing for a policy that keeps no such ledger."""
    lines = ledger(_ordered(evidence, stages), currency)
    if not lines:
        return ()
    rows: list[Mapping[str, Cell]] = [
        {"term": one.label, "log": one.log_value, "factor": one.factor, "rests_on": one.evidence} for one in lines
    ]
    total = sum(one.log_value for one in lines)
    rows.append({"term": "log ROAS = the sum", "log": total, "factor": evidence.get("roas"), "rests_on": "the median"})
    columns = (
        Column(key="term", label="term"),
        Column(key="log", label="log", kind=Kind.LOG),
        Column(key="factor", label="factor", kind=Kind.FIGURE),
        Column(key="rests_on", label="rests on"),
    )
    return (Table(key="ledger", title="Ledger: logs add up, factors multiply", columns=columns, rows=tuple(rows)),)


def _step_table(evidence: Evidence, stages: Sequence[str]) -> tuple[Table, ...]:
    steps = [key.removeprefix("came_") for key in _ordered(evidence, stages) if key.startswith("came_")]
    if not steps:
        return ()
    columns = (
        Column(key="step", label="deals on their way to"),
        *(Column(key=word.strip("_"), label=word.strip("_"), kind=Kind.COUNT) for word in _STEP_WORDS),
    )
    rows = tuple(
        {"step": step, **{word.strip("_"): evidence.get(f"{word}{step}") for word in _STEP_WORDS}} for step in steps
    )
    return (Table(key="funnel", title="Deals by stage", columns=columns, rows=rows),)


def _rest(evidence: Evidence, currency: str) -> Table:
    """Every other fact that was stored with the decision; money as money, its minor units by name."""
    told = {key for key, _, _ in POSTERIOR}
    rows = tuple(
        {"fact": key.replace("_", " "), **_figure(key, value, currency)}
        for key, value in sorted(evidence.items())
        if key not in told and not key.startswith(("log_", *_STEP_WORDS))
    )
    columns = (Column(key="fact", label="fact"), Column(key="value", label="value"))
    return Table(key="evidence", title="Evidence besides", columns=columns, rows=rows)


def _figure(key: str, value: Cell, currency: str) -> Mapping[str, Cell]:
    if key in _MONEY and isinstance(value, int):
        return {"value": value_shown(value, currency), "minor_units": value}
    return {"value": value}


def events_table(case: Case) -> Table:
    events = list(case.events)
    if case.answer:
        until = f"until {case.answer.until:%Y-%m-%dT%H:%MZ}" if case.answer.until else ""
        detail = "; ".join(filter(None, (case.answer.guard, case.answer.reason, until)))
        events.insert(
            0, Event(at=case.answer.answered_at, what=f"guards: {case.answer.answer}", detail=detail, values={})
        )
    return Table(
        key="events",
        title="What became of it",
        columns=(
            Column(key="at", label="at", kind=Kind.TIME),
            Column(key="what", label="what"),
            Column(key="detail", label="detail"),
        ),
        rows=tuple({"at": e.at, "what": e.what, "detail": e.detail, **e.values} for e in events),
        empty="Nothing was done.",
    )


def _worn(evidence: Evidence) -> list[str]:
    """The evidence of an ad's fatigue, where it was flagged."""
    if not evidence.get("fatigued"):
        return []
    first, last, rare, often = (
        float(evidence[key] or 0) for key in ("ctr_first", "ctr_last", "frequency_first", "frequency_last")
    )
    return [
        f"It wears out: CTR {first:.2%} → {last:.2%} while frequency {rare:.2f} → {often:.2f} "
        f"over {evidence['fatigue_points']} points. Nothing is paused for that alone."
    ]


def _doubtful(case: Case, decision: Decision, currency: str) -> list[str]:
    """Why an ad that should rather be paused goes on."""
    wrong, share, rest = (decision.evidence.get(key) for key in ("p_wrong", "current_budget", "budget"))
    if case.model is None or "kill_certainty" not in case.model.parameters or not isinstance(wrong, float):
        return []
    if decision.verdict not in (Verdict.KEEP, Verdict.WAIT) or wrong <= 0.5 or not share:
        return []
    kill, needed = (float(case.model.parameters[key]) for key in ("kill_roas", "kill_certainty"))
    if "too early" in decision.reason:
        why = "it is too early to judge"
    elif wrong < needed:
        why = f"a pause needs {needed:.0%}, since what is paused by mistake earns nothing more"
    elif decision.verdict is Verdict.WAIT:
        why = "waiting is expected to buy more than it costs"
    else:
        why = "the gate against being misled by many looks wants more evidence"
    money = (
        f"{_figure('share', share, currency)['value']} a day now, {_figure('budget', rest, currency)['value']} wanted"
    )
    return [f"It likely ({wrong:.1%}) returns less than {kill:g} on any budget and goes on: {why} ({money})."]


def notes_of(case: Case, currency: str) -> list[str]:
    if case.decision and case.decision.field is Field.DAILY_BUDGET:
        again = case.decision.evidence.get("shares_after") != shares_after(case.ads)
        return [_DECIDED_AGAIN] if again and case.ads else []
    if case.decision is None or case.decision.field is not Field.STATUS or case.kind is not EntityKind.AD:
        return []
    owner = case.decision.ad_set_id or case.decision.campaign_id
    doubt = _doubtful(case, case.decision, currency)
    return [
        *doubt,
        *_worn(case.decision.evidence),
        f"Its share of the budget is decided with its owner: adctl why {owner}",
    ]
