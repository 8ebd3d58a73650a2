"""Logs: one line a record, levels, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest

from adctl import logs, redaction

CANARY = "EAAcanary0123456789canary"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Logging and the remembered secrets are the process's own: each test leaves them as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("adctl").setLevel(logging.NOTSET)
    redaction.forget()


def configured(verbosity: int = 0, log_format: str = "kv") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream, verbosity=verbosity, log_format=log_format)
    return stream


@pytest.mark.parametrize(("verbosity", "levels"), [(0, "warning"), (1, "info warning"), (5, "debug info warning")])
def test_each_v_lets_one_more_level_through(verbosity: int, levels: str) -> None:
    stream = configured(verbosity, "json")
    log = logging.getLogger("adctl.commands.execute")
    log.debug("a")
    log.info("a")
    log.warning("a")
    assert " ".join(json.loads(line)["level"] for line in stream.getvalue().splitlines()) == levels


def test_vendor_libraries_stay_quiet_at_any_verbosity() -> None:
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    stream = configured(2)
    for name in ("urllib3.connectionpool", "facebook_business.api", "hubspot", "somebody.else"):
        logging.getLogger(name).info("GET /v24.0/act_1")
    assert stream.getvalue() == ""


def test_a_line_is_key_value_with_quotes_where_needed() -> None:
    stream = configured()
    logging.getLogger("adctl.x").warning("sent %d", 2, extra={"change": 12, "entity": 'ad "set"\n1', "none": None})
    time_field, _, rest = stream.getvalue().partition(" ")
    assert time_field.startswith("time=20")
    assert time_field.endswith("Z")
    assert rest == 'level=warning logger=adctl.x msg="sent 2" change=12 entity="ad \\"set\\"\\n1" none=None\n'


def test_json_lines_hold_the_same_fields() -> None:
    stream = configured(log_format="json")
    logging.getLogger("adctl.x").warning("sent", extra={"change": 12})
    line = json.loads(stream.getvalue())
    assert (line["msg"], line["logger"], line["change"]) == ("sent", "adctl.x", 12)


def test_control_characters_never_reach_the_log() -> None:
    stream = configured()
    logging.getLogger("adctl").warning("name \x1b[2J\u202e")
    assert "\x1b" not in stream.getvalue()
    assert "\\u001b[2J\\u202e" in stream.getvalue()


def test_configuring_again_replaces_and_does_not_repeat() -> None:
    first, second = configured(), configured()
    logging.getLogger("adctl").warning("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_a_wrong_format_string_loses_neither_the_line_nor_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as alone:
        # The suite's own handlers would raise: the program has only ours.
        alone.setattr(logging.getLogger(), "handlers", [])
        stream = configured()
        logging.getLogger("adctl").warning("sent %d", CANARY)
    assert 'msg="sent %d"' in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_a_closed_stream_stops_no_run() -> None:
    stream = configured()
    stream.close()
    logging.getLogger("adctl").warning("nobody reads this")


@pytest.mark.parametrize("log_format", ["kv", "json"])
def test_a_traceback_is_one_redacted_line(log_format: str) -> None:
    stream = configured(log_format=log_format)
    redaction.know(["plainvalue"])
    try:
        raise ValueError(f"GET https://graph.facebook.com/me?access_token={CANARY}&x=1 with plainvalue")
    except ValueError:
        logging.getLogger("adctl").exception("failed for %s", "jane@example.com", stack_info=True, extra={"t": CANARY})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "Traceback" in text
    assert "ValueError" in text
    for secret in (CANARY, "plainvalue", "jane"):
        # The stack shows source lines, and this file spells the values out only as constants.
        assert secret not in text.replace('"jane@example.com"', "")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET /me?access_token=abc&limit=5", "GET /me?access_token=***&limit=5"),
        ("next=https%3A%2F%2Fx%3Faccess_token%3Dabc", "next=https%3A%2F%2Fx%3Faccess_token%3D***"),
        ("appsecret_proof=0a1b, x", "appsecret_proof=***, x"),
        ("{'access_token': 'abc', 'a': 1}", "{'access_token': '***', 'a': 1}"),
        ('{"client_secret": "abc"}', '{"client_secret": "***"}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': 'Bearer ***'}"),
        ("sent Bearer abcdefgh12", "sent Bearer ***"),
        ("postgresql://u:hunter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hun@ter2@h/d", "postgresql://u:***@h/d"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        ("deal of jane.doe+x@mail.example.com.", "deal of ***@***."),
        ("/contacts/jane%40example.com/profile", "/contacts/***@***/profile"),
        (f"token {CANARY}!", "token ***!"),
        ("pat-eu1-12345678-abcd-abcd-abcd-123456789012", "***"),
        ("ADCTL_META_TOKEN=abc adctl execute", "ADCTL_META_TOKEN=*** adctl execute"),
    ],
)
def test_what_looks_like_a_secret_or_an_address_is_masked(text: str, clean: str) -> None:
    assert redaction.redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "meta_token: not set (ADCTL_META_TOKEN or meta_token_file)",
        "postgresql://adctl@db.example.com/adctl",
        "https://graph.facebook.com/v24.0/act_123/insights?limit=500",
        "ROAS 2.5 @ 10 %",
        "2 tokens left, bearer of news",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redaction.redact(text) == text


def test_a_known_secret_is_masked_wherever_and_however_it_stands() -> None:
    redaction.know(["a/b+c&d=", "tiny"])
    assert redaction.redact_known("x a/b+c&d= y a%2Fb%2Bc%26d%3D z a/b%2Bc%26d%3D") == "x *** y *** z ***"
    # Too short to be a token: masking it by value would blacken ordinary words.
    assert redaction.redact("a tiny step") == "a tiny step"
    redaction.forget()
    assert redaction.redact_known("a/b+c&d=") == "a/b+c&d="


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a@" * 50_000, "://a:" * 20_000, "token" * 20_000, "-a" * 50_000, "-token-" * 20_000]
)
def test_long_texts_are_redacted_in_linear_time(text: str) -> None:
    start = time.process_time()
    redaction.redact(text)
    assert time.process_time() - start < 2
