"""Why a deal is worth what it is and came from the ad it came from: all the evidence, nothing decided anew."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.attribution import Attribution, Method
from adctl.domain.deals import Deal, StageMove
from adctl.domain.ids import DealId
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import RevenueBook, revenue_book
from adctl.errors import UsageError

_LAYERS = (Method.URL_PARAM, Method.FINGERPRINT, Method.PROBABILISTIC)
_NOT_EVIDENCE = {"reason", *Method}


def run(engine: Engine, profile: AccountProfile, deal_id: DealId) -> Report:
    """Raises UsageError for a deal that is not known."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        deal = deals.one(connection, profile.account, deal_id)
        if deal is None:
            raise UsageError(f"deal {deal_id!r} is not known to account {profile.account!r}", fix="adctl sync-hubspot")
        moves = deals.moves_of(connection, profile.account, deal_id)
        found = attributions.of_deal(connection, profile.account, deal_id)
        book = _book(connection, profile, deal)
    return Report(
        command="why deal",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(deal, found),
        facts=(*_deal_facts(deal, book), *_attribution_facts(found)),
        tables=(_moves_table(moves), _layers_table(found)),
        notes=tuple(_notes(deal, book)),
    )


def _book(connection: Connection, profile: AccountProfile, deal: Deal) -> RevenueBook:
    counted = () if deal.archived or deal.merged_into else (deal,)
    values = revenue.stage_values(connection, profile.account)
    return revenue_book(counted, values, at=accounts.now(connection), currency=profile.currency)


def _summary(deal: Deal, found: Attribution | None) -> str:
    if found is None:
        return f"Deal {deal.deal_id} has no attribution yet: run adctl ingest-crm."
    if found.ad_id is None:
        return f"Deal {deal.deal_id} is not attributed to any ad: {found.evidence.get('reason', 'no reason kept')}."
    return f"Deal {deal.deal_id} came from ad {found.ad_id} ({found.method.value}, {found.confidence:.2f})."


def _deal_facts(deal: Deal, book: RevenueBook) -> tuple[Fact, ...]:
    value, cash = sum(r.value for r in book.revenues), sum(r.cash for r in book.revenues)
    return (
        Fact(key="deal_id", label="deal", value=deal.deal_id),
        Fact(key="pipeline", label="pipeline", value=deal.pipeline),
        Fact(key="stage", label="stage", value=deal.stage),
        Fact(key="amount", label="amount", value=deal.amount, kind=Kind.MONEY),
        Fact(key="synthetic", label="counts as", value=value, kind=Kind.MONEY),
        Fact(key="won", label="of it won", value=cash, kind=Kind.MONEY),
        Fact(key="created_at", label="created", value=deal.created_at, kind=Kind.TIME),
        Fact(key="closed_at", label="closed", value=deal.closed_at, kind=Kind.TIME),
        Fact(key="contact_id", label="contact", value=deal.contact_id),
    )


def _attribution_facts(found: Attribution | None) -> tuple[Fact, ...]:
    if found is None:
        return ()
    return (
        Fact(key="ad_id", label="ad", value=found.ad_id),
        Fact(key="method", label="method", value=found.method.value),
        Fact(key="confidence", label="confidence", value=found.confidence, kind=Kind.RATIO),
        Fact(key="converted_at", label="converted", value=found.converted_at, kind=Kind.TIME),
        *(
            Fact(key=f"evidence_{name}", label=name.replace("_", " "), value=text)
            for name, text in found.evidence.items()
            if name not in _NOT_EVIDENCE
        ),
    )


def _moves_table(moves: Sequence[StageMove]) -> Table:
    return Table(
        key="moves",
        title="Stage moves",
        columns=(
            Column(key="at", label="at", kind=Kind.TIME),
            Column(key="pipeline", label="pipeline"),
            Column(key="stage", label="stage"),
        ),
        rows=tuple({"at": m.at, "pipeline": m.pipeline, "stage": m.stage} for m in moves),
        empty="No move is known.",
    )


def _layers_table(found: Attribution | None) -> Table:
    rows: tuple[dict[str, Cell], ...] = (
        tuple({"layer": m.value, "outcome": _outcome(found, m)} for m in _LAYERS) if found else ()
    )
    return Table(
        key="layers",
        title="Layers tried",
        columns=(Column(key="layer", label="layer"), Column(key="outcome", label="outcome")),
        rows=rows,
        empty="None yet.",
    )


def _outcome(found: Attribution, layer: Method) -> str:
    if found.method is layer:
        return f"matched by {found.evidence.get('key', 'its key')}"
    if layer.value in found.evidence:
        return found.evidence[layer.value]
    if layer is Method.URL_PARAM:
        return found.evidence.get("reason", "no key")
    if found.method is Method.NONE and "ads" not in found.evidence:
        return "not tried: no conversion with consented keys, or an earlier layer was ambiguous"
    return "not needed" if found.method is not Method.NONE else "not tried: an earlier layer was ambiguous"


def _notes(deal: Deal, book: RevenueBook) -> list[str]:
    notes = []
    if deal.archived or deal.merged_into:
        why = f"it was merged into {deal.merged_into}" if deal.merged_into else "it is archived"
        notes.append(f"The deal counts as nothing: {why}.")
    if book.problems:
        notes.append(f"Its stage {deal.stage!r} has no value, or its currency is another: map it in adctl.toml")
    return notes
