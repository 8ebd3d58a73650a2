"""The audit of every move: verify its chain of hashes, print its head, list its links."""

from __future__ import annotations

import re

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, audit, exposure
from adctl.adapters.store.audit import Verification
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.errors import UsageError

_BROKEN = 70


def verify(engine: Engine, profile: AccountProfile, *, head: str | None = None, dry_run: bool = False) -> Report:
    """Recomputes the chain and replays it against the changes; a chain that does not hold halts the account (70).

    `head` is a copy `SEQUENCE:HASH` that was kept elsewhere: it must still be a link. A dry run only looks.
    """
    kept = None if head is None else _parsed(head)
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        found = audit.verify(connection, profile.account)
        lost = kept is not None and kept[0] > 0 and not audit.holds_link(connection, profile.account, *kept)
        newest = audit.head(connection, profile.account)
    trouble = _trouble(found, head if lost else None)
    if trouble and not dry_run:
        with transaction(engine) as connection:
            exposure.set_halted(connection, profile.account, halted=True, reason=f"audit: {trouble}")
    links = counted(found.links, "link")
    return Report(
        command="audit verify",
        account=profile.account,
        dry_run=dry_run,
        summary=f"The audit {f'does not hold: {trouble}' if trouble else f'holds, {links}'}.",
        facts=(
            Fact(key="links", label="links", value=found.links, kind=Kind.COUNT),
            Fact(key="audit_head", label="audit head", value=newest),
            Fact(key="broken", label="broken at", value=found.broken, kind=Kind.COUNT),
        ),
        tables=(
            Table(
                key="strays",
                title="Changes that are not where the history left them",
                columns=(Column(key="change_id", label="change"),),
                rows=tuple({"change_id": str(one)} for one in found.strays),
            ),
        ),
        notes=("Sending is halted; adctl resume allows it again.",) if trouble and not dry_run else (),
        exit_code=_BROKEN if trouble else 0,
    )


def _trouble(found: Verification, lost: str | None) -> str:
    if found.broken is not None:
        return f"link {found.broken} {found.trouble}"
    if found.strays:
        return f"{counted(len(found.strays), 'change')} not where the history left them"
    return f"{lost} is no link of it" if lost else ""


def _parsed(head: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64}|)", head, re.ASCII)
    if match is None:
        raise UsageError(f"{head!r} is no audit head", fix="give SEQUENCE:HASH as `adctl audit head` prints it")
    return int(match[1]), match[2]


def newest(engine: Engine, profile: AccountProfile) -> Report:
    """The head, for a copy outside the database."""
    with transaction(engine, read_only=True) as connection:
        head = audit.head(connection, profile.account)
    return Report(
        command="audit head",
        account=profile.account,
        summary=head,
        facts=(Fact(key="audit_head", label="audit head", value=head),),
    )


def listed(engine: Engine, profile: AccountProfile, *, most: int) -> Report:
    """The newest links, oldest first."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        found = audit.links(connection, profile.account, most=most)
    kinds = {"at": Kind.TIME, "expected": Kind.MONEY, "target": Kind.MONEY}
    names = ("seq", "at", "change_id", "from_state", "to_state", "actor", "entity_id", "field", "expected", "target")
    labels = {"seq": "link", "from_state": "from", "to_state": "to", "actor": "by", "entity_id": "entity"}
    return Report(
        command="audit list",
        account=profile.account,
        currency=profile.currency,
        summary=f"{counted(len(found), 'link')}." if found else "Nothing has moved yet.",
        tables=(
            Table(
                key="links",
                title="Moves",
                columns=tuple(
                    Column(key=name, label=labels.get(name, name), kind=kinds.get(name, Kind.TEXT))
                    for name in (*names, "reason")
                ),
                rows=tuple(one.cells() for one in found),
            ),
        ),
    )
