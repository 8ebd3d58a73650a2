"""Learn which words go together from the account's own texts, for the embedder that reads them by it."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, embeddings, fitted_words
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.creatives import creative_text
from adctl.domain.embedding.own_words import fit_digest, fit_own_words
from adctl.domain.report import Fact, Kind, Report
from adctl.errors import UsageError


def run(engine: Engine, profile: AccountProfile, *, dry_run: bool = False) -> Report:
    """Stores a new fit unless the texts are those of the last one. Earlier fits, and their vectors, are kept.

    Raises UsageError when there are too few texts to learn from.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        shown = embeddings.contents(connection, profile.account)
        before = fitted_words.fitted_on(connection, profile.account)
    texts = sorted({said for content in shown.values() if (said := creative_text(content.creative))})
    made_of = hashlib.blake2b("\x00".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if made_of == before:
        return _report(profile, len(texts), "The words were fitted on these very texts already. No changes.", dry_run)
    try:
        fitted = fit_own_words(texts)
    except ValueError as error:
        raise UsageError(f"the account's own words cannot be learned: {error}", fix="keep embedder = hashed") from error
    if not dry_run:
        with transaction(engine) as connection:
            accounts.ensure(connection, profile)
            fitted_words.add(connection, profile.account, fitted, made_of, now)
    told = f"{counted(len(fitted.vocabulary), 'word')} fitted on {counted(len(texts), 'text')}"
    told += "; nothing written." if dry_run else f": fit {fit_digest(fitted)}; adctl index-winners embeds by it."
    return _report(profile, len(texts), told, dry_run)


def _report(profile: AccountProfile, texts: int, summary: str, dry_run: bool) -> Report:
    return Report(
        command="winners fit",
        account=profile.account,
        dry_run=dry_run,
        summary=summary,
        facts=(Fact(key="texts", label="different texts", value=texts, kind=Kind.COUNT),),
    )
