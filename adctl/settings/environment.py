"""The one reader of the process's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping


def process_environment() -> Mapping[str, str]:
    """A copy of this process's environment, for `load`."""
    return dict(os.environ)
