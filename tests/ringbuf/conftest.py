"""Rings for tests: each with a name of its own, gone when the test is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from ringbuf.names import FOLDER, ring_object


@pytest.fixture
def ring_name() -> Iterator[str]:
    """A name that nobody else uses; whatever was created under it is removed afterwards."""
    name = f"test.{os.getpid()}.{secrets.token_hex(4)}"
    yield name
    for path in FOLDER.glob(ring_object(name).removeprefix("/") + "*"):
        path.unlink()
