"""What monitoring gets: figures for Prometheus, and pings of every run for a dead-man's switch."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from adctl.domain.metrics import Gauge, exposition
from tests.builders import Loop
from tests.conftest import CommandLine

ACCOUNT = '[accounts.main]\nmeta_ad_account = "act_1"\nhubspot_portal = "1"\ncurrency = "USD"\ntimezone = "UTC"\n'
_LABEL = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"([a-z_0-9]+)\{{({_LABEL}(?:,{_LABEL})*)\}} (-?[0-9.e+]+)")


def figures(text: str) -> dict[tuple[str, str], float]:
    """Every sample by name and labels; each family is announced before its first sample."""
    found: dict[tuple[str, str], float] = {}
    announced = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            announced = line.split(" ")[2]
        elif not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == announced
            assert (match[1], match[2]) not in found
            found[match[1], match[2]] = float(match[3])
    return found


def test_labels_are_escaped_and_large_amounts_stay_exact() -> None:
    gauge = Gauge(name="adctl_x", says="A figure.")
    gauge.add(123_456_789_012_345, account='a"b\\c\nd')
    assert exposition([gauge, Gauge(name="adctl_none", says="Nothing.")]) == (
        '# HELP adctl_x A figure.\n# TYPE adctl_x gauge\nadctl_x{account="a\\"b\\\\c\\nd"} 123456789012345\n'
    )


def test_metrics_tell_of_jobs_freshness_queue_and_money(synced: Loop) -> None:
    synced.configure()
    adctl = synced.command_line()
    ad_set = next(one for one in synced.owners() if one.daily_budget)
    assert ad_set.daily_budget
    synced.queue(ad_set, ad_set.daily_budget + 100)
    assert adctl("index-winners").code == 0
    assert adctl("halt", "--reason", "test").code == 0
    outcome = adctl("metrics")
    assert (outcome.code, outcome.err) == (0, "")
    found = figures(outcome.out)
    assert found["adctl_job_last_exit_code", 'account="main",job="index-winners"'] == 0
    assert found["adctl_job_crashed", 'account="main",job="index-winners"'] == 0
    assert ("adctl_job_last_success_timestamp_seconds", 'account="main",job="index-winners"') in found
    assert ("adctl_source_read_until_timestamp_seconds", 'account="main",source="meta.insights"') in found
    assert found["adctl_changes", 'account="main",state="pending"'] == 1
    assert found["adctl_changes", 'account="main",state="unknown"'] == 0
    assert found["adctl_changes_oldest_timestamp_seconds", 'account="main",state="pending"'] > 0
    assert found["adctl_halted", 'account="main"'] == 1
    budgets = sum(one.daily_budget or 0 for one in synced.owners())
    assert found["adctl_daily_budget_minor_units", 'account="main",currency="USD"'] == budgets


def test_the_textfile_is_replaced_in_one_step_and_readable_for_the_collector(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    assert adctl("ingest-crm").code == 0
    out = adctl.folder / "adctl.prom"
    out.write_text("old")
    before = out.stat().st_ino
    assert adctl("metrics", "--out", str(out)).code == 0
    assert figures(out.read_text())["adctl_halted", 'account="main"'] == 0
    assert out.stat().st_ino != before
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert [path.name for path in adctl.folder.glob(".adctl.prom*")] == []
    refused = adctl("metrics", "--out", str(adctl.folder / "nowhere" / "adctl.prom"))
    assert (refused.code, "No such file or directory" in refused.err) == (2, True)


def test_figures_take_the_place_of_no_device(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    pipe = adctl.folder / "pipe"
    os.mkfifo(pipe)
    refused = adctl("metrics", "--out", str(pipe))
    assert (refused.code, "is there and no plain file" in refused.err) == (2, True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@contextmanager
def dead_mans_switch(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """The URL of a switch on this host and the targets of the pings it received."""
    pings: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pings.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/KEYcanary77/{{account}}-{{job}}", pings
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_pings_its_begin_and_its_end_with_one_run_id(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    with dead_mans_switch() as (url, pings):
        assert adctl("ingest-crm", ADCTL_PING_URL=url).code == 0
        assert adctl("ingest-crm", "--dry-run", ADCTL_PING_URL=url).code == 0
        assert adctl("status", ADCTL_PING_URL=url).code == 0
    start, end = (urlsplit(ping) for ping in pings)
    assert (start.path, end.path) == ("/KEYcanary77/main-ingest-crm/start", "/KEYcanary77/main-ingest-crm/0")
    assert parse_qs(start.query)["rid"] == parse_qs(end.query)["rid"]


def test_a_failure_pings_its_exit_code_even_without_a_database(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    with dead_mans_switch() as (url, pings):
        nowhere = "postgresql://adctl@127.0.0.1:1/adctl"
        assert adctl("decide", ADCTL_PING_URL=url, ADCTL_DATABASE_URL=nowhere).code == 69
        assert adctl("sync-meta", ADCTL_PING_URL=url).code == 78
    assert [urlsplit(ping).path.rpartition("/")[2] for ping in pings] == ["start", "69", "start", "78"]


@pytest.mark.parametrize("reachable", [True, False])
def test_a_switch_in_trouble_is_a_warning_that_does_not_tell_its_address(adctl: CommandLine, reachable: bool) -> None:
    adctl.configure(ACCOUNT)
    with dead_mans_switch(status=503) as (url, _):
        outcome = adctl("ingest-crm", ADCTL_PING_URL=url if reachable else "http://127.0.0.1:1/KEYcanary77/{job}")
    assert outcome.code == 0
    assert "the dead-man's switch was not reached" in outcome.err
    assert "KEYcanary77" not in outcome.out + outcome.err


def test_the_address_of_the_switch_may_stand_in_a_private_file(adctl: CommandLine, tmp_path: Path) -> None:
    with dead_mans_switch() as (url, pings):
        secret = tmp_path / "ping_url"
        secret.write_text(f"{url}\n")
        secret.chmod(0o600)
        adctl.configure(f'ping_url_file = "ping_url"\n{ACCOUNT}')
        assert adctl("ingest-crm").code == 0
        assert "KEYcanary77" not in adctl("config").out
    assert len(pings) == 2
