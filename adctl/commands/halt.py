"""Stop every sending, at once and on every host."""

from __future__ import annotations

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, exposure
from adctl.domain.accounts import AccountProfile
from adctl.domain.report import Fact, Report


def run(engine: Engine, profile: AccountProfile | None, *, reason: str) -> Report:
    """Halts the account, or every account of the database without one. Reading, deciding and queueing go on.

    When it returns no attempt begins; one that is on the wire is read back as ever. The same again changes nothing.
    """
    with transaction(engine) as connection:
        if profile is not None:
            accounts.check_pinned(connection, profile)
        account = profile.account if profile else exposure.EVERY_ACCOUNT
        changed = exposure.set_halted(connection, account, halted=True, reason=reason)
    whom = f"account {profile.account}" if profile else "every account"
    return Report(
        command="halt",
        account=profile.account if profile else None,
        summary=f"Sending is halted for {whom}." if changed else "No changes.",
        facts=(Fact(key="reason", label="reason", value=reason),),
        notes=("adctl resume allows it again.",),
    )
