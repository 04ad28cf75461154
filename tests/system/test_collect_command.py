"""`alphapulse collect` as a process: what it prints, how it ends, what it never says."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from producers.node.connection import MAX_MESSAGE, open_connection
from ringbuf import Reader, Status, Writer
from tests.producers.collected import canonical_events, read_story
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord, PoolSwap, PoolSync
from tlv.message import parse

CANARY = "canary7f3a9b2e"


@contextmanager
def node(*options: str) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.command.main", "node", "--json", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["ws"]
        finally:
            process.terminate()


def collect(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.command.main", "collect", "--pool-cache", "none", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_collect_until_idle_prints_ready_and_statistics(ring_name: str, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    with node("--speed", "max") as url:
        process = collect("--url", url, "--ring", ring_name, "--until-idle", "1", "--json", "--stats-json", str(stats))
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    ready, statistics = map(json.loads, out.splitlines())
    assert ready == {"ready": True, "ring": ring_name, "host": "127.0.0.1", "chain": "polygon"}
    assert statistics == json.loads(stats.read_text())
    assert statistics["events_published"] - statistics["removed_events"] == len(canonical_events())
    assert statistics["logs_received"] >= 5136
    assert sum(statistics["blocks_by_verdict"].values()) >= 175
    assert set(statistics["latency_ns"]["receive_to_ring"]) == {"p50", "p99", "max"}
    assert read_story(ring_name).standing == canonical_events()


def test_collect_terminated_closes_its_ring(ring_name: str) -> None:
    with node("--speed", "1") as url:
        process = collect("--url", url, "--ring", ring_name, "--json")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    with Reader.attach(ring_name, start="oldest") as reader:
        while (poll := reader.poll()).status is Status.OK:
            assert len(poll)
        assert poll.status is Status.CLOSED


HANGING = """
from tools import collect_ending
from tools.collect import command
from producers.feed import Feed
from tools.command.main import run_command

collect_ending.STOP_S = 0.2
Feed.tick = lambda self, **clock: [None for _ in iter(int, 1)]  # for ever
run_command(command, "collect")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_collect_whose_loop_does_not_turn_ends_when_it_is_told_to(ring_name: str, number: signal.Signals) -> None:
    with node("--speed", "1") as url:
        process = subprocess.Popen(
            [sys.executable, "-c", HANGING, "--url", url, "--ring", ring_name, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        time.sleep(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    with Reader.attach(ring_name, start="oldest") as reader:
        while (poll := reader.poll()).status is Status.OK:
            assert len(poll)
        assert poll.status is Status.CLOSED


ASKED_EARLY = """
import os, signal, sys
import tools.collect
from producers.collector import Collector
from producers.standby import Standby
from tools.command.main import run_command

owner, name = {"Collector": Collector, "Standby": Standby, "collect": tools.collect}[sys.argv.pop(1)], sys.argv.pop(1)
usual = getattr(owner, name)
def asked(*arguments, **named):
    os.kill(os.getpid(), signal.SIGTERM)
    found = usual(*arguments, **named)
    return True if owner is Standby else found
setattr(owner, name, asked)
run_command(tools.collect.command, "collect")
"""
"""It gets SIGTERM at a moment at which its ring may have no one else who closes it."""


@pytest.mark.parametrize("moment", [("Collector", "_resume"), ("collect", "settle_memory")], ids=["ring made", "ready"])
def test_collect_told_to_end_before_it_has_begun_closes_its_ring(ring_name: str, moment: tuple[str, str]) -> None:
    options = ("--url", "ws://127.0.0.1:9", "--ring", ring_name, "--pool-cache", "none", "--json")
    ended = subprocess.run(
        [sys.executable, "-c", ASKED_EARLY, *moment, *options], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    with Reader.attach(ring_name, start="oldest") as reader:
        while reader.poll().status is Status.OK:
            pass
        assert reader.poll().status is Status.CLOSED


def test_standby_told_to_end_as_the_writer_ends_does_not_take_over(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 20, layout_digest=LAYOUT_DIGEST):
        options = ("--url", "ws://127.0.0.1:9", "--ring", ring_name, "--pool-cache", "none", "--json", "--standby")
        moment = ("Standby", "may_begin")
        ended = subprocess.run(
            [sys.executable, "-c", ASKED_EARLY, *moment, *options], capture_output=True, text=True, timeout=300
        )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {"took_over": False, "ring": ring_name}


def kinds(reader: Reader) -> list[type[PoolRecord]]:
    """The new events in a ring, by the class of their record, in order."""
    found = []
    while (poll := reader.poll()).status is Status.OK:
        messages = [parse(frame.payload) for frame in poll]
        found += [type(message.records[0]) for message in messages if message.first(EventOrigin) is not None]
    return found


def await_event(reader: Reader, kind: type[PoolRecord], process: subprocess.Popen[str]) -> list[type[PoolRecord]]:
    """All new events, once one of this kind is among them."""
    found: list[type[PoolRecord]] = []
    deadline = time.monotonic() + 60
    while kind not in found:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
        found += kinds(reader)
    return found


def test_collect_told_by_sighup_reads_its_filter_again(ring_name: str, tmp_path: Path) -> None:
    """Only swaps at first; a file with a mistake changes nothing; then only syncs."""
    rules = tmp_path / "rules.toml"
    rules.write_text('events = ["swap"]\n')
    with node("--speed", "20") as url:
        process = collect("--url", url, "--ring", ring_name, "--filter", str(rules), "-v")
        assert process.stdout is not None
        assert "collecting" in process.stdout.readline()
        with Reader.attach(ring_name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            found = await_event(reader, PoolSwap, process)
            rules.write_text("events = [\n")
            process.send_signal(signal.SIGHUP)
            found += await_event(reader, PoolSwap, process)
            assert PoolSync not in found
            rules.write_text('events = ["sync"]\n')
            process.send_signal(signal.SIGHUP)
            found += await_event(reader, PoolSync, process)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
            found += kinds(reader)
    assert process.returncode == 0, err
    assert found == sorted(found, key=lambda kind: kind is PoolSync), "no swap after the first sync"
    assert set(found) == {PoolSwap, PoolSync}
    assert err.index("the filter stays as it was") < err.index("the filter was read again")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--url", "http://localhost:1"), 2, "expected a ws:// or wss:// URL"),
        (("--url", "ws://"), 2, "expected a ws:// or wss:// URL with a host"),
        (("--url", "ws://localhost:1", "--chain", "nowhere"), 2, "expected one of polygon, ethereum"),
        (("--url", "ws://localhost:1", "--filter", "0x12"), 2, "expected 0x and 40 hex digits"),
        (
            ("--url", "ws://localhost:1", "--watch-ticks", "0x12"),
            2,
            "expected 0x and 40 hex digits, found '0x12' (or all)",
        ),
        (("--url", "ws://localhost:1", "--until-idle", "0.2"), 1, "cannot connect to localhost"),
    ],
)
def test_collect_with_a_users_mistake_says_it_in_one_line(
    ring_name: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    out, err = (process := collect(*arguments, "--ring", ring_name)).communicate(timeout=60)
    assert process.returncode == code
    last = err.strip().splitlines()[-1]
    assert last.startswith("alphapulse: error: ")
    assert said in last
    assert "Traceback" not in err + out


@pytest.mark.parametrize("listening", [False, True], ids=["refused", "silent"])
def test_collect_that_reaches_no_endpoint_says_at_once_what_is_needed(
    ring_name: str, tmp_path: Path, listening: bool
) -> None:
    """A chain's own endpoints: refused, or behind something that takes connections and never answers."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if listening:
            port.listen()
        chain, polygon = tmp_path / "own.toml", files("producers.chains") / "polygon.toml"
        endpoints = f'endpoints = ["ws://127.0.0.1:{port.getsockname()[1]}"]'
        chain.write_text(re.sub(r"endpoints = \[.*?\]", endpoints, polygon.read_text(), flags=re.DOTALL))
        process = collect("--chain", str(chain), "--ring", ring_name)
        assert process.stdout is not None and process.stderr is not None
        assert "collecting" in process.stdout.readline()
        began, lines = time.monotonic(), []
        while not lines or "no endpoint can be reached" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        took_s = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    state = "no answer yet" if listening else "Connect call failed"
    assert f"127.0.0.1 ({state}" in lines[-1]
    assert "need no account" in lines[-1] and "--url" in lines[-1] and "doctor --endpoints" in lines[-1]
    assert listening or len(lines) == 2
    assert took_s < 60, "the statement waits for no handshake's time-out"


def test_collect_on_another_chain_refuses(ring_name: str) -> None:
    with node("--speed", "1") as url:
        process = collect("--url", url, "--ring", ring_name, "--chain", "ethereum")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "expected chain 1 (ethereum), found 137" in err.splitlines()[-1]


def test_collect_never_prints_the_key_in_its_url(ring_name: str) -> None:
    """Refused, closed, unreachable, not resolvable: no output holds any part of the path, however talkative."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for url in (
            f"ws://127.0.0.1:{port}/v3/{CANARY}?key={CANARY}",
            f"ws://user:{CANARY}@127.0.0.1:{port}/",
            f"wss://{CANARY}:{CANARY}@name.invalid/{CANARY}",
            f"ws://127.0.0.1:{port}/{CANARY}#fragment",
        ):
            process = collect(
                *("--url", url, "--cross-check", url, "--ring", ring_name),
                *("--until-idle", "0.2", "--verbose", "--json"),
            )
            out, err = process.communicate(timeout=60)
            assert process.returncode != 0
            assert CANARY not in out + err


def test_connection_delivers_fragments_pings_and_large_messages_in_order() -> None:
    """Frames as RFC 6455 allows them, in whatever pieces TCP makes of them."""
    large = "x" * (MAX_MESSAGE - 10)

    async def talk(connection: ServerConnection) -> None:
        await connection.send("first")
        await connection.send(["frag", "ment", "ed"])
        await connection.ping()
        await connection.send("y" * 70_000)
        await connection.send(large)
        await connection.send("é")
        await connection.close(4000, "enough")

    async def run() -> tuple[list[bytes], int | None]:
        received: list[bytes] = []
        async with serve(talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await open_connection(f"ws://127.0.0.1:{port}", received.extend, timeout_s=5)
            await connection.wait_closed()
        return received, connection.close_code

    received, code = asyncio.run(run())
    assert received == [b"first", b"fragmented", b"y" * 70_000, large.encode(), "é".encode()]
    assert code == 4000


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x7f" + (MAX_MESSAGE + 1).to_bytes(8, "big"), 1009),
        (b"\x81\xff" + bytes(12), 1002),
        (b"\xc1\x01a", 1002),
        (b"\x83\x00", 1002),
        (b"\x80\x01a", 1002),
    ],
    ids=["too-large", "masked", "reserved-bit", "unknown-opcode", "continuation-of-nothing"],
)
def test_connection_with_a_frame_that_is_none_is_closed(frame: bytes, code: int) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("before")
        connection.transport.write(frame)
        await connection.wait_closed()

    async def run() -> tuple[list[bytes], int | None]:
        received: list[bytes] = []
        async with serve(talk, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await open_connection(f"ws://127.0.0.1:{port}", received.extend, timeout_s=5)
            await connection.wait_closed()
        assert connection.protocol.close_sent is not None
        return received, connection.protocol.close_sent.code

    assert asyncio.run(run()) == ([b"before"], code)


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_connection_with_frames_in_small_pieces_puts_them_together(piece: int) -> None:
    texts = ["a" * size for size in (0, 1, 125, 126, 127, 600, 65_535, 65_536)]
    stream = b"".join(Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts)

    async def talk(connection: ServerConnection) -> None:
        for at in range(0, len(stream), piece):
            connection.transport.write(stream[at : at + piece])
            if at % 8192 < piece:
                await asyncio.sleep(0)
        await connection.close()

    async def run() -> list[bytes]:
        received: list[bytes] = []
        async with serve(talk, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await open_connection(f"ws://127.0.0.1:{port}", received.extend, timeout_s=5)
            await connection.wait_closed()
        return received

    assert asyncio.run(run()) == [text.encode() for text in texts]
