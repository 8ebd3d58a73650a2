"""Strict CSV: what is a table, and every way of not being one, with line and column."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.adapters.files.delimited import open_table
from adctl.adapters.files.opened_files import Limits
from adctl.errors import InputRejectedError, UsageError

WHOLE = Limits()


def rows(data: bytes, limits: Limits = WHOLE) -> list[tuple[int, Mapping[str, str]]]:
    with open_table(io.BytesIO(data), limits=limits) as table:
        return [(row.line, row.cells) for row in table.rows()]


def refused(data: bytes, limits: Limits = WHOLE) -> InputRejectedError:
    with pytest.raises(InputRejectedError) as caught:
        rows(data, limits)
    return caught.value


TWO = [(2, {"a": "1", "b": "x"}), (3, {"a": "2", "b": "y"})]


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n2,y\n",
        b"a,b\r\n1,x\r\n2,y\r\n",
        b"a,b\n1,x\n2,y",
        b"a;b\n1;x\n2;y\n",
        b"a\tb\n1\tx\n2\ty\n",
        b'"a","b"\n"1","x"\n"2","y"\n',
        b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
        "\ufeffa,b\n1,x\n2,y\n".encode("utf-16-le"),
        "\ufeffa,b\n1,x\n2,y\n".encode("utf-16-be"),
        b"a,b\n1,x\n2,y\n\n\r\n",
        b"a,b\n1,x\n2,y\n,\n,\n",
        b" a , b \n1,x\n2,y\n",
    ],
)
def test_the_same_table_is_read_however_it_was_saved(data: bytes) -> None:
    assert rows(data) == TWO


def test_quotes_hold_delimiters_quotes_and_line_breaks_and_lines_are_still_counted() -> None:
    data = b'a,b,c\n1,"x, ""y""\n\nz",3\n4,5,6\n'
    assert rows(data) == [(2, {"a": "1", "b": 'x, "y"\n\nz', "c": "3"}), (5, {"a": "4", "b": "5", "c": "6"})]


def test_the_delimiter_is_the_one_of_the_header_not_of_the_cells() -> None:
    assert rows(b'a;"b, c, d"\n1,5;2,5\n') == [(2, {"a": "1,5", "b, c, d": "2,5"})]


def test_a_table_can_be_walked_twice() -> None:
    with open_table(io.BytesIO(b"a,b\n1,x\n2,y\n")) as table:
        assert [list(table.rows()), list(table.rows())][0] == list(table.rows())


def test_a_file_without_a_last_line_break_is_read_with_a_note() -> None:
    with open_table(io.BytesIO(b"a,b\n1,x")) as table:
        assert len(list(table.rows())) == 1
        assert "does not end with a line break" in table.notes[0]


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"", 1, "#1", "the file is empty"),
        (b"\xef\xbb\xbf", 1, "#1", "the file is empty"),
        (b"\na,b\n1,2\n", 1, "#1", "line is empty"),
        (b"a,b\n", 1, "a", "no rows under the header"),
        (b"a,b", 1, "a", "no rows under the header"),
        (b"a,b\n,\n\n", 1, "a", "no rows under the header"),
        (b"hello\nworld\n", 1, "#1", "not the header of a table"),
        (b"a,b;c\n1,2\n", 1, "#1", "comma and semicolon occur equally often"),
        (b'a,"b\n1,2\n', 1, "#2", "a quote of the header is not closed"),
        (b'a,b"\n1,2\n', 1, "#2", "a quote of the header is not closed"),
        (b'a,"b"c"d"\n1,2\n', 1, "#2", "behind a closing quote"),
        (b"a,b\n1,2\n3\n", 3, "b", "the row has 1 cells, the header 2"),
        (b"a,b\n1,2,3\n", 2, "b", "the row has 3 cells, the header 2"),
        (b"a,b,c\n1,2,3\n4,5", 3, "c", "is the file whole"),
        (b"a,b\n1,2\n3,", 3, "b", "the file ends within or right before this cell"),
        (b"a,b\n1,2\r", 2, "b", "a carriage return outside of quotes"),
        (b"a,b\r1,2\r", 1, "#2", "a carriage return outside of quotes"),
        (b"a,b\n\n1,2\n", 2, "a", "empty row within the table"),
        (b"a,b\n1,2\n,\nc,d\n", 3, "a", "two tables"),
        (b'a,b\n1,x"y\n2,3\n', 2, "b", "a quote or carriage return in a cell that is not quoted"),
        (b'a,b\n1,x"y"\n2,3\n', 2, "b", "a quote or carriage return in a cell that is not quoted"),
        (b'a,b\n1, "x"\n', 2, "b", "a quote or carriage return in a cell that is not quoted"),
        (b'a,b\n1,"x"y\n', 2, "b", "text behind a closing quote"),
        (b'a,b\n1,"x" \n', 2, "b", "text behind a closing quote"),
        (b'a,b\n"1","x\n2,y\n', 2, "b", "never closed"),
        (b'a,b\n1,2\n3,"x', 3, "b", "never closed"),
        (b'a,b,c\n1,"x,10\n2,y",20\n', 2, "b", "closes on line 3 and swallows whole rows"),
        (b'a,b,c\n1,10,"x\n2,20,y"\n', 2, "c", "closes on line 3 and swallows whole rows"),
        (b'a,b,c\n1,"x,10\n2,"y",20\n', 2, "b", "never closed"),
        (b'a,b,c\n1,"x,10\n2,"y"",20\n', 2, "b", "text behind a closing quote"),
        (b'a,b,c,d\n"1,5","x,10,3\n2,y",20,"3,5"\n', 2, "b", "closes on line 3 and swallows whole rows"),
        (b"a,b\n1,x\0y\n", 2, "b", "a NUL byte"),
        (b"a\0,b\n1,2\n", 1, "#1", "a NUL byte"),
        (b"a,b\n1,2\n3,\xff\n", 3, "b", "the byte 0xff is not UTF-8"),
        (b"a,b\nM\xfcller,2\n", 2, "a", "the byte 0xfc is not UTF-8"),
        (b"a,b\n1,\xed\xa0\x80\n", 2, "b", "a lone surrogate"),
        (b"a,b\n1,\xc3", 2, "b", "ends within a character"),
        ("\ufeffa,b\n1,".encode("utf-16-le") + b"\x00\xd8,\x00\n\x00", 2, "b", "surrogate"),
        ("\ufeffa,b\n1,2".encode("utf-16-le") + b"\x33", 2, "b", "ends within a character"),
        ("a,b\n1,2\n".encode("utf-16-le"), 1, "#1", "a NUL byte"),
        ("a,b\n1,2\n".encode("utf-32"), 1, "#1", "a NUL byte"),
        (b"\x1f\x8b\x08\x00", 1, "character 1", "the gzip file ends too early"),
        (b"PK\x03\x04....", 1, "character 1", "an Excel workbook"),
        (b"%PDF-1.7", 1, "character 1", "a PDF"),
    ],
)
def test_what_is_not_exactly_a_table_is_refused(data: bytes, line: int, column: str, reason: str) -> None:
    error = refused(data)
    assert (error.line, error.column) == (line, column)
    assert reason in error.reason


@pytest.mark.parametrize(
    ("limits", "data", "line", "reason"),
    [
        (Limits(file_bytes=10), b"a,b\n1,2\n3,4\n", 1, "more than 10 bytes"),
        (Limits(record_chars=8), b"a,b\n1,234567890\n", 2, "longer than 8"),
        (Limits(record_chars=8), b"a,b\n1,234567890", 2, "longer than 8"),
        (Limits(record_chars=8), b'a,b\n1,"2\n3\n4\n5\n6\n7\n8\n9\n0\n1\n"\n', 2, "never closed"),
        (Limits(field_chars=4), b"a,b\n1,23456\n", 2, "a cell longer than 4"),
        (Limits(columns=1), b"a,b\n1,2\n", 1, "more than 1 columns"),
        (Limits(rows=1), b"a,b\n1,2\n3,4\n", 3, "more than 1 row"),
    ],
)
def test_a_file_over_a_limit_is_refused(limits: Limits, data: bytes, line: int | None, reason: str) -> None:
    error = refused(data, limits)
    assert error.line == line
    assert reason in error.reason


def test_a_line_of_many_megabytes_is_refused_before_it_is_read_to_its_end() -> None:
    stream = io.BytesIO(b"a,b\n1," + b"x" * (8 << 20))
    with open_table(stream) as table, pytest.raises(InputRejectedError, match="longer than"):
        list(table.rows())
    assert stream.tell() < 2 << 20


def test_a_fault_behind_the_first_chunk_still_has_its_line() -> None:
    data = b"a,b\n" + b"1,2\n" * 50_000 + b"3,\xff\n"
    assert (refused(data).line, refused(data).column) == (50_002, "b")


def test_a_character_cut_by_a_chunk_is_whole() -> None:
    filler = b"a,b\n" + b"1," + b"x" * ((1 << 16) - 7)
    data = filler + "é\n".encode()
    assert len(filler) == (1 << 16) - 1
    assert rows(data)[0][1]["b"].endswith("xé")


def test_a_pipe_is_read_like_a_file() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,x\n2,y\n")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, open_table(pipe) as table:
        assert [(row.line, row.cells) for row in table.rows()] == TWO
        assert table.name == "standard input"


def test_a_file_is_named_in_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_bytes(b"a,b\n1\n")
    with open_table(path) as table, pytest.raises(InputRejectedError, match=r"deals\.csv, line 2, column 'b': "):
        list(table.rows())


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"), open_table(tmp_path / "absent.csv"):
        pass


@pytest.mark.parametrize("row", ['{n},"Name {n}",{n}', '{n},{n},"Name {n}"', '"{n}","{n}","Name, {n}"'])
def test_any_two_lost_quotes_are_refused_or_change_nothing(row: str) -> None:
    whole = "id,name,note\n" + "".join(row.format(n=n) + "\n" for n in range(5))
    expected = rows(whole.encode())
    for one, other in itertools.combinations([at for at, mark in enumerate(whole) if mark == '"'], 2):
        damaged = whole[:one] + whole[one + 1 : other] + whole[other + 1 :]
        try:
            assert rows(damaged.encode()) == expected
        except InputRejectedError:
            continue


_CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).filter(
    # A cell with line breaks and commas may be what a lost quote looks like, which is refused.
    lambda cell: cell.strip() != "" and not {"\n", ","} <= set(cell)
)


@given(table=st.lists(st.tuples(_CELLS, _CELLS, _CELLS), min_size=1, max_size=6), ends=st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_quoting_writer_wrote_is_read_back(table: list[tuple[str, str, str]], ends: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=ends)
    writer.writerows([("k", "l", "m"), *table])
    found = rows(text.getvalue().encode())
    assert [tuple(cells.values()) for _, cells in found] == table


@given(data=st.binary(max_size=60), head=st.sampled_from([b"", b"a,b\n", b"a,b\n1,2\n", b"\xff\xfe", b"\xef\xbb\xbf"]))
def test_any_bytes_are_a_table_or_a_refusal(data: bytes, head: bytes) -> None:
    try:
        found = rows(head + data)
    except InputRejectedError:
        return
    assert found


@given(text=st.text(alphabet='ab12,;\t"\r\n', max_size=40))
def test_any_mixture_of_marks_is_a_table_or_a_refusal(text: str) -> None:
    try:
        found = rows(("a,b\n" + text).encode())
    except InputRejectedError:
        return
    assert all(set(cells) == {"a", "b"} for _, cells in found)
