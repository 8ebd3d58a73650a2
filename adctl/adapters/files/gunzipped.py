"""The bytes inside a gzip file, as a stream that can be read again, never larger than what may be believed."""

from __future__ import annotations

import gzip
import zlib
from typing import Protocol, cast

PACK_FIX = "pack or transfer the file again"
_MAGIC = b"\x1f\x8b"
# Text packs 5 to 50 times; deflate itself ends at 1032. What is beyond this after so many bytes was made to be a bomb.
_LARGEST_RATIO = 300
_UNSUSPICIOUS = 32 << 20


class Rewindable(Protocol):
    """Bytes that can be read more than once."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...
    def tell(self) -> int: ...


class DamagedError(Exception):
    """The file cannot be unpacked to its end."""


def is_gzip(stream: Rewindable) -> bool:
    """Whether the bytes from here on are gzip, by themselves and not by a name; the position stays."""
    start = stream.tell()
    magic = stream.read(len(_MAGIC))
    stream.seek(start)
    return magic == _MAGIC


class Gunzipped:
    """Reads like the file that was packed. Raises DamagedError where the packed one is cut, damaged or a bomb."""

    def __init__(self, packed: Rewindable) -> None:
        self._packed = packed
        self._start = packed.tell()
        self._given = 0
        self._file = self._fresh()

    def read(self, size: int, /) -> bytes:
        try:
            data = self._file.read(size)
        except EOFError:
            raise DamagedError("the gzip file ends too early: it is not whole") from None
        except (gzip.BadGzipFile, zlib.error):
            raise DamagedError("the gzip file is damaged") from None
        self._given += len(data)
        if self._given > _UNSUSPICIOUS and self._given > _LARGEST_RATIO * (self._packed.tell() - self._start):
            raise DamagedError(f"the gzip file unpacks to more than {_LARGEST_RATIO} times its size")
        return data

    def seek(self, position: int, /) -> int:
        """Only back to a place near the start: everything before it is unpacked again."""
        self._packed.seek(self._start)
        self._file, self._given = self._fresh(), 0
        return len(self.read(position)) if position else 0

    def tell(self) -> int:
        return self._given

    def _fresh(self) -> gzip.GzipFile:
        return gzip.GzipFile(fileobj=cast("gzip._ReadableFileobj", self._packed), mode="rb")
