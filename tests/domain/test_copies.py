"""Near-copies are grouped under the preferred one, variants marked, chains not merged."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.embedding.copies import CopyGroup, Relation, group_copies, relation


def at_angle(*cosines_to_first: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Unit vectors in a plane whose cosine to (1, 0) is given."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines_to_first], np.float32)


@pytest.mark.parametrize(
    ("cosine", "meaning"),
    [
        (1.0, Relation.COPY),
        (0.95, Relation.COPY),
        (0.949, Relation.VARIANT),
        (0.85, Relation.VARIANT),
        (0.849, Relation.SIMILAR),
        (0.15, Relation.SIMILAR),
        (0.149, Relation.NOISE),
        (-0.2, Relation.NOISE),
    ],
)
def test_a_cosine_has_one_meaning(cosine: float, meaning: Relation) -> None:
    assert relation(cosine) is meaning


def test_copies_join_the_preferred_one_and_variants_name_it() -> None:
    groups = group_copies(at_angle(1.0, 0.99, 0.9, 0.2), 9)

    assert groups == [
        CopyGroup(leader=0, copies=(1,), variant_of=None),
        CopyGroup(leader=2, copies=(), variant_of=0),
        CopyGroup(leader=3, copies=(), variant_of=None),
    ]


def test_a_chain_of_small_changes_is_not_one_ad() -> None:
    # Neighbours in the chain are 15 degrees apart (cosine .966), the ends 30 degrees (.866).
    groups = group_copies(at_angle(1.0, np.cos(np.pi / 12), np.cos(np.pi / 6)), 9)

    assert groups == [
        CopyGroup(leader=0, copies=(1,), variant_of=None),
        CopyGroup(leader=2, copies=(), variant_of=0),
    ]


def test_copies_far_behind_join_the_groups_that_are_shown() -> None:
    groups = group_copies(at_angle(1.0, 0.5, 0.1, 0.999, 0.51), 2)

    assert groups == [
        CopyGroup(leader=0, copies=(3,), variant_of=None),
        CopyGroup(leader=1, copies=(4,), variant_of=None),
    ]


def test_a_copy_of_two_joins_the_nearer_leader_before_it() -> None:
    # The first two are 20 degrees apart, the third is 5 from the second; what follows leads nothing.
    groups = group_copies(at_angle(1.0, *np.cos(np.radians([20, 15, 10])).tolist()), 9)

    assert [(group.leader, group.copies) for group in groups] == [(0, (3,)), (1, (2,))]


def test_empty_creatives_are_not_copies_of_each_other() -> None:
    groups = group_copies(np.zeros((2, 4), np.float32), 9)

    assert [group.leader for group in groups] == [0, 1]


def test_nothing_to_group_is_no_group() -> None:
    assert group_copies(np.empty((0, 4), np.float32), 9) == []
