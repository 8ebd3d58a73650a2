"""Records of a file in whatever format they come: CSV, JSON, JSON Lines, packed or not, told by the content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from adctl.adapters.files.delimited import DelimitedTable
from adctl.adapters.files.gunzipped import DamagedError, Rewindable
from adctl.adapters.files.json_records import JsonList, JsonRecords, first_key, is_list
from adctl.adapters.files.opened_files import Limits, Source, open_packed, open_rewindable
from adctl.domain.columns import RowSource
from adctl.domain.rejects import KeptRows

_LIMITS = Limits()
_HEAD = 4096
_CHUNK = 1 << 20
_PERFORMANCES = "ad_performances"


@contextmanager
def open_records(source: Source | KeptRows, *, limits: Limits = _LIMITS) -> Iterator[RowSource]:
    """The file's rows, its columns already known. Raises InputRejectedError, UsageError."""
    if isinstance(source, KeptRows):
        yield source
        return
    with open_rewindable(source, limits) as (name, stream):
        yield _table(name, stream, limits)


def _table(name: str, stream: Rewindable, limits: Limits) -> RowSource:
    if not _is_json(stream):
        return DelimitedTable(name, stream, limits)
    kind = JsonList if is_list(name, stream, limits) else JsonRecords
    return kind(name, stream, limits)


def holds_performances(source: Source, limits: Limits = _LIMITS) -> bool:
    """Whether the file is the bulk shape `{"ad_performances": {…}}`; the position stays. Raises UsageError."""
    with open_rewindable(source) as (name, stream):
        return _is_json(stream) and first_key(name, stream, limits) == _PERFORMANCES


def digest(source: Source) -> bytes:
    """SHA-256 of the file as it is, before it is unpacked; the position stays."""
    found = hashlib.sha256()
    with open_packed(source) as (_, stream):
        start = stream.tell()
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
        stream.seek(start)
    return found.digest()


def _is_json(stream: Rewindable) -> bool:
    start = stream.tell()
    try:
        head = stream.read(_HEAD)
    except DamagedError:
        return False
    finally:
        stream.seek(start)
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        head = head.removeprefix(mark)
    # In UTF-16 every other byte of such a beginning is 0.
    return head.replace(b"\0", b"").lstrip(b" \t\r\n")[:1] in (b"{", b"[")
