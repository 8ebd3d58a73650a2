"""Put the layers together: defaults < adctl.toml < ADCTL_* < flags, into one checked Settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from adctl.errors import ConfigurationError
from adctl.settings import sources
from adctl.settings.keys import Context, Key, Section, UnfitError
from adctl.settings.kinds import is_encrypted_or_local, password_of
from adctl.settings.schema import entries
from adctl.settings.secret import Secret, from_credential, from_private_file, token
from adctl.settings.sources import ConfigFile, Given
from adctl.settings.values import AccountSettings, Settings

_Class = TypeVar("_Class")
_SYSTEM = Path("/etc/adctl")
_ACCOUNT_KEYS = {entry.name: entry.mark for entry in entries(AccountSettings) if isinstance(entry.mark, Key)}


def load(
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    folder: Path = Path(),
    system: Path = _SYSTEM,
) -> Settings:
    """The settings in force.

    `flags` maps dotted keys (`database_url`, `log.format`) to what the command line gave; None means not given, and
    `config` is the path of the file. `folder` is the working directory, `system` the last place searched.
    Raises ConfigurationError naming the place and the fix.
    """
    asked = dict(flags or {})
    file = sources.find(_config(asked.pop("config", None), environ), environ, folder, system)
    given = {"data_dir": _data_dir(environ)}
    given.update(sources.from_file(file) if file else ())
    given.update(sources.from_environment(environ, folder))
    given.update(_database_credential(environ))
    given.update(sources.from_flags(asked, folder))
    settings = _Loader(given, environ).settings(file)
    _check(settings, given, file)
    return settings


def _config(flag: object, environ: Mapping[str, str]) -> str:
    return str(flag or environ.get("ADCTL_CONFIG") or "")


def _data_dir(environ: Mapping[str, str]) -> Given:
    raw = str(sources.xdg(environ, "XDG_DATA_HOME", ".local/share") / "adctl")
    return Given(raw=raw, origin="default", place="data_dir", folder=Path())


def _database_credential(environ: Mapping[str, str]) -> dict[str, Given]:
    found = _credential("database_url", environ)
    if not found:
        return {}
    return {"database_url": Given(raw=found.reveal(), origin="credentials", place="credentials", folder=Path())}


def _credential(name: str, environ: Mapping[str, str]) -> Secret | None:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    return from_credential(Path(directory) / name) if directory else None


class _Loader:
    """Builds the values out of what was given, and notes where each came from."""

    def __init__(self, given: Mapping[str, Given], environ: Mapping[str, str]) -> None:
        self._given = given
        self._environ = environ
        self._home = sources.home(environ)
        self._origins = {dotted: one.origin for dotted, one in given.items()}

    def settings(self, file: ConfigFile | None) -> Settings:
        names = sources.account_names(self._given)
        sources.refuse_twins(names)
        sources.refuse_unknown_variables(self._environ, names)
        accounts = {name: self._account(name) for name in names}
        return self._build(
            Settings,
            "",
            "",
            accounts=MappingProxyType(accounts),
            config_file=file.path if file else None,
            origins=MappingProxyType(self._origins),
            **self._secrets(""),
        )

    def _account(self, name: str) -> AccountSettings:
        prefix = f"accounts.{name}."
        # The currency comes first: every amount of the account is read in it.
        currency = str(self._read(_ACCOUNT_KEYS["currency"], f"{prefix}currency", ""))
        return self._build(AccountSettings, prefix, currency, name=name, **self._secrets(name))

    def _build(self, cls: type[_Class], prefix: str, currency: str, **ready: Any) -> _Class:
        values = dict(ready)
        for entry in entries(cls):
            dotted = prefix + entry.name
            if isinstance(entry.mark, Section):
                values[entry.name] = self._build(entry.holds, f"{dotted}.", currency)
            elif isinstance(entry.mark, Key) and (entry.required or dotted in self._given):
                values[entry.name] = self._read(entry.mark, dotted, currency)
        return cls(**values)

    def _read(self, key: Key, dotted: str, currency: str) -> object:
        given = self._given.get(dotted) or self._preset(key, dotted)
        context = Context(folder=given.folder, home=self._home, currency=currency)
        try:
            return key.read(given.raw, context)
        except UnfitError as unfit:
            place = f"{given.place}.{unfit.at}" if unfit.at else given.place
            raise ConfigurationError(f"{place}: {unfit.reason}", fix=unfit.fix) from unfit

    def _preset(self, key: Key, dotted: str) -> Given:
        if not key.preset:
            account, _, name = dotted.rpartition(".")
            fix = f"{key.says.rstrip('.')}: {name} = {key.example}, for example"
            raise ConfigurationError(f"{self._given[account].place}.{name}: not set", fix=fix)
        return Given(raw=key.preset, origin="default", place=dotted, folder=Path())

    def _secrets(self, account: str) -> dict[str, Secret]:
        found: dict[str, Secret] = {}
        for name in sources.secret_names():
            secret, origin = self._secret(name, account)
            if secret:
                found[name] = secret
                self._origins[f"accounts.{account}.{name}" if account else name] = origin
        return found

    def _secret(self, name: str, account: str) -> tuple[Secret | None, str]:
        """The account's own secret, else the whole file's: credential, then file, then environment."""
        suffix, prefix = (f"__{account}", f"accounts.{account}.") if account else ("", "")
        variable = sources.account_variable(name, account) if account else f"ADCTL_{name}".upper()
        if credential := _credential(name + suffix, self._environ):
            return credential, "credentials"
        if given := self._given.get(f"{prefix}{name}_file"):
            path = Path(str(self._read(_ACCOUNT_KEYS[f"{name}_file"], f"{prefix}{name}_file", "")))
            return from_private_file(path, given.place), str(path)
        if value := self._environ.get(variable):
            return token(value, variable), variable
        return self._secret(name, "") if account else (None, "")


def _check(settings: Settings, given: Mapping[str, Given], file: ConfigFile | None) -> None:
    """What no single key can know; raises ConfigurationError."""
    _check_urls(settings, given)
    _check_password(settings, given, file)
    for account in settings.accounts.values():
        _check_limits(settings, account)


def _check_urls(settings: Settings, given: Mapping[str, Given]) -> None:
    for dotted, url in (("meta_base_url", settings.meta_base_url), ("hubspot_base_url", settings.hubspot_base_url)):
        if not is_encrypted_or_local(url) and not settings.allow_unencrypted_vendors:
            fix = "use https, or set allow_unencrypted_vendors = true if this network is yours"
            raise ConfigurationError(f"{given[dotted].place}: http would send the token in the clear", fix=fix)


def _check_password(settings: Settings, given: Mapping[str, Given], file: ConfigFile | None) -> None:
    if not settings.database_url or not password_of(settings.database_url.reveal()):
        return
    origin = given["database_url"].origin
    if origin.startswith("--"):
        what = f"{origin}: a password on the command line is visible to every user of this host"
        raise ConfigurationError(what, fix="set ADCTL_DATABASE_URL, or use ~/.pgpass")
    if file and origin == str(file.path) and not file.private:
        what = f"{given['database_url'].place}: holds a password in a file that others may read"
        raise ConfigurationError(what, fix=f"chmod 0600 {file.path}, or set ADCTL_DATABASE_URL")


def _check_limits(settings: Settings, account: AccountSettings) -> None:
    limits, place = account.limits, f"{settings.config_file}: accounts.{account.name}.limits"
    if limits.floor is not None and limits.ceiling is not None and limits.floor > limits.ceiling:
        raise ConfigurationError(f"{place}.floor: is above the ceiling", fix="lower floor or raise ceiling")
    if limits.settle_seconds <= settings.http.write_deadline_seconds:
        what = f"{place}.settle_seconds: a write may still be on its way after {limits.settle_seconds} s"
        raise ConfigurationError(what, fix=f"more than {settings.http.write_deadline_seconds} (http.write_deadline)")
    if account.winners.demote_probability > account.winners.min_probability:
        what = f"{settings.config_file}: accounts.{account.name}.winners.demote_probability: is above min_probability"
        raise ConfigurationError(what, fix="a winner would be demoted at once; lower it")
