"""Which user the server runs as: PostgreSQL refuses root, and an id without a name."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from adctl.adapters.embedded_postgres.binaries import ENVIRONMENT
from adctl.errors import ConfigurationError

_BECOME = Path(__file__).with_name("become.py")
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The owner of the server's files, and the words put before a command to run it as that owner."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()

    def can_enter(self, directory: Path) -> bool:
        return self._succeeds("/bin/sh", "-c", 'cd "$1"', "sh", str(directory))

    def can_run(self, program: Path) -> bool:
        return self._succeeds(str(program), "--version")

    def _succeeds(self, *command: str) -> bool:
        answer = subprocess.run(
            [*self.prefix, *command],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return answer.returncode == 0


def choose_identity(home: Path, data: Path) -> Identity:
    """For an ordinary user, itself; for root (or an id without a name) see `become.py`, the mildest way first.

    `home` must exist. Existing data keeps its owner: root never runs a server over an ordinary user's files as
    somebody else. Raises ConfigurationError when no way is open.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 and _name(uid) is not None:
        return Identity(uid=uid, gid=gid)
    owner = data.stat() if data.exists() else None
    ways = [] if owner is not None and owner.st_uid != uid else [_mapped(uid, gid)]
    if uid == 0:
        account = (owner.st_uid, owner.st_gid) if owner is not None and owner.st_uid != 0 else _account()
        ways += [_as("drop", *account), _as("override", *account)]
    for way in ways:
        # The home is root's until the choice is made, so the question is about the way to it.
        if way.can_enter(home.parent):
            return way
    raise ConfigurationError(
        f"PostgreSQL does not run as uid {uid}, and this system allows no other user to reach {home}",
        fix="run adctl as an ordinary user, or set ADCTL_DATABASE_URL",
    )


def _mapped(uid: int, gid: int) -> Identity:
    inner = _account()
    return Identity(uid=uid, gid=gid, prefix=_prefix("map", *inner))


def _as(way: str, uid: int, gid: int) -> Identity:
    return Identity(uid=uid, gid=gid, prefix=_prefix(way, uid, gid))


def _prefix(way: str, uid: int, gid: int) -> tuple[str, ...]:
    # -I and -S: no site, no environment; the interpreter of a virtual environment is readable here, still as root.
    return (sys.executable, "-I", "-S", str(_BECOME), way, str(uid), str(gid))


def _account() -> tuple[int, int]:
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    named = [entries[name] for name in _ACCOUNTS if name in entries] or list(entries.values())
    if not named:
        raise ConfigurationError("this system has no user but root", fix="add one, or set ADCTL_DATABASE_URL")
    return named[0].pw_uid, named[0].pw_gid


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
