"""Settings for people: the effective values with their origins, and the commented example file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from adctl.settings.keys import Key, SecretKey, Section
from adctl.settings.schema import Entry, entries
from adctl.settings.values import AccountSettings, Settings

Row = tuple[str, str, str]

_HEAD = """\
# Settings of adctl. Lines that start with "#" and a letter are settings, commented out with their default or an
# example; lines that start with "# " explain. Environment variables (ADCTL_DATABASE_URL, ...) and flags come before
# this file. Secrets never stand here: systemd credentials, files of mode 0600, or ADCTL_META_TOKEN and
# ADCTL_HUBSPOT_TOKEN (one account's own: ADCTL_META_TOKEN__MAIN).
"""


def effective(settings: Settings) -> tuple[Row, ...]:
    """Every key as (dotted key, shown value, origin); secrets are masked.

    The origin is "default", "credentials", a variable, a flag, or the path of the file.
    """
    rows = list(_rows(settings, settings, "", ""))
    for name, account in settings.accounts.items():
        rows += _rows(settings, account, f"accounts.{name}.", account.currency)
    return tuple(rows)


def _rows(settings: Settings, holder: object, prefix: str, currency: str) -> Iterator[Row]:
    for entry in entries(type(holder)):
        dotted, value = prefix + entry.name, getattr(holder, entry.name)
        origin = settings.origins.get(dotted, "default")
        match entry.mark:
            case Section():
                yield from _rows(settings, value, f"{dotted}.", currency)
            case SecretKey():
                yield dotted, "***" if value else "not set", origin
            case Key():
                yield from ((place, shown, origin) for place, shown in _shown(entry.mark, dotted, value, currency))


def _shown(key: Key, dotted: str, value: object, currency: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield dotted, key.show(value, currency)
    elif not value:
        yield dotted, "none"
    else:
        for name, inner in value.items():
            yield from _shown(key, f"{dotted}.{name}", inner, currency)


def commented_example() -> str:
    """The text of a settings file with every key: commented out, with its default or an example, and explained."""
    top = "".join(_lines(Settings, ""))
    account = "".join(_lines(AccountSettings, "accounts.main"))
    return f"{_HEAD}{top}\n# An account: a Meta ad account and its HubSpot portal. Name it as you like.\n{account}"


def _lines(cls: type, table: str) -> Iterator[str]:
    if table:
        yield f"\n#[{table}]\n"
    for entry in entries(cls):
        match entry.mark:
            case Section():
                yield from _lines(entry.holds, f"{table}.{entry.name}".lstrip("."))
            case Key(under=under) if under:
                yield from _table(entry.mark, f"{_parent(table)}.{under}")
            case Key():
                yield f"{'' if table else chr(10)}# {entry.mark.says}\n#{entry.name} = {_example(entry, entry.mark)}\n"
            case SecretKey():
                pass


def _parent(table: str) -> str:
    # `under` is written from the account on, also for keys of its sections.
    return ".".join(table.split(".")[:2])


def _table(key: Key, table: str) -> Iterator[str]:
    yield f"\n# {key.says}\n#[{table}]\n"
    yield from (f"#{line}\n" for line in key.example.splitlines())


def _example(entry: Entry, key: Key) -> str:
    return key.example or key.preset or _toml(entry.default)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(part) for part in value)}]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
