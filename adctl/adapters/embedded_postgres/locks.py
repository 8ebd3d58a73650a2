"""File locks that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adctl.adapters.embedded_postgres.patience import attempts
from adctl.errors import UnavailableError


class FileLock:
    """One open description of a lock file: a second FileLock on the same path is another holder.

    The descriptor is not inherited, so a started server never keeps a lock of the process that started it.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the file without locking it."""
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._give_to_owner_of_directory()

    def wait_shared(self, seconds: float) -> None:
        self._wait(fcntl.LOCK_SH, seconds)

    def wait_exclusive(self, seconds: float) -> None:
        self._wait(fcntl.LOCK_EX, seconds)

    def try_exclusive(self) -> bool:
        """A shared hold is given up even when the answer is False."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self.descriptor)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, kind: int, seconds: float) -> None:
        if not any(self._try(kind) for _ in attempts(seconds)):
            raise UnavailableError(
                f"{self.path}: another process has held this lock for {seconds:.0f} s",
                fix="see `adctl db status`; the next run tries again",
            )

    def _give_to_owner_of_directory(self) -> None:
        """Root may run over an ordinary user's directory; that user must be able to open the locks later."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0 and os.fstat(self.descriptor).st_uid != owner.st_uid:
            os.fchown(self.descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def exclusive(path: Path, seconds: float) -> Iterator[FileLock]:
    """Holds `path` alone for the block; raises UnavailableError after `seconds` of waiting."""
    lock = FileLock(path)
    try:
        lock.wait_exclusive(seconds)
        yield lock
    finally:
        lock.close()


def pids_with_open(path: Path) -> tuple[int, ...]:
    """The processes that hold a lock file open, as far as this user may see; empty where there is no /proc."""
    return tuple(sorted(int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _has_open(entry / "fd", path)))


def _has_open(descriptors: Path, path: Path) -> bool:
    try:
        return any(_target(link) == str(path) for link in descriptors.iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
