"""A process that is killed, and says where it stands when it does not end as it was told to."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tools.rig import victims
from tools.rig.victims import ForkedVictim


def test_victim_that_does_not_end_says_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victims, "END_TIMEOUT_S", 0.2)
    ready = tmp_path / "ready"

    def stay_for_ever() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready.touch()
        while True:
            time.sleep(0.01)

    victim = ForkedVictim("stubborn", "stubborn", stay_for_ever, tmp_path / "log")
    victim.start()
    while not ready.exists():
        time.sleep(0.01)
    said = victim.terminate()
    assert said.startswith("stubborn did not end within 0.2 s of SIGTERM; it stood at")
    assert "in stay_for_ever" in said
