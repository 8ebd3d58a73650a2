"""Asynchronous insights: report runs that are started, polled and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adctl.sandbox.faults import Fault
from adctl.sandbox.graph_errors import GraphError
from adctl.sandbox.graph_insights import InsightsQuery
from adctl.sandbox.world import World

_STEPS = (("Job Not Started", 0), ("Job Running", 50), ("Job Completed", 100))


@dataclass(slots=True, kw_only=True)
class _Run:
    query: InsightsQuery
    trouble: str | None
    polls: int = 0
    complete: bool = False


class Reports:
    """All runs of the account; each poll takes a run one step further, so that time plays no part."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runs: dict[str, _Run] = {}

    def start(self, query: InsightsQuery, fault: Fault | None) -> str:
        """A new run's id; an armed report fault decides how it ends."""
        run_id = str(6_000_000_000_001 + len(self._runs))
        self._runs[run_id] = _Run(query=query, trouble=fault.kind if fault else None)
        return run_id

    def knows(self, run_id: str) -> bool:
        """Whether the id is a report run's."""
        return run_id in self._runs

    def poll(self, run_id: str) -> dict[str, Any]:
        """The run's status after one more step."""
        run = self._runs[run_id]
        status, percent = _STEPS[min(run.polls, len(_STEPS) - 1)]
        run.polls += 1
        failure: dict[str, Any] = {}
        if run.trouble == "report_stalls":
            status, percent = "Job Started", 0
        elif run.trouble == "report_short":
            percent = min(percent, 99)
        elif run.trouble == "report_fails" and status == "Job Completed":
            status = "Job Failed"
            failure = {"error_code": -2, "error_subcode": 2490547, "error_message": "The report has failed"}
        run.complete = status == "Job Completed" and percent == 100
        return {
            "id": run_id,
            "account_id": self._world.tree.account.id,
            "async_status": status,
            "async_percent_completion": percent,
            "date_start": run.query.since.isoformat(),
            "date_stop": run.query.until.isoformat(),
        } | failure

    def result(self, run_id: str) -> InsightsQuery:
        """The query of a completed run; GraphError 2601 before that."""
        run = self._runs[run_id]
        if not run.complete:
            raise GraphError(2601, "(#2601) Loading an async ad insights report that is not ready")
        return run.query
