"""From looks at real rings and counters to what a real receiver is told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from consumers.recorder import Recorded
from ringbuf import SharedCounters, Writer
from tests.tools.obs.http_receiver import HttpReceiver, receivers_file, wait_until
from tlv.layout import LAYOUT_DIGEST
from tools.obs import look as looks
from tools.obs.look import Looking
from tools.obs.notify import Notifying
from tools.obs.receivers import read_receivers


def test_notifying_tells_of_lost_frames_and_a_writer_that_closed_in_one_message(
    ring_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "FRESH_S", 0.0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    counts = Recorded()
    with HttpReceiver() as receiver, closing(Looking((ring_name,))) as looking:
        receivers = read_receivers(receivers_file(tmp_path, receiver.url()))
        with (
            closing(Notifying(looking, receivers, 0.0)) as notifying,
            closing(SharedCounters.create(Recorded, ring_name, "recorder")) as shared,
        ):
            with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST):
                shared.bind(counts)
                shared.put(counts)
                notifying.look()
                assert notifying.stats()[0].waiting == 0
                counts.lost = 3
                shared.put(counts)
            notifying.look()
            wait_until(lambda: notifying.stats()[0].delivered)
        (message,) = receiver.messages
        assert message["title"].endswith(": 2 begun")
        assert f"writer of {ring_name} begun: writer closed" in message["message"]
        assert f"frames_lost of {ring_name}-recorder begun: lost: 3 more within 5 minutes" in message["message"]
