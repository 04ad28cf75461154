"""What relays share: rings that come and go, and the cursors of names, which belong to one connection at a time."""

from __future__ import annotations

import gc
import itertools
import os
import resource
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from consumers.client import Farewell, RelayClient
from consumers.incarnations import RingCursor
from consumers.journal.editing import copy_range
from consumers.relay import protocol
from consumers.relay.counters import Counters
from consumers.relay.cursors import Cursor
from consumers.relay.feed import FeedPosition
from consumers.relay.kernels import BATCH_BYTES
from consumers.relay.line import RingLine
from consumers.relay.session import ClientSession, Phase
from ringbuf import Writer
from tests.consumers.relay_rig import make_ring, market_message, publish, sequences, serving, take
from tests.consumers.test_relay import record_now, wait_for
from tlv.codes import Reason, StreamStart
from tlv.filter import EVERYTHING
from tlv.layout import HEADER_SIZE, Gap, Header, Resume
from tlv.message import parse

OTHER_LAYOUT = 7


def line_of(ring: str, journal: Path | None = None) -> RingLine:
    """The rings of this name, looked at once."""
    line = RingLine(ring, journal, partial(next, itertools.count()), Counters(), lambda: None)
    line.look(0.0)
    return line


def session_of(hello: bytes, line: RingLine, cursors: Path) -> ClientSession:
    """A session whose client has said `hello` before the relay found any ring, and that then takes up `line`."""
    session = ClientSession(0.0, lambda: [], cursors, Counters())
    session.receive(hello)
    session.take_up(line)
    return session


def until_told(line: RingLine, place: FeedPosition) -> bytes:
    """The next chunk that is not empty."""
    while not (chunk := bytes(line.next_chunk(place, EVERYTHING))):
        time.sleep(0.01)
    return chunk


def test_relay_ring_of_another_layout_is_counted_and_the_others_are_served(new_ring_name: Callable[[], str]) -> None:
    good, foreign = new_ring_name(), new_ring_name()
    with (
        make_ring(good) as writer,
        Writer.create(foreign, layout_digest=OTHER_LAYOUT),
        serving(good) as rig,
        rig.client(start="oldest") as client,
    ):
        rig.relay._open_line(foreign)
        wait_for(lambda: rig.relay.counters.unreadable_rings == 1)
        publish(writer, 3)
        assert sequences(take(client, 3)) == [1, 2, 3]


def test_session_ring_that_appears_goes_on_where_its_client_stood(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 50)
        line = line_of(ring_name)
        hello = protocol.subscribe(start=StreamStart.SEQUENCE, resume=[Resume(31, writer.uuid, "")])
        assert session_of(hello, line, tmp_path).places[ring_name].sequence == 31
        any_ring = protocol.subscribe(start=StreamStart.SEQUENCE, resume=[Resume(31, protocol.ANY_RING, "")])
        assert session_of(any_ring, line, tmp_path).places[ring_name].sequence == 1
        cursor = Cursor(tmp_path, "risk")
        cursor.advance(ring_name, writer.uuid, 40)
        cursor.close()
        named = protocol.subscribe(name="risk", start=StreamStart.ACKNOWLEDGED)
        assert session_of(named, line, tmp_path).places[ring_name].sequence == 41
        line.close()


def test_session_ring_that_appears_and_lacks_what_was_asked_for_dismisses_its_client(
    ring_name: str, tmp_path: Path
) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 5)
        line = line_of(ring_name)
        hello = protocol.subscribe(start=StreamStart.SEQUENCE, resume=[Resume(31, writer.uuid, ring_name)])
        assert session_of(hello, line, tmp_path).phase is Phase.LEAVING
        line.close()


def test_relays_side_by_side_share_cursors_and_no_name_has_two_owners(ring_name: str, tmp_path: Path) -> None:
    with (
        make_ring(ring_name) as writer,
        serving(ring_name, cursors=tmp_path) as first,
        serving(ring_name, cursors=tmp_path) as second,
    ):
        publish(writer, 60)
        with first.client(name="risk", start="acknowledged") as client:
            assert sequences(take(client, 21)) == list(range(1, 22))
            with (
                second.client(name="risk", start="acknowledged") as rival,
                pytest.raises(Farewell, match="name in use"),
            ):
                take(rival, 1)
        wait_for(lambda: not first.relay._connections)
        with second.client(name="risk", start="acknowledged") as client:
            # The last one had not been handled when it hung up: asking for the next would have said so.
            assert sequences(take(client, 11)) == list(range(21, 32))


def test_client_that_follows_a_dead_relay_to_the_next_instance_misses_nothing(ring_name: str, tmp_path: Path) -> None:
    """The socket's path is one link that leads to whichever instance serves; the client comes back by itself."""
    link = tmp_path / "relay.sock"
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with serving(ring_name) as rig:
            link.symlink_to(rig.path)
            client = RelayClient(link, start="oldest", name="risk")
            assert sequences(take(client, 10)) == list(range(1, 11))
        publish(writer, 10)
        with serving(ring_name) as rig:
            link.unlink()
            link.symlink_to(rig.path)
            assert sequences(take(client, 10)) == list(range(11, 21))
        client.close()


def test_relay_journal_that_begins_behind_the_rings_oldest_hides_nothing_of_the_ring(
    ring_name: str, tmp_path: Path
) -> None:
    with make_ring(ring_name, capacity=1 << 20) as writer:
        publish(writer, 200)
        record_now(writer, tmp_path / "whole")
        copy_range([tmp_path / "whole"], tmp_path / "late", first=150)
        with (
            serving(ring_name, journals={ring_name: tmp_path / "late"}) as rig,
            rig.client(start="oldest", at_least_once=True) as client,
        ):
            # The first is 150 if the journal's beginning hides what the ring still has.
            assert sequences(take(client, 51))[-1] == 51


def test_relay_journal_removed_while_a_client_reads_it_costs_that_client_a_gap(ring_name: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 70)
        record_now(writer, journal)
        publish(writer, 1000)
        line = line_of(ring_name, journal)
        place = line.place(StreamStart.SEQUENCE, True, RingCursor(writer.uuid, 1), [])
        assert place is not None
        assert len(until_told(line, place)) > 0
        shutil.rmtree(journal)
        told = until_told(line, place)
        gap = parse(told[BATCH_BYTES:][: HEADER_SIZE + Header.unpack(told, BATCH_BYTES).payload_size]).first(Gap)
        assert gap is not None
        assert (gap.first, gap.last + 1, gap.reason) == (71, place.sequence, Reason.NOT_RETAINED)
        line.close()


def test_relay_out_of_descriptors_tells_no_loss_that_is_none(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 70)
        record_now(writer, tmp_path)
        publish(writer, 1000)
        line = line_of(ring_name, tmp_path)
        place = line.place(StreamStart.SEQUENCE, True, RingCursor(writer.uuid, 1), [])
        assert place is not None
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Every descriptor up to the new limit is in use, and stays so: what earlier tests left is closed before.
        gc.collect()
        gc.disable()
        highest = os.dup(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, limits[1]))
        try:
            with pytest.raises(Farewell, match=r"no resources \(EMFILE\)") as refused:
                until_told(line, place)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            os.close(highest)
            gc.enable()
        assert not refused.value.final
        assert len(until_told(line, place)) > 70 * len(market_message(1)) // 2
        line.close()


def test_cursor_whose_file_cannot_be_read_refuses_the_name_and_gives_it_back(ring_name: str) -> None:
    with make_ring(ring_name), serving(ring_name) as rig:
        spoilt = rig.directory / "cursors" / "market_data" / "risk.json"
        spoilt.mkdir(parents=True)
        with rig.client(name="risk") as client, pytest.raises(Farewell, match=r"cursor refused \(EISDIR\)"):
            take(client, 1)
        spoilt.rmdir()
        with rig.client(name="risk") as client:
            client.receive()
