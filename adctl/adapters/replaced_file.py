"""Write a file in one step: a reader finds the old bytes or the new ones, never a part of either."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

_PRIVATE = 0o600


def replace_file(path: Path, parts: Sequence[bytes | memoryview], *, mode: int = _PRIVATE) -> None:
    """Replaces `path` by the parts in a row, durably; who has the old file mapped keeps it. Raises OSError, also for
    what is there and no plain file: a device such as /dev/null must not become one.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is there and no plain file", str(path))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    # Also on Ctrl-C: no half-written file is left behind. Raised again.
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_directory(path.parent)


def remove_leftovers(path: Path) -> None:
    """What killed writers of `path` left behind; only for a caller that keeps living ones out."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
