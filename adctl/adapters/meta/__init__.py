"""Meta's Marketing API behind the `AdsPlatform` protocol."""

from adctl.adapters.meta.faults import ThrottledError
from adctl.adapters.meta.graph import Patience
from adctl.adapters.meta.platform import MetaPlatform

__all__ = ["MetaPlatform", "Patience", "ThrottledError"]
