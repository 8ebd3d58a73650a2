"""Where settings come from: the file that is found, the environment, the flags; each value with its origin."""

from __future__ import annotations

import os
import pwd
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from adctl.errors import ConfigurationError
from adctl.settings.keys import Key, SecretKey, literal
from adctl.settings.schema import entries, leaves
from adctl.settings.secret import is_private
from adctl.settings.values import AccountSettings, Settings

_FILE = "adctl.toml"
_LARGEST = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_PREFIX = "ADCTL_"
# The suite's own switches share the prefix.
_NOT_OURS = ("ADCTL_TEST_", "ADCTL_SHARED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A raw value somebody gave; `place` opens messages about it, relative paths start at `folder`."""

    raw: object
    origin: str
    place: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A settings file as parsed; `private` tells whether only this user can read it."""

    path: Path
    table: Mapping[str, object]
    private: bool


def home(environ: Mapping[str, str]) -> Path:
    """The user's home; cron and systemd do not always say it."""
    return Path(environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir)


def xdg(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    """A base directory of the XDG specification, which tells us to ignore relative ones."""
    said = Path(environ.get(variable, ""))
    return said if said.is_absolute() else home(environ) / fallback


def find(explicit: str, environ: Mapping[str, str], folder: Path, system: Path) -> ConfigFile | None:
    """The settings file: the explicit one, else the first of ./, $XDG_CONFIG_HOME/adctl/, /etc/adctl/."""
    if explicit:
        return _parsed(Path(explicit))
    places = (folder, xdg(environ, "XDG_CONFIG_HOME", ".config") / "adctl", system)
    return next((_parsed(place / _FILE) for place in places if _present(place / _FILE)), None)


def _present(path: Path) -> bool:
    """False only when there is surely no such file: one that cannot be looked at must not be passed over."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _parsed(path: Path) -> ConfigFile:
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(_LARGEST + 1)
    except OSError as error:
        fix = "name a readable file with --config or ADCTL_CONFIG; `adctl init` writes one"
        raise ConfigurationError(f"{path}: {error.strerror}", fix=fix) from error
    if len(content) > _LARGEST:
        raise ConfigurationError(f"{path}: larger than {_LARGEST} bytes", fix="this is no settings file")
    return ConfigFile(path=path, table=_toml(path, content), private=is_private(status))


def _toml(path: Path, content: bytes) -> dict[str, object]:
    try:
        # Decimal keeps what is written; a byte order mark is what some editors leave.
        return tomllib.loads(content.decode("utf-8-sig"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is no UTF-8", fix="save it as UTF-8") from error
    except (ValueError, ArithmeticError) as error:
        raise ConfigurationError(f"{path}: {error}", fix="correct the TOML there") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: nested too deeply", fix="this is no settings file") from error


def from_file(file: ConfigFile) -> Iterator[tuple[str, Given]]:
    """The values of a settings file by dotted key; an unknown key is refused by its full name."""
    top = {name: raw for name, raw in file.table.items() if name != "accounts"}
    yield from _walk(Settings, top, "", file)
    accounts = file.table.get("accounts", {})
    if not isinstance(accounts, dict):
        raise ConfigurationError(f"{file.path}: accounts: is no table", fix="write [accounts.NAME]")
    for name, table in accounts.items():
        yield from _account(name, table, file)


def _account(name: str, table: object, file: ConfigFile) -> Iterator[tuple[str, Given]]:
    place = f"{file.path}: accounts.{name}"
    if not _NAME.fullmatch(name):
        fix = "use lower-case letters, digits, - and _, 63 at most, a letter or digit first"
        raise ConfigurationError(f"{place}: no name for an account", fix=fix)
    if not isinstance(table, dict):
        raise ConfigurationError(f"{place}: is no table", fix=f"write [accounts.{name}]")
    yield f"accounts.{name}", Given(raw=name, origin=str(file.path), place=place, folder=file.path.parent)
    yield from _walk(AccountSettings, table, f"accounts.{name}.", file)


def account_names(given: Mapping[str, Given]) -> list[str]:
    """The accounts that a file names, in its order."""
    dotted = (key.partition("accounts.") for key in given)
    return [name for head, found, name in dotted if found and not head and "." not in name]


def _walk(cls: type, table: Mapping[str, object], prefix: str, file: ConfigFile) -> Iterator[tuple[str, Given]]:
    known = {entry.name: entry for entry in entries(cls)}
    for name, raw in table.items():
        place = f"{file.path}: {prefix}{name}"
        if name not in known:
            names = [*known, "accounts"] if cls is Settings else list(known)
            raise unknown(f"{place}: unknown key", name, names)
        entry = known[name]
        if isinstance(entry.mark, SecretKey):
            raise _literal_secret(place, name)
        if isinstance(entry.mark, Key):
            yield prefix + name, Given(raw=raw, origin=str(file.path), place=place, folder=file.path.parent)
        elif isinstance(raw, dict):
            yield from _walk(entry.holds, raw, f"{prefix}{name}.", file)
        else:
            raise ConfigurationError(f"{place}: is no table", fix=f"write [{prefix}{name}]")


def _literal_secret(place: str, name: str) -> ConfigurationError:
    fix = f"put it into a file of mode 0600 named by {name}_file, or set {_PREFIX}{name.upper()}"
    return ConfigurationError(f"{place}: a secret does not belong into the settings file", fix=fix)


def unknown(what: str, name: str, known: list[str]) -> ConfigurationError:
    """The refusal of a name nobody knows, with the nearest one that is known."""
    nearest = get_close_matches(name, known, n=1)
    fix = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(sorted(known))}"
    return ConfigurationError(what, fix=fix)


def variable(dotted: str, key: Key | SecretKey) -> str:
    """The environment variable of a key outside the accounts."""
    named = key.env if isinstance(key, Key) else ""
    return named or _PREFIX + dotted.replace(".", "_").upper()


def account_variable(name: str, account: str) -> str:
    """The environment variable of one account's own token."""
    return f"{_PREFIX}{name}__{account.replace('-', '_')}".upper()


def secret_names() -> tuple[str, ...]:
    """The names of the secrets, such as meta_token."""
    return tuple(entry.name for entry in entries(AccountSettings) if isinstance(entry.mark, SecretKey))


def from_environment(environ: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Given]]:
    """The values of ADCTL_* variables by dotted key, secrets left out; an empty variable counts as unset."""
    for dotted, key in leaves(Settings):
        name = variable(dotted, key)
        if isinstance(key, Key) and environ.get(name):
            yield dotted, _textual(environ[name], key, name, folder)


def from_flags(flags: Mapping[str, object], folder: Path) -> Iterator[tuple[str, Given]]:
    """The values of flags by dotted key, None left out; raises KeyError for a name that is no setting."""
    known = dict(leaves(Settings))
    for dotted, raw in flags.items():
        key = known[dotted]
        if raw is not None and isinstance(key, Key):
            yield dotted, _textual(raw, key, f"--{re.sub('[._]', '-', dotted)}", folder)


def _textual(raw: object, key: Key, origin: str, folder: Path) -> Given:
    value = literal(raw) if isinstance(raw, str) and not key.textual else raw
    return Given(raw=str(value) if isinstance(value, Path) else value, origin=origin, place=origin, folder=folder)


def refuse_unknown_variables(environ: Mapping[str, str], accounts: list[str]) -> None:
    """Raise ConfigurationError for an ADCTL_* variable that adctl does not know."""
    known = [variable(dotted, key) for dotted, key in leaves(Settings)]
    known += [account_variable(name, account) for name in secret_names() for account in accounts]
    known.append("ADCTL_CONFIG")
    for name in environ:
        if name.startswith(_PREFIX) and not name.startswith(_NOT_OURS) and name not in known:
            raise unknown(f"{name}: unknown environment variable", name, known)


def refuse_twins(accounts: list[str]) -> None:
    """Raise ConfigurationError when two accounts would read the same variables: one would get the other's token."""
    seen: dict[str, str] = {}
    for account in accounts:
        twin = seen.setdefault(account.replace("-", "_"), account)
        if twin != account:
            what = f"accounts.{account} and accounts.{twin}: share the names of their environment variables"
            raise ConfigurationError(what, fix="rename one of them")
