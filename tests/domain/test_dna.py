"""Traits of creatives, and lifts that say what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from adctl.domain.creatives import Creative
from adctl.domain.dna import dna, image_shape, video_length
from adctl.domain.ids import CreativeId
from adctl.domain.lifts import Lift, Traced, lifts


def traits(headline: str | None = None, **fields: str) -> dict[str, str]:
    return dna(Creative(creative_id=CreativeId("1"), headline=headline, **fields))  # type: ignore[arg-type]


def test_words_tell_question_number_address_urgency_curiosity_and_language() -> None:
    found = traits("Is this the secret of your 5 best days?", body="Only today: it is for you and all of the others.")

    assert found == {
        "asks": "question",
        "counts": "number",
        "headline_length": "medium",
        "second_person": "yes",
        "urgency": "yes",
        "curiosity": "yes",
        "language": "en",
        "body_length": "short",
    }


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (1080, 1080, "square"),
        (1099, 1000, "square"),
        (1100, 1000, "landscape"),
        (1000, 1100, "portrait"),
        (1000, 1099, "square"),
    ],
)
def test_a_tenth_more_on_one_side_makes_another_shape(width: int, height: int, shape: str) -> None:
    assert image_shape(width, height) == shape


def test_the_shape_is_a_trait_only_where_it_is_known() -> None:
    shown = Creative(creative_id=CreativeId("1"), image_hash="ab")

    assert dna(shown, "square") == dna(shown) | {"image_shape": "square"}
    assert "image_shape" not in dna(shown)


@pytest.mark.parametrize(
    ("seconds", "length"),
    [(0.5, "up to 6 s"), (6.0, "up to 6 s"), (6.01, "up to 15 s"), (60.0, "up to 60 s"), (60.5, "over 60 s")],
)
def test_a_video_is_as_long_as_the_placement_that_it_fits(seconds: float, length: str) -> None:
    shown = Creative(creative_id=CreativeId("1"), video_id="7")

    assert video_length(seconds) == length
    assert dna(shown, seconds=seconds) == dna(shown) | {"video_length": length}
    assert "video_length" not in dna(shown)


def test_words_count_whole_only() -> None:
    found = traits("Knowhow yourselfish nowadays lasting")

    assert (found["urgency"], found["second_person"], found["curiosity"]) == ("no", "no", "no")


def test_what_is_absent_has_no_trait() -> None:
    assert traits(video_id="7", format="video") == {"video_id": "7", "format": "video"}
    assert "language" not in traits("Zumba 2026")
    assert "body_length" not in traits("Zumba 2026")
    assert traits("💪") == {
        "headline_length": "short",
        "asks": "no",
        "counts": "no",
        "second_person": "no",
        "urgency": "no",
        "curiosity": "no",
    }


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Das ist der Kurs für dein Leben und nicht die Diät", "de"),
        ("El curso para tu vida y con los mejores", "es"),
        ("Le cours pour votre vie et les vôtres", "fr"),
        ("صحتك أولاً", "ar"),
        ("はじめての方へ", "ja"),
        ("Новый курс", "ru"),
    ],
)
def test_the_language_is_that_of_its_frequent_words_or_its_script(text: str, language: str) -> None:
    assert traits(text)["language"] == language


def account(*, effect: float, creatives: int = 60, traits: int = 1, seed: int = 1) -> list[Traced]:
    """Creatives that each spend about 100 and bring about as much; those with trait 0 bring `effect` times that."""
    rng = np.random.Generator(np.random.PCG64(seed))
    found = []
    for _ in range(creatives):
        has = {f"t{n}": "yes" if rng.random() < 0.5 else "no" for n in range(traits)}
        spend = float(rng.uniform(50, 150))
        brought = float(spend * rng.gamma(4) / 4 * (effect if has["t0"] == "yes" else 1))
        found.append(Traced(traits=has, brought=brought, cost=spend, won=brought > 1.5 * spend))
    return found


def of(found: Sequence[Lift], attribute: str) -> Lift:
    return next(one for one in found if one.attribute == attribute)


def test_a_trait_that_doubles_what_comes_back_stands_out_with_losers_beside_it() -> None:
    creatives = account(effect=2.0, traits=20)

    lift = of(lifts(creatives), "t0")

    assert lifts(creatives)[0] == lift
    assert lift.stands
    assert lift.low < 2.0 < lift.high
    assert lift.low > 1
    assert lift.creatives + lift.others == 60
    assert lift.winners > lift.other_winners > 0 or lift.other_winners == 0
    assert lift.rate > lift.other_rate


def test_of_traits_that_do_nothing_hardly_any_stands_out() -> None:
    looks = [one for seed in range(20) for one in lifts(account(effect=1.0, traits=20, seed=seed))]

    assert len(looks) == 400
    assert sum(one.p <= 0.05 for one in looks) > 5
    assert sum(one.stands for one in looks) <= 4


def test_intervals_hold_what_is_true_as_often_as_they_say() -> None:
    found = [of(lifts(account(effect=1.5, seed=seed)), "t0") for seed in range(200)]

    # One average creative on each side pulls towards 1, a little.
    assert 0.90 <= np.mean([one.low <= 1.5 <= one.high for one in found]) <= 0.99


def test_two_values_that_are_all_there_is_are_one_look() -> None:
    assert [one.value for one in lifts(account(effect=1.0))] == ["yes"]


def test_rare_traits_and_accounts_without_any_return_are_not_judged() -> None:
    few = account(effect=1.0, creatives=9)
    nothing = [Traced(traits={"t0": "yes" if n % 2 else "no"}, brought=0.0, cost=9.0, won=False) for n in range(40)]

    assert (lifts(few), lifts(nothing), lifts([])) == ((), (), ())
