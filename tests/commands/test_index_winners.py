"""index-winners: embeds once, moves winners in and out, and keeps a file that is only ever a cache."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.rarity_table import read_rarity_table
from adctl.adapters.winner_index import index_path
from adctl.cli.wiring import creative_embedder
from adctl.commands import index_winners
from adctl.domain.accounts import AccountProfile
from adctl.domain.ids import Account
from adctl.domain.report import Cell, Report
from adctl.domain.winners import WinnerRule
from tests.bench.build_idf_table import headlines, rarity_steps
from tests.commands.winner_rows import ADS, MAIN, NOW, SALE, STRONG, YOGA, creative, fill

EMBEDDER = creative_embedder()
RULE = WinnerRule(target_roas=2.0, target_cost_per_win=0, minimum_spend=50_00)
OTHER = AccountProfile(
    account=Account("other"), meta_ad_account="act_2", hubspot_portal="", currency="USD", timezone="UTC"
)
TABLES = ("embeddings", "creative_records", "winners", "winner_events")


def index(engine: Engine, folder: Path, *, profile: AccountProfile = MAIN, dry_run: bool = False) -> Report:
    return index_winners.run(engine, profile, EMBEDDER, RULE, index_directory=folder, dry_run=dry_run)


def facts(report: Report) -> dict[str, Cell]:
    return {fact.key: fact.value for fact in report.facts}


def contents_of(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table: sorted((tuple(row) for row in connection.execute(text(f"select * from {table}"))), key=repr)
            for table in TABLES
        }


def states(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("select c.creative_id, w.state from winners w join creatives c using (account, content_hash)")
        )
        return {row.creative_id: row.state for row in rows}


def test_the_second_run_embeds_nothing_and_leaves_every_byte(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    first = index(engine, tmp_path)
    before, rows = index_path(tmp_path, MAIN.account).read_bytes(), contents_of(engine)

    second = index(engine, tmp_path)

    assert facts(first)["embedded"] == 4
    assert facts(second)["embedded"] == 0
    assert second.summary.endswith("No changes.")
    assert index_path(tmp_path, MAIN.account).read_bytes() == before
    assert contents_of(engine) == rows


def test_two_folders_get_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    fill(engine)

    index(engine, tmp_path / "one")
    index(engine, tmp_path / "two")

    one, two = (index_path(tmp_path / name, MAIN.account).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_dry_run_shows_the_plan_and_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    fill(engine)

    dry = index(engine, tmp_path, dry_run=True)

    assert (facts(dry)["embedded"], facts(dry)["winners"]) == (4, 1)
    assert [row["creative"] for row in dry.tables[0].rows] == [STRONG.creative.headline]
    assert dry.summary.endswith("nothing written.")
    assert contents_of(engine) == {table: [] for table in TABLES}
    assert list(tmp_path.iterdir()) == []


def test_an_account_without_creatives_says_what_to_do(engine: Engine, tmp_path: Path) -> None:
    assert index(engine, tmp_path).summary == "No creatives are known: run adctl sync-meta."
    assert index(engine, tmp_path, dry_run=True).summary == "No creatives are known: run adctl sync-meta."


def test_a_winner_has_spent_enough_and_beats_the_target(engine: Engine, tmp_path: Path) -> None:
    cheap = replace(YOGA, spend=49_99, wins=40)
    fill(engine, (STRONG, cheap, SALE))

    index(engine, tmp_path)

    assert states(engine) == {"c1": "winner"}


def test_spend_inside_the_attribution_lag_is_not_judged(engine: Engine, tmp_path: Path) -> None:
    last_judged = NOW.date() - timedelta(days=7)
    fill(engine, (replace(STRONG, day=last_judged + timedelta(days=1)), SALE))
    index(engine, tmp_path)
    young = states(engine)

    fill(engine, (replace(STRONG, ad_id="21", day=last_judged, wins=80), SALE))
    index(engine, tmp_path)

    assert young == {}
    assert states(engine) == {"c1": "winner"}


def test_copies_share_one_embedding_and_pool_their_records(engine: Engine, tmp_path: Path) -> None:
    again = replace(STRONG, ad_id="31", creative=creative("c9", str(STRONG.creative.headline)), spend=300_00, wins=5)
    fill(engine, (*ADS, again))

    report = index(engine, tmp_path)

    assert facts(report)["creatives"] == 4
    (row,) = report.tables[0].rows
    assert (row["ads"], row["spend"], row["wins"]) == ("11, 31", 800_00, 45)


def test_a_new_number_never_embeds_again(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    before = index_path(tmp_path, MAIN.account).read_bytes()
    fill(engine, (replace(YOGA, spend=YOGA.spend + 1),))

    report = index(engine, tmp_path)

    assert facts(report)["embedded"] == 0
    assert facts(report)["records"] != 0
    assert index_path(tmp_path, MAIN.account).read_bytes() == before


def test_a_changed_text_embeds_one_and_forgets_the_old_one(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    fill(engine, (replace(YOGA, creative=replace(YOGA.creative, headline="Loud yoga nights downtown")),))

    report = index(engine, tmp_path)

    assert (facts(report)["embedded"], facts(report)["removed"]) == (1, 1)
    assert facts(report)["index"] == "written"
    assert len(contents_of(engine)["embeddings"]) == 4


def test_a_winner_that_stops_winning_is_demoted_and_may_come_back(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    won = states(engine)
    fill(engine, (replace(STRONG, spend=5000_00),))
    report = index(engine, tmp_path)
    demoted = states(engine)
    (row,) = report.tables[0].rows
    fill(engine, (STRONG,))
    index(engine, tmp_path)

    assert (won, demoted, states(engine)) == ({"c1": "winner"}, {"c1": "demoted"}, {"c1": "winner"})
    assert row["state"] == "demoted"
    assert "below 0.6" in str(row["reason"])


def test_a_winner_that_nobody_shows_any_more_is_demoted(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    fill(engine, (replace(STRONG, creative=replace(STRONG.creative, headline="Something else altogether")),))

    index(engine, tmp_path)

    events = [(row[3], row[5]["reason"]) for row in contents_of(engine)["winner_events"] if isinstance(row[5], dict)]
    assert ("demoted", "no creative shows it any more") in events
    assert index(engine, tmp_path).summary.endswith("No changes.")


def test_events_are_never_rewritten(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)

    for statement in ("delete from winner_events", "update winner_events set probability = 1"):
        with pytest.raises(DBAPIError, match="never changed or removed"), engine.begin() as connection:
            connection.execute(text(statement))


def lose(path: Path) -> None:
    path.unlink()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [lose, flip, truncate, empty])
def test_a_harmed_file_is_said_and_written_anew(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    fill(engine)
    index(engine, tmp_path)
    path = index_path(tmp_path, MAIN.account)
    before = path.read_bytes()
    assert caplog.records == []
    harm(path)

    report = index(engine, tmp_path)

    assert path.read_bytes() == before
    assert facts(report)["embedded"] == 0
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert str(path) in said.message


def test_the_file_of_another_account_is_said_and_replaced(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(engine)
    fill(engine, (SALE,), OTHER)
    index(engine, tmp_path)
    index(engine, tmp_path, profile=OTHER)
    mine, others = (index_path(tmp_path, profile.account) for profile in (MAIN, OTHER))
    before = mine.read_bytes()
    mine.write_bytes(others.read_bytes())

    index(engine, tmp_path)

    assert "belongs to account 'other'" in caplog.text
    assert mine.read_bytes() == before


def test_two_at_once_embed_each_creative_once(engine: Engine, tmp_path: Path) -> None:
    fill(engine)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: index(engine, tmp_path), range(2)))

    assert sorted(str(facts(report)["embedded"]) for report in both) == ["0", "4"]
    assert len(contents_of(engine)["winner_events"]) == 1
    assert index(engine, tmp_path).summary.endswith("No changes.")


def test_the_shipped_rarities_are_those_of_the_headlines(shared_data: Path) -> None:
    computed = rarity_steps(headlines(shared_data / "upworthy_headlines.csv"))

    assert computed.tobytes() == read_rarity_table().steps.tobytes()
