"""The bulk shape of ad values, and JSON to the letter."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.adapters.files.ad_performances import read_ad_performances
from adctl.errors import ConfigurationError, InputRejectedError


def read(text: str | bytes, currency: str = "USD") -> tuple[tuple[str, int], ...]:
    data = text.encode() if isinstance(text, str) else text
    return read_ad_performances(io.BytesIO(data), currency)


def test_values_are_minor_units_in_the_order_of_the_file() -> None:
    text = '{"ad_performances": {"22": 1234.5,\r\n "7": "0.30000000000000004", "9": 0}}'
    assert read(text) == (("22", 123450), ("7", 30), ("9", 0))


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b'\xef\xbb\xbf{"ad_performances": {"7": 1}}') == (("7", 100),)


def test_an_unknown_currency_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="KWD"):
        read('{"ad_performances": {"7": 1}}', "KWD")


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("", 1, "character 1", "the file ends within a value"),
        ("[]", 1, "ad_performances", "not an object with the key"),
        ("{}", 1, "ad_performances", "not an object with the key"),
        ('{"ad_performances": {}}', 1, "ad_performances", "no ads in it"),
        ('{"ad_performances": []}', 1, "ad_performances", "not an object of ad ids"),
        ('{"ad_performances": {"7": 1},\n"as_of": 1}', 2, "as_of", "unknown key"),
        ('{"ad_performances": {"7": 1,\n"7": 2}}', 2, "7", "there already, on line 1"),
        ('{"ad_performances": {"7": 1,\n"\\u0037": 2}}', 2, "7", "there already, on line 1"),
        ('{"ad_performances": {"7": 1}, "ad_performances": {"8": 1}}', 1, "ad_performances", "there already"),
        ('{"ad_performances":\n{"7":\nNaN}}', 3, "character 1", "not JSON: 'NaN"),
        ('{"ad_performances": {"7": Infinity}}', 1, "character 27", "not JSON"),
        ('{"ad_performances": {"7": 1e400}}', 1, "7", "not a plain decimal number"),
        ('{"ad_performances": {"7": 1E+999999999}}', 1, "7", "not a plain decimal number"),
        ('{"ad_performances": {"7": "1,234"}}', 1, "7", "not a plain decimal number"),
        ('{"ad_performances": {"7": "١٢"}}', 1, "7", "not a plain decimal number"),
        ('{"ad_performances": {"7": 1.234}}', 1, "7", "more decimals"),
        ('{"ad_performances": {"7": ' + "9" * 5000 + "}}", 1, "7", "is not a number"),
        ('{"ad_performances": {"7":\n -1}}', 2, "7", "negative"),
        ('{"ad_performances": {"7": null}}', 1, "7", "the value is not a number"),
        ('{"ad_performances": {"7": true}}', 1, "7", "the value is not a number"),
        ('{"ad_performances": {"7": {"v": 1}}}', 1, "7", "the value is not a number"),
        ('{"ad_performances": {"1.2E+17": 1}}', 1, "1.2E+17", "has lost digits"),
        ('{"ad_performances": {"": 1}}', 1, "", "not an id of Meta"),
        ('{"ad_performances": {"7": 01}}', 1, "character 27", "not JSON: '01"),
        ('{"ad_performances": {"7": 1.}}', 1, "character 27", "not JSON"),
        ('{"ad_performances": {"7": 1,}}', 1, "character 29", "a key in quotes is missing"),
        ('{"ad_performances": {7: 1}}', 1, "character 22", "a key in quotes is missing"),
        ('{"ad_performances" {"7": 1}}', 1, "character 20", "':' is missing"),
        ('{"ad_performances": {"7": 1 "8": 2}}', 1, "character 29", "',' is missing"),
        ("{'ad_performances': 1}", 1, "character 2", "not JSON"),
        ('{"ad_performances": {"7": 1', 1, "character 28", "not whole"),
        ('{"ad_performances": {"7": 1}} {}', 1, "character 31", "behind the end"),
        ('{"ad_performances": {"7": "\\ud800"}}', 1, "character 27", "a lone surrogate"),
        ('{"ad_performances": {"7": "\\u0000"}}', 1, "character 27", "a NUL"),
        ("[" * 100_000, 1, "character 33", "nested deeper"),
        ('{"a":' * 100_000, 1, "character 161", "nested deeper"),
    ],
)
def test_what_is_not_the_shape_is_refused(text: str, line: int, column: str, reason: str) -> None:
    with pytest.raises(InputRejectedError) as refused:
        read(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert reason in refused.value.reason


@pytest.mark.parametrize(("data", "line"), [(b'{\n"a\0": 1}', 2), (b'{\n"\xff": 1}', 2), (b"\xff\xfe{", 1)])
def test_bytes_that_are_no_text_are_refused(data: bytes, line: int) -> None:
    with pytest.raises(InputRejectedError) as refused:
        read(data)
    assert refused.value.line == line


@given(text=st.text(alphabet='{}[]":,0123456789.eE-\\u tfn\n', max_size=40))
def test_any_text_is_values_or_a_refusal(text: str) -> None:
    try:
        found = read('{"ad_performances": {"7": ' + text)
    except InputRejectedError:
        return
    assert all(value >= 0 for _, value in found)
