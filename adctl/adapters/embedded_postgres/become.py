"""Run a command as the server's user: `become.py map|drop|override UID GID COMMAND...`, meant to be run as a script.

A script of its own, because a program with threads must not run Python between fork and exec. It imports nothing of
adctl: the interpreter that runs it is started isolated, in a few milliseconds.

- map: a user namespace in which the caller's id is called UID. No user is made, no file changes hands.
- drop: plain UID and GID without any privilege.
- override: UID and GID, and the one capability to pass directories that are closed to that user.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CANNOT_BECOME = 125
_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def map_to(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def drop_to(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def override_as(uid: int, gid: int) -> None:
    _call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    drop_to(uid, gid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable for capabilities 0-31, then for 32-63
    _call("capset", header, (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0))
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> int:
    way, uid, gid, *command = arguments
    try:
        {"map": map_to, "drop": drop_to, "override": override_as}[way](int(uid), int(gid))
        os.execv(command[0], command)
    except (OSError, AttributeError) as error:  # AttributeError: a system without this call
        sys.stderr.write(f"cannot become uid {uid} ({way}): {error}\n")
    return CANNOT_BECOME


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
