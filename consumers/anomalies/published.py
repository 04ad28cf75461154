"""What a watch has published before: so that one that is started again says nothing twice.

Owns the reading of the ring of anomalies.  `SystemHealth.last_sequence` is the frame at which something was said, so
the newest of a ring's anomalies says up to where that ring has been judged.
"""

from __future__ import annotations

from typing import NamedTuple

from ringbuf import Reader, RingNotFound, Status
from tlv.codes import AnomalyState
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST, SystemHealth
from tlv.message import parse

LastingKey = tuple[int, bytes]
"""Kind and pool: one such anomaly lasts at a time."""
AnomalyKey = tuple[int, int, bytes, int, int]
"""Kind, state, pool, block and first sequence: what tells the anomalies of one frame apart."""
KEPT_RINGS = 16
"""Rings that were followed; the oldest are forgotten, none of their frames comes again."""

GOES_ON = frozenset((Status.OK, Status.GAP, Status.EPOCH_CHANGED))
"""States of a poll behind which a ring may have more; each start of a watch is an epoch of its ring."""


def key_of(health: SystemHealth) -> AnomalyKey:
    """What tells it from the others of its frame."""
    return health.kind, health.state, health.pool, health.block_number, health.first_sequence


class Judged(NamedTuple):
    """Up to where the frames of a ring have been judged, and what was said at that last frame."""

    sequence: int
    keys: frozenset[AnomalyKey]


class PublishedAnomalies:
    """What has been said, by the ring that it was said of."""

    def __init__(self) -> None:
        self.lasting: dict[LastingKey, SystemHealth] = {}
        """What began and has not ended."""
        self.chain_ids: dict[bytes, int] = {}
        self._judged: dict[bytes, Judged] = {}

    def add(self, health: SystemHealth) -> None:
        """Take the next one, in the order of publication."""
        lasting = (health.kind, health.pool)
        if health.state == AnomalyState.BEGUN:
            self.lasting[lasting] = health
        elif health.state == AnomalyState.ENDED:
            self.lasting.pop(lasting, None)
        self.chain_ids[health.ring] = health.chain_id
        before = self._judged.pop(health.ring, Judged(-1, frozenset()))
        if health.last_sequence > before.sequence:
            before = Judged(health.last_sequence, frozenset())
        self._judged[health.ring] = before._replace(keys=before.keys | {key_of(health)})
        if len(self._judged) > KEPT_RINGS:
            oldest = next(iter(self._judged))
            del self._judged[oldest], self.chain_ids[oldest]

    def includes(self, health: SystemHealth) -> bool:
        """Whether it was said, or its frame was judged and found to be as usual."""
        judged = self._judged.get(health.ring)
        if judged is None or health.last_sequence > judged.sequence:
            return False
        return health.last_sequence < judged.sequence or key_of(health) in judged.keys


def published_in(ring: str) -> PublishedAnomalies:
    """What the ring of this name holds; nothing if there is none.

    Raises:
        RingNotReady, BadSegment: see `Reader.attach`.
    """
    published = PublishedAnomalies()
    try:
        reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
    except RingNotFound:
        return published
    with reader:
        while (poll := reader.poll()).status in GOES_ON:
            for frame in poll:
                try:
                    health = parse(frame.payload).first(SystemHealth)
                except FrameError:
                    continue
                if health is not None:
                    published.add(health)
    return published
