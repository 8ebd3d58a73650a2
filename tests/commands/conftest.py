"""Loops for the commands' tests: on an empty database, and on one that has read its whole world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.builders import SMALL, Loop, loop_on
from tests.conftest import Server

_numbers = count(1)


@pytest.fixture
def loop(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Loop]:
    """A small account that nobody has read yet; a parameter replaces the world's options."""
    with loop_on(database_url, tmp_path, **getattr(request, "param", SMALL)) as running:
        yield running


@pytest.fixture(scope="session")
def synced_template(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that has read a whole world of four weeks, 24 ads and some hundred deals."""
    name = f"adctl_synced_{os.getpid()}"
    server.create(name, template)
    with loop_on(server.url(name), tmp_path_factory.mktemp("synced")) as running:
        running.sync()
    return name


@pytest.fixture
def synced(server: Server, synced_template: str, tmp_path: Path) -> Iterator[Loop]:
    """An account that has just been read: the same world as the template's, in servers of its own."""
    name = f"adctl_synced_{os.getpid()}_{next(_numbers)}"
    server.create(name, synced_template)
    with loop_on(server.url(name), tmp_path) as running:
        yield running
