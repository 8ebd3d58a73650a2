"""Clicks and conversions by keyed hashes: matched, measured, let expire, forgotten, and nothing of a person kept."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adctl.adapters.crm_intake import CrmFile, Files
from adctl.commands.ingest_crm import Switches
from adctl.domain.privacy import PrivacyKeys, privacy_keys
from adctl.domain.report import Report
from tests.builders import LEDGER, Loop, fact, table
from tests.conftest import Outcome

KEY = "0123456789abcdef" * 3
OTHER_KEY = "fedcba9876543210" * 3
CLICKED = datetime(2026, 2, 25, 12, tzinfo=UTC)
AGENT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36"
ADDRESS, IP, TOKEN = "canary.person@secret-example.org", "203.0.114.77", "EAA" + "C4naryT0ken" * 3
DEVICE = {"screen": "390x844", "timezone": "Europe/Berlin", "language": "de-DE", "canvas": "c4naryf1ngerprint"}
DEALS = "Deal ID,Stage,Amount,Create Date,Ad ID,fbclid,Contact email\n"


def keys(current: str = KEY, previous: str | None = None) -> PrivacyKeys:
    return privacy_keys(current, previous)


def lines(*records: dict[str, object]) -> io.BytesIO:
    return io.BytesIO("".join(json.dumps(record) + "\n" for record in records).encode())


def click(click_id: str, ad_id: str = "31", at: datetime = CLICKED, **more: Any) -> dict[str, object]:
    seen = {"ip": IP, "user_agent": AGENT, "device": DEVICE, "consent": True}
    return {"click_id": click_id, "ad_id": ad_id, "clicked_at": at.isoformat(), **seen, **more}


def conversion(deal_id: str, at: datetime = CLICKED + timedelta(hours=2), **more: Any) -> dict[str, object]:
    seen = {"ip": IP, "user_agent": AGENT, "device": DEVICE, "consent": True}
    return {"deal_id": deal_id, "converted_at": at.isoformat(), **seen, **more}


def deal(deal_id: str, click_id: str = "", email: str = "") -> str:
    return f"{deal_id},closedwon,10,2026-02-25 15:00Z,,{click_id},{email}\n"


def take(
    loop: Loop,
    *rows: str,
    clicks: io.BytesIO | None = None,
    conversions: io.BytesIO | None = None,
    privacy: PrivacyKeys | None = None,
    switches: Switches | None = None,
) -> Report:
    source = CrmFile(source=io.BytesIO((DEALS + "".join(rows)).encode())) if rows else None
    files = Files(deals=source, clicks=clicks, conversions=conversions, privacy=privacy or keys())
    return loop.take_in(files, switches=switches)


def attributed(loop: Loop) -> dict[str, tuple[str | None, str]]:
    return {row["deal_id"]: (row["ad_id"], row["method"]) for row in loop.rows("attributions")}


# --- layers ----------------------------------------------------------------------------------------------------------


def test_a_device_then_a_network_ties_a_deal_that_brought_no_id(loop: Loop) -> None:
    few = {"screen": "1x1"}
    take(
        loop,
        deal("byid", "clickone1"),
        deal("bydevice"),
        deal("bynetwork"),
        deal("bynothing"),
        clicks=lines(
            click("clickone1", "31", ip="198.41.0.4", device=few),
            click("clicktwo2", "32", ip="199.9.14.201"),
            click("clickthree3", "33", device=few),
        ),
        conversions=lines(
            conversion("bydevice", ip="8.8.8.8"),
            conversion("bynetwork", device=few),
            conversion("bynothing", consent=False),
        ),
    )
    assert attributed(loop) == {
        "byid": ("31", "url_param"),
        "bydevice": ("32", "fingerprint"),
        "bynetwork": ("33", "probabilistic"),
        "bynothing": (None, "none"),
    }


def test_the_same_files_again_change_nothing(loop: Loop) -> None:
    def once() -> Report:
        return take(loop, deal("d1"), clicks=lines(click("clickone1")), conversions=lines(conversion("d1")))

    assert fact(once(), "clicks") == 1
    before = loop.digest(LEDGER)
    assert fact(once(), "written") == 0
    assert loop.digest(LEDGER) == before


def test_layers_are_measured_where_the_first_one_proved_an_ad(loop: Loop) -> None:
    report = take(
        loop,
        deal("right", "clickone1"),
        deal("wrong", "clicktwo2"),
        clicks=lines(click("clickone1", "31"), click("clicktwo2", "32", ip="8.8.8.8", device={})),
        conversions=lines(conversion("right"), conversion("wrong")),
    )
    [fingerprint, _] = table(report, "layers").rows
    assert fingerprint == {"layer": "fingerprint", "both": 2, "agree": 1, "precision": 0.5}


def test_a_click_without_consent_is_kept_by_its_id_alone(loop: Loop) -> None:
    take(
        loop,
        deal("d1"),
        deal("d2", "clickone1"),
        clicks=lines(click("clickone1", consent=None), click("clicktwo2", consent=False)),
        conversions=lines(conversion("d1")),
    )
    assert attributed(loop) == {"d1": (None, "none"), "d2": ("31", "url_param")}
    assert loop.rows("matching_keys") == [row for row in loop.rows("matching_keys") if row["owner"] == "deal"]


def test_consent_that_is_withdrawn_takes_the_keys_away(loop: Loop) -> None:
    take(loop, clicks=lines(click("clickone1")))
    assert len(loop.rows("matching_keys")) == 1
    take(loop, clicks=lines(click("clickone1", consent=False)))
    assert loop.rows("matching_keys") == []


def test_layers_can_be_switched_off_for_an_account(loop: Loop) -> None:
    loop.configure(loop.toml, loop.toml + "\n[accounts.main.attribution]\nfingerprint = false\nprobabilistic = false\n")
    (loop.folder / "clicks").write_bytes(lines(click("clickone1")).getvalue())
    (loop.folder / "leads").write_bytes(lines(conversion("d1")).getvalue())
    (loop.folder / "deals").write_text(DEALS + deal("d1"))
    outcome = run(loop, "ingest-crm", "deals", "--clicks", "clicks", "--conversions", "leads")
    assert outcome.code == 0, outcome.err
    assert attributed(loop) == {"d1": (None, "none")}
    shown = run(loop, "why", "deal", "d1").out
    assert shown.count("switched off") == 2


def test_a_click_of_the_previous_key_is_still_found_after_the_key_was_changed(loop: Loop) -> None:
    take(loop, clicks=lines(click("clickone1")), privacy=keys(OTHER_KEY))
    take(loop, deal("d1"), conversions=lines(conversion("d1")), privacy=keys(KEY, OTHER_KEY))
    assert attributed(loop) == {"d1": ("31", "fingerprint")}


def test_without_a_key_clicks_come_in_by_id_and_it_is_said_so(loop: Loop) -> None:
    report = loop.take_in(Files(clicks=lines(click("clickone1"))))
    assert any("set privacy_key" in note for note in report.notes)
    assert loop.rows("matching_keys") == []
    assert len(loop.rows("click_tracking")) == 1


def test_the_same_click_told_later_again_happened_when_it_was_first_told(loop: Loop) -> None:
    late = click("clickone1", at=CLICKED + timedelta(hours=9))
    take(loop, clicks=lines(click("clickone1"), late))
    take(loop, clicks=lines(late))
    assert [row["clicked_at"] for row in loop.rows("click_tracking")] == [CLICKED]


# --- time and erasure ------------------------------------------------------------------------------------------------


def test_a_conversion_processed_late_keeps_its_click_and_its_attribution_outlives_the_purge(loop: Loop) -> None:
    take(loop, clicks=lines(click("clickone1")))
    loop.advance(days=20)
    assert run(loop, "purge").code == 0
    take(loop, deal("d1"), conversions=lines(conversion("d1")))
    take(loop, clicks=lines(click("clicktwo2", at=CLICKED + timedelta(days=20))))
    assert attributed(loop) == {"d1": ("31", "fingerprint")}
    loop.advance(days=25)
    assert "would be deleted" in run(loop, "purge", "--dry-run").out
    assert "4 rows deleted" in run(loop, "purge").out
    assert "No changes." in run(loop, "purge").out
    assert [row["click_id"] for row in loop.rows("click_tracking")] == ["clicktwo2"]
    assert {row["owner_id"] for row in loop.rows("matching_keys")} == {"clicktwo2"}
    take(loop)
    assert attributed(loop) == {"d1": ("31", "fingerprint")}


def test_what_rows_were_more_than_two_years_ago_is_purged(loop: Loop) -> None:
    for days in (732, 730):
        loop.run_sql(
            "insert into earlier_rows values ('main', 'ads', adctl_now() - make_interval(days => :days), '{}')",
            days=days,
        )
    kept = len(loop.rows("earlier_rows")) - 1
    assert run(loop, "purge").code == 0
    assert len(loop.rows("earlier_rows")) == kept
    old = "select count(*) from earlier_rows where known_until < adctl_now() - interval '731 days'"
    assert loop.value(old) == 0


def test_who_asks_to_be_forgotten_is_gone_and_stays_away(loop: Loop) -> None:
    person: dict[str, Any] = {"email": ADDRESS.upper()}

    def everything() -> Report:
        return take(
            loop,
            deal("d1", "clickone1", ADDRESS),
            deal("d2", "clicktwo2", "other@example.org"),
            clicks=lines(click("clickone1", **person), click("clicktwo2", ip="8.8.8.8", device={})),
            conversions=lines(conversion("d1", **person)),
        )

    everything()
    outcome = run(loop, "forget", stdin=f"{ADDRESS}\n".encode())
    assert outcome.code == 0, outcome.err
    assert "No changes." not in outcome.out
    assert "No changes." in run(loop, "forget", "--email", "-", stdin=ADDRESS.encode()).out
    for _ in range(2):
        assert [row["click_id"] for row in loop.rows("click_tracking")] == ["clicktwo2"]
        assert [row["owner_id"] for row in loop.rows("matching_keys")] == ["clicktwo2"]
        assert [row["owner_id"] for row in loop.rows("email_keys")] == ["d2"]
        assert {row["deal_id"]: row["click_id"] for row in loop.rows("deals")} == {"d1": None, "d2": "clicktwo2"}
        assert loop.rows("conversions") == []
        everything()
    assert attributed(loop) == {"d1": ("31", "url_param"), "d2": ("31", "url_param")}


def test_an_address_is_no_argument_and_a_key_is_needed(loop: Loop) -> None:
    told = run(loop, "forget", "--email", ADDRESS)
    assert told.code == 2
    assert ADDRESS not in told.out + told.err
    assert run(loop, "forget", stdin=b"nobody\n").code == 2
    assert loop.command_line()("forget", stdin=ADDRESS.encode()).code == 78


# --- evidence --------------------------------------------------------------------------------------------------------


def test_why_deal_shows_moves_value_and_the_layers_that_were_tried(loop: Loop) -> None:
    take(loop, deal("d1"), deal("d2"), clicks=lines(click("clickone1")), conversions=lines(conversion("d1")))
    found = run(loop, "why", "deal", "d1", "--json").document
    assert "came from ad 31 (fingerprint, 0.90)" in str(found["summary"])
    text = run(loop, "why", "deal", "d1").out
    assert "no key" in text
    assert "matched by device" in text
    assert "not attributed to any ad: no key" in run(loop, "why", "deal", "d2").out
    assert run(loop, "why", "deal", "nobody").code == 2


# --- the canary ------------------------------------------------------------------------------------------------------


def run(loop: Loop, *words: str, stdin: bytes = b"") -> Outcome:
    return loop.command_line()(*words, stdin=stdin, ADCTL_PRIVACY_KEY=KEY)


@pytest.mark.parametrize("good", [True, False])
def test_a_token_and_an_address_fed_in_appear_nowhere(loop: Loop, tmp_path: Path, good: bool) -> None:
    person: dict[str, Any] = {"email": ADDRESS, "note": TOKEN}
    bad = (
        ""
        if good
        else f"x,closedwon,{ADDRESS},,{IP},{TOKEN},{ADDRESS}\ny,closedwon,1,1,1,1,{ADDRESS},{TOKEN},{AGENT}\n"
    )
    (tmp_path / "deals.csv").write_text(DEALS + deal("d1", "clickone1", ADDRESS) + bad)
    broken: dict[str, Any] = {} if good else {"clicked_at": ADDRESS, "ip": f"{IP}.9", "user_agent": TOKEN}
    clicks = lines(click("clickone1", **person), click("clicktwo2", **person, **broken))
    (tmp_path / "clicks.jsonl").write_bytes(clicks.getvalue())
    broken_lead: dict[str, Any] = {} if good else {"ip": f"{IP}x"}
    leads = lines(conversion("d1", **person), conversion("d2", **person, **broken_lead))
    (tmp_path / "leads.jsonl").write_bytes(leads.getvalue())
    words = ("ingest-crm", "deals.csv", "--clicks", "clicks.jsonl", "--conversions", "leads.jsonl", "-vv")
    outcomes = [
        run(loop, *words, *allowance, *style)
        for allowance in ((), ("--max-rejects", "9"))
        for style in ((), ("--json",))
    ]
    assert {outcome.code for outcome in outcomes} == ({0} if good else {65, 3})
    outcomes += [
        run(loop, "rejects", "list", "--json"),
        run(loop, "rejects", "retry", "-vv"),
        run(loop, "why", "deal", "d1"),
    ]
    outcomes.append(run(loop, "forget", stdin=ADDRESS.encode()))
    assert all(loop.rows(name) for name in ("deals", "job_runs", "attributions"))
    seen = "\n".join(outcome.out + outcome.err for outcome in outcomes) + everything_in(loop)
    assert "Traceback" not in seen
    for canary in (ADDRESS, ADDRESS.split("@")[0], IP, TOKEN, AGENT, "c4naryf1ngerprint", KEY):
        assert canary not in seen


def everything_in(loop: Loop) -> str:
    with_rows = [name for name in loop.digest() if loop.value(f"select count(*) from {name}")]
    return "\n".join(str(row) for name in with_rows for row in loop.rows(name))
