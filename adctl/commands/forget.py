"""Erase what belongs to an e-mail address, found by its keyed hash, and remember the hash so that it stays away."""

from __future__ import annotations

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, retention
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.privacy import PrivacyKeys, email_hash
from adctl.domain.report import Fact, Kind, Report
from adctl.errors import UsageError

_LABELS = {
    "matching_keys": "matching keys",
    "click_tracking": "clicks",
    "clicks_of_deals": "clicks of deals",
    "clicks_of_contacts": "clicks of contacts",
    "conversions": "conversions",
    "deals": "deals parted from their click",
    "contacts": "contacts parted from their click",
    "rejected_rows": "rejected rows",
    "email_keys": "e-mail keys",
}


def run(engine: Engine, profile: AccountProfile, email: str, privacy: PrivacyKeys) -> Report:
    """Deals keep their figures and the ad that they were attributed to. The same again changes nothing.

    Raises UsageError when `email` is no address; the message does not repeat it.
    """
    hashes = [(key.key_id, hashed) for key in privacy.all() if (hashed := email_hash(key, email)) is not None]
    if not hashes:
        raise UsageError("what was given is no e-mail address", fix="one address on one line, such as name@example.com")
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        counts = retention.forget(connection, profile.account, hashes, accounts.now(connection))
    total = sum(counts.values())
    return Report(
        command="forget",
        account=profile.account,
        summary=f"{counted(total, 'row')} erased or parted from the person." if total else "No changes.",
        facts=tuple(Fact(key=k, label=_LABELS[k], value=count, kind=Kind.COUNT) for k, count in counts.items()),
    )
