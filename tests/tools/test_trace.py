"""`alphapulse trace` on the bundled recording, as node, collector, strategy and recorder bring it into rings and a
journal; and on rings and journals with what no recording holds.  What it says is held against the frames' own bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from consumers.journal import Fsync, JournalReader
from consumers.journal.layout import SegmentHeader
from consumers.journal.segment import header_checksum, list_segments
from consumers.recorder import Recorded, Recorder
from producers.output.replay import Replay, RingClock
from ringbuf import Frame, Reader, SharedCounters
from ringbuf.layout import TIME_ROW
from tests.conftest import SESSION, SHARED_MEMORY, segments
from tests.consumers.journal_frames import RING, UUID, layout, open_writer
from tests.consumers.recorded_market import Publisher, canonical_events, canonical_frames
from tests.consumers.relay_rig import make_ring
from tests.own_mounts import OWN_MOUNTS
from tests.producers.collected import collect_recording
from tests.tools.test_ringstat import ringstat
from tlv.codes import Domain, EmitterProof, Flag, OrderReason, OrderState, Reason, Source
from tlv.errors import AlphaPulseError, UsageError
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Fill,
    OrderLeg,
    OrderRequest,
    OrderStatus,
    RiskDecision,
    Session,
    SignalIdentity,
    SignalWithdrawn,
    Unproven,
)
from tlv.message import build, parse
from tlv.record import Record
from tools.command.supervisor import child_environment, command_line
from tools.rig.recorded_ring import fill_recorded
from tools.trace import model
from tools.trace.command import command
from tools.trace.frames import SequenceMissing
from tools.trace.model import Trace, TraceAnswer
from tools.trace.text import duration_text

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "traces.md"
PATIENCE_S = 120.0
OTHER = bytes(range(16, 32))


@dataclass
class Market:
    """What a run of the pipeline left."""

    ring: str
    signals: str
    journal: Path
    frames: dict[int, Frame]
    """With payloads that may be kept."""
    signal_frames: dict[int, Frame]


def frames_in(ring: str) -> dict[int, Frame]:
    """All frames of a ring, by sequence."""
    found = {}
    with Reader.attach(ring, start="oldest") as reader:
        while poll := reader.poll():
            found |= {frame.sequence: frame._replace(payload=memoryview(bytes(frame.payload))) for frame in poll}
    return found


def start(*arguments: str) -> subprocess.Popen[str]:
    """A command, as a process of its own."""
    return subprocess.Popen(
        command_line(list(arguments)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment({}),
    )


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """Node, collector and strategy over real sockets and rings; the strategy waits for the ring, as after `up`."""
    ring, signals = f"{SESSION}.trace", f"{SESSION}.trace.signals"
    journal = tmp_path_factory.mktemp("trace") / "journal"
    strategy = start(
        *("strategy", "--ring", ring, "--signals", signals, "--start", "oldest"), "--until-closed", "--gross", "--json"
    )
    try:
        asyncio.run(collect_recording(ring))
        _, err = strategy.communicate(timeout=PATIENCE_S)
        assert strategy.returncode == 0, err
        with Recorder(ring, journal, report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: False, until_closed=True)
        yield Market(ring, signals, journal, frames_in(ring), frames_in(signals))
    finally:
        strategy.kill()
        strategy.wait()
        for left in segments(ring):
            (SHARED_MEMORY / left).unlink(missing_ok=True)


def run(*arguments: str | Path) -> Result:
    """The command, in this process; an error of the project is raised."""
    done = CliRunner().invoke(command, list(map(str, arguments)))
    if isinstance(done.exception, AlphaPulseError | OSError):
        raise done.exception
    return done


def answer(*arguments: str | Path) -> TraceAnswer:
    """What it says with --json, held against its schema, to the last field."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    decoded = msgspec.json.decode(done.stdout, type=TraceAnswer)
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(done.stdout), "no field too many"
    return decoded


def one(*arguments: str | Path) -> Trace:
    """The only trace of an answer."""
    (trace,) = answer(*arguments).traces
    return trace


def hops(trace: Trace) -> dict[str, model.TraceHop]:
    return {hop.name: hop for hop in trace.hops}


def stamps(trace: Trace) -> dict[str, int]:
    return {stamp.name: stamp.wall_ns for stamp in trace.stamps}


def trigger_of(frame: Frame) -> SignalIdentity:
    identity = parse(frame.payload).first(SignalIdentity)
    assert identity is not None
    return identity


def on_an_event(market: Market) -> dict[int, Frame]:
    """The strategy's messages on events; others are on the ends of blocks."""
    return {
        sequence: frame
        for sequence, frame in market.signal_frames.items()
        if parse(market.frames[trigger_of(frame).trigger_sequence].payload).first(EventOrigin) is not None
    }


@pytest.fixture(scope="module")
def forward(market: Market) -> dict[int, Trace]:
    """The trace of each event that a message of the strategy is on, by the event's sequence in its ring."""
    triggers = {trigger_of(frame).trigger_sequence for frame in on_an_event(market).values()}
    return {sequence: one(sequence, "--ring", market.ring) for sequence in triggers}


def test_trace_of_a_signal_leads_to_its_event_and_the_stamps_are_those_of_the_frames(
    market: Market, forward: dict[int, Trace]
) -> None:
    on_events = on_an_event(market)
    assert len(on_events) >= 2
    said = [(parse(frame.payload), frame.publish_time_ns) for frame in market.frames.values()]
    blocks = {block.hash: block for message, _ in reversed(said) if (block := message.first(Block))}
    ends = {end.hash: published_ns for message, published_ns in said if (end := message.first(BlockEnd))}
    for sequence, frame in on_events.items():
        trigger = trigger_of(frame)
        event = market.frames[trigger.trigger_sequence]
        origin = parse(event.payload).first(EventOrigin)
        assert origin is not None
        trace = one(sequence, "--ring", market.signals)
        assert (trace.ring, trace.sequence, trace.what) == (market.ring, trigger.trigger_sequence, "event")
        assert (trace.block_number, trace.log_index) == (origin.block_number, origin.log_index)
        (signal,) = (signal for signal in trace.signals if signal.sequence == sequence)
        assert (signal.ring, signal.trigger) == (market.signals, "event")
        assert trace.notes[0].startswith(f"from {signal.kind} {sequence} of {market.signals}")
        (hop,) = (hop for hop in trace.hops if hop.end == f"signal {market.signals} {sequence}")
        assert signal.ns == hop.ns == frame.publish_time_ns - event.publish_time_ns
        assert (hop.name, hop.precision) == ("ring_to_signal", "exact")
        assert forward[trigger.trigger_sequence].signals == trace.signals, "the way forward is the same"

        block, seen = blocks[origin.block_hash], stamps(trace)
        assert seen["block_time"] == block.timestamp * 10**9
        assert (seen["head"], seen["receive"]) == (block.receive_time_ns, origin.receive_time_ns)
        assert hops(trace)["ring_to_block_end"].ns == ends[origin.block_hash] - event.publish_time_ns
        old = hops(trace)["block_to_receive"]
        assert (old.precision, old.counted) == ("seconds", False) and "a recording" in old.note


def test_trace_of_a_journal_says_the_same_as_that_of_its_ring(market: Market, forward: dict[int, Trace]) -> None:
    for sequence, ring in forward.items():
        journal = one(sequence, "--journal", market.journal)
        assert (journal.block_hash, journal.signals, journal.whole_ns > 0) == (ring.block_hash, ring.signals, True)
        exact = [[hop for hop in trace.hops if hop.precision in ("exact", "wall")] for trace in (ring, journal)]
        assert exact[0] == exact[1] and len(exact[0]) == 2 + len(ring.signals)


def in_order_of_slowness(market: Market) -> list[int]:
    """Sequences of the events in time, slowest first, found one by one."""
    took = {}
    signalled: dict[int, int] = {}
    with Reader.attach(market.signals) as reader:
        made_ns = reader.identity.created_ns
    for frame in market.signal_frames.values():
        sequence = trigger_of(frame).trigger_sequence
        if made_ns <= market.frames[sequence].publish_time_ns:
            signalled[sequence] = max(signalled.get(sequence, 0), frame.publish_time_ns)
    for sequence, frame in market.frames.items():
        message = parse(frame.payload)
        origin = message.first(EventOrigin)
        if origin is not None and not message.header.flags & (Flag.BACKFILL | Flag.REMOVED):
            took[sequence] = signalled.get(sequence, frame.publish_time_ns) - origin.receive_time_ns
    return sorted(took, key=lambda sequence: (-took[sequence], sequence))


@pytest.mark.parametrize("source", ["ring", "journal"])
def test_trace_slowest_are_the_slowest_in_order_ties_by_sequence(market: Market, source: str) -> None:
    where = ("--ring", market.ring) if source == "ring" else ("--journal", market.journal)
    wanted = in_order_of_slowness(market)
    found = answer("--slowest", "40", *where)
    assert [trace.sequence for trace in found.traces] == wanted[:40]
    assert (found.frames, found.lost, found.events) == (len(market.frames), 0, len(wanted))
    took = [trace.here_ns for trace in found.traces]
    assert took == sorted(took, reverse=True)
    everything = answer("--slowest", "10000", *where)
    assert [trace.sequence for trace in everything.traces] == wanted
    assert [trace.sequence for trace in answer("--slowest", "3", *where).traces] == wanted[:3]


def test_trace_text_names_the_slowest_hop_and_what_has_no_stamp(market: Market) -> None:
    first = min(on_an_event(market))
    sequence = trigger_of(market.signal_frames[first]).trigger_sequence
    out = run(sequence, "--ring", market.ring).stdout
    trace = one(sequence, "--ring", market.ring)
    assert out.startswith(f"{market.ring} {sequence}  {trace.record}  polygon.")
    assert f"  slowest: {trace.slowest}" in out and trace.slowest in hops(trace)
    assert f"signal {market.signals} {first} of flash_arbitrage on it, " in out
    assert f"looked at {len(market.frames)} frames of ring {market.ring}" in out
    listed = out[out.index("without a stamp per event:") :].splitlines()[1:]
    unknown = list(dict.fromkeys(line.split()[0] for line in listed))
    assert unknown == ["node", "loop_late", "ring_to_client", "ring_to_journal"]


def test_trace_counted_hops_hold_its_slowest_and_its_whole(market: Market) -> None:
    for trace in answer("--slowest", "10000", "--ring", market.ring).traces:
        counted = [hop for hop in trace.hops if hop.counted]
        assert trace.slowest == max(counted, key=lambda hop: hop.ns).name
        assert hops(trace)[trace.slowest_here].here
        assert trace.whole_ns >= trace.here_ns >= hops(trace)["receive_to_ring"].ns > 0


def test_trace_of_a_block_its_end_and_other_messages(market: Market) -> None:
    kinds: dict[str, Trace] = {}
    for sequence in (1, 2, *[s for s, f in market.frames.items() if parse(f.payload).first(BlockEnd)][:1]):
        trace = one(sequence, "--ring", market.ring)
        kinds.setdefault(trace.record, trace)
    first_block = next(s for s, f in market.frames.items() if parse(f.payload).first(Block))
    kinds["Block"] = one(first_block, "--ring", market.ring)
    assert kinds["Session"].what == "message" and [hop.name for hop in kinds["Session"].hops] == ["built_to_ring"]
    assert kinds["Block"].what == "block" and {"block_to_receive", "receive_to_ring"} == set(hops(kinds["Block"]))
    end = kinds["BlockEnd"]
    assert end.what == "block_end" and {"head_to_block_end", "built_to_ring"} <= set(hops(end))
    assert end.block_number >= 0 and end.log_index == -1 and end.transaction_hash == ""


def test_trace_chrome_file_is_what_the_trace_event_format_says(market: Market, tmp_path: Path) -> None:
    path = tmp_path / "slow.json"
    path.write_text("an older one")
    found = answer("--slowest", "20", "--ring", market.ring, "--chrome", path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["slow.json"], "nothing beside it"
    document = json.loads(path.read_text())
    assert document["displayTimeUnit"] == "ns" and int(document["otherData"]["begin_wall_ns"]) > 0
    slices: dict[tuple[int, int], list[dict[str, Any]]] = {}
    names = {}
    for event in document["traceEvents"]:
        assert event["ph"] in {"X", "M"} and isinstance(event["pid"], int) and isinstance(event["tid"], int)
        if event["ph"] == "M":
            names[event["name"], event["pid"], event["tid"]] = event["args"]
            continue
        assert event["ts"] >= 0 and event["dur"] >= 0 and event["name"] and event["cat"]
        slices.setdefault((event["pid"], event["tid"]), []).append(event)
    assert all(len(on_thread) == 1 for on_thread in slices.values()), "slices of one thread would have to nest"
    assert {("thread_name", *thread) in names for thread in slices} == {True}
    for number, trace in enumerate(found.traces, 1):
        assert names["process_name", number, 0]["name"] == f"{market.ring} {trace.sequence} {trace.record}"
        (whole,) = slices[number, 0]
        drawn = [event for (pid, tid), (event,) in slices.items() if pid == number and tid]
        assert [event["name"] for event in drawn] == [hop.name for hop in trace.hops if hop.drawn]
        assert [event["args"]["ns"] for event in drawn] == [hop.ns for hop in trace.hops if hop.drawn]
        assert whole["ts"] == min(event["ts"] for event in drawn)
        hidden = whole["args"]["not_drawn_ns"]
        assert hidden == {hop.name: hop.ns for hop in trace.hops if not hop.drawn} and "block_to_receive" in hidden


def test_trace_chrome_target_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a file, found a directory"):
        run("1", "--ring", "no.such.ring", "--chrome", tmp_path)
    with pytest.raises(UsageError, match="there is no directory"):
        run("1", "--ring", "no.such.ring", "--chrome", tmp_path / "nowhere" / "x.json")
    with pytest.raises(UsageError, match="found something that cannot be replaced"):
        run("1", "--ring", "no.such.ring", "--chrome", "/dev/null")


def test_trace_chrome_file_on_a_full_disk_fails_in_one_line_and_leaves_nothing(market: Market, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=64k none "$0" && "$@"; code=$?; ls -A "$0"; exit $code'
    trace = ["trace", "--slowest", "1000", "--ring", market.ring, "--chrome", str(tmp_path / "slow.json")]
    done = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", script, str(tmp_path), *command_line(trace)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"alphapulse: error: No space left on device ({tmp_path / 'slow.json'})" in done.stderr


def test_trace_whose_reader_leaves_has_written_its_file(market: Market, tmp_path: Path) -> None:
    path = tmp_path / "slow.json"
    process = start("trace", "--slowest", "1000", "--ring", market.ring, "--json", "--chrome", str(path))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=PATIENCE_S) == 0
    assert json.loads(path.read_text())["traceEvents"]


def test_trace_of_an_event_whose_block_left_the_chain_says_so_both_ways(ring_name: str) -> None:
    publisher = Publisher()
    events = [event for event in canonical_events() if event[1].block_number == canonical_events()[0][1].block_number]
    number, block_hash = events[0][1].block_number, events[0][1].block_hash
    publisher.blocks(events)
    publisher.reorg(number - 1, bytes(32), events)
    reorg = len(publisher.frames) - len(events)
    with make_ring(ring_name) as writer:
        for _, _, data in publisher.frames:
            writer.publish(data)
        removed = one("2", "--ring", ring_name)
        assert (removed.removed_by, removed.reorg) == (reorg + len(events), reorg)
        assert f"removed: taken back by sequence {removed.removed_by} (reorg at sequence {reorg})" in removed.notes
        copy = one(removed.removed_by, "--ring", ring_name)
        assert (copy.what, copy.flags, copy.block_hash) == ("removal", ["REMOVED"], f"0x{block_hash.hex()}")
        assert any("it takes back sequence 2;" in note for note in copy.notes)
        assert not {"receive", "block_end"} & set(stamps(copy)), "those were the original's"
        slowest = answer("--slowest", "100", "--ring", ring_name)
        assert {trace.reorg for trace in slowest.traces} == {reorg}
        assert (slowest.events, slowest.left_out) == (len(events), len(events))


def test_trace_of_an_unproven_event_that_was_taken_back_outside_a_reorg_says_why(ring_name: str) -> None:
    publisher, event = Publisher(), canonical_events()[0]
    publisher.event(event, Flag.UNPROVEN)
    publisher.event(event, Flag.UNPROVEN | Flag.REMOVED)
    pool = event[0].pool
    publisher.put(Domain.SYSTEM, [Unproven(event[1].block_number, 0, 1, 2, pool, EmitterProof.NO_POOL)])
    with make_ring(ring_name) as writer:
        for _, _, data in publisher.frames:
            writer.publish(data)
        trace = one("1", "--ring", ring_name)
    assert (trace.removed_by, trace.reorg) == (2, 0)
    assert "removed: taken back by sequence 2 (its emitter proved to be no pool)" in trace.notes


def test_trace_of_fetched_and_of_negative_times_tells_them_and_counts_no_latency_of_the_fetched(
    ring_name: str,
) -> None:
    pool, origin = canonical_events()[0]
    now_s = time.time_ns() // 10**9
    with make_ring(ring_name) as writer:
        early = msgspec.structs.replace(origin, block_timestamp=now_s - 2, receive_time_ns=(now_s + 7200) * 10**9)
        late = msgspec.structs.replace(origin, block_timestamp=now_s - 2, receive_time_ns=now_s * 10**9)
        for flags, place in ((0, early), (Flag.BACKFILL, late)):
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [pool, place], flags=flags))
        ahead, fetched = one("1", "--ring", ring_name), one("2", "--ring", ring_name)
        assert hops(ahead)["receive_to_ring"].ns < -7000 * 10**9
        assert "the clocks disagree" in hops(ahead)["receive_to_ring"].note
        assert "-7,1" in run("1", "--ring", ring_name).stdout, "not clipped in the text either"
        assert ahead.slowest == ""
        assert not hops(fetched)["block_to_receive"].counted and hops(fetched)["block_to_receive"].ns == 2 * 10**9
        assert any(note.startswith("BACKFILL") for note in fetched.notes)
        found = answer("--slowest", "5", "--ring", ring_name)
        assert [trace.sequence for trace in found.traces] == [1] and found.left_out == 1


def test_trace_of_an_event_whose_block_came_back_says_so_and_is_not_among_the_slow(ring_name: str) -> None:
    pool, origin = canonical_events()[0]
    first_ns = time.time_ns() - 3600 * 10**9
    origin = msgspec.structs.replace(origin, receive_time_ns=first_ns)
    with make_ring(ring_name) as writer:
        for built_ns in (first_ns, time.time_ns()):
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [pool, origin], timestamp_ns=built_ns))
        again, found = one("2", "--ring", ring_name), answer("--slowest", "9", "--ring", ring_name)
    assert [(hop.name, hop.counted) for hop in again.hops] == [("built_to_ring", True), ("receive_to_ring", False)]
    assert again.slowest == "built_to_ring" and again.here_ns < 3600 * 10**9
    assert any(note.startswith("published again") for note in again.notes)
    assert [trace.sequence for trace in found.traces] == [1] and found.left_out == 1


def test_trace_of_a_replayed_event_says_of_what_it_is_a_copy(market: Market, ring_name: str) -> None:
    sequence = trigger_of(market.signal_frames[1]).trigger_sequence
    uuid = trigger_of(market.signal_frames[1]).trigger_ring
    with make_ring(ring_name) as writer, JournalReader(market.journal) as journal:
        writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [session(writer.uuid)], sequence=1))
        polls = iter(journal.poll, None)
        Replay(writer).play([next(polls)], clock=lambda: RingClock(uuid, None))
        trace = one(sequence + 1, "--ring", ring_name)
    assert trace.flags == ["REPLAY"]
    assert any(f"a copy of sequence {sequence} of ring {uuid.hex()}" in note for note in trace.notes)
    assert not hops(trace)["receive_to_ring"].counted and "the replay's" in hops(trace)["receive_to_ring"].note
    assert trace.signals == [] and any("about another copy of it" in note for note in trace.notes)


def session(uuid: bytes) -> Session:
    return Session(uuid, 1, 1, 137, 0, bytes(32))


def test_trace_of_a_ring_that_a_bridge_brought_says_that_two_hosts_clocks_are_compared(ring_name: str) -> None:
    publisher = Publisher()
    publisher.put(Domain.SYSTEM, [session(OTHER)])
    publisher.event(canonical_events()[0])
    with make_ring(ring_name) as writer:
        for _, _, data in publisher.frames:
            writer.publish(data)
        trace = one("2", "--ring", ring_name)
    assert not hops(trace)["receive_to_ring"].counted
    assert f"a bridge carried it here from ring {OTHER.hex()} of another host" in trace.notes


def test_trace_of_a_sequence_that_is_not_there_says_why(new_ring_name: Callable[[], str], tmp_path: Path) -> None:
    small, empty = new_ring_name(), new_ring_name()
    journal = tmp_path / "journal"
    with make_ring(small, capacity=1 << 16) as writer, make_ring(empty):
        with Recorder(small, journal, report=print, fsync=Fsync.NEVER) as recorder:
            for sequence, _, data in canonical_frames():
                writer.publish(data)
                recorder.run(lambda wanted=sequence + 1: recorder.next_sequence >= wanted, until_closed=False)
        last = len(canonical_frames())
        with pytest.raises(SequenceMissing, match=rf"sequence {last + 1} is yet to come: the newest is {last}"):
            run(last + 1, "--ring", small)
        with pytest.raises(SequenceMissing, match="is yet to come: there is none yet"):
            run("1", "--ring", empty)
        with pytest.raises(SequenceMissing, match=r"sequence 50 was overwritten, the oldest is \d+; a journal may"):
            run("50", "--ring", small)
        with pytest.raises(
            SequenceMissing, match=f"of ring {OTHER.hex()}: the ring of this name is {writer.uuid.hex()}"
        ):
            run(f"{OTHER.hex()}:50", "--ring", small)
        assert one("50", "--ring", small, "--journal", journal).sequence == 50, "the journal has it"
        assert one(f"{writer.uuid.hex()[:6]}:50", "--journal", journal).ring_uuid == writer.uuid.hex()
        with pytest.raises(SequenceMissing, match=f"sequence {last + 1} is yet to come: the next is {last + 1}"):
            run(last + 1, "--journal", journal)
        with pytest.raises(SequenceMissing, match=f"of ring {OTHER.hex()}: the journal has rings {writer.uuid.hex()}"):
            run(f"{OTHER.hex()}:1", "--journal", journal)
        with open_writer(journal, ring_name=small, ring_uuid=writer.uuid[:1] + OTHER[1:]) as another:
            another.append(*layout([canonical_frames()[0][2]], 1))
        with pytest.raises(SequenceMissing, match=f"of ring {writer.uuid[:1].hex()}: the journal has rings"):
            run(f"{writer.uuid[:1].hex()}:1", "--journal", journal)


def test_trace_in_a_journal_with_a_loss_says_which_and_counts_it(tmp_path: Path) -> None:
    publisher = Publisher()
    publisher.blocks(canonical_events()[:12])
    messages = [data for _, _, data in publisher.frames]
    with open_writer(tmp_path) as writer:
        writer.append(*layout(messages[:4], 10))
        writer.append_gap(14, 19, Reason.LAPPED)
        writer.append(*layout(messages[4:], 20))
    with pytest.raises(SequenceMissing, match=r"sequence 15 is lost: 1\d to 19 \(LAPPED\)"):
        run("15", "--journal", tmp_path)
    with pytest.raises(SequenceMissing, match="sequence 3 is no longer kept, the oldest is 10"):
        run("3", "--journal", tmp_path)
    assert answer("12", "--journal", tmp_path).lost == 6
    found = answer("--slowest", "100", "--journal", tmp_path)
    assert (found.frames, found.lost, found.events) == (len(messages), 6, 12)


def test_trace_slowest_of_a_journal_keeps_ties_in_order_over_all_its_rings(tmp_path: Path) -> None:
    """Two incarnations; within each all events took as long."""
    messages = [build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, event) for event in canonical_events()[:30]]
    for uuid in (UUID, OTHER):
        with open_writer(tmp_path, ring_uuid=uuid) as writer:
            buffer, table, count = layout(messages, 1)
            table[TIME_ROW] = 5_000
            writer.append(buffer, table, count)
    found = answer("--slowest", "25", "--journal", tmp_path)
    assert found.events == 60
    assert len({trace.here_ns for trace in found.traces}) == 1
    assert [trace.sequence for trace in found.traces] == list(range(1, 26))
    assert one("3", "--journal", tmp_path).ring_uuid == OTHER.hex(), "the latest, if none is named"
    assert one(f"{UUID.hex()}:3", "--journal", tmp_path).ring_uuid == UUID.hex()
    with pytest.raises(SequenceMissing, match=f"of ring {UUID.hex()}, behind which ring {OTHER.hex()} follows"):
        run(f"{UUID.hex()}:31", "--journal", tmp_path)


def test_trace_of_an_event_whose_signals_may_have_been_overwritten_says_where(
    new_ring_name: Callable[[], str],
) -> None:
    ring, signals = new_ring_name(), new_ring_name()
    event = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, canonical_events()[0])
    with make_ring(signals, capacity=1 << 16) as strategy, make_ring(ring) as writer:
        writer.publish(event)
        for number in range(1, 2001):
            identity = SignalIdentity(number, 2, 0, writer.uuid, "some", 1)
            strategy.publish(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity]))
        writer.publish(event)
        first, second = one("1", "--ring", ring), one("2", "--ring", ring)
    assert f"signals of that time may have been overwritten in {signals}" in first.notes
    assert not any("overwritten" in note for note in second.notes) and second.signals == []


def test_trace_of_an_event_that_was_recorded_by_another_clock_gives_its_signals_no_times(
    market: Market, tmp_path: Path
) -> None:
    """As after a reboot: the monotonic clock of the journal is not that of the signals."""
    frame = market.signal_frames[1]
    sequence, uuid = trigger_of(frame).trigger_sequence, trigger_of(frame).trigger_ring
    with open_writer(tmp_path, ring_uuid=uuid, pack=False) as writer:
        writer.append(*layout([bytes(market.frames[sequence].payload)], sequence))
    (segment,) = list_segments(tmp_path)
    content = bytearray(segment.path.read_bytes())
    header = SegmentHeader.unpack(content)
    header = msgspec.structs.replace(header, clock_offset_ns=header.clock_offset_ns + 3600 * 10**9, checksum=0)
    sealed = msgspec.structs.replace(header, checksum=header_checksum(header.pack()))
    content[: len(sealed.pack())] = sealed.pack()
    segment.path.write_bytes(content)
    trace = one(sequence, "--journal", tmp_path)
    assert trace.signals == [] and "ring_to_signal" not in hops(trace)
    assert "signals that name it: 1; another clock recorded it, so their times say nothing" in trace.notes
    assert answer("--slowest", "1", "--journal", tmp_path).traces[0].signals == []


def test_trace_of_a_signal_whose_ring_is_gone_names_it(ring_name: str, tmp_path: Path) -> None:
    identity = SignalIdentity(7, 42, 0, OTHER, "some", 1)
    with make_ring(ring_name) as writer:
        writer.publish(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity], sequence=1))
        with pytest.raises(SequenceMissing, match=f"sequence 42 of ring {OTHER.hex()}, which no ring of this host is"):
            run("1", "--ring", ring_name)
        with open_writer(tmp_path, ring_uuid=OTHER) as journal:
            journal.append(*layout([canonical_frames()[0][2]], 42))
        trace = one("1", "--ring", ring_name, "--journal", tmp_path)
        assert (trace.ring, trace.sequence) == (RING, 42)


def test_trace_leads_from_the_event_through_its_signal_to_the_fill_and_back(new_ring_name: Callable[[], str]) -> None:
    ring, signals, executed = new_ring_name(), new_ring_name(), new_ring_name()
    with make_ring(ring) as market, make_ring(signals) as strategy, make_ring(executed) as executor:
        market.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, canonical_events()[0]))
        identity = SignalIdentity(77, 1, 0, market.uuid, "own", 1)
        strategy.publish(build(Domain.SIGNAL, Source.USER_STRATEGY, [identity]))
        leg = OrderLeg(b"p" * 20, b"a" * 20, b"b" * 20, 1)
        order = OrderRequest(78, 1, 0, 7, 8, 5, 1, market.uuid, "own", 1, b"a" * 20, b"b" * 20, 1)
        strategy.publish(build(Domain.EXECUTION, Source.USER_STRATEGY, [order, leg]))
        gone = SignalWithdrawn(77, 5, 7, bytes(32), 1)
        strategy.publish(
            build(Domain.SIGNAL, Source.USER_STRATEGY, [msgspec.structs.replace(identity, signal_id=79), gone])
        )
        said: list[list[Record]] = [
            [RiskDecision(1, 77, strategy.uuid, 7, 0, 0, 1, 0)],
            [RiskDecision(2, 78, strategy.uuid, 7, 9, 8, 0, OrderReason.RATE)],
            [OrderStatus(2, 78, strategy.uuid, 7, bytes(32), OrderState.REJECTED, OrderReason.RATE)],
            [
                Fill(
                    1, 77, strategy.uuid, 8, bytes(32), 5, 4, 0, b"p" * 20, b"a" * 20, b"b" * 20, 1, 0, 400, 2, 18, 6, 1
                )
            ],
        ]
        for records in said:
            executor.publish(build(Domain.EXECUTION, Source.PAPER_EXECUTOR, records))
        trace = one("1", "--ring", ring)
        assert [(signal.sequence, signal.kind) for signal in trace.signals] == [
            (1, "signal"),
            (2, "order"),
            (3, "withdrawal"),
        ]
        assert [(order.signal_sequence, order.what, order.state) for order in trace.orders] == [
            (1, "decision", "approved"),
            (1, "report", "filled"),
            (2, "decision", "refused"),
            (2, "status", "rejected"),
        ]
        times = {name: frames_in(name) for name in (signals, executed)}
        decision, wait = hops(trace)["signal_to_decision"], hops(trace)["signal_to_fill"]
        assert (decision.end, decision.counted, wait.counted, wait.precision) == (
            f"decision {executed} 2",
            True,
            False,
            "exact",
        )
        assert wait.ns == times[executed][4].publish_time_ns - times[signals][1].publish_time_ns
        assert f"report {executed} 4: filled, " in run("1", "--ring", ring).stdout
        for sequence in (1, 2, 3, 4):
            found = one(sequence, "--ring", executed)
            assert (found.ring, found.sequence, found.orders) == (ring, 1, trace.orders)
            assert found.notes[0].startswith(f"from execution {sequence} of {executed}")


def test_trace_of_a_frame_that_is_no_message_and_of_a_ring_with_some_goes_on(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        writer.publish(b"0123456789" * 7)
        writer.publish(b"")
        writer.publish(canonical_frames()[-2][2])
        with pytest.raises(AlphaPulseError, match=f"ring {ring_name}, sequence 1: expected magic"):
            run("1", "--ring", ring_name)
        assert answer("3", "--ring", ring_name).frames == 3
        damaged = bytearray(canonical_frames()[-2][2])
        damaged[-1] ^= 1
        writer.publish(bytes(damaged))
        assert answer("--slowest", "9", "--ring", ring_name).broken == 1


def test_trace_shows_the_histograms_of_living_processes_for_hops_without_a_stamp(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        writer.publish(canonical_frames()[0][2])
        shared = SharedCounters.create(Recorded, ring_name, "recorder")
        try:
            counts = Recorded()
            shared.bind(counts)
            counts.ring_to_journal.add(1_000_000, 7)
            shared.put(counts)
            found = {hop.hop: hop for hop in answer("1", "--ring", ring_name).unstamped}
        finally:
            shared.close()
    assert (found["ring_to_journal"].count, found["ring_to_journal"].process) == (7, f"{ring_name}-recorder")
    assert 1_000_000 <= found["ring_to_journal"].p50_ns <= 1_032_000
    assert found["node"].count == 0 and "stamps neither" in found["node"].why


def test_trace_changes_nothing_that_it_looks_at(market: Market) -> None:
    before = [
        json.loads(ringstat(name, "--once", "--json").stdout)["rings"][0] for name in (market.ring, market.signals)
    ]
    files = {path: path.read_bytes() for path in market.journal.rglob("*")}
    run("--slowest", "5", "--ring", market.ring)
    run("--slowest", "5", "--journal", market.journal)
    after = [
        json.loads(ringstat(name, "--once", "--json").stdout)["rings"][0] for name in (market.ring, market.signals)
    ]
    steady = ("sequence", "counters", "occupancy", "consumers", "epoch")
    assert [[ring[key] for key in steady] for ring in before] == [[ring[key] for key in steady] for ring in after]
    assert {path: path.read_bytes() for path in market.journal.rglob("*")} == files


def test_trace_of_a_full_ring_looks_at_what_is_there_and_says_how_much(ring_name: str, tmp_path: Path) -> None:
    swap = next(data for _, _, data in canonical_frames() if parse(data).first(EventOrigin))
    with make_ring(ring_name) as writer:
        total = fill_recorded(writer, tmp_path, swap, 20_000)
        found = answer("--slowest", "2", "--ring", ring_name)
        assert 0 < found.frames < total and found.events == found.frames
        assert [trace.sequence > total - found.frames for trace in found.traces] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "expected either SEQUENCE or --slowest N"),
        (["3", "--slowest", "3"], 2, "expected either SEQUENCE or --slowest N"),
        (["0"], 2, "expected a sequence from 1 on"),
        (["-1"], 2, "No such option"),
        (["nonsense:3"], 2, "expected up to 32 hex digits"),
        ([str(1 << 63)], 2, "expected a sequence from 1 on"),
        (["--slowest", "0"], 2, "--slowest"),
        (["--slowest", "3", "--journal", "x", "--ring", "y"], 2, "--ring has no effect beside --journal"),
        (["3", "--ring", "no.such.ring"], 1, "no ring 'no.such.ring'"),
        (["3", "--journal", "/no/such/place"], 2, "/no/such/place"),
        (["3", "--ring", "Not/A/Ring"], 2, "Not/A/Ring"),
    ],
)
def test_trace_mistake_is_one_clear_line(arguments: list[str], code: int, words: str) -> None:
    done = CliRunner().invoke(command, arguments)
    found = 2 if isinstance(done.exception, UsageError) else 1 if isinstance(done.exception, AlphaPulseError) else None
    assert (found if found is not None else done.exit_code) == code
    text = str(done.exception) if found is not None else done.output
    assert words in text


def test_trace_as_a_process_fails_in_one_line_and_without_a_ring_asks_for_one(market: Market) -> None:
    done = start("trace", "99999999", "--ring", market.ring)
    out, err = done.communicate(timeout=PATIENCE_S)
    assert (done.returncode, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"alphapulse: error: ring {market.ring}: sequence 99999999 is yet to come")


def test_duration_text_keeps_sign_and_unit() -> None:
    said = [duration_text(ns) for ns in (0, 999, 1_000, -1_500_000, 2_000_000_000, -(3600 * 10**9))]
    assert said == ["0 ns", "999 ns", "1.000 us", "-1.500 ms", "2.000 s", "-3,600.000 s"]


def test_traces_document_has_a_line_for_each_field_and_each_hop() -> None:
    text = DOCUMENT.read_text()
    structs = [model.TraceAnswer, model.Trace, model.TraceStamp, model.TraceHop, model.TraceSignal]
    structs += [model.TraceOrder, model.Unstamped]
    wanted = {f"{struct.__name__}.{field}" for struct in structs for field in struct.__struct_fields__}
    assert set(re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE)) == wanted
    names = set(re.findall(r'way\.hop\(\s*"(\w+)"', (Path(model.__file__).parent / "hops.py").read_text()))
    assert names and all(f"| `{name}` |" in text for name in names)
