"""A file, pipe or standard input, opened so that it can be read twice, ends in time and does not change meanwhile."""

from __future__ import annotations

import os
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import UnsupportedOperation
from pathlib import Path
from typing import BinaryIO, cast

from adctl.adapters.files.gunzipped import Gunzipped, Rewindable, is_gzip
from adctl.errors import InputRejectedError, UsageError

Source = Path | BinaryIO

TOO_LARGE_FIX = "export less at once, or raise the bound in [input] of adctl.toml"
_CHUNK = 1 << 16
_IN_MEMORY = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file may hold and how long one walk over it may take; beyond it the file is refused, before it fills the
    memory. `depth` counts the objects and lists of JSON around a value.
    """

    file_bytes: int = 1 << 30
    record_chars: int = 1 << 20
    field_chars: int = 1 << 16
    columns: int = 1_000
    rows: int = 2_000_000
    depth: int = 32
    seconds: int = 1_800


_LIMITS = Limits()


class _Copy(tempfile.SpooledTemporaryFile[bytes]):
    """What came out of a pipe, which is called in messages as the pipe is."""

    copy_of: str


@contextmanager
def open_rewindable(source: Source, limits: Limits = _LIMITS) -> Iterator[tuple[str, Rewindable]]:
    """The file's name for messages and its bytes, unpacked if they are gzip, which can be read again from the start.

    A pipe is copied to a temporary file. Raises UsageError when there is no such file to read, and InputRejectedError
    for a pipe over the limits and for a file that changed until the block ended.
    """
    with open_packed(source, limits) as (name, stream):
        yield name, Gunzipped(stream) if is_gzip(stream) else stream


@contextmanager
def open_packed(source: Source, limits: Limits = _LIMITS) -> Iterator[tuple[str, Rewindable]]:
    """As `open_rewindable`, with the bytes as they are. A stream is left at the position that it was given at."""
    if not isinstance(source, Path):
        name = source.copy_of if isinstance(source, _Copy) else "standard input"
        with _rewindable(source, name, limits) as stream:
            start = stream.tell()
            yield name, stream
            stream.seek(start)
        return
    try:
        # A pipe that nobody writes to would be waited for without end.
        waiting = os.O_NONBLOCK if source.is_fifo() else 0
        opened = os.fdopen(os.open(source, os.O_RDONLY | waiting), "rb")
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}", fix="name a file that you may read") from error
    with opened, _rewindable(opened, str(source), limits) as stream:
        yield str(source), stream


@contextmanager
def rereadable(source: Source, limits: Limits = _LIMITS) -> Iterator[Source]:
    """The source itself when it can be opened more than once, else a copy of what comes out of the pipe."""
    if isinstance(source, Path) and not source.is_fifo():
        yield source
        return
    with open_packed(source, limits) as (_, stream):
        yield cast("BinaryIO", stream)


@contextmanager
def _rewindable(stream: BinaryIO, name: str, limits: Limits) -> Iterator[Rewindable]:
    if stream.seekable():
        before = _state(stream)
        yield stream
        if _state(stream) != before:
            raise InputRejectedError("the file changed while it was read", source=name, fix="load it once it is whole")
        return
    with _Copy(max_size=_IN_MEMORY) as spool:
        spool.copy_of = name
        copied = 0
        for chunk in _arriving(stream, name, limits):
            copied += len(chunk)
            if copied > limits.file_bytes:
                raise InputRejectedError(f"more than {limits.file_bytes:,} bytes", source=name, fix=TOO_LARGE_FIX)
            spool.write(chunk)
        spool.seek(0)
        yield cast("BinaryIO", spool)


def _state(stream: BinaryIO) -> tuple[int, int] | None:
    """Size and time of the last change; None for what is no file on a disk."""
    try:
        found = os.fstat(stream.fileno())
    except UnsupportedOperation:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _arriving(stream: BinaryIO, name: str, limits: Limits) -> Iterator[bytes]:
    """What comes out of a pipe, as long as it comes in time."""
    until = time.monotonic() + limits.seconds
    waiting = select.poll()
    waiting.register(stream.fileno(), select.POLLIN)
    while True:
        if not waiting.poll(max(until - time.monotonic(), 0) * 1000):
            what = f"it did not end within {limits.seconds} seconds"
            raise InputRejectedError(what, source=name, fix="see what writes to it")
        chunk = os.read(stream.fileno(), _CHUNK)
        if not chunk:
            return
        yield chunk
