"""The processes of the delivery campaign that are not the project's own commands: its publisher and its consumers.

Owns what each of them does until it is killed or stopped.  It must never know what kills it.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from consumers.client import Loss, RelayClient, RelayUnreachable
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer
from tlv.layout import LAYOUT_DIGEST
from tools.prove.delivery.witness import MOST_MESSAGES, ConsumerWitness
from tools.rig.numbered import numbered_message
from tools.rig.processes import shared

PER_S = 3000
RING_BYTES = 1 << 23
"""Some five seconds of messages: far longer than a killed recorder takes to come back."""
LONGEST_BURST = PER_S // 10
"""After a delay the publisher catches up at most a tenth of a second's messages."""
STEP_S = 0.004
FULL_TIMEOUT_S = 60.0
"""A running recorder is never evicted, however slow this machine; only its kill frees its slot."""
WAIT_S = 0.05
REST_S = 0.001


class Publication:
    """The publisher's last sequence, and whether it is to stop; shared by all processes of a campaign."""

    def __init__(self) -> None:
        self._words = shared(np.int64, 3)

    @property
    def published(self) -> int:
        """The last sequence that was published."""
        return int(self._words[0])

    @published.setter
    def published(self, sequence: int) -> None:
        self._words[0] = sequence

    @property
    def stopped(self) -> bool:
        """Whether nothing more will be published; `published` is final then."""
        return bool(self._words[1])

    def stop(self) -> None:
        """Ask the publisher to stop."""
        self._words[2] = 1

    @property
    def asked_to_stop(self) -> bool:
        """Whether `stop` was called."""
        return bool(self._words[2])

    def note_stopped(self) -> None:
        """Called by the publisher once it has stopped."""
        self._words[1] = 1


def publish(name: str, clock: Publication) -> None:
    """Make ring `name`, publish PER_S messages a second until asked to stop, and stay its writer."""
    with Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST, full_timeout_s=FULL_TIMEOUT_S) as writer:
        owed, then = 0.0, time.monotonic()
        while not clock.asked_to_stop and clock.published < MOST_MESSAGES - LONGEST_BURST - 1:
            time.sleep(STEP_S)
            now = time.monotonic()
            owed = min(owed + PER_S * (now - then), LONGEST_BURST)
            then = now
            while owed >= 1:
                clock.published = writer.publish(numbered_message(writer.next_sequence))
                owed -= 1
        clock.note_stopped()
        while True:
            writer.heartbeat()
            time.sleep(WAIT_S)


def follow_relay(path: Path, name: str, witness: ConsumerWitness, rest_every: int) -> None:
    """Be the named client `name` of the relay at `path`.  A message is noted before it is acknowledged.

    A client that pauses after every so many messages is mostly killed with some received and not acknowledged.
    """
    while True:
        try:
            client = RelayClient(path, name=name, start="acknowledged", at_least_once=True)
            break
        except RelayUnreachable:
            time.sleep(WAIT_S)
    for item in client:
        if isinstance(item, Loss):
            witness.lose(item.first, item.last)
        else:
            witness.see(item.sequence, item.data)
            if rest_every and item.sequence % rest_every == 0:
                time.sleep(REST_S)


def read_ring(name: str, witness: ConsumerWitness, clock: Publication, *, lazy: bool) -> None:
    """Read a ring to its end as a plain reader; a `lazy` one polls only when it has been lapped."""
    reader = attach(name)
    while not (clock.stopped and reader.sequence > clock.published):
        if lazy and not clock.stopped and reader.lag_bytes < RING_BYTES * 5 // 4:
            time.sleep(WAIT_S)
            continue
        poll = reader.poll()
        if poll.loss is not None:
            witness.lose(poll.loss.first, poll.loss.last)
        for frame in poll:
            witness.see(frame.sequence, frame.payload)
        if poll.status is Status.EMPTY and reader.wait(WAIT_S) is Status.ORPHANED:
            # A bridge that was killed before its first frame makes its ring anew.
            reader.close()
            reader = attach(name)


def attach(name: str) -> Reader:
    """A reader of the ring's oldest frame, once there is such a ring."""
    while True:
        try:
            return Reader.attach(name, start="oldest", layout_digest=LAYOUT_DIGEST)
        except (RingNotFound, RingNotReady):
            time.sleep(WAIT_S)
