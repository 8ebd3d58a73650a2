"""Records as JSON, JSON Lines and gzip: the same rows whatever the wrapping, and every way of being broken."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.adapters.files.opened_files import Limits, rereadable
from adctl.adapters.files.records import digest, holds_performances, open_records
from adctl.errors import InputRejectedError

WHOLE = Limits()
# What no compression shrinks, the same in every run.
NOISE = b"".join(hashlib.sha256(bytes([block])).digest() for block in range(32))
TWO = [{"a": "1", "b": "x"}, {"a": "2.5", "b": ""}]


def cells(data: bytes, limits: Limits = WHOLE) -> list[Mapping[str, str]]:
    with open_records(io.BytesIO(data), limits=limits) as table:
        return [dict(row.cells) for row in table.rows()]


def refused(data: bytes, limits: Limits = WHOLE) -> InputRejectedError:
    with pytest.raises(InputRejectedError) as caught:
        cells(data, limits)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": "x"}, {"a": 2.5, "b": null}]',
        '[{"a":1,"b":"x"},\r\n\r\n{"a":2.5}]\n',
        '{"a": 1, "b": "x"}\n{"a": 2.5}\n',
        '{"a": 1, "b": "x"} {"a": 2.5}',
        '{\n"a": 1,\n"b": "x"\n}\n\n{"a": 2.5}',
        '{"results": [{"a": 1, "b": "x"}, {"a": 2.5}]}',
        '{"total": 2, "deals": [{"a": 1, "b": "x"}, {"a": 2.5}], "took": {"ms": 3}}',
        '{"results": [{"properties": {"a": 1, "b": "x"}}, {"properties": {"a": 2.5}}]}',
        "a,b\n1,x\n2.5,\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_records_are_read_however_they_are_wrapped(text: str, packed: bool) -> None:
    data = text.encode()
    assert cells(gzip.compress(data) if packed else data) == TWO
    assert cells(("\ufeff" + text).encode("utf-16-le")) == TWO


def test_rows_carry_their_line_and_number_and_can_be_walked_again() -> None:
    with open_records(io.BytesIO(b'\n{"a": 1}\n\n{"a":\n2}\n{"a": 3}')) as table:
        assert [(row.line, row.number) for row in table.rows()] == [(2, 1), (4, 2), (6, 3)]
        assert list(table.rows()) == list(table.rows())


def test_a_list_is_no_device() -> None:
    # No file is read for its `device` itself, so nothing later would refuse it.
    with pytest.raises(InputRejectedError, match="line 2, column 'device': a list where an object belongs"):
        cells(b'{"device": {"screen": "1x1"}}\n{"device": [1]}')


def test_a_device_is_opened_up_and_any_other_object_is_no_value() -> None:
    [row] = cells(b'{"device": {"screen": "1x1"}, "x": {"y": 1}, "z": [1], "t": true, "f": false}')
    assert (row["device_screen"], row["t"], row["f"]) == ("1x1", "true", "false")
    assert row["x"].startswith("\0")
    assert row["z"].startswith("\0")


def test_numbers_keep_their_digits() -> None:
    [row] = cells(b'{"a": 120210000000000001234567890, "b": 0.30000000000000004, "c": 1e400, "d": -0}')
    assert row == {"a": "120210000000000001234567890", "b": "0.30000000000000004", "c": "1e400", "d": "-0"}


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"", 1, "", "empty"),
        (b"[]", 1, "", "no records"),
        (b"{", 1, "character 2", "not whole"),
        (b'{"a": 1}\n{"a": 2', 2, "character 8", "not whole"),
        (b'{"a": 1}\n{"a": "2', 2, "character 7", "not whole"),
        (b'[{"a": 1}', 1, "character 10", "not whole"),
        (b'[{"a": 1}] [', 1, "character 12", "behind the end"),
        (b'[{"a": 1},\n {"a" 2}]', 2, "character 7", "not JSON"),
        (b'[{"a": 1}\n {"a": 2}]', 2, "character 2", "',' is missing"),
        (b'{"a": 1}\n{"a": NaN}', 2, "a", "NaN is not JSON"),
        (b'{"a": 1}\n{"a": -Infinity}', 2, "a", "-Infinity is not JSON"),
        (b'{"a": 1}\n{"a": 1, "b": 2, "a": 1}', 2, "a", "twice"),
        (b'{"a": 1}\n{"a": {"b": 1, "b": 1}}', 2, "a", "twice"),
        (b'{"properties": {"a": 1}}\n{"a": 2, "properties": {"a": 1}}', 2, "a", "different values"),
        (b'{"a": 1}\n[1]', 2, "", "not an object"),
        (b'{"a": 1}\n"text"', 2, "", "not an object"),
        (b'{"a": 1}\n{"a": "\\ud800"}', 2, "a", "surrogate"),
        (b'{"a": 1}\n{"a": "\\u0000"}', 2, "a", "NUL"),
        (b'{"a": 1}\n{"a": "\0"}', 2, "character 8", "not JSON"),
        (b'{"a": 1}\n{"a": "\xed\xa0\x80"}', 2, "character 8", "surrogate"),
        (b'{"a": 1}\n{"a": "\xff"}', 2, "character 8", "0xff"),
        (b'{"a": 1}\n{"a": 01}', 2, "character 8", "not JSON"),
        (b"[" * 100_000, 1, "character 2", "nested deeper than 32 levels"),
        (b'{"a":' * 100_000, 1, "character 1", "nested deeper than 32 levels"),
        (b'{"results": [{"a": 1}], "deals": [{"a": 1}]}', 1, "deals", "which one is meant"),
        (b'{"results": [{"a": 1}], "results": []}', 1, "results", "there already"),
        (gzip.compress(gzip.compress(b'{"a": 1}', mtime=0), mtime=0), 1, "", "inside a gzip"),
        (gzip.compress(NOISE.hex().encode(), mtime=0)[:-200], 1, "", "not whole"),
        (b"\x1f\x8b" + NOISE[:50], 1, "", "gzip"),
        (b"PK\x03\x04", 1, "", "zip"),
        (b"BZh91AY", 1, "", "bzip2"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_broken_is_refused_by_line_and_column(data: bytes, line: int, column: str, reason: str) -> None:
    error = refused(data)
    assert (error.line, error.exit_code) == (line, 65)
    assert reason in str(error)
    assert column in error.column


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    rows = b"a,b\n" + (b"1," + b"x" * 60_000 + b"\n") * 2_000
    error = refused(gzip.compress(rows, compresslevel=9))
    assert "times its size" in str(error)


def test_a_value_without_end_is_refused_at_the_limit() -> None:
    assert "longer than 1,000 characters" in str(refused(b'{"a": "' + b"x" * 500_000, Limits(record_chars=1_000)))


def test_a_tolerant_walk_hands_on_the_rows_that_are_none() -> None:
    data = b'{"a": 1}\n{"a" 2}\n7\n{"a": 1, "a": 2}\n{"a": 5}\n'
    with open_records(io.BytesIO(data)) as table:
        found = [(row.line, row.cells.get("a"), bool(row.fault)) for row in table.rows(tolerant=True)]
    assert found == [(1, "1", False), (2, None, True), (3, None, True), (4, None, True), (5, "5", False)]


def test_a_page_of_a_longer_answer_is_noted_and_its_total_not_taken_for_its_own() -> None:
    data = b'{"total": 900, "results": [{"a": 1}], "paging": {"next": {"after": "1"}}}'
    with open_records(io.BytesIO(data)) as table:
        assert (len(list(table.rows())), table.total) == (1, None)
        assert "one page of several" in table.notes[0]


def test_the_bulk_shape_is_told_by_its_content_and_the_stream_stays_where_it_was() -> None:
    for data in (b' {"ad_performances": {}}', gzip.compress(b'{"ad_performances": {}}')):
        stream = io.BytesIO(data)
        assert holds_performances(stream)
        assert stream.tell() == 0
    assert not holds_performances(io.BytesIO(b'{"results": []}'))
    assert not holds_performances(io.BytesIO(b"ad_performances,b\n"))


def test_a_pipe_can_be_read_again_once_it_was_copied() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(b"a,b\n1,x\n")
    with os.fdopen(reading, "rb") as pipe, rereadable(pipe) as source:
        first = digest(source)
        with open_records(source) as table:
            assert len(list(table.rows())) == 1
        assert digest(source) == first


def test_a_named_pipe_is_read_like_any_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    child = os.posix_spawn("/bin/sh", ["sh", "-c", f"printf 'a,b\\n1,x\\n' > {tmp_path}/pipe"], os.environ)
    with rereadable(tmp_path / "pipe") as source, open_records(source) as table:
        assert [row.cells["b"] for row in table.rows()] == ["x"]
    os.waitpid(child, 0)


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), _scalars, min_size=1), min_size=1, max_size=6), st.booleans())
def test_lines_and_an_array_of_the_same_objects_are_the_same_rows(
    records: list[dict[str, object]], escaped: bool
) -> None:
    lines = "\n".join(json.dumps(one, ensure_ascii=escaped) for one in records).encode("utf-8", "surrogatepass")
    array = json.dumps(records, ensure_ascii=not escaped).encode("utf-8", "surrogatepass")
    assert _outcome(lines) == _outcome(array)


def _outcome(data: bytes) -> object:
    try:
        return cells(data)
    except InputRejectedError:
        return "refused"
