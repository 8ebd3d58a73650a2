"""The back-test in simulated worlds: the same in any number of processes, and every table says what it counts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from adctl.cli.backtest import drawn
from adctl.commands.backtest_worlds import run
from adctl.domain.report import Report
from adctl.errors import ConfigurationError
from tests.conftest import CommandLine

POLICIES = ("blended", "equal", "rules", "rules-roas")


def test_the_command_prints_one_document_shows_progress_and_draws(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    wanted = ("--world", "base", "--world", "small", "--seeds", "2", "--days", "8", "--picture", "p.svg", "--json")
    outcome = adctl("backtest", *wanted, "--policy", "bayes", "--policy", "equal")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("runs done") == 4
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    assert [(row["world"], row["policy"]) for row in tables["standings"]] == [
        (world, policy) for world in ("base", "small") for policy in ("bayes", "equal")
    ]
    assert all(0 < row["share"] <= 1.05 for row in tables["standings"])
    assert len(tables["value_by_day"]) == 8
    assert sum(row["verdicts"] for row in tables["reliability"]) > 50
    titles = [one.text or "" for one in ET.parse(tmp_path / "p.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert any("chance of being wrong" in title for title in titles)
    here = run(("base", "small"), ("bayes", "equal"), seeds=2, days=8, processes=1).tables[0]
    assert [
        {key: row.get(key) for key in there} for row, there in zip(here.rows, tables["standings"], strict=True)
    ] == (tables["standings"])


def test_the_first_policy_is_compared_with_each_and_with_the_best_rule() -> None:
    report = run(("base",), POLICIES, seeds=3, days=8, processes=2)
    (versus,) = [table for table in report.tables if table.key == "versus"]
    (standings,) = [table for table in report.tables if table.key == "standings"]
    share = {row["policy"]: row["share"] for row in standings.rows}
    lead = {row["policy"]: row["lead"] for row in versus.rows}
    assert list(lead) == ["equal", "rules", "rules-roas", "best rule"]
    for policy in ("equal", "rules", "rules-roas"):
        ours, theirs = share["blended"], share[policy]
        assert isinstance(ours, float)
        assert isinstance(theirs, float)
        assert lead[policy] == pytest.approx(ours - theirs)
    assert lead["best rule"] in (lead["rules"], lead["rules-roas"])
    assert versus.rows[-1]["lead"] == min(row["lead"] for row in versus.rows if "rule" in str(row["policy"]))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("worlds", "policies", "named"),
    [
        (("mars",), ("equal",), "mars"),
        (("all", "mars"), ("equal",), "mars"),
        (("base",), ("guess",), "guess"),
        (("base",), ("rules:x=1",), "x"),
    ],
)
def test_an_unknown_world_policy_or_parameter_is_refused_before_anything_runs(
    worlds: tuple[str, ...], policies: tuple[str, ...], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        run(worlds, policies, seeds=1_000_000, days=60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ("--world", "base", "--account", "acme"),
            "--account: not heeded with --world (leave out --account, or --world)",
        ),
        (
            ("--world", "base", "--config", "a.toml"),
            "--config: not heeded with --world (leave out --config, or --world)",
        ),
        (("--world", "base", "--horizon", "7"), "--horizon: not heeded with --world (leave out --horizon, or --world)"),
        (
            ("--world", "base", "--maturity", "9"),
            "--maturity: not heeded with --world (leave out --maturity, or --world)",
        ),
        (("--seeds", "8"), "--seeds: not heeded without --world (leave out --seeds, or add --world base)"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused_in_one_line(
    tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    outcome = CommandLine(folder=tmp_path)("backtest", *given)

    assert (outcome.code, outcome.err.count("\n"), outcome.out) == (2, 1, "")
    assert said in outcome.err


def test_a_picture_that_would_be_no_svg_is_refused_before_the_work(tmp_path: Path) -> None:
    outcome = CommandLine(folder=tmp_path)("backtest", "--world", "base", "--picture", "p.png")

    assert outcome.code == 2
    assert "--picture p.png: it is drawn as SVG (name it p.svg)" in outcome.err
    assert not (tmp_path / "p.png").exists()


def test_a_picture_that_can_have_no_place_is_refused_before_the_work(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    wanted = ("--world", "base", "--seeds", "1", "--days", "8", "--policy", "equal", "--picture", "none/p.svg")
    outcome = adctl("backtest", *wanted)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "--picture none/p.svg: there is no folder 'none'" in outcome.err


def test_a_picture_that_finds_no_room_after_the_work_takes_no_report_along(tmp_path: Path) -> None:
    report = drawn(Report(command="backtest", summary="Done."), tmp_path / "gone" / "p.svg")
    assert (report.summary, report.exit_code) == ("Done.", 3)
    assert "p.svg: the picture cannot be written: No such file or directory." in report.notes[0]
