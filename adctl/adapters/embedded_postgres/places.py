"""Every path of one embedded server, worked out from its data directory."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from adctl.errors import ConfigurationError

# Names the socket file only: nothing listens on TCP.
PORT = 5432
_LONGEST_SOCKET_PATH = 100
# pg_ctl passes the directory through a shell and postmaster.pid holds it on one line.
_UNUSABLE = re.compile(r'["$`\\\n\r]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Every path of one embedded server; `home` is adctl's own directory, mode 0700, owned by the server's user."""

    home: Path
    socket_directory: Path

    @classmethod
    def below(cls, data_dir: Path) -> Places:
        """Raises ConfigurationError for a path that PostgreSQL's own tools cannot carry."""
        home = data_dir.resolve() / "postgres"
        if _UNUSABLE.search(str(home)):
            raise ConfigurationError(
                f"{str(home)!r}: a data directory may not contain quotes, $, backslash or line breaks",
                fix="set another data directory",
            )
        near = home / "run"
        # libpq takes a comma for the start of another host.
        if len(os.fsencode(near / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET_PATH and "," not in str(near):
            return cls(home=home, socket_directory=near)
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        return cls(home=home, socket_directory=Path("/tmp") / f"adctl-{digest}")

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def socket_file(self) -> Path:
        return self.socket_directory / f".s.PGSQL.{PORT}"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def start_lock(self) -> Path:
        return self.home / "start.lock"

    @property
    def users_lock(self) -> Path:
        return self.home / "users.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.home / "keeper.lock"

    @property
    def keep_running(self) -> Path:
        return self.home / "keep-running"

    def make_home(self) -> None:
        """Raises ConfigurationError where this user may not."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self.home}: cannot be made ({error.strerror})", fix="set another data directory"
            ) from error
        self.refuse_foreign()

    def refuse_foreign(self) -> None:
        """Raises ConfigurationError for a home this user cannot use; one that does not exist is fine."""
        try:
            self.home.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(f"{self.home}: {error.strerror}", fix="set another data directory") from error
        if not os.access(self.home, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"{self.home} belongs to another user",
                fix="run adctl as its owner, or set another data directory",
            )
