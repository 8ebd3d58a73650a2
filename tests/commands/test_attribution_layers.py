"""Whatever deals, clicks and conversions there are: the layers go in their order, with their guards, in any blocks."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from adctl.adapters.crm_intake import CrmFile, Files
from adctl.adapters.db import transaction
from adctl.commands import ingest_crm
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Outcome
from adctl.domain.ids import Account
from adctl.domain.privacy import privacy_keys
from adctl.domain.report import Report
from adctl.domain.revenue import StageValue
from tests.builders import fact, table

MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="UTC"
)
KEYS = privacy_keys("k" * 32, None)
NOON, WINDOW = datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(days=7)
# Public addresses: those of no real network are never looked at.
NETWORKS, AGENTS = ("81.2.69.7", "93.184.216.9"), ("Chrome/126.0 Windows NT 10.0", "Firefox/120.0 X11; Linux")
DEVICES = tuple({"screen": f"{n}x1", "timezone": "UTC", "language": "en"} for n in range(2))
# 31 and 32 are ads of the account, 39 is nobody's.
ADS = ("31", "32", "39")
# Each try is two runs against PostgreSQL: a failing one is told as it was found.
RUN: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    "phases": [Phase.explicit, Phase.generate],
}
VALUES = (
    StageValue(pipeline="default", stage="Won", value=700, confidence=1.0, outcome=Outcome.WON, effective_from=NOON),
    StageValue(pipeline="default", stage="Talk", value=300, confidence=0.5, outcome=Outcome.OPEN, effective_from=NOON),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a click or a conversion was seen with: indices of the tables above, None for what was not seen."""

    at: datetime
    consented: bool
    device: int | None
    network: int | None
    agent: int | None

    def record(self) -> dict[str, Any]:
        return {
            "consent": self.consented,
            **({} if self.device is None else {"device": DEVICES[self.device]}),
            **({} if self.network is None else {"ip": NETWORKS[self.network]}),
            **({} if self.agent is None else {"user_agent": f"Mozilla/5.0 ({AGENTS[self.agent]})"}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    ad: str
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A deal: the ad and the click that it names, and how its lead was seen."""

    ad: str | None
    click: int | None
    created: datetime
    stage: str
    amount: int | None
    conversion: Seen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a layer says, and whether it leaves the deal undecided for every later one."""

    ad: str | None
    confidence: float = 0.0
    undecided: bool = False


NOTHING = Found(ad=None)


def moments() -> st.SearchStrategy[datetime]:
    """Around everything that is a border: the click's own moment, hours, a day, the window."""
    hours = st.sampled_from([-1, 0, 1, 11, 12, 13, 23, 24, 25, 24 * 7 - 1, 24 * 7, 24 * 7 + 1])
    return st.builds(lambda h, s: NOON - timedelta(days=9) + timedelta(hours=h, seconds=s), hours, st.integers(-1, 1))


def seen() -> st.SearchStrategy[Seen]:
    which = st.sampled_from([None, 0, 1])
    return st.builds(Seen, at=moments(), consented=st.booleans(), device=which, network=which, agent=which)


def clicks() -> st.SearchStrategy[list[Click]]:
    return st.lists(st.builds(Click, ad=st.sampled_from(ADS[:2]), seen=seen()), max_size=5)


def cases() -> st.SearchStrategy[list[Case]]:
    return st.lists(
        st.builds(
            Case,
            ad=st.sampled_from([None, None, *ADS]),
            click=st.sampled_from([None, 0, 1, 9]),
            created=moments(),
            stage=st.sampled_from(["Won", "Talk", "Unmapped"]),
            amount=st.sampled_from([None, 0, 1234, -50]),
            conversion=st.none() | seen(),
        ),
        min_size=1,
        max_size=7,
    )


# --- the plan's rules once more, without a database ------------------------------------------------------------------


def one_ad(ads: Sequence[str], confidence: float) -> Found:
    if not ads:
        return NOTHING
    return Found(ad=ads[0], confidence=confidence) if len(set(ads)) == 1 else Found(ad=None, undecided=True)


def by_ids(case: Case, known: Sequence[Click]) -> Found:
    if case.ad in ADS[:2]:
        return Found(ad=case.ad, confidence=1.0)
    named = [] if case.click is None else list(known[case.click : case.click + 1])
    return one_ad([c.ad for c in named if c.seen.at <= case.created <= c.seen.at + WINDOW], 1.0)


def by_device(lead: Seen, known: Sequence[Click]) -> Found:
    same = [c for c in known if c.seen.consented and lead.device is not None and c.seen.device == lead.device]
    return one_ad([c.ad for c in same if c.seen.at <= lead.at <= c.seen.at + WINDOW], 0.9)


def by_chance(lead: Seen, known: Sequence[Click]) -> Found:
    likely = []
    for one in known:
        hours = Fraction((lead.at - one.seen.at) // timedelta(seconds=1), 3600)
        same_network = lead.network is not None and one.seen.network == lead.network
        same_agent = lead.agent is not None and one.seen.agent == lead.agent
        score = Fraction(same_network, 2) + Fraction(3 * same_agent, 10) + (1 - hours / 24) / 5
        if one.seen.consented and same_network and 0 <= hours <= 24 and score >= Fraction(7, 10):
            likely.append(one.ad)
    return one_ad(likely, 0.7)


def by_the_plan(case: Case, known: Sequence[Click]) -> tuple[str | None, str, float]:
    """(ad, method, confidence) of the first layer that names one ad."""
    layers = [("url_param", by_ids(case, known))]
    if case.conversion is not None and case.conversion.consented:
        layers += [
            ("fingerprint", by_device(case.conversion, known)),
            ("probabilistic", by_chance(case.conversion, known)),
        ]
    for method, found in layers:
        if found.ad is not None:
            return found.ad, method, found.confidence
        if found.undecided:
            break
    return None, "none", 0.0


# --- the command -----------------------------------------------------------------------------------------------------


def file_of(given: Sequence[Case]) -> io.BytesIO:
    rows = [
        (
            str(100 + n),
            case.stage,
            "" if case.amount is None else f"{case.amount / 100:.2f}",
            case.created.isoformat(),
            case.ad or "",
            "" if case.click is None else click_id(case.click),
        )
        for n, case in enumerate(given)
    ]
    lines = [",".join(row) for row in (("Deal ID", "Stage", "Amount", "Create Date", "Ad ID", "fbclid"), *rows)]
    return io.BytesIO("\n".join([*lines, ""]).encode())


def click_id(number: int) -> str:
    return f"IwAR0123456789abcdef{number}"


def sightings(records: Sequence[dict[str, Any]]) -> io.BytesIO | None:
    return io.BytesIO("".join(json.dumps(one) + "\n" for one in records).encode()) if records else None


def files(given: Sequence[Case], known: Sequence[Click]) -> Files:
    told = [
        {"click_id": click_id(n), "ad_id": c.ad, "clicked_at": c.seen.at.isoformat(), **c.seen.record()}
        for n, c in enumerate(known)
    ]
    converted = [
        {"deal_id": str(100 + n), "converted_at": case.conversion.at.isoformat(), **case.conversion.record()}
        for n, case in enumerate(given)
        if case.conversion is not None
    ]
    return Files(
        deals=CrmFile(source=file_of(given)), clicks=sightings(told), conversions=sightings(converted), privacy=KEYS
    )


def ingest(engine: Engine, given: Files | None = None, *, at_once: int = 5000, dry_run: bool = False) -> Report:
    return ingest_crm.run(
        engine, MAIN, None, VALUES, files=given, as_of=NOON + timedelta(days=1), at_once=at_once, dry_run=dry_run
    )


def tied(engine: Engine) -> dict[str, tuple[str | None, str, float]]:
    with transaction(engine, read_only=True) as connection:
        rows = connection.execute(text("select deal_id, ad_id, method, confidence from attributions"))
        return {row.deal_id: (row.ad_id, row.method, float(row.confidence)) for row in rows}


def told(report: Report) -> dict[str, object]:
    return {one.key: one.value for one in report.facts if one.key != "written"}


@pytest.fixture
def empty(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        connection.execute(
            text(
                """
                insert into accounts (account, meta_ad_account, currency, timezone)
                values ('main', 'act_1', 'USD', 'UTC');
                insert into campaigns (account, campaign_id, name, status, effective_status, read_at)
                values ('main', '1', 'c', 'ACTIVE', 'ACTIVE', adctl_now());
                insert into ad_sets (account, ad_set_id, campaign_id, name, status, effective_status, read_at)
                values ('main', '2', '1', 's', 'ACTIVE', 'ACTIVE', adctl_now());
                insert into ads (account, ad_id, ad_set_id, campaign_id, name, status, effective_status, read_at)
                select 'main', ad, '2', '1', ad, 'ACTIVE', 'ACTIVE', adctl_now() from unnest(array['31', '32']) ad
                """
            )
        )
    return engine


_EMPTY = "truncate deals, stage_moves, attributions, click_tracking, conversions, matching_keys"


@settings(max_examples=25, **RUN)
@given(given_cases=cases(), known=clicks(), at_once=st.sampled_from([1, 2, 3]))
def test_the_layers_go_in_their_order_in_blocks_of_any_size(
    empty: Engine, given_cases: list[Case], known: list[Click], at_once: int
) -> None:
    with transaction(empty) as connection:
        connection.execute(text(_EMPTY))
    report = ingest(empty, files(given_cases, known), at_once=at_once)
    assert tied(empty) == {str(100 + n): by_the_plan(case, known) for n, case in enumerate(given_cases)}
    again = ingest(empty)
    assert fact(again, "written") == 0
    kept = ("rows", "clicks", "conversions", "file_won")
    assert {k: v for k, v in told(report).items() if k not in kept} == {
        k: v for k, v in told(again).items() if k not in kept
    }
    proved = [case for case in given_cases if case.conversion and case.conversion.consented and by_ids(case, known).ad]
    asked = {
        layer: [(by_ids(case, known).ad, layer_of(case.conversion, known).ad) for case in proved if case.conversion]
        for layer, layer_of in (("fingerprint", by_device), ("probabilistic", by_chance))
    }
    both = {layer: [pair for pair in pairs if pair[1] is not None] for layer, pairs in asked.items()}
    counted = {layer: (len(pairs), sum(a == b for a, b in pairs)) for layer, pairs in both.items()}
    if any(counted[layer][0] for layer in counted):
        assert {row["layer"]: (row["both"], row["agree"]) for row in table(again, "layers").rows} == counted


@settings(max_examples=10, **RUN)
@given(before=cases(), after=cases())
def test_a_dry_run_values_deals_as_they_would_then_stand(empty: Engine, before: list[Case], after: list[Case]) -> None:
    with transaction(empty) as connection:
        connection.execute(text(_EMPTY))
    ingest(empty, files(before, []))
    dry = ingest(empty, Files(deals=CrmFile(source=file_of(after))), dry_run=True)
    done = ingest(empty, Files(deals=CrmFile(source=file_of(after))))
    for key in ("synthetic", "won", "file_won"):
        assert fact(dry, key) == fact(done, key)
    assert table(dry, "unmapped_stages").rows == table(done, "unmapped_stages").rows
