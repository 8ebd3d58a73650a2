"""Odd and broken cells of a table of deals, each with what must become of it: read, or refused for a reason."""

from __future__ import annotations

from collections.abc import Iterator

HEADER = "Deal ID,Stage,Amount,Create Date\n"


def row(deal: str = "11", stage: str = "Won", amount: str = "5.00", created: str = "2026-09-01") -> str:
    return f"{deal},{stage},{amount},{created}\n"


def with_cell(column: str, cell: str) -> bytes:
    """A table of one row whose cell holds the text."""
    given = {"Deal ID": "11", "Stage": "Won", "Amount": "5.00", "Create Date": "2026-09-01", column: cell}
    return (HEADER + ",".join('"' + value.replace('"', '""') + '"' for value in given.values()) + "\n").encode()


# --- cells: text -> what is read, or a part of the reason why not ----------------------------------------------------

AMOUNTS: dict[str, int | str | None] = {
    # A number alone.
    "5": 500,
    "5.5": 550,
    "5,50": 550,
    "-3": -300,
    "−3": -300,
    "-0": 0,
    "007": 700,
    " 5.00 ": 500,
    "1.4299999475479126": 143,
    "0.30000000000000004": 30,
    # Thousands.
    "1,234.56": 123456,
    "1.234,56": 123456,
    "1 234,56": 123456,
    "1\u00a0234,56": 123456,
    "1\u202f234,56": 123456,
    "1'234.56": 123456,
    "1’234.56": 123456,
    "12,34,567.00": 123456700,
    "1.234.567": 123456700,
    "1,234": "a thousand times more or less",
    "1.234": "a thousand times more or less",
    "12.000": "a thousand times more or less",
    "1,2345": "more decimals",
    "1,23,4": "is not a number",
    "1,234.5.6": "is not a number",
    "1..2": "is not a number",
    "1.005": "a thousand times more or less",
    "1.0051": "more decimals",
    # Nothing, and what is not nothing.
    "": None,
    "-": None,
    "—": None,
    "N/A": "is not a number",
    "null": "is not a number",
    "#N/A": "is not a number",
    "0x10": "is not a number",
    "TRUE": "is not a number",
    # What float() and Decimal() accept.
    "NaN": "is not a number",
    "sNaN": "is not a number",
    "nan": "is not a number",
    "Infinity": "is not a number",
    "-inf": "is not a number",
    "1e5": "scientific notation",
    "1E400": "scientific notation",
    "1e-400": "scientific notation",
    "1E+999999999": "scientific notation",
    "1,5e3": "scientific notation",
    "1_000": "is not a number",
    "+5": "is not a number",
    ".5": "is not a number",
    "5.": "is not a number",
    "٥": "is not a number",
    "１２": "is not a number",
    "²": "is not a number",
    "½": "is not a number",
    # Signs, units, formulas.
    "(5.00)": "is not a number",
    "5-": "is not a number",
    "--5": "is not a number",
    "- 5": "is not a number",
    "$5": "is not a number",
    "€5": "is not a number",
    "5 EUR": "is not a number",
    "5%": "is not a number",
    "5K": "is not a number",
    "=5+5": "is not a number",
    "=HYPERLINK(1)": "is not a number",
    # Sizes.
    "999999999999": 99999999999900,
    "1234567890123": "is not a plain decimal number",
    "9" * 40: "is not a number",
    "9" * 5000: "is not a number",
}
DATES: dict[str, str] = {
    "": "",
    "2026-09-01": "2026-09-01T00:00:00",
    "2026-9-1": "2026-09-01T00:00:00",
    "2026/09/01": "2026-09-01T00:00:00",
    "01.09.2026": "2026-09-01T00:00:00",
    "13/02/2026": "2026-02-13T00:00:00",
    "02/13/2026": "2026-02-13T00:00:00",
    "07/07/2026": "2026-07-07T00:00:00",
    "Sep 1, 2026": "2026-09-01T00:00:00",
    "1 September 2026": "2026-09-01T00:00:00",
    "1-Sep-2026": "2026-09-01T00:00:00",
    "2024-02-29": "2024-02-29T00:00:00",
    "2026-09-01T10:00:00Z": "2026-09-01T10:00:00",
    "2026-09-01T10:00:00+02:00": "2026-09-01T08:00:00",
    "2026-09-01 10:00 PM": "2026-09-01T22:00:00",
    "2026-09-01 12:30 AM": "2026-09-01T00:30:00",
    "01/02/2026": "!day first or month first",
    "09-01-2026": "!day first or month first",
    "2026-02-30": "!does not exist",
    "2026-02-29": "!does not exist",
    "2026-13-01": "!does not exist",
    "2026-00-10": "!does not exist",
    "31.04.2026": "!does not exist",
    "0000-01-01": "!does not exist",
    "0001-01-01": "!is not between",
    "1899-12-30": "!is not between",
    "1970-01-01": "!is not between",
    "9999-12-31": "!is not between",
    "2026-10-20": "!is not between",
    "2026-09-01T24:00:00": "!a time that does not exist",
    "2026-09-01T23:59:60Z": "!a time that does not exist",
    "2026-09-01 13:00 PM": "!no such hour",
    "2026-09-01T10:00:00+25:00": "!no offset from UTC",
    "2026-09-01T10:00:00 PST": "!is not a date",
    "2026-09-01T10": "!is not a date",
    "20260901": "!is not a date",
    "45931": "!is not a date",
    "45931.75": "!is not a date",
    "1757000000": "!is not a date",
    "26-09-01": "!is not a date",
    "01/02/26": "!is not a date",
    "2026-W36": "!is not a date",
    "2026-09": "!is not a date",
    "2026-09/01": "!is not a date",
    "２０２６-09-01": "!is not a date",
    "1 Foo 2026": "!names no month",
    "yesterday": "!is not a date",
    "10:00": "!is not a date",
    "#VALUE!": "!is not a date",
    "########": "!is not a date",
}
IDS: dict[str, str] = {
    "11": "",
    " 11\u00a0": "",
    "007": "",
    "1C1I7A6R": "",
    "a_b:c-1": "",
    "": "the id is empty",
    "1.2E+17": "has lost digits",
    "1,2E+17": "has lost digits",
    "1e17": "has lost digits",
    "1.2e17": "has lost digits",
    "11.0": "is not an id",
    "1 1": "is not an id",
    "1\n1": "is not an id",
    "-11": "is not an id",
    "'11": "is not an id",
    '="11"': "is not an id",
    "=1+1": "is not an id",
    "１１": "is not an id",
    "١١": "is not an id",
    "1é1": "is not an id",
    "1\u200b1": "is not an id",
    "11\u200e": "is not an id",
    "\u202e11": "is not an id",
    "11\ufeff": "is not an id",
    "“11”": "is not an id",
    "1;2": "is not an id",
    "../11": "is not an id",
    "<b>": "is not an id",
    "x" * 65: "is not an id",
    "total": "is not an id",
    "Subtotal": "is not an id",
    "Summe": "is not an id",
    "null": "is not an id",
    "True": "is not an id",
    "undefined": "is not an id",
}
STAGES: dict[str, str] = {
    "Won": "",
    " Won ": "",
    "1047682": "",
    "Gewönnen": "",
    "商談": "",
    "Closed – lost": "",
    "": "the stage is empty",
    "   ": "the stage is empty",
    '=HYPERLINK("http://x")': "is a formula",
    "+cmd|' /C calc'!A0": "is a formula",
    "@SUM(A1)": "is a formula",
    "#REF!": "is a formula or an error",
    "#####": "is a formula or an error",
    "Won\u200b": "U+200B",
    "\u202eWon": "U+202E",
    "W\u00adon": "U+00AD",
    "W\ufffdn": "U+FFFD",
    "\ufeffWon": "U+FEFF",
}
_CONTROLS = {
    "NUL": "\0",
    "BEL": "\x07",
    "BS": "\x08",
    "VT": "\x0b",
    "FF": "\x0c",
    "ESC": "\x1b",
    "FS": "\x1c",
    "DEL": "\x7f",
    "NEL": "\x85",
}


def cells() -> Iterator[tuple[str, bytes, str, str]]:
    """(name, file, column, part of the reason or "") for each text of the tables above."""
    for text, amount in AMOUNTS.items():
        yield f"amount {text[:20]!r}", with_cell("Amount", text), "Amount", amount if isinstance(amount, str) else ""
    for text, told in DATES.items():
        yield f"date {text!r}", with_cell("Create Date", text), "Create Date", told[1:] if told[:1] == "!" else ""
    for column, table in (("Deal ID", IDS), ("Stage", STAGES)):
        for text, reason in table.items():
            yield f"{column} {text[:20]!r}", with_cell(column, text), column, reason
    for name, sign in _CONTROLS.items():
        for column in ("Deal ID", "Stage", "Amount", "Create Date"):
            reason = "a NUL byte" if sign == "\0" else f"the control character U+{ord(sign):04X}"
            yield f"{column} with {name}", with_cell(column, f"1{sign}1"), column, reason
