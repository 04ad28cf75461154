"""A collector on a node that goes on for ever: healthy, and every event of every lap exactly once."""

from __future__ import annotations

import asyncio
import math

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from ringbuf import Reader
from tests.producers.collected import Identity, canonical_events, read_story
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST, EventOrigin, Gap, Heartbeat, PoolRecord, Reorg
from tlv.message import parse
from tools.recording import RecordingNode, bundled_recording, load_recording
from tools.recording.laps import lap_of

LAPS = 3
PATIENCE_S = 120.0


async def collect_laps(ring: str) -> None:
    """Until a heartbeat says that the last lap is behind the collector."""
    async with asyncio.timeout(PATIENCE_S), RecordingNode(speed=math.inf, at_end="loop") as node:
        end = lap_of(node.recording, LAPS).lowest
        collector = Collector(CollectorOptions(chain=load_chain("polygon"), urls=(node.ws_url,), ring=ring))
        running = asyncio.ensure_future(collector.run())
        await asyncio.sleep(0)
        with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            while not any(
                beat is not None and beat.safe_number >= end
                for beat in [parse(frame.payload).first(Heartbeat) for frame in reader.poll()]
            ):
                await asyncio.sleep(0.01)
        collector.stop()
        await running


def test_collector_on_a_looping_node_decodes_every_lap_once_and_stays_healthy(ring_name: str) -> None:
    asyncio.run(collect_laps(ring_name))
    story = read_story(ring_name)
    recording, expected = load_recording(bundled_recording()), canonical_events()
    wanted: dict[Identity, PoolRecord] = dict(expected)
    for number in range(1, LAPS):
        names = dict(zip(recording.blocks, lap_of(recording, number).blocks, strict=True))
        for (block, transaction, index), record in expected.items():
            renamed = bytes.fromhex(names["0x" + block.hex()][2:])
            wanted[renamed, transaction, index] = record
    end = lap_of(recording, LAPS).lowest
    origins = [origin for message in story.messages if (origin := message.first(EventOrigin)) is not None]
    numbers = {origin.block_hash: origin.block_number for origin in origins}
    # It may be some laps further before it is stopped.
    assert {key: record for key, record in story.standing.items() if numbers[key[0]] < end} == wanted
    assert not story.twice.total()
    records = [message.records[0] for message in story.messages]
    reorgs = [record.fork_number for record in records if isinstance(record, Reorg) and record.fork_number < end]
    gaps = [record for record in records if isinstance(record, Gap) and record.first < end]
    assert (len(reorgs), len(gaps)) == (3 * LAPS, 3 * LAPS), "two holes of a lap, and one behind it"
    reasons = [record.reason for record in records if isinstance(record, Heartbeat)]
    assert set(reasons) <= {FeedReason.OK, FeedReason.CONNECTING}
    assert reasons[-1] == FeedReason.OK
