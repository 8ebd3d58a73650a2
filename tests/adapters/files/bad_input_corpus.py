"""Odd and broken files by kind, each with what must become of it: refused at a line and column, or loaded as said.

A table of deals stands for every reader of rows: encodings, quotes, lines and JSON are read in one place.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.adapters.files.bad_cells import HEADER, row

TWO = HEADER + "11,Won,5.00,2026-09-01\n12,Talk,7.50,2026-09-02\n"
RECORD = '{"deal_id": "11", "stage": "Won", "amount": 5.00}'
OTHER = '{"deal_id": "12", "stage": "Talk", "amount": 7.50}'

Deal = tuple[str, str, int | None]
ONE_DEAL: tuple[Deal, ...] = (("11", "Won", 500),)
TWO_DEALS: tuple[Deal, ...] = (("11", "Won", 500), ("12", "Talk", 750))


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` is a part of the reason."""

    line: int
    column: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A file, and the deals (id, stage, minor units) that it holds, or its refusal."""

    name: str
    data: bytes
    outcome: tuple[Deal, ...] | Refused


# --- bytes, lines, quotes, tables ------------------------------------------------------------------------------------


def encodings() -> Iterator[Case]:
    for name in ("utf-8", "utf-8-sig", "utf-16", "ascii"):
        yield Case(name, TWO.encode(name), TWO_DEALS)
    yield Case("utf-16-be with mark", b"\xfe\xff" + TWO.encode("utf-16-be"), TWO_DEALS)
    for name in ("utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        yield Case(f"{name}, no mark known", TWO.encode(name), Refused(1, "#1", "a NUL byte"))
    yield Case("EBCDIC", TWO.encode("cp037"), Refused(1, "#1", "is not UTF-8"))
    for name, stage in (
        ("cp1252", "Gewönnen"),
        ("latin-1", "Gewönnen"),
        ("mac-roman", "Gewönnen"),
        ("cp437", "Gewönnen"),
        ("cp1251", "Сделка"),
        ("koi8-r", "Сделка"),
        ("shift-jis", "商談"),
        ("euc-jp", "商談"),
        ("gb18030", "商谈"),
        ("big5", "商談"),
        ("euc-kr", "상담"),
    ):
        yield Case(name, TWO.replace("Talk", stage).encode(name), Refused(3, "Stage", "is not UTF-8"))
    escaped = TWO.replace("Talk", "商談").encode("iso-2022-jp")
    yield Case("iso-2022-jp", escaped, Refused(3, "Stage", "U+001B"))
    mixed = TWO.replace("Won", "Ö").encode() + row("13", "Ö").encode("cp1252")
    yield Case("UTF-8 and cp1252", mixed, Refused(4, "Stage", "is not UTF-8"))
    yield Case("half a UTF-16 unit", TWO.encode("utf-16")[:-1], Refused(3, "Create Date", "within a character"))
    cut = (HEADER + row(stage="Gewö")).encode()
    yield Case("half a character", cut[: cut.index(b"\xb6")], Refused(2, "Stage", "within a character"))
    yield Case("overlong", (HEADER + row()).encode().replace(b"Won", b"\xc0\xaf"), Refused(2, "Stage", "is not UTF-8"))
    lone = (HEADER + row()).encode().replace(b"Won", b"\xed\xa0\x80")
    yield Case("lone surrogate", lone, Refused(2, "Stage", "a lone surrogate"))
    lone = ("\ufeff" + HEADER + "11,").encode("utf-16-le") + b"\x00\xd8" + ",5,\n".encode("utf-16-le")
    yield Case("lone surrogate of UTF-16", lone, Refused(2, "Stage", "surrogate"))
    yield Case("a mark within", (HEADER + "\ufeff" + row()).encode(), Refused(2, "Deal ID", "is not an id"))
    yield Case("two marks", ("\ufeff\ufeff" + TWO).encode(), TWO_DEALS)
    yield Case("a title with a zero-width space", TWO.replace("Stage", "Stage\u200b").encode(), TWO_DEALS)


def lines() -> Iterator[Case]:
    def case(name: str, text: str, outcome: tuple[Deal, ...] | Refused) -> Case:
        return Case(name, text.encode(), outcome)

    yield case("CRLF", TWO.replace("\n", "\r\n"), TWO_DEALS)
    yield case("CRLF and LF", TWO.replace("\n", "\r\n", 1), TWO_DEALS)
    yield case("no last line break", TWO[:-1], TWO_DEALS)
    yield case("CR", TWO.replace("\n", "\r"), Refused(1, "#4", "carriage return"))
    yield case("CR CR LF", TWO.replace("\n", "\r\r\n"), Refused(1, "#4", "carriage return"))
    yield case("U+2028", TWO.replace("\n", "\u2028"), Refused(1, "Deal ID", "no rows"))
    yield case("Ctrl-Z", TWO + "\x1a", Refused(4, "Stage", "is the file whole"))
    yield case("nothing", "", Refused(1, "#1", "the file is empty"))
    yield case("a byte order mark alone", "\ufeff", Refused(1, "#1", "the file is empty"))
    yield case("a line break alone", "\n", Refused(1, "#1", "the line is empty"))
    yield case("header alone", HEADER, Refused(1, "Deal ID", "no rows"))
    yield case("one column", "Deal ID\n1\n", Refused(1, "#1", "not the header of a table"))
    yield case("empty lines at the end", TWO + "\n\n", TWO_DEALS)
    yield case("empty rows at the end", TWO + ",,,\n,,,\n", TWO_DEALS)
    yield case("an empty line within", HEADER + row() + "\n" + row("12"), Refused(3, "Deal ID", "an empty row"))
    yield case("an empty row within", HEADER + row() + ",,,\n" + row("12"), Refused(3, "Deal ID", "an empty row"))
    yield case("an empty line first", "\n" + TWO, Refused(1, "#1", "the line is empty"))
    yield case("a title first", "Deals of 2026\n" + TWO, Refused(1, "#1", "not the header"))
    yield case("a title and padding first", "Deals,,,\n" + TWO, Refused(1, "#2", "no name"))
    yield case("a comment first", "# by me\n" + TWO, Refused(1, "#1", "not the header"))
    yield case("sep=,", "sep=,\n" + TWO, TWO_DEALS)
    yield case("sep=;", "SEP=;\r\n" + TWO.replace(",", ";"), TWO_DEALS)
    yield case("sep=; and commas", "sep=;\n" + TWO, Refused(1, "Record ID", "no column for deal_id"))
    yield case("sep= alone", "sep=;\n", Refused(2, "#1", "before its column names"))
    yield case("a footer", TWO + "Exported by me\n", Refused(4, "Stage", "the row has 1 cells"))
    yield case("a padded footer", TWO + "Exported by me,,,\n", Refused(4, "Deal ID", "is not an id"))
    yield case("HTML", "<!DOCTYPE html>\n<p>a,b", Refused(1, "#1", "not the header"))
    yield case("XML", '<?xml version="1.0"?>\n<a/>', Refused(1, "#1", ""))


def tables() -> Iterator[Case]:
    def case(name: str, text: str, outcome: tuple[Deal, ...] | Refused) -> Case:
        return Case(name, text.encode(), outcome)

    for name, mark in {"semicolons": ";", "tabs": "\t", "pipes": "|"}.items():
        yield case(name, TWO.replace(",", mark), TWO_DEALS)
    for name, mark in {"colons": ":", "spaces": " ", "carets": "^", "U+0001": "\x01"}.items():
        yield case(name, TWO.replace(",", mark), Refused(1, "#1", "not the header of a table"))
    yield case("header and rows differ", HEADER + row().replace(",", ";"), Refused(2, "Stage", "1 cells"))
    yield case("a decimal comma splits a cell", HEADER + row(amount="5,00"), Refused(2, "Create Date", "5 cells"))
    yield case("too few cells", HEADER + "11,Won\n", Refused(2, "Amount", "the row has 2 cells, the header 4"))
    yield case("too many cells", HEADER + row()[:-1] + ",x\n", Refused(2, "Create Date", "5 cells"))
    yield case("a comma ends each line", TWO.replace("\n", ",\n"), Refused(1, "#5", "no name"))
    yield case("a title twice", "Deal ID,Stage,Stage,Amount\n1,a,b,2\n", Refused(1, "Stage", "the same name"))
    yield case("a title twice, by case", "Deal ID,STAGE,Stage,Amount\n1,a,b,2\n", Refused(1, "Stage", "same name"))
    yield case("an unread title twice", "Deal ID,Stage,x,x,Amount\n1,a,b,c,2\n", Refused(1, "x", "same name"))
    yield case("another currency", TWO.replace("Amount", "Amount (EUR)"), Refused(1, "Amount (EUR)", "is in EUR"))
    yield case("a deal twice", HEADER + row() + row(), Refused(3, "Deal ID", "stands on line 2 already"))
    yield case("two tables, a line between", TWO + "\n" + TWO, Refused(4, "Deal ID", "two tables"))
    yield case("two tables, none between", TWO + TWO, Refused(4, "Deal ID", "is not an id"))
    yield case("a narrower table below", TWO + "a,b\n1,2\n", Refused(4, "Amount", "the row has 2 cells"))
    yield case("its total", TWO + "Total,,12.50,\n", TWO_DEALS)
    yield case("its total without a name", TWO + ",,12.50,\n", TWO_DEALS)
    yield case("another total", TWO + "Total,,12.60,\n", Refused(4, "Amount", "states 1260 minor units"))
    yield case("a row without id", TWO + ",,13.50,\n", Refused(4, "Amount", "the rows add up to 1250"))
    yield case("a total of a stage", TWO + "Subtotal,Won,5.00,\n", Refused(4, "Deal ID", "is not an id"))
    yield case("a total within", HEADER + row() + "Total,,5.00,\n" + row("12"), Refused(3, "Deal ID", "is empty"))
    yield case("its header again", HEADER + TWO, Refused(2, "Deal ID", "is not an id"))
    yield case("its header last", TWO + HEADER, Refused(4, "Deal ID", "is not an id"))
    yield case("one row moved to the right", HEADER + row() + ",12,Talk,7.50\n", Refused(3, "Deal ID", "is empty"))
    yield case("rows moved to the left", HEADER + "Won,5.00,2026-09-01,11\n", Refused(2, "Create Date", "not a date"))
    yield case("each line in quotes", HEADER + '"11,Won,5.00,2026-09-01"\n', Refused(2, "Stage", "has 1 cells"))
    yield case("typographic quotes", HEADER + "“11”,“Won”,“5.00”,“2026-09-01”\n", Refused(2, "Deal ID", "not an id"))
    yield case("a table of Markdown", "| Deal ID | Stage |\n|---|---|\n| 11 | Won |\n", Refused(1, "#1", "no name"))
    yield case("statements of SQL", "INSERT INTO deals VALUES (11,'Won',5.00);\n", Refused(1, "Record ID", "no column"))
    yield case("YAML", "- deal_id: 11\n  stage: Won\n", Refused(1, "#1", "not the header"))
    yield case(
        "contradicting dates",
        HEADER + row(created="31/01/2026") + row("12", created="01/31/2026"),
        Refused(3, "Create Date", "month first"),
    )
    yield case(
        "contradicting numbers",
        HEADER + row(amount='"1,234.5"') + row("12", amount='"1.234,5"'),
        Refused(3, "Amount", "different ways"),
    )


def quotes() -> Iterator[Case]:
    def case(name: str, text: str, outcome: tuple[Deal, ...] | Refused) -> Case:
        return Case(name, (HEADER + text).encode(), outcome)

    yield case("all quoted", '"11","Won","5.00","2026-09-01"\n', ONE_DEAL)
    yield case("a quote in quotes", row(stage='"W""on"'), (("11", 'W"on', 500),))
    yield case("a comma in quotes", row(stage='"Won, paid"'), (("11", "Won, paid", 500),))
    yield case("a line break in quotes", row(stage='"Won\nlate"'), (("11", "Won late", 500),))
    yield case("never closed", row(stage='"Won') + row("12"), Refused(2, "Stage", "never closed"))
    yield case("never opened", row(stage='Won"') + row("12"), Refused(2, "Stage", "not quoted"))
    yield case("text behind", row(stage='"Won"x'), Refused(2, "Stage", "behind a closing quote"))
    yield case("a space before", row(stage=' "Won"'), Refused(2, "Stage", "not quoted"))
    yield case("a backslash", row(stage='"W\\"on"'), Refused(2, "Stage", "behind a closing quote"))
    swallowed = row(stage='"Won') + row("12", stage='Won"') + row("13")
    yield case("rows swallowed", swallowed, Refused(2, "Stage", "swallows whole rows"))
    yield Case("a line break in the header", ('"Deal\nID",Stage\n' + row()).encode(), Refused(1, "#1", ""))


# --- JSON ------------------------------------------------------------------------------------------------------------


def json_texts() -> Iterator[Case]:
    def case(name: str, text: str, outcome: tuple[Deal, ...] | Refused) -> Case:
        return Case(name, text.encode("utf-8", "surrogatepass"), outcome)

    for text in ("5", '"x"', "null", "true", "NaN", "// x\n" + RECORD):
        yield case(f"top level {text[:5]}", text, Refused(1, "#1", ""))
    yield case("an empty list", "[]", Refused(1, "record 1", "no records"))
    yield case("an empty object", "{}", Refused(1, "Record ID", "no column for deal_id"))
    yield case("a list of lists", f"[[{RECORD}]]", Refused(1, "record 1", "not an object"))
    yield case("a number among records", f"[{RECORD}, 5]", Refused(1, "record 2", "not an object"))
    yield case("an error message", '{"status": "error"}', Refused(1, "Record ID", "no column"))
    yield case("a list", f"[{RECORD}, {OTHER}]", TWO_DEALS)
    yield case("a page", f'{{"results": [{RECORD}, {OTHER}], "total": 2}}', TWO_DEALS)
    yield case("lines", f"{RECORD}\n{OTHER}\n", TWO_DEALS)
    yield case("lines with CRLF, empty ones and a mark", f"\ufeff{RECORD}\r\n\r\n{OTHER}\r\n", TWO_DEALS)
    yield Case("a list in UTF-16", f"[{RECORD}, {OTHER}]".encode("utf-16"), TWO_DEALS)
    yield Case("UTF-16 without a mark", RECORD.encode("utf-16-le"), Refused(1, "character 2", "not JSON"))
    yield case("a mark within", f"{RECORD}\n\ufeff{OTHER}", Refused(2, "character 1", "not JSON"))
    yield case("commas between lines", f"{RECORD},\n{OTHER}", Refused(1, f"character {len(RECORD) + 1}", "not JSON"))
    yield case("a comma too many", f"[{RECORD},]", Refused(1, f"character {len(RECORD) + 3}", "not JSON"))
    yield case("something behind", f"[{RECORD}] x", Refused(1, f"character {len(RECORD) + 4}", "behind the end"))
    yield case("a list and lines", f"[{RECORD}]\n{OTHER}", Refused(2, "character 1", "behind the end"))
    yield case("cut", f"[{RECORD}", Refused(1, f"character {len(RECORD) + 2}", "not whole"))
    yield case("cut within a text", f"[{RECORD[:20]}", Refused(1, "", "not whole"))
    yield case("a comment within", RECORD.replace(": 5", ": /* five */ 5"), Refused(1, "character 45", "not JSON"))
    yield case("a comment behind", f"{RECORD}\n# end\n", Refused(2, "character 1", "not JSON"))
    yield case("a call around it", f"callback([{RECORD}])", Refused(1, "#1", ""))
    yield case("a guard before it", f")]}}'\n[{RECORD}]", Refused(1, "#1", ""))
    yield case("records behind U+001E", f"\x1e{RECORD}\n", Refused(1, "#1", ""))
    yield case("two records on a line", f"{RECORD}{OTHER}", TWO_DEALS)
    yield case("single quotes", RECORD.replace('"', "'"), Refused(1, "character 2", "not JSON"))
    yield case("a wrong total", f'{{"total": 3, "results": [{RECORD}]}}', Refused(1, "total", "3 records"))
    yield case("two lists", f'{{"results": [{RECORD}], "deals": []}}', Refused(1, "deals", "which one"))
    yield case("deep lists", "[" * 100_000, Refused(1, "character 2", "nested deeper"))
    yield case("deep objects", '{"a":' * 100_000, Refused(1, "character 1", "nested deeper"))
    deep = RECORD[:-1] + ', "z": ' + "[" * 40 + "]" * 40 + "}"
    yield case("deeper than anybody reads", deep, Refused(1, "character 1", "nested deeper than 32 levels"))
    yield case("a key twice", RECORD[:-1] + ', "stage": "Won"}', Refused(1, "stage", "there twice"))
    yield case("a key twice by case", RECORD[:-1] + ', "Deal ID": "12"}', Refused(1, "Deal ID", "the same name"))
    yield case("NaN in what nobody reads", RECORD[:-1] + ', "z": NaN}', Refused(1, "z", "NaN is not JSON"))
    yield case("a key without a name", RECORD[:-1] + ', "": 1}', Refused(1, "#4", "no name"))
    yield case("a NUL in a key", RECORD[:-1] + ', "a\\u0000": 1}', Refused(1, "a\0", "NUL"))
    yield case("a surrogate in a key", RECORD[:-1] + ', "\\ud800": 1}', Refused(1, "\\ud800", "surrogate"))
    yield case("a line break in a text", RECORD.replace("Won", "W\non"), Refused(1, "", "not JSON"))
    for name, (text, outcome) in _JSON_VALUES.items():
        key, _, value = text.partition(" ")
        changed = {"amount": "5.00", "deal_id": '"11"', "createdate": "null"} | {key: value}
        record = "{" + ", ".join(f'"{one}": {written}' for one, written in changed.items()) + ', "stage": "Won"}'
        yield case(f"{key} {name}", record, outcome)


_JSON_VALUES: dict[str, tuple[str, tuple[Deal, ...] | Refused]] = {
    "in quotes": ('amount "5.00"', ONE_DEAL),
    "null": ("amount null", (("11", "Won", None),)),
    "negative": ("amount -5", (("11", "Won", -500),)),
    "1e400": ("amount 1e400", Refused(1, "amount", "scientific")),
    "1e2": ("amount 1e2", Refused(1, "amount", "scientific")),
    "NaN": ("amount NaN", Refused(1, "amount", "is not JSON")),
    "-Infinity": ("amount -Infinity", Refused(1, "amount", "is not JSON")),
    "true": ("amount true", Refused(1, "amount", "is not a number")),
    "a list": ("amount [5]", Refused(1, "amount", "a list")),
    "an object": ('amount {"v": 5}', Refused(1, "amount", "an object")),
    "a comma": ('amount "5,00"', Refused(1, "amount", "plain decimal")),
    "thousands": ('amount "1,234"', Refused(1, "amount", "plain decimal")),
    "01": ("amount 01", Refused(1, "character 13", "not JSON")),
    "0x5": ("amount 0x5", Refused(1, "character 13", "not JSON")),
    "5000 digits": ("amount " + "1" * 5000, Refused(1, "amount", "is not a number")),
    "a number": ("deal_id 11", ONE_DEAL),
    "20 digits": ("deal_id 12345678901234567890", (("12345678901234567890", "Won", 500),)),
    "11.0": ("deal_id 11.0", Refused(1, "deal_id", "is not an id")),
    "1.2E+17": ("deal_id 1.2E+17", Refused(1, "deal_id", "lost digits")),
    "true id": ("deal_id true", Refused(1, "deal_id", "is not an id")),
    "null id": ("deal_id null", Refused(1, "deal_id", "is empty")),
    "surrogate": ('deal_id "\\ud800"', Refused(1, "deal_id", "surrogate")),
    "zero-width": ('deal_id "1\\u200b1"', Refused(1, "deal_id", "is not an id")),
    "epoch": ("createdate 1757000000000", ONE_DEAL),
    "epoch of a float": ("createdate 1757000000.5", Refused(1, "createdate", "is not a date")),
    "Feb 30": ('createdate "2026-02-30"', Refused(1, "createdate", "does not exist")),
}


# --- packed ----------------------------------------------------------------------------------------------------------


def packed() -> Iterator[Case]:
    whole = gzip.compress(TWO.encode(), mtime=0)
    first, second = TWO.encode()[: len(HEADER) + 23], TWO.encode()[len(HEADER) + 23 :]
    yield Case("gzip", whole, TWO_DEALS)
    yield Case("gzip in two members", gzip.compress(first) + gzip.compress(second), TWO_DEALS)
    yield Case("gzip and zeros", whole + b"\0" * 100, TWO_DEALS)
    yield Case("gzip of JSON", gzip.compress(f"[{RECORD}, {OTHER}]".encode()), TWO_DEALS)
    yield Case("gzip twice behind itself", whole + whole, Refused(4, "Deal ID", "is not an id"))
    for cut in (1, 4, 8, 12, len(whole) - 11, len(whole) - 2):
        yield Case(f"gzip without its last {cut} bytes", whole[:-cut], Refused(1, "", "ends too early"))
    yield Case("gzip and junk", whole + b"junk", Refused(1, "", "damaged"))
    yield Case("gzip with a wrong checksum", whole[:-8] + b"abcd" + whole[-4:], Refused(1, "", "damaged"))
    yield Case("gzip with a wrong length", whole[:-4] + b"abcd", Refused(1, "", "damaged"))
    yield Case("gzip of gzip", gzip.compress(whole), Refused(1, "character 1", "gzip file inside"))
    yield Case("gzip of nothing", gzip.compress(b""), Refused(1, "#1", "is empty"))
    yield Case("gzip of another kind", b"\x1f\x8b\x09" + whole[3:], Refused(1, "character 1", "damaged"))
    yield Case("zlib", zlib.compress(TWO.encode()), Refused(1, "#1", "is not UTF-8"))
    for name, magic in {"zip": b"PK\x03\x04", "bzip2": b"BZh9", "xz": b"\xfd7zXZ", "PDF": b"%PDF-1.7"}.items():
        yield Case(name, magic + b"..", Refused(1, "character 1", "not a text file"))
    yield Case("old Excel", b"\xd0\xcf\x11\xe0..", Refused(1, "character 1", "Excel"))


def files() -> tuple[Case, ...]:
    """Every whole file."""
    return (*encodings(), *lines(), *tables(), *quotes(), *json_texts(), *packed())
