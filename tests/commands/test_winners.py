"""winners similar, list and stats: explained matches, honest evidence, and answers whatever the file is like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import embeddings
from adctl.adapters.winner_index import index_path
from adctl.cli.wiring import creative_embedder
from adctl.commands import index_winners, winners_list, winners_similar, winners_stats
from adctl.domain.creatives import Creative, creative_of_text
from adctl.domain.ids import AdId
from adctl.domain.report import Cell, Report
from adctl.domain.winners import WinnerRule
from adctl.errors import UsageError
from tests.commands.winner_rows import ADS, MAIN, NOW, SALE, STRONG, STRONGER, YOGA, creative, fill
from tests.conftest import CommandLine

EMBEDDER = creative_embedder()
RULE = WinnerRule(target_roas=2.0, target_cost_per_win=0, minimum_spend=50_00)
SETTINGS = '[accounts.main]\nmeta_ad_account = "act_1"\ncurrency = "USD"\ntimezone = "UTC"\nwinners.target_roas = 2.0\n'


def index(engine: Engine, folder: Path) -> Report:
    return index_winners.run(engine, MAIN, EMBEDDER, RULE, index_directory=folder)


def similar(
    engine: Engine, folder: Path, query: str | Creative, *, k: int = 10, winners_only: bool = False
) -> tuple[Mapping[str, Cell], ...]:
    asked = query if isinstance(query, Creative) else AdId(query)
    report = winners_similar.run(engine, MAIN, EMBEDDER, asked, index_directory=folder, k=k, winners_only=winners_only)
    return tuple(report.tables[0].rows)


def titles(rows: tuple[Mapping[str, Cell], ...]) -> list[Cell]:
    return [row["creative"] for row in rows]


def test_an_ad_finds_its_like_and_not_itself(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    rows = similar(engine, tmp_path, STRONGER.ad_id)

    assert rows[0]["creative"] == STRONG.creative.headline
    assert STRONGER.creative.headline not in titles(rows)
    assert (rows[0]["state"], rows[0]["spend"], rows[0]["impressions"]) == ("winner", 500_00, 5000)
    assert float(str(rows[0]["probability"])) >= 0.9


def test_a_match_explains_itself_exactly(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    row = similar(engine, tmp_path, STRONGER.ad_id)[0]

    parts = [float(str(row[name])) for name in ("text_cosine", "text_share", "attribute_cosine", "attribute_share")]
    assert parts[0] * parts[1] + parts[2] * parts[3] == pytest.approx(float(str(row["cosine"])), abs=1e-5)
    assert set(str(row["shared_words"]).split(", ")) == {"at", "coach", "lift", "with"}
    assert row["equal_attributes"] == "headline_length medium"


def test_a_text_finds_creatives_by_its_words(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    assert titles(similar(engine, tmp_path, creative_of_text("yoga by the lake"), k=1)) == [YOGA.creative.headline]


def test_what_is_as_far_as_chance_is_not_shown(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    report = winners_similar.run(
        engine, MAIN, EMBEDDER, creative_of_text("zzyzzx qwrtp"), index_directory=tmp_path, k=10
    )

    assert report.tables[0].rows == ()
    assert report.exit_code == 0
    assert "chance" in report.summary


def test_near_copies_are_one_line_with_their_figures_together(engine: Engine, tmp_path: Path) -> None:
    copies = [
        replace(
            YOGA, ad_id=f"5{n}", creative=creative(f"y{n}", f"Quiet yoga mornings by the lake{'!' * n}", format="image")
        )
        for n in range(1, 13)
    ]
    fill(engine, (*ADS, *copies))
    index(engine, tmp_path)

    rows = similar(engine, tmp_path, creative_of_text("quiet yoga mornings, half price until Sunday"), k=2)

    assert len(rows) == 2
    (yoga,) = [row for row in rows if "yoga" in str(row["creative"])]
    assert (yoga["ads"], yoga["spend"], yoga["copies"]) == (13, 1300_00, 12)


def test_a_variant_names_the_line_it_is_a_variant_of(engine: Engine, tmp_path: Path) -> None:
    words = "Quiet yoga mornings by the lake with tea and fruit and a long walk in the"
    one, other = creative("v1", f"{words} woods"), creative("v2", f"{words} hills")
    fill(engine, (replace(YOGA, creative=one), replace(SALE, creative=other)))
    index(engine, tmp_path)

    first, second = similar(engine, tmp_path, creative_of_text(f"{words} woods"))

    assert 0.85 <= float(EMBEDDER.encode([one])[0] @ EMBEDDER.encode([other])[0]) < 0.95
    assert (first["variant_of"], second["variant_of"]) == (None, 1)


def test_a_demoted_winner_is_never_shown_as_one(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    before = titles(similar(engine, tmp_path, STRONGER.ad_id, winners_only=True))
    fill(engine, (replace(STRONG, spend=5000_00),))
    index(engine, tmp_path)

    assert before == [STRONG.creative.headline]
    assert similar(engine, tmp_path, STRONGER.ad_id, winners_only=True) == ()
    assert similar(engine, tmp_path, STRONGER.ad_id)[0]["state"] == "demoted"
    assert [row["state"] for row in winners_list.run(engine, MAIN).tables[0].rows] == ["demoted"]


def test_a_far_winner_is_found_among_many_nearer_creatives(engine: Engine, tmp_path: Path) -> None:
    near = [
        replace(
            YOGA, ad_id=f"6{n:03}", creative=creative(f"n{n:03}", f"Lift with a coach, plan {n} of {n * 7}"), wins=0
        )
        for n in range(400)
    ]
    fill(engine, (STRONG, SALE, *near))
    index(engine, tmp_path)

    rows = similar(engine, tmp_path, creative_of_text("coach plan 3 of 21, lift"), k=3, winners_only=True)

    assert titles(rows) == [STRONG.creative.headline]


def test_a_creative_that_nobody_shows_any_more_is_no_answer(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    fill(engine, (replace(YOGA, creative=replace(YOGA.creative, headline="Loud nights downtown")),))

    assert YOGA.creative.headline not in titles(similar(engine, tmp_path, creative_of_text("quiet yoga mornings")))


@pytest.mark.parametrize("content", [None, b"", b"no index at all, but long enough to be taken for one " * 5])
def test_any_file_gives_the_same_answer_and_is_said(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    fill(engine)
    index(engine, tmp_path)
    path = index_path(tmp_path, MAIN.account)
    right = similar(engine, tmp_path, STRONGER.ad_id)
    assert caplog.records == []
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert similar(engine, tmp_path, STRONGER.ad_id) == right
    (said,) = caplog.records
    assert str(path) in said.message
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_stale_file_gives_the_answer_of_the_database(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(engine, (STRONG, SALE))
    index(engine, tmp_path)
    fill(engine)
    index(engine, tmp_path / "of another host")

    rows = similar(engine, tmp_path, creative_of_text("yoga by the lake"), k=1)

    assert titles(rows) == [YOGA.creative.headline]
    assert "holds 2 creatives, not the database's 4" in caplog.text


def test_before_the_first_index_the_answer_says_what_to_run(engine: Engine, tmp_path: Path) -> None:
    fill(engine)

    report = winners_similar.run(engine, MAIN, EMBEDDER, AdId(STRONG.ad_id), index_directory=tmp_path)

    assert report.summary == "No creative is indexed yet: run adctl index-winners."
    assert (report.tables[0].rows, report.exit_code) == ((), 0)
    assert winners_list.run(engine, MAIN).summary == "No creative was judged yet: run adctl index-winners."


def test_an_index_of_another_model_is_named(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    with transaction(engine) as connection:
        content = next(iter(embeddings.contents(connection, MAIN.account)))
        vector = EMBEDDER.encode([STRONG.creative])
        embeddings.add(connection, MAIN.account, "older-model", [content], vector, NOW)

    report = winners_similar.run(engine, MAIN, EMBEDDER, AdId(STRONG.ad_id), index_directory=tmp_path)

    assert "older-model" in report.summary


def test_an_unknown_ad_and_an_empty_text_are_refused_by_name(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    with pytest.raises(UsageError, match="ad 999: not known in account 'main'"):
        similar(engine, tmp_path, "999")
    with pytest.raises(UsageError, match="no word and no attribute"):
        similar(engine, tmp_path, creative_of_text(" — "))


def test_the_stats_count_by_state_and_judge_the_file(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    right = winners_stats.run(engine, MAIN, EMBEDDER, index_directory=tmp_path)
    index_path(tmp_path, MAIN.account).write_bytes(b"")
    wrong = winners_stats.run(engine, MAIN, EMBEDDER, index_directory=tmp_path)

    counted = {fact.key: fact.value for fact in right.facts}
    assert (counted["indexed"], counted["not_indexed"], counted["winner"], counted["index"]) == (4, 0, 1, "right")
    assert {fact.key: fact.value for fact in wrong.facts}["index"] == "damaged"
    assert "adctl index-winners writes it anew" in wrong.notes[0]


def test_the_command_line_indexes_and_answers(engine: Engine, adctl: CommandLine) -> None:
    fill(engine)
    adctl.configure(SETTINGS)
    first, second = adctl("index-winners", "--json"), adctl("index-winners")
    (adctl.folder / "draft.json").write_text(json.dumps({"headline": "Strong at seventy", "format": None}))

    asked = adctl("winners", "similar", "--file", "draft.json", "--winners-only", "--json")
    people = adctl("winners", "similar", "--text", "strong at seventy", "--k", "1")
    listed, counted = adctl("winners", "list"), adctl("winners", "stats", "--json")

    assert [first.code, second.code, asked.code, people.code, listed.code, counted.code] == [0] * 6, asked
    assert "No changes." in second.out
    tables = asked.document["tables"]
    assert isinstance(tables, dict)
    assert [(row["creative"], row["state"]) for row in tables["matches"]] == [(STRONG.creative.headline, "winner")]
    assert "strong" in people.out
    assert str(STRONG.creative.headline) in listed.out
    assert (asked.err, people.err, listed.err) == ("", "", "")


def test_that_nothing_is_similar_is_said_once(engine: Engine, adctl: CommandLine) -> None:
    fill(engine)
    adctl.configure(SETTINGS)
    adctl("index-winners")

    outcome = adctl("winners", "similar", "--text", "zebra quartz", "--winners-only")

    assert outcome.code == 0, outcome.err
    assert (outcome.out.count("Nothing similar"), outcome.out.count("Similar winners")) == (1, 0), outcome.out


def test_the_command_line_refuses_what_is_unclear(engine: Engine, adctl: CommandLine) -> None:
    fill(engine)
    adctl.configure(SETTINGS)
    (adctl.folder / "draft.json").write_text('{"headline": "Strong",\n "headlin": "Stronger"}')
    (adctl.folder / "number.json").write_text('{"headline": 50}')
    (adctl.folder / "broken.json").write_text('{"headline": Strong}')

    unknown = adctl("winners", "similar", "--file", "draft.json")
    broken = adctl("winners", "similar", "--file", "broken.json")
    number = adctl("winners", "similar", "--file", "number.json")
    both = adctl("winners", "similar", "--ad", "11", "--text", "strong")
    no_ad = adctl("winners", "similar", "--ad", "999")

    assert unknown.code == 65
    assert "draft.json, line 2, column 'headlin': unknown field" in unknown.err
    assert (broken.code, "broken.json, line 1, character 14: not JSON: 'Strong}'" in broken.err) == (65, True), (
        broken.err
    )
    assert (number.code, "not a text in quotes" in number.err) == (65, True)
    assert (both.code, "exactly one of --ad, --text, --file" in both.err) == (2, True)
    assert (no_ad.code, "ad 999: not known" in no_ad.err) == (2, True)


def test_two_processes_at_once_leave_one_whole_index(engine: Engine, adctl: CommandLine) -> None:
    fill(engine)
    adctl.configure(SETTINGS)

    both = [adctl.start("index-winners") for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)

    codes = sorted(process.returncode for process in both)
    after = adctl("index-winners")
    assert codes in ([0, 0], [0, 75])
    assert (after.code, after.err) == (0, "")
    assert "No changes." in after.out
