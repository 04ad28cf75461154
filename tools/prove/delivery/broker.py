"""What a NATS server loses of what it has acknowledged, by its settings.

Each setting gets a server of its own on this machine's disk.  Batches are published and acknowledged, the server gets
SIGKILL at the last acknowledgement, starts again on the same storage, and what is missing is counted.  What a power cut
could take beside that is read from the kernel: bytes of the stream's files that are in memory and not on the disk.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.bridge.address import parse_access
from consumers.bridge.broker import Broker, connect
from consumers.bridge.errors import ApiError, BridgeError
from consumers.bridge.stream_config import Config, new_config
from tlv.errors import UsageError
from tools.rig.nats_server import NatsServer, current_server, packaged_server

BATCHES = 500
BATCH = bytes(8192)
STREAM, SUBJECT = "proof", "alphapulse.proof"
CACHESTAT = 451
"""The system call's number, the same on every architecture; Linux 6.5 and later."""


@dataclass(frozen=True)
class Setting:
    """One way to run a server and to make a stream."""

    name: str
    storage: str = ""
    """Lines within the server's `jetstream { }`."""
    stream: tuple[tuple[str, Any], ...] = ()


SETTINGS = (
    Setting("file, as the server comes"),
    Setting("file, sync_interval: always", storage="sync_interval: always"),
    Setting("file, persist_mode async", stream=(("persist_mode", "async"),)),
    Setting("file, max_bytes of 1 MiB", stream=(("max_bytes", 1 << 20),)),
    Setting("memory", stream=(("storage", "memory"),)),
)


@dataclass(frozen=True)
class BrokerLoss:
    """What was seen of one setting on one server."""

    server: str
    setting: str
    refused: str = ""
    """Why the server does not take the setting; empty if it does."""
    acknowledged: int = 0
    dropped_before: int = 0
    """By the stream's limits, before the kill."""
    lost: int = 0
    """By the kill, of what was acknowledged and not dropped."""
    not_on_disk: int | None = None
    """Bytes at the last acknowledgement that a power cut could take; None where the kernel does not say."""

    @property
    def line(self) -> str:
        """For people."""
        if self.refused:
            return f"{self.server:8} {self.setting:30} refused: {self.refused}"
        power = "unknown" if self.not_on_disk is None else f"{self.not_on_disk:,} bytes"
        return (
            f"{self.server:8} {self.setting:30} {self.acknowledged} acknowledged, {self.dropped_before} dropped by "
            f"limits, {self.lost} lost by SIGKILL, {power} not on the disk"
        )


def measure_losses() -> list[BrokerLoss]:
    """Every setting on Debian's server and on a current one."""
    return [measure(program(), setting) for program in (packaged_server, current_server) for setting in SETTINGS]


def measure(program: str, setting: Setting) -> BrokerLoss:
    """Publish, kill, restart, count."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = NatsServer(Path(folder), program=program, storage=setting.storage)
        except UsageError:
            return BrokerLoss(version_of(program), setting.name, refused="the server does not start with it")
        with server:
            config = new_config(STREAM, SUBJECT) | dict(setting.stream)
            before = asyncio.run(publish_and_kill(server, config))
            if isinstance(before, str):
                return BrokerLoss(version_of(program), setting.name, refused=before)
            held, dirty = before
            server.restart()
            after = asyncio.run(held_now(server))
            return BrokerLoss(version_of(program), setting.name, "", BATCHES, BATCHES - held, held - after, dirty)


async def publish_and_kill(server: NatsServer, config: Config) -> tuple[int, int | None] | str:
    """How many batches the stream held at the last acknowledgement, and what was not on the disk; or a refusal."""
    connection = await connect(Broker(parse_access(server.url), STREAM, SUBJECT))
    try:
        try:
            made = await connection.api(f"STREAM.CREATE.{STREAM}", config)
        except ApiError as error:
            return str(error)
        if unknown := [key for key in config if key not in made["config"]]:
            return f"the server does not know {', '.join(unknown)}"
        for first in range(0, BATCHES, 50):
            acks = [await connection.stream.publish_async(SUBJECT, BATCH) for _ in range(first, first + 50)]
            await asyncio.gather(*acks)
        dirty = not_on_disk(server.store)
        if config["max_bytes"] > 0:
            found = await connection.stream_info()
            held = found["state"]["messages"] if found else 0
        else:
            held = BATCHES
        server.kill()
        return held, dirty
    finally:
        await connection.close()


async def held_now(server: NatsServer) -> int:
    """How many batches the stream holds; 0 if there is no such stream."""
    connection = await connect(Broker(parse_access(server.url), STREAM, SUBJECT))
    try:
        found = await connection.stream_info()
    except BridgeError:
        return 0
    finally:
        await connection.close()
    return int(found["state"]["messages"]) if found else 0


def not_on_disk(folder: Path) -> int | None:
    """Bytes of the messages' files that the kernel has yet to write."""
    call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    total = 0
    for path in folder.rglob("*.blk"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            whole, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
            if call(CACHESTAT, descriptor, whole, found, 0):
                return None
            total += (found[1] + found[2]) * os.sysconf("SC_PAGE_SIZE")  # dirty, and under way
        finally:
            os.close(descriptor)
    return total


def version_of(program: str) -> str:
    """As the program says it."""
    import subprocess

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.rsplit("v", 1)[-1].strip()
