"""adctl closes the loop between a CRM and paid ads, safely, from cron."""

__version__ = "0.1.0"
