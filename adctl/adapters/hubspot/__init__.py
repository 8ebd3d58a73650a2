"""HubSpot's CRM API behind the `Crm` protocol."""

from adctl.adapters.hubspot.crm import HubSpotCrm
from adctl.adapters.hubspot.session import Patience

__all__ = ["HubSpotCrm", "Patience"]
