"""Settings: defaults < adctl.toml < ADCTL_* environment < flags, as one frozen value."""

from adctl.settings.environment import process_environment
from adctl.settings.limits import LimitsSettings
from adctl.settings.loading import load
from adctl.settings.secret import Secret
from adctl.settings.shown import commented_example, effective
from adctl.settings.stages import StageSettings
from adctl.settings.values import (
    AccountSettings,
    AttributionSettings,
    ColumnsSettings,
    HttpSettings,
    LogSettings,
    RetentionSettings,
    Settings,
    Tokens,
    WinnersSettings,
)

__all__ = [
    "AccountSettings",
    "AttributionSettings",
    "ColumnsSettings",
    "HttpSettings",
    "LimitsSettings",
    "LogSettings",
    "RetentionSettings",
    "Secret",
    "Settings",
    "StageSettings",
    "Tokens",
    "WinnersSettings",
    "commented_example",
    "effective",
    "load",
    "process_environment",
]
