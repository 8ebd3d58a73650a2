"""Stand-ins for the Graph API and the HubSpot CRM API: real HTTP over one simulated world, for `demo` and the tests."""

from __future__ import annotations

from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np

from adctl.sandbox.faults import KINDS as FAULT_KINDS
from adctl.sandbox.faults import Fault
from adctl.sandbox.hubspot_server import HubSpotServer
from adctl.sandbox.launch import WorldOptions
from adctl.sandbox.messages import Exchange
from adctl.sandbox.meta_server import MetaServer
from adctl.sandbox.truth import AdTruth
from adctl.sandbox.world import World, WorldTotals

__all__ = ["FAULT_KINDS", "AdTruth", "Exchange", "Fault", "Sandbox", "World", "WorldOptions", "WorldTotals"]


class Sandbox:
    """Both servers over one world. Its clock stands still until `advance_to`; its tokens follow from the seed."""

    def __init__(self, world: World, *, meta_port: int = 0, hubspot_port: int = 0) -> None:
        self.world = world
        rng = np.random.default_rng([world.options.seed, 5])
        meta_token, hubspot_token = (rng.bytes(16).hex() for _ in range(2))
        self.meta = MetaServer(world, f"EAAsandbox{meta_token}", meta_port)
        try:
            self.hubspot = HubSpotServer(world, f"pat-eu1-sandbox-{hubspot_token}", hubspot_port)
        except OSError:
            self.meta.close()
            raise

    @classmethod
    def start(cls, *, seed: int, start: date, meta_port: int = 0, hubspot_port: int = 0, **options: Any) -> Sandbox:
        """Generates the world (options as in WorldOptions) and serves it; port 0 takes a free one."""
        world = World.generate(seed=seed, start=start, **options)
        return cls(world, meta_port=meta_port, hubspot_port=hubspot_port)

    @property
    def meta_url(self) -> str:
        """Base URL in the place of https://graph.facebook.com."""
        return self.meta.url

    @property
    def hubspot_url(self) -> str:
        """Base URL in the place of https://api.hubapi.com."""
        return self.hubspot.url

    @property
    def meta_token(self) -> str:
        """The only access token the Meta stand-in accepts."""
        return self.meta.token

    @property
    def hubspot_token(self) -> str:
        """The only private-app token the HubSpot stand-in accepts."""
        return self.hubspot.token

    @property
    def meta_account_id(self) -> str:
        """The ad account's id with its `act_`."""
        return self.world.tree.account.node_id

    @property
    def hubspot_portal(self) -> str:
        """The portal's id."""
        return str(self.world.portal.id)

    @property
    def meta_log(self) -> list[Exchange]:
        """Every request the Meta stand-in has received, oldest first."""
        return self.meta.log

    @property
    def hubspot_log(self) -> list[Exchange]:
        """Every request the HubSpot stand-in has received, oldest first."""
        return self.hubspot.log

    def advance_to(self, to: datetime) -> None:
        """Moves the world's clock to an aware instant."""
        self.world.advance_to(to)

    def close(self) -> None:
        """Stops both servers."""
        self.meta.close()
        self.hubspot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
