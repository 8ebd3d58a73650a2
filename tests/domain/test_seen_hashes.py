"""A set of hashes that holds what Python's does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.seen_hashes import SeenHashes

# Few enough to come again, and among them what is as another one in all the bits that a small table looks at.
_HASH = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 1024 + 2, 2**40 + 2, 2**63 - 1]) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(_HASH, max_size=60))
def test_a_hash_is_new_once(hashes: list[int]) -> None:
    seen, known = SeenHashes(), set[int]()
    for one in hashes:
        assert seen.add(one) is (one not in known)
        known.add(one)
        assert len(seen) == len(known)


def test_it_grows_and_forgets_nothing() -> None:
    seen, many = SeenHashes(), [hash(f"deal {n}") for n in range(5000)]
    assert all(seen.add(one) for one in many)
    assert not any(seen.add(one) for one in many)
