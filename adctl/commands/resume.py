"""Allow the sending again after a halt."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, exposure
from adctl.domain.accounts import AccountProfile
from adctl.domain.report import Fact, Kind, Report


def run(engine: Engine, profile: AccountProfile | None, *, armed_for: timedelta | None = None) -> Report:
    """Ends the halt of the account, or the one of every account; the other kind stays as it is, and is named.

    With `armed_for` the account may be sent for that long from now, then it must be resumed anew.
    """
    with transaction(engine) as connection:
        if profile is not None:
            accounts.check_pinned(connection, profile)
        account = profile.account if profile else exposure.EVERY_ACCOUNT
        span = armed_for if profile else None
        changed = exposure.set_halted(connection, account, halted=False, reason="", armed_for=span)
        still = exposure.halt(connection, account) if profile else None
        until = exposure.armed_until(connection, account)
    whom = f"account {profile.account}" if profile else "every account that is not halted by itself"
    return Report(
        command="resume",
        account=profile.account if profile else None,
        summary=f"Sending is allowed for {whom}." if changed else "No changes.",
        facts=(Fact(key="armed_until", label="armed until", value=until, kind=Kind.TIME),) if until else (),
        notes=(f"Every account is still {still}. adctl resume --all ends that.",) if still else (),
    )
