"""A spool of webhooks as lines of bytes that can be gone through twice, plain or gzip, from a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adctl.adapters.files.gunzipped import PACK_FIX, DamagedError, Rewindable
from adctl.adapters.files.opened_files import Source, open_rewindable
from adctl.errors import InputRejectedError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLines:
    """Each iteration starts anew. A line comes with its line feed, cut once it is longer than `longest` bytes.

    Iterating raises InputRejectedError for a damaged gzip file.
    """

    name: str
    longest: int
    _stream: Rewindable
    _start: int

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._stream.seek(self._start)
            rest = b""
            while chunk := self._stream.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line + b"\n" for line in whole)
                if len(rest) > self.longest:
                    yield rest
                    rest = b""
            if rest:
                yield rest
        except DamagedError as error:
            raise InputRejectedError(str(error), source=self.name, fix=PACK_FIX) from None


@contextmanager
def open_spool(source: Source, *, longest: int) -> Iterator[SpoolLines]:
    """Raises UsageError when there is no such file to read."""
    with open_rewindable(source) as (name, stream):
        yield SpoolLines(name=name, longest=longest, _stream=stream, _start=stream.tell())
