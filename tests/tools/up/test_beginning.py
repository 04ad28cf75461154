"""The moment between a supervisord's start and its first answer."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from tools.up.beginning import answers
from tools.up.run_directory import RunDirectory


def test_supervisord_whose_socket_does_not_listen_yet_does_not_answer() -> None:
    with tempfile.TemporaryDirectory(prefix="ap") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
        place = RunDirectory(Path(folder))
        assert not answers(place)
        early.bind(str(place.control))
        assert not answers(place)
