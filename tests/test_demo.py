"""The newcomer's one line after installation: the whole loop with nothing prepared."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import CommandLine, Outcome


def _demo(folder: Path, *arguments: str) -> Outcome:
    """As a newcomer runs it: no configuration, no database, an empty home."""
    folder.mkdir()
    return CommandLine(folder=folder, fresh=True)("demo", *arguments)


def test_the_demo_runs_the_whole_loop_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    first = _demo(tmp_path / "one", "--seed", "3", "--days", "2", "--json")
    second = _demo(tmp_path / "two", "--seed", "3", "--days", "2", "--json")

    assert first.code == 0, first.err
    assert first.out == second.out
    facts, tables = first.document["facts"], first.document["tables"]
    assert isinstance(facts, dict)
    assert isinstance(tables, dict)
    assert facts["confirmed"] > 0
    assert [row["day"] for row in tables["days"]] == ["2026-03-02", "2026-03-03"]
    assert all(row["outcome"] == "completed" for row in tables["budgets"])
    assert {row["verdict"] for row in tables["ads"]} <= {"kill", "scale", "cut"}
    # it shows its progress while it works, step by step
    for step in ("sync-meta", "sync-hubspot", "ingest-crm", "decide", "enqueue", "execute", "index-winners"):
        assert f"day 2 of 2: {step}" in first.err


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    first = _demo(tmp_path / "one", "--seed", "1", "--days", "1", "--json")
    second = _demo(tmp_path / "two", "--seed", "2", "--days", "1", "--json")

    assert (first.code, second.code) == (0, 0)
    assert first.document["tables"] != second.document["tables"]


def test_the_demo_leaves_nothing_behind_unless_told(tmp_path: Path) -> None:
    outcome = _demo(tmp_path / "home", "--days", "1")

    assert outcome.code == 0
    assert list((tmp_path / "home").iterdir()) == []


def test_a_kept_demo_can_be_looked_at(tmp_path: Path) -> None:
    kept = _demo(tmp_path / "home", "--days", "1", "--keep", "kept")
    again = CommandLine(folder=tmp_path / "home")("demo", "--keep", "kept")
    looked = CommandLine(folder=tmp_path / "home" / "kept")("status", "--json")

    assert kept.code == 0
    assert again.code == 2
    assert "exists already" in again.err
    assert looked.code == 0, looked.err
    assert looked.document["account"] == "demo"


def test_a_kept_demo_tells_what_would_flip_a_pause_that_was_carried_out(tmp_path: Path) -> None:
    kept = _demo(tmp_path / "home", "--days", "1", "--keep", "kept", "--json")
    tables = kept.document["tables"]
    assert isinstance(tables, dict)
    paused = next(str(row["entity"]) for row in tables["statuses"])
    why = CommandLine(folder=tmp_path / "home" / "kept")("why", paused.removeprefix("ad "), "--json")

    assert why.code == 0, why.err
    facts = why.document["facts"]
    assert isinstance(facts, dict)
    assert facts["verdict"] == "kill"
    assert facts["flips_to"] == "keep"
