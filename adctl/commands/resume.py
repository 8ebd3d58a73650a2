"""Allow the sending again after a halt."""

from __future__ import annotations

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, exposure
from adctl.domain.accounts import AccountProfile
from adctl.domain.report import Report


def run(engine: Engine, profile: AccountProfile | None) -> Report:
    """Ends the halt of the account, or the one of every account; the other kind stays as it is, and is named."""
    with transaction(engine) as connection:
        if profile is not None:
            accounts.check_pinned(connection, profile)
        account = profile.account if profile else exposure.EVERY_ACCOUNT
        changed = exposure.set_halted(connection, account, halted=False, reason="")
        still = exposure.halt(connection, account)
    whom = f"account {profile.account}" if profile else "every account that is not halted by itself"
    return Report(
        command="resume",
        account=profile.account if profile else None,
        summary=f"Sending is allowed for {whom}." if changed else "No changes.",
        notes=(f"Every account is still halted: {still}. adctl resume --all ends that.",) if still else (),
    )
