"""An account's ads as columns, for what looks at all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adctl.domain.entities import AdSet, Campaign, has_ended, is_on
from adctl.domain.ids import AdSetId, CampaignId
from adctl.domain.owners import Ownership
from adctl.domain.policies.protocol import Flags, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdColumns:
    """n ads in the order of their ids (by code points). `ad_set` indexes `ad_set_ids`, `campaign` `campaign_ids`, both
    sorted; `status` has one entry per ad."""

    ad_ids: tuple[str, ...]
    ad_set: Ints
    ad_set_ids: tuple[AdSetId, ...]
    campaign: Ints
    campaign_ids: tuple[CampaignId, ...]
    status: tuple[str, ...]
    effective_status: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ad_ids)

    def running(self, ad_sets: Sequence[AdSet], campaigns: Sequence[Campaign]) -> Flags:
        """Which ads nobody has paused, nor their ad set or campaign, and Meta has not ended."""
        sets = {a.ad_set_id for a in ad_sets if not is_on(a.status)}
        whole = {c.campaign_id for c in campaigns if not is_on(c.status)}
        off = np.array([one in sets for one in self.ad_set_ids], dtype=np.bool_)[self.ad_set]
        off |= np.array([one in whole for one in self.campaign_ids], dtype=np.bool_)[self.campaign]
        own = [
            is_on(status) and not has_ended(effective)
            for status, effective in zip(self.status, self.effective_status, strict=True)
        ]
        return np.array(own, dtype=np.bool_) & ~off

    def owner(self, owned: Ownership) -> Ints:
        """Each ad's owner of a budget as an index of the ownership's, -1 for none."""
        return np.array([owned.owner_of.get(one, -1) for one in self.ad_set_ids], dtype=np.int64)[self.ad_set]

    def shared(self, owned: Ownership, running: Flags) -> Flags:
        """Which running ads are fed from a budget that feeds another running ad, too."""
        owner = self.owner(owned)
        fed = running & (owner >= 0)
        members = np.bincount(owner[fed], minlength=len(owned.owners))
        shared = np.zeros(len(self), dtype=np.bool_)
        shared[fed] = members[owner[fed]] > 1
        return shared
