"""The index file: what is written is found again, anything else is named, and no crash leaves half a file."""

from __future__ import annotations

import mmap
import stat
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adctl.adapters.winner_index import WinnerIndex, build_index, index_path, read_index, write_index
from adctl.domain.embedding.embedder import Vectors, unit_rows
from adctl.domain.embedding.index_stamp import (
    IndexFault,
    IndexProblem,
    IndexStamp,
    Neighbour,
    embedding_id,
    index_stamp,
)
from adctl.domain.ids import Account
from adctl.errors import InputRejectedError, UnavailableError, UsageError
from tests.adapters.index_kills import killed_writers

ACCOUNT = Account("studio/berlin")
DIMS = 16


def unit_vectors(count: int, seed: int = 1, dims: int = DIMS) -> Vectors:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dims)))


def stamp(count: int, account: Account = ACCOUNT, model_id: str = "model-1") -> IndexStamp:
    return index_stamp(account, model_id, DIMS, contents(count))


def contents(count: int, version: int = 1) -> bytes:
    return b"".join(bytes([version]) + number.to_bytes(15, "big") for number in range(count))


def index(count: int = 50) -> WinnerIndex:
    return build_index(stamp(count), [10 * number for number in range(count)], unit_vectors(count))


def problem(path: Path, expected: IndexStamp) -> IndexProblem:
    found = read_index(path, expected)
    assert isinstance(found, IndexProblem)
    assert str(path) in found.detail
    return found


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = index_path(tmp_path, ACCOUNT)
    write_index(path, index())
    return path


def test_what_was_written_answers_as_before(written: Path) -> None:
    found = read_index(written, stamp(50))

    assert isinstance(found, WinnerIndex)
    queries = unit_vectors(5, seed=2)
    assert found.search(queries, 7) == index().search(queries, 7)
    assert found.search(unit_vectors(50), 1) == [[Neighbour(embedding_id=10 * row, cosine=1.0)] for row in range(50)]


def test_the_same_content_in_any_order_makes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    order = np.random.default_rng(3).permutation(50)
    other = tmp_path / "other"

    write_index(other, build_index(stamp(50), [10 * int(at) for at in order], unit_vectors(50)[order]))

    assert other.read_bytes() == written.read_bytes()


def test_an_empty_index_is_written_and_answers_nothing(tmp_path: Path) -> None:
    write_index(tmp_path / "empty", index(0))

    found = read_index(tmp_path / "empty", stamp(0))

    assert isinstance(found, WinnerIndex)
    assert found.search(unit_vectors(2), 3) == [[], []]


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path / "none", stamp(1)).fault is IndexFault.MISSING


def test_a_directory_in_its_place_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path, stamp(1)).fault is IndexFault.UNREADABLE


def test_every_flipped_bit_is_noticed(written: Path) -> None:
    whole = written.read_bytes()
    places = [*range(300), *range(300, len(whole), 97), *range(len(whole) - 40, len(whole))]

    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        written.write_bytes(damaged)
        assert problem(written, stamp(50)).fault in (IndexFault.DAMAGED, IndexFault.OTHER_VERSION), place


def test_every_truncation_is_noticed(written: Path) -> None:
    whole = written.read_bytes()

    for length in [*range(0, 400, 7), *range(400, len(whole), 501), len(whole) - 1]:
        written.write_bytes(whole[:length])
        assert problem(written, stamp(50)).fault is IndexFault.DAMAGED, length


def test_bytes_after_the_end_are_noticed(written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"\0")

    assert problem(written, stamp(50)).fault is IndexFault.DAMAGED


def test_a_file_of_another_version_is_named(written: Path) -> None:
    whole = bytearray(written.read_bytes())
    whole[8:12] = struct.pack("<I", 7)
    written.write_bytes(whole)

    found = problem(written, stamp(50))

    assert found.fault is IndexFault.OTHER_VERSION
    assert found.detail.endswith("has version 7, this adctl writes 3")


def test_a_foreign_file_is_named(written: Path) -> None:
    assert problem(written, stamp(50, account=Account("other"))).fault is IndexFault.OTHER_ACCOUNT
    assert problem(written, stamp(50, model_id="model-2")).fault is IndexFault.OTHER_MODEL


def test_a_stale_file_is_named_even_with_as_many_creatives(written: Path) -> None:
    changed = index_stamp(ACCOUNT, "model-1", DIMS, contents(50, version=2))

    assert problem(written, changed).fault is IndexFault.STALE
    assert problem(written, stamp(49)).detail.endswith("holds 50 creatives, not the database's 49")


def test_a_stamp_tells_how_many_contents_there_are_and_which() -> None:
    assert (stamp(3).count, stamp(0).count) == (3, 0)
    assert stamp(3).digest != index_stamp(ACCOUNT, "model-1", DIMS, contents(3, version=2)).digest


def test_an_embedding_id_fits_a_signed_bigint() -> None:
    assert embedding_id(b"\xff" * 16) == 2**63 - 1
    assert embedding_id(bytes(16)) == 0


def test_more_neighbours_than_creatives_are_all_creatives() -> None:
    (found,) = index(3).search(unit_vectors(1), 10)

    assert sorted(neighbour.embedding_id for neighbour in found) == [0, 10, 20]


def test_equal_cosines_come_in_the_order_of_their_ids() -> None:
    same = np.repeat(unit_vectors(1), 500, axis=0)
    ids = [10 * number for number in range(500)]
    copies = build_index(stamp(500), ids[::-1], same)

    (found,) = copies.search(same[:1], 3)

    assert [neighbour.embedding_id for neighbour in found] == [0, 10, 20]


def test_an_empty_creative_is_found_at_zero() -> None:
    vectors = np.zeros((2, DIMS), np.float32)

    (found,) = build_index(stamp(2), [10, 0], vectors).search(vectors[:1], 2)

    assert found == [Neighbour(embedding_id=0, cosine=0.0), Neighbour(embedding_id=10, cosine=0.0)]


@pytest.mark.parametrize("shape", [(1, DIMS + 1), (DIMS,), (1, 1, DIMS)])
def test_wrong_dims_are_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRejectedError, match="the index has 16 dims"):
        index(3).search(np.zeros(shape, np.float32), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    vectors = unit_vectors(3)
    vectors[1, 2] = value

    with pytest.raises(InputRejectedError, match="not finite"):
        index(3).search(vectors, 1)
    with pytest.raises(InputRejectedError, match="not finite"):
        build_index(stamp(3), [0, 10, 20], vectors)


def test_no_neighbours_are_no_question() -> None:
    with pytest.raises(UsageError, match="0 neighbours"):
        index(3).search(unit_vectors(1), 0)


@pytest.mark.parametrize("ids", [[0, 10], [0, 10, 10], [0, 10, 20, 30]])
def test_ids_that_do_not_fit_the_vectors_are_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct ids"):
        build_index(stamp(3), ids, unit_vectors(3))


@pytest.mark.parametrize("name", ["..", "/etc/passwd", "a b", "ä*[1]", ""])
def test_any_account_name_stays_inside_the_directory(tmp_path: Path, name: str) -> None:
    path = index_path(tmp_path, Account(name))

    assert path.parent == tmp_path
    write_index(path, index(1))
    assert path.is_file()


def test_the_file_is_for_its_owner_only_and_leaves_nothing_beside_it(written: Path) -> None:
    (written.parent / f".{written.name}.dead.tmp").write_bytes(b"left by a killed writer")
    write_index(written, index())

    assert [entry.name for entry in written.parent.iterdir()] == [written.name]
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named_and_keeps_nothing(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()

    with pytest.raises(UnavailableError, match="taken: cannot be written"):
        write_index(target, index())
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_a_reader_with_the_file_mapped_survives_a_rebuild(written: Path) -> None:
    before = written.read_bytes()
    with written.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        write_index(written, index(2))

        assert mapped[:] == before
    assert isinstance(read_index(written, stamp(2)), WinnerIndex)


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    kills = at_work = 0

    with closing(killed_writers(tmp_path, 60)) as seen:
        # On a busy machine a writer may wait for its turn when it is killed: then more kills are needed.
        while kills < 8 or (at_work < 3 and kills < 60):
            kill = next(seen)
            kills, at_work = kills + 1, at_work + kill.at_work
            assert kill.readable

    # The kills must have hit writers at work, or the test shows nothing.
    assert at_work >= 3


@pytest.mark.parametrize("dims", [128, 127])
def test_above_the_limit_two_bits_a_number_find_the_same_among_the_first(tmp_path: Path, dims: int) -> None:
    count, path = 3000, tmp_path / "rounded"
    vectors = unit_vectors(count, dims=dims)
    ids, of = [10 * number for number in range(count)], replace(stamp(count), dims=dims)
    write_index(path, build_index(of, ids, vectors, flat_limit=count - 1))

    found, exact = read_index(path, of), build_index(of, ids, vectors)

    assert isinstance(found, WinnerIndex)
    assert (found.rounded, exact.rounded) == (True, False)
    queries = vectors[::100]
    for one, other in zip(found.search(queries, 100), exact.search(queries, 5), strict=True):
        assert {n.embedding_id for n in one} >= {n.embedding_id for n in other}
    (everything,) = found.search(queries[:1], count + 1)
    assert sorted(n.embedding_id for n in everything) == ids
    write_index(tmp_path / "again", build_index(of, ids[::-1], vectors[::-1], flat_limit=count - 1))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert path.stat().st_size < count * (dims / 4 + 16)
