"""The physical lines of a file that says of itself neither its encoding nor its end: decoded strictly, streamed."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from dataclasses import dataclass

from adctl.adapters.files.gunzipped import PACK_FIX, DamagedError, Rewindable
from adctl.adapters.files.opened_files import TOO_LARGE_FIX, Limits
from adctl.errors import InputRejectedError

WHOLE_FIX = "export or transfer the file again"
_CHUNK = 1 << 16
_UTF8_FIX = "save it as UTF-8"
_FIRST = "character 1"
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_OTHER_FORMATS = (
    (b"\x1f\x8b", "a gzip file inside a gzip file", "pack it once"),
    (b"BZh", "a bzip2 file", "unpack it first"),
    (b"\xfd7zXZ", "an xz file", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", "unpack it first"),
    (b"PK\x03\x04", "a zip file or an Excel workbook", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF", "export as CSV"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`text` without the line feed; `ended` is False for a last line without one."""

    number: int
    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with bytes, and what makes them right."""

    what: str
    fix: str


class BadTextError(Exception):
    """Text that cannot be loaded: the fault, the physical line, and the text `before` it on that line."""

    def __init__(self, fault: Fault, line: int, before: str) -> None:
        super().__init__(fault.what)
        self.what, self.fix = fault.what, fault.fix
        self.line = line
        self.before = before


_NUL_FAULT = Fault("a NUL byte", _UTF8_FIX)


def read_lines(stream: Rewindable, *, name: str, limits: Limits) -> Iterator[Line]:
    """Lines from the stream's position on: UTF-8 with or without byte order mark, UTF-16 with one.

    Raises BadTextError for what is not text, for NUL bytes and lone surrogates, and InputRejectedError for another
    file format and for a file or line over the limits.
    """
    rest, number = "", 1
    for decoded, fault in read_chunks(stream, name=name, limits=limits):
        *whole, rest = (rest + decoded).split("\n")
        for text in whole:
            yield _line(number, text, ended=True, name=name, limits=limits)
            number += 1
        if fault:
            raise BadTextError(fault, number, rest)
        _refuse_long(number, rest, name, limits)
    if rest:
        yield _line(number, rest, ended=False, name=name, limits=limits)


def read_text(stream: Rewindable, *, name: str, limits: Limits) -> str:
    """All of the text at once, read as `read_lines` reads; only `limits.file_bytes` applies."""
    parts: list[str] = []
    for decoded, fault in read_chunks(stream, name=name, limits=limits):
        before, nul, _ = decoded.partition("\0")
        parts.append(before)
        if nul or fault:
            text = "".join(parts)
            raise BadTextError(fault or _NUL_FAULT, text.count("\n") + 1, text.rpartition("\n")[2])
    return "".join(parts)


def _decoder(stream: Rewindable, name: str) -> codecs.IncrementalDecoder:
    start = stream.tell()
    try:
        head = stream.read(6)
    except DamagedError as error:
        raise InputRejectedError(str(error), source=name, line=1, column=_FIRST, fix=PACK_FIX) from None
    for magic, what, fix in _OTHER_FORMATS:
        if head.startswith(magic):
            raise InputRejectedError(f"this is {what}, not a text file", source=name, line=1, column=_FIRST, fix=fix)
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if head.startswith(m)), (b"", "utf-8"))
    stream.seek(start + len(mark))
    return codecs.getincrementaldecoder(encoding)()


def read_chunks(stream: Rewindable, *, name: str, limits: Limits) -> Iterator[tuple[str, Fault | None]]:
    """Text chunk by chunk, each with what is wrong behind it.

    Raises InputRejectedError as `read_lines` does.
    """
    decoder, size, until = _decoder(stream, name), 0, time.monotonic() + limits.seconds
    while True:
        try:
            chunk = stream.read(_CHUNK)
        except DamagedError as error:
            yield "", Fault(str(error), PACK_FIX)
            return
        size += len(chunk)
        if size > limits.file_bytes:
            yield "", Fault(f"more than {limits.file_bytes:,} bytes", TOO_LARGE_FIX)
            return
        if time.monotonic() > until:
            yield "", Fault(f"reading takes more than {limits.seconds} seconds", TOO_LARGE_FIX)
            return
        yield _decode(decoder, chunk)
        if not chunk:
            return


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes) -> tuple[str, Fault | None]:
    try:
        return decoder.decode(chunk, final=not chunk), None
    except UnicodeDecodeError as error:
        return error.object[: error.start].decode(error.encoding), _undecodable(error)


def _undecodable(error: UnicodeDecodeError) -> Fault:
    bad = error.object[error.start : error.start + 2]
    if error.reason in ("unexpected end of data", "truncated data"):
        return Fault("the file ends within a character: it is not whole", WHOLE_FIX)
    is_surrogate = "surrogate" in error.reason or (len(bad) > 1 and bad[0] == 0xED and 0xA0 <= bad[1] <= 0xBF)
    what = "a lone surrogate" if is_surrogate else f"the byte 0x{bad[0]:02x} is not {error.encoding.upper()}"
    return Fault(what, _UTF8_FIX)


def _line(number: int, text: str, *, ended: bool, name: str, limits: Limits) -> Line:
    _refuse_long(number, text, name, limits)
    before, nul, _ = text.partition("\0")
    if nul:
        raise BadTextError(_NUL_FAULT, number, before)
    return Line(number=number, text=text, ended=ended)


def _refuse_long(number: int, text: str, name: str, limits: Limits) -> None:
    if len(text) > limits.record_chars:
        what, column = (
            f"the line is longer than {limits.record_chars:,} characters",
            f"character {limits.record_chars + 1}",
        )
        fix = "see whether a line break is missing; a longer line is allowed by record_chars in [input] of adctl.toml"
        raise InputRejectedError(what, source=name, line=number, column=column, fix=fix)
