"""What every command is told by the command line, and what a command of the loop works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adctl.domain.accounts import AccountProfile
    from adctl.settings import AccountSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What the command line said, the same for every command."""

    command: str
    as_json: bool = False
    config: Path | None = None
    verbose: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a command of the loop works with."""

    settings: Settings
    account: AccountSettings
    profile: AccountProfile
    engine: Engine
    run_id: UUID
    dry_run: bool
