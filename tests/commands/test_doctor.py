"""What `doctor` finds, grades and survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ProgrammingError

from adctl.adapters.db import open_engine, transaction
from adctl.adapters.hubspot import HubSpotCrm
from adctl.adapters.meta import MetaPlatform
from adctl.adapters.store import accounts, entities
from adctl.commands import doctor
from adctl.commands.doctor import Probe
from adctl.domain.accounts import AccountProfile
from adctl.domain.checks import Check, Grade, ok, warn
from adctl.domain.entities import Campaign
from adctl.domain.ids import Account, CampaignId
from adctl.errors import BusyError, DeniedError
from adctl.sandbox import Sandbox
from tests.commands.pooling_proxy import pooling_proxy

MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="UTC"
)


def now() -> datetime:
    return datetime.now(UTC)


def look(engine: Engine, *vendors: str) -> dict[str, Check]:
    return {check.subject: check for check in doctor.database(engine, [MAIN], now, vendors)}


def test_a_ready_database_is_well_in_every_respect(engine: Engine) -> None:
    found = look(engine)
    assert list(found) == [
        "database",
        "clocks",
        "migrations",
        "clock of this database",
        "main: in the database",
        "database sessions",
    ]
    assert {check.grade for check in found.values()} == {Grade.OK}


def test_pending_migrations_are_critical_and_name_the_command(empty_database_url: str) -> None:
    found = look(open_engine(empty_database_url))
    assert found["migrations"].grade is Grade.CRIT
    assert found["migrations"].fix == "run adctl migrate"
    assert "0001_accounts.sql" in found["migrations"].finding


@pytest.mark.parametrize(("seconds", "grade"), [(1, Grade.OK), (60, Grade.WARN), (-60, Grade.WARN), (900, Grade.CRIT)])
def test_a_host_clock_that_is_off_is_graded_by_how_far(engine: Engine, seconds: int, grade: Grade) -> None:
    found = {c.subject: c for c in doctor.database(engine, [], lambda: now() + timedelta(seconds=seconds), ())}
    assert found["clocks"].grade is grade


def test_a_simulated_clock_is_critical_only_beside_a_real_vendor(engine: Engine) -> None:
    with transaction(engine) as connection:
        accounts.simulate(connection, datetime(2026, 3, 2, tzinfo=UTC))
    assert look(engine)["clock of this database"].grade is Grade.WARN
    beside = look(engine, "https://graph.facebook.com")["clock of this database"]
    assert beside.grade is Grade.CRIT
    assert "https://graph.facebook.com" in beside.finding
    # The simulated clock is months away from the host's, and that is no skew.
    assert look(engine)["clocks"].grade is Grade.OK


def test_an_account_whose_figures_are_in_another_currency_is_critical(engine: Engine) -> None:
    campaign = Campaign(campaign_id=CampaignId("c1"), name="", status="ACTIVE", effective_status="ACTIVE")
    with transaction(engine) as connection:
        accounts.ensure(connection, replace(MAIN, currency="EUR"))
        entities.upsert_campaigns(connection, MAIN.account, [campaign], now())
    found = look(engine)["main: in the database"]
    assert found.grade is Grade.CRIT
    assert "'EUR' in the database" in found.finding


def test_a_proxy_that_pools_transactions_is_found_out(database_url: str) -> None:
    url = make_url(database_url)
    host, at = url.query.get("host", url.host), url.query.get("port", url.port)
    assert isinstance(host, str)
    with pooling_proxy(host, int(str(at or 5432))) as port:
        proxied = url.set(query={"sslmode": "disable", "gssencmode": "disable"}, host="127.0.0.1", port=port)
        found = look(open_engine(proxied.render_as_string(hide_password=False)))
    assert found["database sessions"].grade is Grade.CRIT
    assert found["database"].grade is Grade.OK


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(
        seed=7, start=date(2026, 3, 2), history_days=2, campaigns=1, ad_sets=1, ads=2, currency="EUR"
    ) as running:
        yield running


def meta_checks(sandbox: Sandbox, profile: AccountProfile) -> list[Check]:
    with MetaPlatform(
        ad_account=sandbox.meta_account_id, token=sandbox.meta_token, base_url=sandbox.meta_url
    ) as platform:
        return list(doctor.meta(profile, platform))


def test_meta_must_count_money_and_days_as_configured(sandbox: Sandbox) -> None:
    fitting = replace(MAIN, currency="EUR", timezone="Europe/Berlin")
    well, rights = meta_checks(sandbox, fitting)
    other, _ = meta_checks(sandbox, replace(fitting, currency="USD", timezone="UTC"))
    assert (well.grade, rights.grade, rights.finding) == (Grade.OK, Grade.OK, "ads_management")
    assert other.grade is Grade.CRIT
    assert "currency is EUR at Meta but USD here" in other.finding
    assert "timezone is Europe/Berlin at Meta but UTC here" in other.finding


def test_hubspot_answers_with_its_pipelines(sandbox: Sandbox) -> None:
    with HubSpotCrm(token=sandbox.hubspot_token, currency="EUR", base_url=sandbox.hubspot_url) as crm:
        found, scopes = doctor.hubspot(MAIN, crm)
    assert (found.grade, found.finding) == (Grade.OK, "answers: 12 stages in 2 pipelines")
    assert scopes.grade is Grade.OK


@pytest.mark.parametrize(
    ("granted", "grades"),
    [
        (["ads_management"], [Grade.OK]),
        (["ads_read", "email"], [Grade.WARN]),
        (["email"], [Grade.CRIT]),
        ([], []),
    ],
)
def test_the_tokens_permissions_at_meta_are_graded(sandbox: Sandbox, granted: list[str], grades: list[Grade]) -> None:
    rows = [{"permission": name, "status": "granted"} for name in granted]
    declined = {"permission": "ads_management", "status": "declined"}
    sandbox.meta.faults.arm("status", path="/me/permissions", status=200, body={"data": [*rows, declined]})
    checks = meta_checks(sandbox, replace(MAIN, currency="EUR", timezone="Europe/Berlin"))
    assert [one.grade for one in checks[1:]] == grades


@pytest.mark.parametrize("path", ["objects/deals$", "contacts/batch/read", "associations/"])
def test_a_scope_that_hubspots_token_lacks_is_named(sandbox: Sandbox, path: str) -> None:
    words = "This app hasn't been granted all required scopes"
    sandbox.hubspot.faults.arm("status", path=path, status=403, body={"message": words, "category": "MISSING_SCOPES"})
    with HubSpotCrm(token=sandbox.hubspot_token, currency="EUR", base_url=sandbox.hubspot_url) as crm:
        checks = doctor.hubspot(MAIN, crm)
        assert next(checks).grade is Grade.OK
        with pytest.raises(DeniedError, match="required scopes"):
            next(checks)


def probe(subject: str, *found: Check | Exception) -> Probe:
    def look() -> Iterable[Check]:
        for one in found:
            if isinstance(one, Exception):
                raise one
            yield one

    return Probe(subject=subject, look=look)


def run(*probes: Probe, seconds: float = 5.0) -> tuple[int, list[tuple[str, str, str, str]]]:
    report = doctor.run(probes, seconds=seconds)
    (table,) = report.tables
    return report.exit_code, [
        (str(row["grade"]), str(row["subject"]), str(row["finding"]), str(row["fix"])) for row in table.rows
    ]


def test_the_worst_grade_is_the_exit_code() -> None:
    well, bad = ok("a", "good"), warn("b", "so so", "mend it")
    assert run(probe("p", well))[0] == 0
    assert run(probe("p", well, bad), probe("q", well))[0] == 1
    assert run(probe("p", bad), probe("q", DeniedError("no")))[0] == 2


def test_an_error_ends_its_probe_with_a_line_and_keeps_what_was_found() -> None:
    code, lines = run(probe("p", ok("a", "good"), DeniedError("token refused", fix="renew it"), ok("b", "never seen")))
    assert code == 2
    assert lines == [("OK", "a", "good", ""), ("CRIT", "p", "token refused", "renew it")]


def test_what_is_only_busy_is_a_warning() -> None:
    assert run(probe("p", BusyError("rate limited", fix="wait"))) == (1, [("WARN", "p", "rate limited", "wait")])


def test_a_database_error_nobody_knows_is_a_line_too() -> None:
    code, lines = run(probe("p", ProgrammingError("select", None, Exception("odd\nDETAIL: more"))))
    assert (code, lines[0][2]) == (2, "database: odd")


def test_a_probe_that_hangs_costs_its_time_and_nothing_else() -> None:
    release = threading.Event()

    def hang() -> Iterable[Check]:
        yield ok("a", "good")
        release.wait(30)

    began = time.monotonic()
    code, lines = run(Probe(subject="p", look=hang), Probe(subject="q", look=hang), seconds=0.5)
    release.set()
    assert time.monotonic() - began < 25
    assert code == 2
    assert [line[1] for line in lines] == ["a", "p", "a", "q"]
    assert lines[1][2] == "no answer within 0 s"


def test_a_bug_in_a_probe_is_a_line_beside_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    bugs: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", bugs.append)
    code, lines = run(probe("p", ok("a", "good"), ValueError("oops")))
    assert code == 2
    assert [line[:2] for line in lines] == [("OK", "a"), ("CRIT", "p")]
    assert [bug.exc_type for bug in bugs] == [ValueError]
