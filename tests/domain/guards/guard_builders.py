"""Builders of decisions and contexts for the tests of the guards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from adctl.domain.decisions import Decision
from adctl.domain.entities import EntityKind, Field
from adctl.domain.guards.answers import Answer, Pass, Refuse, Wait
from adctl.domain.guards.context import Freshness, GuardContext
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import Account, AdSetId, CampaignId, stable_uuid
from adctl.domain.policies.protocol import Verdict

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TODAY = date(2026, 3, 2)
HOUR = timedelta(hours=1)
# Without fuzz and step, so that each test sees one guard alone.
LIMITS = Limits(cap=10**9, fuzz=Fraction(0), step=Fraction(1), kill_share=Fraction(1))


def a_context(limits: Limits = LIMITS) -> GuardContext:
    return GuardContext(
        limits=limits,
        currency="USD",
        now=NOW,
        today=TODAY,
        timezone=UTC,
        freshness=Freshness(insights_at=NOW, crm_at=NOW),
        active_ads={AdSetId("s1"): 10, AdSetId("s2"): 10},
    )


def a_budget(current: int, target: int, *, ad_set: str = "s1", campaign: str = "c1", run: str = "") -> Decision:
    return Decision(
        decision_id=stable_uuid("decision", ad_set, run),
        account=Account("acme"),
        day=TODAY,
        entity_kind=EntityKind.AD_SET,
        entity_id=ad_set,
        campaign_id=CampaignId(campaign),
        ad_set_id=AdSetId(ad_set),
        field=Field.DAILY_BUDGET,
        current=current,
        target=target,
        verdict=Verdict.SCALE if target > current else Verdict.CUT,
        confidence=0.9,
        reason="why",
        evidence={"spend": 300, "pipeline": 100},
        policy="blended",
        policy_version="1",
        parameter_hash="hash",
    )


def a_kill(ad: str = "a1", *, ad_set: str = "s1", campaign: str = "c1") -> Decision:
    return replace(
        a_budget(0, 0, ad_set=ad_set, campaign=campaign, run=ad),
        entity_kind=EntityKind.AD,
        entity_id=ad,
        field=Field.STATUS,
        current="ACTIVE",
        target="PAUSED",
        verdict=Verdict.KILL,
    )


def one(decision: Decision, context: GuardContext) -> Answer:
    (answer,) = judge([decision], context)
    return answer


def passed(answer: Answer) -> Pass:
    assert isinstance(answer, Pass), answer
    return answer


def waited(answer: Answer) -> Wait:
    assert isinstance(answer, Wait), answer
    return answer


def refused(answer: Answer) -> Refuse:
    assert isinstance(answer, Refuse), answer
    return answer
