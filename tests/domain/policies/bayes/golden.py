"""The golden file: a history as it was and what was decided on it, to be the same bit for bit on every platform.

python -m tests.domain.policies.bayes.golden     # writes it again, after a change that is meant to decide otherwise
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

import numpy as np

from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory, PolicyResult
from adctl.domain.simulation.baselines import EqualSplit
from adctl.domain.simulation.runs import prepare, run_policy
from adctl.domain.simulation.worlds import world_named
from tests.warm import ROOT

FILE = ROOT / "tests" / "data" / "bayes_golden.json"
_DAYS, _ADS, _SEED = 30, 14, 2026


def read() -> tuple[AdHistory, dict[str, Any]]:
    """The history, and what was decided on it."""
    stored = json.loads(FILE.read_text())
    return _history(stored["history"]), stored["decided"]


def decided(result: PolicyResult) -> dict[str, Any]:
    """A result as plain values; a float's text is its value, to the last bit."""
    return {
        "unallocated": result.unallocated,
        "verdicts": [
            {
                "ad_id": said.ad_id,
                "verdict": said.verdict.value,
                "budget": said.budget,
                "confidence": said.confidence,
                "reason": said.reason,
                "evidence": dict(said.evidence),
            }
            for said in result.verdicts
        ],
    }


class _Kept:
    """An equal split that remembers the last history it was shown."""

    name = "kept"
    version = "1"

    def __init__(self) -> None:
        self.parameters: Mapping[str, int | float | str | bool] = {}
        self.seen: AdHistory | None = None

    def decide(self, history: AdHistory) -> PolicyResult:
        self.seen = history
        return EqualSplit().decide(history)


def _write() -> None:
    world = world_named("thriving")
    kept = _Kept()
    run_policy(prepare(world, seed=_SEED, days=_DAYS + 1), kept, name="kept", seed=_SEED)
    assert kept.seen is not None
    stored = _plain(_some(kept.seen))
    text = {"history": stored, "decided": decided(BayesPolicy().decide(_history(stored)))}
    FILE.write_text(json.dumps(text, indent=None, separators=(",", ":"), allow_nan=False) + "\n")


def _some(history: AdHistory) -> AdHistory:
    """The first ads alone."""
    row, deal = history.row_ad < _ADS, history.deal_ad < _ADS
    chosen = {"row_": row, "deal_": deal, "": slice(_ADS)}
    columns = {}
    for one in fields(history):
        value = getattr(history, one.name)
        if isinstance(value, np.ndarray) or one.name == "ad_ids":
            key = next(prefix for prefix in chosen if one.name.startswith(prefix))
            columns[one.name] = value[chosen[key]]
        else:
            columns[one.name] = value
    return AdHistory(**columns)


def _plain(history: AdHistory) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for one in fields(history):
        value = getattr(history, one.name)
        if isinstance(value, np.ndarray):
            listed = np.round(value, 3).tolist() if value.dtype.kind == "f" else value.tolist()
            plain[one.name] = _without_nan(listed)
        elif isinstance(value, date):
            plain[one.name] = value.isoformat()
        elif value is not None:
            plain[one.name] = list(value) if isinstance(value, tuple) else value
    return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if value != value else value


def _history(plain: dict[str, Any]) -> AdHistory:
    columns: dict[str, Any] = dict(plain)
    for key, value in plain.items():
        if key in ("ad_ids", "stages"):
            columns[key] = tuple(value)
        elif key == "day":
            columns[key] = date.fromisoformat(value)
        elif key in ("age_hours", "deal_entered", "deal_lost"):
            columns[key] = np.array(value, dtype=np.float64)
        elif isinstance(value, list):
            columns[key] = np.array(value, dtype=np.bool_ if key == "active" else np.int64)
    return AdHistory(**columns)


if __name__ == "__main__":
    _write()
