"""A recorder and a relay's client that begin before their ring and relay wait for them, as long as they are told."""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumers.client import RelayClient
from consumers.recorder import Recorder
from consumers.relay.errors import RelayUnreachable
from ringbuf import RingNotFound
from tests.consumers.relay_rig import make_ring, publish, sequences, serving, take
from tlv.errors import UsageError


def test_recorder_waits_for_its_ring_and_has_all_of_it(ring_name: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as elsewhere:
        made = elsewhere.submit(Recorder, ring_name, tmp_path, report=print, wait_s=60.0)
        time.sleep(0.2)
        with make_ring(ring_name) as writer:
            publish(writer, 5)
            with made.result() as recorder:
                counted = recorder.run(lambda: recorder.next_sequence == 6, until_closed=False)
    assert (counted.frames, counted.lost) == (5, 0)


def test_recorder_that_waits_ends_when_asked_or_when_its_time_is_over(ring_name: str, tmp_path: Path) -> None:
    asked = threading.Event()
    threading.Timer(0.1, asked.set).start()
    for options in ({"wait_s": 60.0, "stop": asked.is_set}, {"wait_s": 0.1}):
        with pytest.raises(RingNotFound):
            Recorder(ring_name, tmp_path, report=print, **options)
    with pytest.raises(UsageError, match="wait_s"):
        Recorder(ring_name, tmp_path, report=print, wait_s=-1.0)


def test_relay_client_waits_for_its_relay(ring_name: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="relay") as home, ThreadPoolExecutor() as elsewhere:
        path = Path(home) / "relay.sock"
        with pytest.raises(RelayUnreachable):
            RelayClient(path, wait_s=0.1)
        made = elsewhere.submit(RelayClient, path, start="oldest", reconnect=False, wait_s=60.0)
        time.sleep(0.2)
        with make_ring(ring_name) as writer, serving(ring_name, directory=Path(home)), made.result() as client:
            publish(writer, 5)
            assert sequences(take(client, 5)) == [1, 2, 3, 4, 5]
