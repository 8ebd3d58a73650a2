"""winners evaluate, dna, fit and add: what is learned from an account's own past, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import embeddings, entities, fitted_words, neighbours
from adctl.cli.wiring import creative_embedder
from adctl.commands import (
    decide,
    index_winners,
    winners_add,
    winners_dna,
    winners_evaluate,
    winners_fit,
    winners_list,
    winners_similar,
)
from adctl.commands.winners_add import Proof
from adctl.commands.winners_dna import By
from adctl.domain.creatives import creative_of_text
from adctl.domain.embedding.creative_embedder import CreativeEmbedder
from adctl.domain.embedding.hashed_text import HashedTextEmbedder
from adctl.domain.embedding.own_words import OwnWordsEmbedder
from adctl.domain.ids import AdId
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.report import Cell, Report
from adctl.domain.winners import WinnerRule, WinnerState
from adctl.errors import InputRejectedError, UsageError
from tests.builders import digest, fact, table
from tests.commands.winner_rows import ADS, MAIN, NOW, STRONG, Shown, creative, fill
from tests.conftest import CommandLine

EMBEDDER = creative_embedder()
RULE = WinnerRule(target_roas=2.0, target_cost_per_win=0, minimum_spend=50_00)
SETTINGS = '[accounts.main]\nmeta_ad_account = "act_1"\ncurrency = "USD"\ntimezone = "UTC"\nwinners.target_roas = 2.0\n'
PROVEN = Proof(impressions=50_000, clicks=900, spend=1000_00, wins=40, value=4000_00)
_THEMES = (
    "strong lift barbell squat power gym coach plates heavy training",
    "quiet yoga breath stretch lake morning calm mat gentle evening",
    "half price sale discount weekend offer save deal voucher bargain",
    "family kitchen dinner recipe soup healthy bread fresh garden lunch",
)


def index(engine: Engine, folder: Path, embedder: CreativeEmbedder = EMBEDDER) -> Report:
    return index_winners.run(engine, MAIN, embedder, RULE, index_directory=folder)


def themed(ads: int = 240, *, told: bool = True) -> list[Shown]:
    """Ads of 24 campaigns over 120 days, one theme each; where it tells something, two get four times the clicks."""
    rng = np.random.Generator(np.random.PCG64(2))
    found = []
    for number in range(ads):
        theme = int(rng.integers(0, 4))
        words = rng.permutation(_THEMES[theme].split())[:7]
        rate = 120 if theme < 2 and told else 30
        found.append(
            Shown(
                ad_id=f"7{number:04}",
                creative=creative(f"t{number}", f"{' '.join(words)} {number}"),
                spend=100_00,
                wins=0,
                day=NOW.date() - timedelta(days=150 - number // 2),
                campaign=f"k{number % 24}",
                clicks=int(rng.poisson(rate)),
            )
        )
    return found


def rows(report: Report, key: str) -> Sequence[Mapping[str, Cell]]:
    return table(report, key).rows


def test_neighbours_that_help_are_found_stored_and_heard_by_the_engine(engine: Engine, tmp_path: Path) -> None:
    fresh = replace(STRONG, wins=0, day=NOW.date() - timedelta(days=2), campaign="knew", ad_id="99")
    fresh = replace(fresh, creative=creative("n1", "strong coach plates heavy squat lift and more"))
    fill(engine, [*themed(), fresh])
    index(engine, tmp_path)
    before = digest(engine)
    dry = winners_evaluate.run(engine, MAIN, EMBEDDER, dry_run=True)
    assert digest(engine) == before

    first, second = (winners_evaluate.run(engine, MAIN, EMBEDDER) for _ in range(2))

    assert rows(dry, "evaluations") == rows(first, "evaluations") == rows(second, "evaluations")
    assert (fact(first, "clicks"), "No changes." in second.summary) == ("on: neighbours help", True)
    assert fact(first, "leads") != "on: neighbours help"
    with transaction(engine, read_only=True) as connection:
        kin = neighbours.kin(connection, MAIN.account, [AdId("99"), AdId("70000")], NOW.date())
    assert kin is not None
    assert kin.clicks.events[0] > kin.clicks.expected[0] * 1.2 > 0
    # An ad of long ago speaks for itself.
    assert kin.clicks.expected[1] == 0
    assert not kin.leads.expected.any()
    decided = decide.run(engine, MAIN, BayesPolicy(), run_id=uuid4(), dry_run=True)
    (row,) = [row for row in rows(decided, "ads") if row["ad_id"] == "99"]
    assert "log_neighbours" in row


def test_where_similar_ads_tell_nothing_the_prior_stays_off(engine: Engine, tmp_path: Path) -> None:
    fill(engine, themed(told=False))
    index(engine, tmp_path)

    report = winners_evaluate.run(engine, MAIN, EMBEDDER)

    assert str(fact(report, "clicks")).startswith("off: ")
    with transaction(engine, read_only=True) as connection:
        assert neighbours.kin(connection, MAIN.account, [AdId("70001")], NOW.date()) is None


def test_an_account_with_little_past_is_told_so(engine: Engine, tmp_path: Path) -> None:
    fill(engine)

    empty = winners_evaluate.run(engine, MAIN, EMBEDDER)
    index(engine, tmp_path)
    few = winners_evaluate.run(engine, MAIN, EMBEDDER)

    assert fact(empty, "embedded_ads") == 0
    assert "40, 8 and 40 needed" in str(fact(few, "clicks"))


def test_traits_are_ranked_with_losers_beside_winners(engine: Engine, tmp_path: Path) -> None:
    asking = [
        Shown(
            ad_id=f"8{n:03}",
            creative=creative(f"q{n}", f"{'Do you lift' if n % 2 else 'We lift'} number {n}{'?' if n % 2 else '.'}"),
            spend=200_00,
            wins=(9 + n % 3) if n % 2 else 1 + n % 2,
        )
        for n in range(40)
    ]
    fill(engine, asking)
    empty = winners_dna.run(engine, MAIN)
    index(engine, tmp_path)

    roas, ctr = winners_dna.run(engine, MAIN), winners_dna.run(engine, MAIN, by=By.CTR)

    first = rows(roas, "traits")[0]
    assert empty.summary == "No creative was judged yet: run adctl index-winners."
    assert first["attribute"] in ("asks", "second_person")
    assert (first["stands"], first["creatives"], first["others"], first["other_winners"]) == ("yes", 20, 20, 0)
    assert int(str(first["winners"])) > 10
    assert float(str(first["low"])) > 1
    assert {row["stands"] for row in rows(ctr, "traits")} == {"no"}


def written(count: int) -> list[Shown]:
    """Ads of as many different texts: a quarter of each theme's words, in ever new order."""
    rng = np.random.Generator(np.random.PCG64(4))
    found = []
    for number in range(count):
        words = [*rng.permutation(_THEMES[number % 4].split())[:6], *(f"w{at}" for at in rng.integers(0, 150, 4))]
        found.append(
            Shown(ad_id=f"5{number:05}", creative=creative(f"w{number}", f"{' '.join(words)} {number}"), wins=0)
        )
    return found


def test_own_words_are_fitted_once_embed_what_lacks_and_keep_the_old_vectors(engine: Engine, tmp_path: Path) -> None:
    fill(engine, written(2050))
    index(engine, tmp_path)
    before = digest(engine)
    dry = winners_fit.run(engine, MAIN, dry_run=True)
    assert digest(engine) == before

    first, second = winners_fit.run(engine, MAIN), winners_fit.run(engine, MAIN)
    with transaction(engine, read_only=True) as connection:
        fitted = fitted_words.newest(connection, MAIN.account)
    assert fitted is not None
    own = CreativeEmbedder(
        text=OwnWordsEmbedder(hashed=HashedTextEmbedder(rarity=EMBEDDER.rarity, dims=384), words=fitted),
        rarity=EMBEDDER.rarity,
    )
    indexed, again = index(engine, tmp_path, own), index(engine, tmp_path, own)

    assert ("nothing written" in dry.summary, "No changes." in second.summary) == (True, True)
    assert "texts: fit" in first.summary
    assert (fact(indexed, "embedded"), fact(again, "embedded")) == (2050, 0)
    with transaction(engine, read_only=True) as connection:
        assert embeddings.models(connection, MAIN.account) == {EMBEDDER.model_id: 2050, own.model_id: 2050}
    found = winners_similar.run(engine, MAIN, own, creative_of_text("yoga lake"), index_directory=tmp_path, k=3)
    assert all({"yoga", "lake", "calm", "mat"} & set(str(row["creative"]).split()) for row in rows(found, "matches"))


def test_too_few_texts_are_refused_by_number(engine: Engine) -> None:
    fill(engine)

    with pytest.raises(UsageError, match="4 different texts, 2000 needed"):
        winners_fit.run(engine, MAIN)


def test_a_proven_creative_is_taken_in_once_and_wins(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    index(engine, tmp_path)
    old = creative("", "Lift for life: the class of 1980", format="video")
    before = digest(engine)
    dry = winners_add.run(engine, MAIN, old, PROVEN, RULE, dry_run=True)
    assert digest(engine) == before

    first, second = (winners_add.run(engine, MAIN, old, PROVEN, RULE) for _ in range(2))
    index(engine, tmp_path)

    assert dry.summary.endswith("nothing written.")
    assert (first.summary.startswith("Proven: P(ROAS > 2)"), second.summary.endswith("No changes.")) == (True, True)
    listed = rows(winners_list.run(engine, MAIN), "winners")
    assert {row["creative"]: row["state"] for row in listed}["Lift for life: the class of 1980"] == WinnerState.WINNER
    assert "already" in winners_add.run(engine, MAIN, old, None, RULE).summary
    # What happened elsewhere tells nothing of this account's own creatives.
    assert {row["creative"]: row["probability"] for row in listed}[str(STRONG.creative.headline)] == pytest.approx(
        0.9999, abs=1e-3
    )


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (None, "there is no record of it"),
        (replace(PROVEN, wins=1, value=100_00), "0.9 needed"),
        (replace(PROVEN, spend=10_00, wins=1, value=100_00), "spend 1000 of 5000 minor units needed"),
        (replace(PROVEN, impressions=10), "attribution lag"),
    ],
)
def test_what_is_not_proven_is_refused(engine: Engine, proof: Proof | None, reason: str) -> None:
    fill(engine)

    with pytest.raises(InputRejectedError, match=reason):
        winners_add.run(engine, MAIN, creative("", "Lift for life"), proof, RULE)


def test_an_account_that_never_won_takes_a_winner_in_too(engine: Engine, tmp_path: Path) -> None:
    fill(engine, [replace(ad, wins=0) for ad in ADS])

    winners_add.run(engine, MAIN, creative("", "Lift for life"), PROVEN, RULE)
    index(engine, tmp_path)

    assert [row["creative"] for row in rows(winners_list.run(engine, MAIN), "winners")] == ["Lift for life"]


def test_the_command_line_adds_and_names_what_is_wrong(engine: Engine, adctl: CommandLine) -> None:
    fill(engine)
    (adctl.folder / "old.json").write_text(json.dumps({"headline": "Lift for life", "format": "video"}))
    record = ("--impressions", "50000", "--clicks", "900", "--spend", "1000.00", "--wins", "40", "--value", "4000")
    adctl.configure(SETTINGS)

    added = adctl("winners", "add", "old.json", *record, "--json")
    refused = adctl("winners", "add", "old.json", "--impressions", "50000", "--spend", "ten")
    adctl.configure(f'{SETTINGS}winners.embedder = "own-words"\n')
    unfitted = adctl("index-winners")
    adctl.configure(f'{SETTINGS}winners.embedder = "no_such_module:Own"\n')
    unknown = adctl("winners", "evaluate")

    assert added.code == 0, added.err
    assert json.loads(added.out)["sections"][0]["facts"]["winners"] == 2
    assert (refused.code, "'ten' is no amount in USD" in refused.err) == (2, True)
    assert (unfitted.code, "run adctl winners fit" in unfitted.err) == (78, True)
    assert (unknown.code, "no_such_module" in unknown.err) == (78, True)


def test_a_creative_that_was_added_stays_when_meta_is_read_again(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    winners_add.run(engine, MAIN, creative("", "Lift for life"), PROVEN, RULE)
    with transaction(engine) as connection:
        entities.upsert_creatives(connection, MAIN.account, [ad.creative for ad in ADS], NOW)
    index(engine, tmp_path)

    assert fact(index(engine, tmp_path), "creatives") == 5
