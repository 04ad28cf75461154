"""Fixtures of tests that start the project's processes: folders for sockets, brokers, bridges."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.consumers.bridge_rig import PROGRAMS, Bridge, bridges
from tools.rig.nats_server import NatsServer


@pytest.fixture
def home() -> Iterator[Path]:
    """A short private directory: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="relay") as directory:
        yield Path(directory)


@pytest.fixture(params=sorted(PROGRAMS))
def either_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server, of each version that the bridge is held against."""
    with NatsServer(tmp_path / "nats", program=PROGRAMS[request.param]()) as server:
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """Starts bridges."""
    with bridges(tmp_path) as starting:
        yield starting
