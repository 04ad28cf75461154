"""For travelling in short journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.dashboard import recorded_journal


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache of its own, and checkpoints so near that a short journal has many."""
    root = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root))
    monkeypatch.setattr(recorded_journal, "BLOCKS_APART", 7)
    monkeypatch.setattr(recorded_journal, "LOOK_S", 0.01)
    monkeypatch.setattr(recorded_journal, "AGAIN_S", 0.01)
    return root
