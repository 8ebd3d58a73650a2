"""Secret values: a wrapper that never shows itself, and the strict reading of secret files."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from adctl.errors import ConfigurationError

_LONGEST = 8192
# A token travels in headers and query strings: blanks and control characters inside are a broken file.
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


class Secret:
    """A value that `repr`, `str` and f-strings show as `***`.

    A plain class on purpose: `dataclasses.asdict` would unpack a dataclass.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def token(text: str, where: str) -> Secret:
    """The token in `text`, without the final line break; ConfigurationError when it can be no token."""
    value = text.strip()
    if not _TOKEN.fullmatch(value):
        raise ConfigurationError(f"{where}: holds no token", fix="one line of ASCII without blanks")
    return Secret(value)


def from_private_file(path: Path, where: str) -> Secret:
    """The token in a file of this user that nobody else can read (mode 0600 or 0400)."""
    try:
        with path.open("rb") as file:
            # The opened file is judged, not the name: the name may lead elsewhere by the time it is read.
            _refuse_unless_private(os.fstat(file.fileno()), path, where)
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise _unreadable(path, where, error) from error
    return token(_decoded(content), f"{where}: {path}")


def from_credential(path: Path) -> Secret | None:
    """The token of a systemd credential, None when there is no such credential; systemd guards its own modes."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, "CREDENTIALS_DIRECTORY", error) from error
    return token(_decoded(content), f"CREDENTIALS_DIRECTORY: {path}")


def is_private(status: os.stat_result) -> bool:
    """True when the file belongs to this user and has mode 0600 or 0400."""
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) in (0o600, 0o400)


def _refuse_unless_private(status: os.stat_result, path: Path, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{where}: {path} is no regular file", fix="name a file that holds the token")
    if status.st_uid != os.geteuid():
        owner = f"{where}: {path} belongs to user id {status.st_uid}, not to {os.geteuid()} who runs adctl"
        raise ConfigurationError(owner, fix=f"chown {os.geteuid()} {path}")
    if not is_private(status):
        mode = f"{where}: {path} has mode {stat.S_IMODE(status.st_mode):04o}"
        raise ConfigurationError(mode, fix=f"chmod 0600 {path}")


def _unreadable(path: Path, where: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{where}: {path}: {error.strerror}", fix="create the file or correct its name")


def _decoded(content: bytes) -> str:
    # Undecodable bytes become characters that no token has, so that `token` refuses them.
    return content.decode("ascii", "replace") if len(content) <= _LONGEST else ""
