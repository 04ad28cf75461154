"""What a process tells systemd: ready when its loop turns, alive while it makes progress, and nothing when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tools.command.service
from tests.system.up_rig import ALPHAPULSE, UpRig
from tlv.codes import FeedReason
from tlv.errors import UsageError
from tools.command.environment import settings_environment
from tools.command.service import ServiceManager, tell_while_it_turns
from tools.feed_stat import look_at_feed

PROCESSES = """
[recorder]
ring = "{name}.market"
out = "journal"
[collector]
url = "ws://127.0.0.1:{port}"
ring = "{name}.market"
pool_cache = "none"
"""
WATCHDOG_S = 0.4


class Listening:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(60)

    def hear(self) -> bytes:
        return self.socket.recv(100)

    def drain(self) -> list[bytes]:
        """What was said until now."""
        self.socket.setblocking(False)
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(self.socket.recv(100))
        self.socket.settimeout(60)
        return said

    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listening]:
    listening = Listening(tmp_path / "notify")
    yield listening
    listening.socket.close()


@pytest.fixture
def start(systemd: Listening, tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[bytes], UpRig]]]:
    started = []
    rig = UpRig(tmp_path, PROCESSES)

    def begin(name: str) -> tuple[subprocess.Popen[bytes], UpRig]:
        process = subprocess.Popen(
            [*ALPHAPULSE, "run", name, "-c", str(rig.file)], env=rig.environment | systemd.environment()
        )
        started.append(process)
        return process, rig

    yield begin
    for process in started:
        process.kill()
        process.wait()
    rig.end()


def test_recorder_that_waits_for_its_ring_is_ready_and_alive_until_it_hangs(
    systemd: Listening, start: Callable[[str], tuple[subprocess.Popen[bytes], UpRig]]
) -> None:
    process, _ = start("recorder")
    assert [systemd.hear() for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    systemd.drain()
    time.sleep(2 * WATCHDOG_S)
    assert systemd.drain() == []


def test_collector_that_knows_of_its_dead_feed_is_alive(
    systemd: Listening, start: Callable[[str], tuple[subprocess.Popen[bytes], UpRig]]
) -> None:
    _, rig = start("collector")
    assert [systemd.hear() for _ in range(3)] == [b"READY=1", *[b"WATCHDOG=1"] * 2]
    feed = look_at_feed(f"{rig.name}.market")
    assert feed is not None
    assert feed.reason != FeedReason.OK.name.lower()


def test_loop_that_turns_without_progress_is_not_called_alive(
    systemd: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.command.service, "SERVICE_MANAGER", ServiceManager(systemd.environment(), os.getpid()))
    made = [0, 1, 2, 3]

    async def turn() -> None:
        telling = asyncio.create_task(tell_while_it_turns(lambda: made.pop(0) if made else 3))
        await asyncio.sleep(3 * WATCHDOG_S)
        telling.cancel()

    asyncio.run(turn())
    assert systemd.drain() == [b"READY=1", *[b"WATCHDOG=1"] * 4]


def test_service_manager_of_another_process_is_not_fed(systemd: Listening) -> None:
    manager = ServiceManager(systemd.environment() | {"WATCHDOG_PID": "1"}, os.getpid())
    manager.turned()
    assert systemd.drain() == [b"READY=1"]


def test_credential_named_like_a_variable_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "ALPHAPULSE__COLLECTOR__URL").write_text("wss://node.example/KEY\n")
    (tmp_path / "another").write_text("no setting")
    assert settings_environment({"CREDENTIALS_DIRECTORY": str(tmp_path), "A": "b"}) == {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "A": "b",
        "ALPHAPULSE__COLLECTOR__URL": "wss://node.example/KEY",
    }


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.write_bytes(b"wss://KEY\xff"), "another byte at 9"),
    ],
)
def test_credential_that_cannot_be_read_is_an_error_that_names_its_file(
    tmp_path: Path, make: Callable[[Path], object], found: str
) -> None:
    """Without it a collector would use the chain's public endpoints."""
    file = tmp_path / "ALPHAPULSE__COLLECTOR__URL"
    make(file)
    with pytest.raises(UsageError, match=f"{file}: expected a credential.*{found}") as met:
        settings_environment({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "KEY" not in str(met.value)


def test_credentials_whose_folder_is_gone_are_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}/gone: expected a credential"):
        settings_environment({"CREDENTIALS_DIRECTORY": str(tmp_path / "gone")})
