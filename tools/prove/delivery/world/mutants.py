"""The defects that the world must find: each put back as a small change of one function, with a world that shows it.

Owns the list.  A world that lets one of them live proves nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from tools.prove.delivery.world.run import DeliveryRun, run_delivery


class DeliveryMutant(NamedTuple):
    """One change, and where it is found."""

    name: str
    place: str
    """Module and function, `consumers.incarnations:next_step`."""
    old: str
    new: str
    seed: int
    kinds: str | None = None
    """What happens in that world; None: what the seed draws."""

    def run(self) -> DeliveryRun:
        """The world that finds it."""
        return run_delivery(self.seed, None if self.kinds is None else frozenset(self.kinds.split()))


DELIVERY_MUTANTS = (
    DeliveryMutant(
        "the end of one ring is told of another",
        "consumers.relay.line:next_step",
        "return Replaced(cursor.uuid, behind - 1, new, None)",
        "return Replaced(cursor.uuid, max(one.behind for one in (*rings, *recorded)) - 1, new, None)",
        3,
    ),
    DeliveryMutant(
        "the recorder is not waited for",
        "consumers.relay.line:next_step",
        "recorder_here = recorder_due and not _is_left(cursor.uuid, rings, recorded)",
        "recorder_here = False",
        48,
    ),
    DeliveryMutant(
        "the recorder is waited for without end",
        "consumers.relay.line:next_step",
        "recorder_here = recorder_due and not _is_left(cursor.uuid, rings, recorded)",
        "recorder_here = kept is not None",
        0,
    ),
    DeliveryMutant(
        "the recorder is waited for where it has gone on",
        "consumers.incarnations:_is_left",
        "return bool(recorded) and uuid in held and recorded[-1].uuid in held[held.index(uuid) :]",
        "return False",
        44,
    ),
    DeliveryMutant(
        "a loss takes in what the recorder is about to write",
        "consumers.relay.line:next_step",
        "there += [kept.behind] if kept and recorder_here else []",
        "",
        268,
    ),
    DeliveryMutant(
        "the loss at a ring's end is not told",
        "consumers.relay.line:next_step",
        "if cursor.sequence < behind:",
        "if False:",
        1,
    ),
    DeliveryMutant(
        "the journal is not asked for a ring that ended",
        "consumers.relay.line:next_step",
        "if kept and kept.first <= cursor.sequence < kept.behind:",
        "if False:",
        0,
    ),
    DeliveryMutant(
        "the newest ring comes next, not the following one",
        "consumers.incarnations:following",
        "for one in later if",
        "for one in reversed(later) if",
        11,
    ),
    DeliveryMutant(
        "the journal is older than every ring in memory",
        "consumers.incarnations:in_order",
        "order.insert(len(order) if later is None else order.index(later), extent.uuid)",
        "order.append(extent.uuid)",
        44,
    ),
    DeliveryMutant(
        "a recorded ring that nobody can place is passed over in silence",
        "consumers.relay.line:next_step",
        "and is_next(new, cursor.uuid, rings, recorded, passed)",
        "",
        85,
    ),
    DeliveryMutant(
        "a client that resumes is taken for one that had no ring before",
        "consumers.relay.session:ClientSession._passed",
        "if self._cursor and had else []",
        "if False else []",
        1144,
        "client_kill cursors_unsaved disconnect nameless_pause recorder_away recorder_kill relay_kill replace retention"
        " take_over",
    ),
    DeliveryMutant(
        "a RingReplaced is given before the next ring is announced",
        "consumers.relay.stream:ClientStream.reconnected",
        "self._replaced = None",
        "self._held = [self._replaced] if self._replaced else []",
        11,
    ),
    DeliveryMutant(
        "an end that nobody saw is told without a loss",
        "consumers.relay.line:RingLine._replace",
        "if step.loss is not None:",
        "if False:",
        1,
    ),
    DeliveryMutant(
        "no RingReplaced stands between two rings",
        "consumers.relay.line:RingLine._replace",
        "protocol.replaced(step.old, step.last_sequence, step.new)",
        "b''",
        1,
    ),
    DeliveryMutant(
        "the next ring begins at its newest frame",
        "consumers.relay.line:RingLine._replace",
        "place.position, place.sequence, place.since = OUT_OF_RING, 1, 1",
        "place.position, place.sequence, place.since = OUT_OF_RING, 2, 2",
        1,
    ),
    DeliveryMutant(
        "a new ring leads its client away from what is left of the old one",
        "consumers.relay.session:ClientSession.take_up",
        "line.name not in self.places",
        "True",
        1,
    ),
    DeliveryMutant(
        "a cursor of an earlier ring moves back",
        "consumers.relay.session:ClientSession._take_ack",
        "if place.feed.uuid == ack.ring_uuid:",
        "if True:",
        6,
    ),
    DeliveryMutant(
        "a lap is told as a loss though the journal has it",
        "consumers.relay.feed:RingFeed.next_chunk",
        "if lost_last and place.at_least_once:",
        "if False:",
        8,
    ),
    DeliveryMutant(
        "an item counts as handled when it is given",
        "consumers.delivery:ItemQueue.note_handled",
        "self._source.note_handled(self.items[self.given - 1])",
        "self._source.note_handled(self.items[-1])",
        4,
    ),
    DeliveryMutant(
        "what was received is dropped where an iteration is left",
        "consumers.delivery:ItemQueue.begin",
        "self.newest = iteration",
        "self.newest = iteration; self.given = len(self.items)",
        1,
    ),
    DeliveryMutant(
        "a new connection goes on in the middle of a Batch",
        "consumers.relay.stream:ClientStream.reconnected",
        "self._left = 0",
        "pass",
        10,
    ),
    DeliveryMutant(
        "a RingReplaced counts as a frame of the old ring",
        "consumers.relay.stream:ClientStream._replace",
        "self._replaced = Item(ring, 0, data, ring.next_sequence - 1)",
        "self._replaced = Item(ring, 0, data, ring.next_sequence - 1); ring.next_sequence += 1",
        11,
    ),
    DeliveryMutant(
        "a client that comes back begins one frame late",
        "consumers.relay.cursors:Cursor.of_ring",
        "sequence + 1",
        "sequence + 2",
        22,
    ),
    DeliveryMutant(
        "a ring is marked as ended whose end the disk did not take",
        "consumers.recorder:Recorder._leave",
        "ring_ended=ended and self._journal.resume_at == self._reader.sequence",
        "ring_ended=ended",
        6,
        "full_disk recorder_stop replace nameless_pause",
    ),
    DeliveryMutant(
        "the recorder goes on at the ring's newest frame",
        "consumers.recorder:Recorder._join",
        "reader.seek(journal.resume_at)",
        'reader.seek("latest")',
        0,
        "recorder_kill",
    ),
    DeliveryMutant(
        "the recorder gives up what the disk refuses",
        "consumers.recorder:Recorder._insist",
        "if stop():",
        "if True:",
        0,
        "full_disk",
    ),
    DeliveryMutant(
        "a ring whose writer has not noticed that it lost the name counts as the newest",
        "consumers.incarnations:_has_name",
        "extent.ended or extent.nameless",
        "extent.ended",
        289,
        "replace bursts slow_recorder unaware_writer",
    ),
    DeliveryMutant(
        "the recorder leaves a ring before it has read all of it",
        "consumers.recorder:Recorder._wait",
        "here.ended and not self._reader.lag_bytes",
        "here.ended",
        0,
        "replace bursts slow_recorder relay_kill busy",
    ),
    DeliveryMutant(
        "the recorder reads a batch and never writes it, as the folder was removed",
        "consumers.recorder:Recorder._begin_anew",
        'self._reader.seek(self._journal.resume_at or "oldest")',
        "pass",
        1,
        "journal_removed",
    ),
    DeliveryMutant(
        "a ring has ended while its writer still publishes",
        "consumers.held:HeldRing.settle",
        "self.reader.abandoned or",
        "True or",
        0,
        "replace unaware_writer",
    ),
    DeliveryMutant(
        "a reader beside the ring goes on at the newest frame of the next one",
        "consumers.follower:RingFollower.next_ring",
        "self.reader.seek(1)",
        'self.reader.seek("latest")',
        0,
        "co_located replace",
    ),
    DeliveryMutant(
        "a ring that the far end had is made there again",
        "consumers.bridge.inward:Inward._writer_for",
        "self._passed[self._origin] = self.received.last_sequence",
        "pass",
        17,
    ),
    DeliveryMutant(
        "the broker does not know what was received of a ring that is given up",
        "consumers.bridge.inward:Inward._session",
        "if self._begins_another(message):",
        "if False:",
        1423,
        "bridge cancel companions cursors_unsaved damage in_kill late_acks late_journal nameless_pause out_paused "
        "replace retention server_full server_kill slow_recorder stream_limits",
    ),
    DeliveryMutant(
        "a batch is acknowledged before it is in the ring",
        "consumers.bridge.inward:Inward._session",
        "self._take(message, say)",
        "await messages[-1].ack(); await connection.flush(); self._take(message, say)",
        17,
    ),
    DeliveryMutant(
        "what is missing at the beginning of a ring is not told",
        "consumers.bridge.inward:Inward._take",
        "(self.received.last_sequence or self._passed)",
        "self.received.last_sequence",
        17,
    ),
    DeliveryMutant(
        "a hole between two batches is not told",
        "consumers.bridge.inward:Inward._take",
        "self._publish_gap(writer, expected, batch.first_sequence - 1, say)",
        "pass",
        17,
    ),
    DeliveryMutant(
        "frames that the far ring has are published again",
        "consumers.bridge.inward:Inward._take",
        "min(max(expected - batch.first_sequence, 0), len(batch.lengths))",
        "0",
        17,
    ),
    DeliveryMutant(
        "what was acknowledged is believed of a stream made anew",
        "consumers.bridge.durable:Durable.take_over",
        "await self._still_there(connection, stream, acknowledged, known)",
        "True",
        41,
        "bridge busy cancel companions cursors_unsaved damage disconnect evicted in_kill out_paused partial_sends "
        "recorder_away relay_kill retention second_sender server_hang server_kill slow_recorder stream_limits "
        "stream_purged tail_lost unaware_writer",
    ),
    DeliveryMutant(
        "a sender begins with the newest ring, whatever came before it",
        "consumers.bridge.outward:Outward._first_cursor",
        "begin = self._begin",
        "begin = self._beginning()",
        0,
        "bridge replace out_kill server_kill nameless_pause",
    ),
    DeliveryMutant(
        "a sender waits for a segment that cannot be read",
        "consumers.bridge.outward:Outward._decide",
        "self._is_unreadable(cursor)",
        "False",
        197,
    ),
    DeliveryMutant(
        "a loss of the journal takes in what the ring has",
        "consumers.bridge.outward:Outward._send_recorded",
        "min(poll.loss.last, self._ring_begin(cursor.uuid) - 1)",
        "poll.loss.last",
        9,
    ),
    DeliveryMutant(
        "a sender goes on behind what it sent, not behind what the stream has",
        "consumers.bridge.outward:Outward._session",
        "cursor or self._again()",
        "self._ring_sent and RingCursor(self._ring_sent, self.sent.last_sequence + 1) or cursor",
        63,
    ),
    DeliveryMutant(
        "a message that was lost and sent again meanwhile is taken for one that was dropped",
        "consumers.bridge.durable:Durable._still_there",
        'stream["state"]["last_seq"]',
        '(await connection.stream_info())["state"]["last_seq"]',
        1232,
        "bridge disconnect filtered late_acks late_journal out_kill out_paused recorder_away recorder_kill "
        "relay_kill replace server_kill slow_server tail_lost take_over",
    ),
    DeliveryMutant(
        "a batch does not name the one before it",
        "consumers.bridge.sending:BatchChain._headers",
        "if self._before:",
        "if False:",
        87,
        "bridge second_sender connection_lost slow_server server_hang",
    ),
    DeliveryMutant(
        "what the journal did not give once is unreadable ever after",
        "consumers.bridge.outward:Outward._session",
        'self._reading, self._waiting_since, self._unread = b"", 0.0, None',
        'self._reading, self._waiting_since = b"", 0.0',
        501407,
    ),
)
