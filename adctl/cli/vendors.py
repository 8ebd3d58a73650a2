"""The vendors that a command speaks to, as the account is configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from adctl.errors import ConfigurationError

if TYPE_CHECKING:
    from adctl.cli.job import Job
    from adctl.domain.ports import AdsPlatform, Crm
    from adctl.settings import Secret

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def meta(job: Job) -> Iterator[AdsPlatform]:
    """Meta for this account. Raises ConfigurationError without an ad account or token."""
    from adctl.adapters.meta import MetaPlatform, Patience

    settings = job.settings
    if job.account.meta_ad_account is None:
        raise ConfigurationError(
            f"accounts.{job.account.name}.meta_ad_account: not set", fix='write meta_ad_account = "act_…" in adctl.toml'
        )
    token = _token(job.account.meta_token or settings.meta_token, "ADCTL_META_TOKEN")
    _refuse_simulated(job, settings.meta_base_url)
    patience = Patience(
        connect=settings.http.connect_seconds,
        read=settings.http.read_seconds,
        write_deadline=settings.http.write_deadline_seconds,
    )
    with MetaPlatform(
        ad_account=job.account.meta_ad_account, token=token, base_url=settings.meta_base_url, patience=patience
    ) as platform:
        yield platform


@contextmanager
def hubspot(job: Job) -> Iterator[Crm]:
    """HubSpot for this account. Raises ConfigurationError without a token."""
    from adctl.adapters.hubspot import HubSpotCrm, Patience

    settings = job.settings
    token = _token(job.account.hubspot_token or settings.hubspot_token, "ADCTL_HUBSPOT_TOKEN")
    _refuse_simulated(job, settings.hubspot_base_url)
    patience = Patience(connect=settings.http.connect_seconds, read=settings.http.read_seconds)
    with HubSpotCrm(
        token=token, base_url=settings.hubspot_base_url, currency=job.account.currency, patience=patience
    ) as crm:
        yield crm


def webhook_secrets(job: Job) -> list[str]:
    """The client secrets that may have signed HubSpot's webhooks, the one in force first."""
    mine, common = job.account, job.settings
    given = (
        mine.hubspot_client_secret or common.hubspot_client_secret,
        mine.hubspot_client_secret_previous or common.hubspot_client_secret_previous,
    )
    return [secret.reveal() for secret in given if secret is not None]


def _token(secret: Secret | None, variable: str) -> str:
    if secret is None:
        raise ConfigurationError(
            f"{variable}: not set", fix="set it, or name a file of mode 0600 in adctl.toml, or use a systemd credential"
        )
    return secret.reveal()


def _refuse_simulated(job: Job, base_url: str) -> None:
    """A database whose clock is simulated belongs to the demo or a test: its decisions must never reach a vendor."""
    from adctl.adapters.db import transaction
    from adctl.adapters.store import accounts

    if urlsplit(base_url).hostname in _LOOPBACK:
        return
    with transaction(job.engine, read_only=True) as connection:
        if accounts.is_simulated(connection):
            raise ConfigurationError(
                f"this database has a simulated clock and {base_url} is a real vendor", fix="use another database"
            )
