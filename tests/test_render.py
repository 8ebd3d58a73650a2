"""Rendering: the same report as plain text, as JSON and on a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl import redaction, render, terminal
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.errors import ConfigurationError, InputRejectedError

COLUMNS = (
    Column(key="ad", label="Ad"),
    Column(key="budget", label="Budget", kind=Kind.MONEY),
    Column(key="change", label="Change", kind=Kind.PERCENT),
    Column(key="reason", label="Reason"),
)


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    yield
    redaction.forget()


def table(*rows: Mapping[str, Cell], shown: int | None = None) -> Table:
    return Table(key="plan", title="Plan", columns=COLUMNS, rows=rows, shown=shown)


REPORT = Report(
    command="decide",
    summary="2 changes proposed.",
    account="main",
    currency="USD",
    dry_run=True,
    facts=(
        Fact(key="ads", label="Ads", value=1234, kind=Kind.COUNT),
        Fact(key="moved", label="Money moved", value=123450, kind=Kind.MONEY),
        Fact(key="at", label="As of", value=datetime(2026, 1, 31, 10, 30, tzinfo=UTC), kind=Kind.TIME),
    ),
    tables=(
        table(
            {"ad": "Spring", "budget": 2000, "change": 0.2, "reason": "ROAS 3.4 > 3", "decision_id": 7},
            {"ad": "春のセール", "budget": 150000, "change": -0.055, "reason": None},
        ),
    ),
    notes=("CRM data is 40 h old",),
)


def plain(report: Report) -> str:
    stream = io.StringIO()
    render.render(report, stream=stream)
    return stream.getvalue()


def parsed(report: Report) -> dict[str, object]:
    stream = io.StringIO()
    render.render(report, stream=stream, as_json=True)
    document = json.loads(stream.getvalue())
    assert isinstance(document, dict)
    return document


def seen(report: Report, *, width: int = 80, color: bool = False) -> str:
    stream = io.StringIO()
    terminal.render(report, stream=stream, color=color, width=width)
    return stream.getvalue()


def named(name: str) -> Report:
    row: dict[str, Cell] = {"ad": name, "budget": 1, "change": 0.0, "reason": name}
    return Report(command=name, summary=name, account=name, tables=(table(row),), notes=(name,))


# --- plain text


def test_plain_text_is_aligned_for_a_mail() -> None:
    assert plain(REPORT) == (
        "adctl decide · account main · dry run: nothing was written\n"
        "2 changes proposed.\n"
        "\n"
        "Ads:          1,234\n"
        "Money moved:  1,234.50 USD\n"
        "As of:        2026-01-31T10:30Z\n"
        "\n"
        "Plan\n"
        "Ad                Budget  Change  Reason\n"
        "----------  ------------  ------  ------------\n"
        "Spring         20.00 USD   20.0%  ROAS 3.4 > 3\n"
        "春のセール  1,500.00 USD   -5.5%  -\n"
        "\n"
        "note: CRM data is 40 h old\n"
    )


def test_an_empty_table_says_so_in_its_own_words() -> None:
    empty = Table(key="plan", title="Plan", columns=COLUMNS, rows=(), empty="nothing to do")
    assert plain(Report(command="x", summary="No changes.", tables=(empty,))).endswith("Plan: nothing to do\n")


def test_an_empty_table_without_words_is_not_mentioned_and_json_has_it() -> None:
    report = Report(
        command="x", summary="None.", tables=(Table(key="plan", title="Plan", columns=(), rows=(), empty=""),)
    )
    assert "Plan" not in plain(report)
    assert "Plan" not in seen(report)
    assert parsed(report)["tables"] == {"plan": []}


def test_a_person_sees_the_first_rows_and_json_has_all() -> None:
    rows: list[dict[str, Cell]] = [{"ad": f"ad {number}"} for number in range(5)]
    report = Report(command="x", summary="s", tables=(table(*rows, shown=2),))
    for text in (plain(report), seen(report)):
        assert "ad 1" in text
        assert "ad 2" not in text
        assert "and 3 more" in text
    assert parsed(report)["tables"] == {
        "plan": [{"ad": f"ad {number}", "budget": None, "change": None, "reason": None} for number in range(5)]
    }


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Kind.MONEY, "-"),
        (True, Kind.COUNT, "yes"),
        (123456, Kind.MONEY, "1,234.56 USD"),
        (-5, Kind.MONEY, "-0.05 USD"),
        (0.5, Kind.PERCENT, "50.0%"),
        (-0.0549, Kind.PERCENT, "-5.5%"),
        (1234.5, Kind.RATIO, "1,234.50"),
        (float("nan"), Kind.RATIO, "-"),
        (float("inf"), Kind.PERCENT, "-"),
        (1234567, Kind.COUNT, "1,234,567"),
        (42, Kind.TEXT, "42"),
        (date(2026, 1, 31), Kind.TIME, "2026-01-31"),
        (datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), Kind.TIME, "2025-12-31T22:30Z"),
        ("two\nlines", Kind.TEXT, "two lines"),
    ],
)
def test_each_kind_is_shown_its_own_way(value: Cell, kind: Kind, text: str) -> None:
    assert render.shown(value, kind, "USD") == text


def test_money_without_a_currency_is_not_dressed_up_as_one() -> None:
    assert render.shown(1234, Kind.MONEY, None) == "1,234 minor units"
    assert render.shown(1234, Kind.MONEY, "JPY") == "1,234 JPY"


def test_sections_follow_with_their_own_currency() -> None:
    section = Report(
        command="execute", summary="Sent.", currency="JPY", facts=(Fact(key="m", label="M", value=5, kind=Kind.MONEY),)
    )
    report = Report(command="demo", summary="Done.", currency="USD", sections=(section,))
    for text in (plain(report), seen(report)):
        assert "adctl execute" in text
        assert "5 JPY" in text


# --- JSON


def test_json_is_one_versioned_line_with_raw_values() -> None:
    assert parsed(REPORT) == {
        "adctl": 1,
        "command": "decide",
        "account": "main",
        "currency": "USD",
        "dry_run": True,
        "summary": "2 changes proposed.",
        "exit_code": 0,
        "facts": {"ads": 1234, "moved": 123450, "at": "2026-01-31T10:30:00Z"},
        "tables": {
            "plan": [
                {"ad": "Spring", "budget": 2000, "change": 0.2, "reason": "ROAS 3.4 > 3", "decision_id": 7},
                {"ad": "春のセール", "budget": 150000, "change": -0.055, "reason": None},
            ]
        },
        "notes": ["CRM data is 40 h old"],
        "sections": [],
    }


def test_what_json_cannot_say_is_null() -> None:
    facts = (Fact(key="a", label="a", value=float("nan")), Fact(key="b", label="b", value=float("-inf")))
    assert parsed(Report(command="x", summary="s", facts=facts))["facts"] == {"a": None, "b": None}


def test_sections_are_documents_of_their_own() -> None:
    document = parsed(Report(command="demo", summary="s", sections=(REPORT,)))
    assert document["sections"] == [{key: value for key, value in parsed(REPORT).items() if key != "adctl"}]


# --- names from outside


@given(name=st.text(max_size=30))
def test_no_name_can_drive_a_terminal_or_break_a_line(name: str) -> None:
    report = named(name)
    lines = plain(report).split("\n")
    assert len(lines) == len(plain(named("x")).split("\n"))
    assert json.loads(json.dumps(parsed(report)))["summary"] == name
    for text in (*lines, *seen(report).split("\n")):
        # Without colour rich itself writes no control sequence.
        assert all(character.isprintable() or character not in "\x1b\x9b\x07\r\u202e" for character in text)


@pytest.mark.parametrize("name", ["\x1b[31mred", "\x9b2J", "a\rb", "\u202egpj.exe", "x\x00y", "lone \udcff"])
def test_control_characters_become_visible(name: str) -> None:
    for text in (plain(named(name)), seen(named(name))):
        assert not set(name) & set("\x1b\x9b\r\u202e\x00\udcff") & set(text)
    assert parsed(named(name))["summary"] == name


def test_markup_in_a_name_stays_text() -> None:
    assert "[bold]x[/bold] :smile:" in seen(named("[bold]x[/bold] :smile:"))


def test_a_stream_with_a_small_alphabet_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    render.render(named("→"), stream=stream)
    stream.flush()
    assert b"\\u2192" in raw.getvalue()


def test_a_known_secret_is_in_no_rendering() -> None:
    redaction.know(["canary-secret"])
    report = named("has canary-secret inside")
    stream = io.StringIO()
    render.render(report, stream=stream, as_json=True)
    for text in (plain(report), seen(report, width=200), stream.getvalue()):
        assert "canary-secret" not in text
        assert "has *** inside" in text


# --- the terminal


def test_a_terminal_without_colour_gets_no_colours() -> None:
    assert "\x1b[" not in seen(REPORT, color=False)
    assert "\x1b[" in seen(REPORT, color=True)


@pytest.mark.parametrize("width", range(20, 90))
def test_every_figure_stays_whole_on_a_narrow_terminal(width: int) -> None:
    text = seen(REPORT, width=width)
    assert max(render.width(line) for line in text.splitlines()) <= width
    for figure in ("1,500.00 USD", "20.00 USD", "-5.5%"):
        assert figure in text


@pytest.mark.parametrize("width", range(40, 100))
def test_many_figures_and_an_id_stay_whole_or_stand_one_below_the_other(width: int) -> None:
    figures = {f"figure_{place}": place * 111_111 for place in range(1, 6)}
    columns = [Column(key=key, label=key, kind=Kind.MONEY) for key in figures]
    many = Table(
        key="t", title="T", columns=(Column(key="ad", label="ad"), *columns), rows=({"ad": "1" * 18, **figures},)
    )
    text = seen(Report(command="x", summary="s", currency="USD", tables=(many,)), width=width)
    assert all(word in text for word in ("1" * 18, "1,111.11 USD", "5,555.55 USD"))
    assert max(render.width(line) for line in text.splitlines()) <= width


def test_a_long_reason_wraps_in_its_column() -> None:
    row: dict[str, Cell] = {"ad": "Spring", "budget": 2000, "change": 0.2, "reason": "the last of many words " * 8}
    text = seen(Report(command="x", summary="s", currency="USD", tables=(table(row),)), width=60)
    assert text.count("many words") + text.count("many\n") >= 1
    assert max(len(line) for line in text.splitlines()) <= 60
    assert text.count("last") == 8


# --- errors and progress


def test_an_error_is_one_redacted_line() -> None:
    stderr = io.StringIO()
    render.render_error(ConfigurationError("a\nb?access_token=abc\x1b", fix="do c"), stream=stderr)
    assert stderr.getvalue() == "adctl: error: a b?access_token=*** (do c)\n"


def test_an_error_in_json_names_its_place() -> None:
    stderr, stdout = io.StringIO(), io.StringIO()
    error = InputRejectedError("no number", source="ads.csv", line=12, column="spend", fix="correct it")
    render.render_error(error, stream=stderr)
    render.render_error(error, stream=stdout, as_json=True)
    assert stderr.getvalue() == "adctl: error: ads.csv, line 12, column 'spend': no number (correct it)\n"
    assert json.loads(stdout.getvalue()) == {
        "adctl": 1,
        "error": {
            "message": "ads.csv, line 12, column 'spend': no number",
            "fix": "correct it",
            "exit_code": 65,
            "file": "ads.csv",
            "line": 12,
            "column": "spend",
        },
    }


def test_an_error_without_a_place_has_none_in_json() -> None:
    stdout = io.StringIO()
    render.render_error(ConfigurationError("what"), stream=stdout, as_json=True)
    assert json.loads(stdout.getvalue())["error"] == {"message": "what", "fix": "", "exit_code": 78}


def test_progress_in_a_pipe_is_one_line_a_step() -> None:
    stream = io.StringIO()
    with render.LineProgress(stream) as step:
        step("sync-meta: 30 ads")
        step("decide\x1b[2J")
    assert stream.getvalue() == "sync-meta: 30 ads\ndecide\\x1b[2J\n"


def test_progress_on_a_terminal_is_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    with terminal.LiveProgress(stream, color=False) as step:
        step("sync-meta: [30] ads\x1b[2J")
    text = stream.getvalue()
    assert "sync-meta: [30] ads" in text
    assert "\x1b[2J" not in text
    # The cursor is shown again and the line erased.
    assert "\x1b[?25h" in text
    assert "\x1b[2K" in text


def test_plain_rendering_does_not_load_rich() -> None:
    heavy = "not {'rich', 'numpy', 'sqlalchemy'}.isdisjoint(sys.modules)"
    code = f"import sys, adctl.render, adctl.logs, adctl.settings; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
