"""What strategies published, and whether it still holds.

Owns the states of a signal.  Signals and the blocks that they are about come from different rings, which are read in
any order, so a state only ever gives way to one of a higher rank: what is shown in the end does not depend on it.

    stands -> unknown     frames behind it were not read, one of which may have withdrawn it
           -> expired     its last block ended
           -> replaced    a newer signal of the same opportunity
           -> withdrawn   its strategy took it back
           -> removed     a reorg took its block

Messages wait unparsed until they are shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from ringbuf import Poll
from tlv.buffers import Longs
from tlv.codes import WithdrawalReason
from tlv.errors import FrameError
from tlv.layout import SignalIdentity, SignalWithdrawn
from tlv.message import Message, parse
from tools.code_names import code_key
from tools.dashboard.rows import signal_row
from tools.dashboard.seen_ring import KeptFrame, KeptReorg, SeenRing
from tools.dashboard.shapes import SignalRow

SIGNALS = 200
"""Kept."""
WAITING = 400
"""Messages that wait to be parsed: as many signals as are kept, and the withdrawal of each."""
REORGS = 256
"""Remembered, so that a signal that is read after the reorg which took its block is seen as removed."""
RANKS = {state: rank for rank, state in enumerate(("stands", "unknown", "expired", "replaced", "withdrawn", "removed"))}
WITHDRAWN_STATES: dict[int, str] = {WithdrawalReason.EXPIRED: "expired", WithdrawalReason.REORG: "removed"}
"""Reasons that say what the blocks say too; every other one is `withdrawn`."""
SignalKey = tuple[str, int]
"""Ring and sequence."""


class KeptSignal(NamedTuple):
    """A signal's row, and the uuid of the ring whose message triggered it."""

    row: SignalRow
    market: bytes


class Opportunities:
    """The newest signals of all rings."""

    def __init__(self) -> None:
        self._refused = 0
        self._kept: dict[SignalKey, KeptSignal] = {}
        self._newest: dict[tuple[str, str], SignalKey] = {}
        """Of each ring's opportunities."""
        self._changed: set[SignalKey] = set()
        self._waiting: deque[KeptFrame] = deque()
        self._unread: dict[str, int] = {}
        """Of each ring the last sequence that was not read since the last update."""
        self._reorgs: deque[KeptReorg] = deque(maxlen=REORGS)

    # ---- what comes in

    def take_poll(self, ring: str, poll: Poll, wanted: Longs) -> None:
        """The next frames of a ring, of which those at the places `wanted` may be signals."""
        if len(wanted) > WAITING:
            self._unread[ring] = int(poll.sequences[wanted[-WAITING - 1]])
            wanted = wanted[-WAITING:]
        for index in wanted.tolist():
            frame = poll[index]
            self._waiting.append(KeptFrame(ring, frame.sequence, bytes(frame.payload)))
        while len(self._waiting) > WAITING:
            left_out = self._waiting.popleft()
            self.lose(left_out.ring, left_out.sequence)

    def lose(self, ring: str, last: int) -> None:
        """Frames of a ring up to `last` were not read."""
        self._unread[ring] = max(last, self._unread.get(ring, 0))

    def take_back(self, reorg: KeptReorg) -> None:
        """Blocks left the chain."""
        self._reorgs.append(reorg)
        for key in [key for key, kept in self._kept.items() if takes_back(reorg, kept)]:
            self._become(key, "removed")

    def end_block(self, market: bytes, number: int) -> None:
        """A block of that ring's chain ended."""
        for key, kept in self._kept.items():
            if kept.market == market and kept.row.expires_block <= number:
                self._become(key, "expired")

    def forget(self, ring: str) -> None:
        """A ring is shown no more."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept.row.ring != ring}
        self._newest = {name: key for name, key in self._newest.items() if key[0] != ring}
        self._waiting = deque(kept for kept in self._waiting if kept.ring != ring)
        self._unread.pop(ring, None)

    # ---- what goes out

    def changed(self, rings: Mapping[str, SeenRing]) -> list[SignalRow]:
        """The new signals, and those whose state changed, since the last call."""
        by_uuid = {seen.uuid: seen for seen in rings.values()}
        for frame in self._waiting:
            try:
                message = parse(frame.payload)
            except FrameError:
                self._refused += 1
                continue
            self._take(frame, message, rings, by_uuid)
        self._waiting.clear()
        for ring, last in self._unread.items():
            for key in [key for key in self._kept if key[0] == ring and key[1] <= last]:
                self._become(key, "unknown")
        self._unread.clear()
        while len(self._kept) > SIGNALS:
            self._drop(next(iter(self._kept)))
        found = [self._kept[key].row for key in sorted(self._changed) if key in self._kept]
        self._changed.clear()
        return found

    def take_refused(self) -> int:
        """How many frames were no message since the last call."""
        refused, self._refused = self._refused, 0
        return refused

    def rows(self) -> Iterable[SignalRow]:
        """All of them, as of the last call of `changed`."""
        return (kept.row for kept in self._kept.values())

    def _take(
        self, frame: KeptFrame, message: Message, rings: Mapping[str, SeenRing], by_uuid: Mapping[bytes, SeenRing]
    ) -> None:
        identity, withdrawn = message.first(SignalIdentity), message.first(SignalWithdrawn)
        if identity is None:
            return
        if withdrawn is not None:
            self._withdraw(frame.ring, withdrawn)
            return
        market = by_uuid.get(identity.trigger_ring) or rings[frame.ring]
        name = market.name if market.uuid == identity.trigger_ring else ""
        row = signal_row(frame.ring, frame.sequence, message, name, market.symbols, market.venues)
        if row is not None:
            self._put(KeptSignal(row, identity.trigger_ring), market.ended if name else -1)

    def _put(self, signal: KeptSignal, ended: int) -> None:
        row = signal.row
        key, opportunity = (row.ring, row.sequence), (row.ring, row.opportunity)
        before = self._newest.get(opportunity)
        if before is not None:
            self._become(before, "replaced")
        self._newest[opportunity] = key
        self._kept[key] = signal
        self._changed.add(key)
        if row.expires_block <= ended:
            self._become(key, "expired")
        if any(takes_back(reorg, signal) for reorg in self._reorgs):
            self._become(key, "removed")

    def _withdraw(self, ring: str, record: SignalWithdrawn) -> None:
        key = self._newest.get((ring, str(record.opportunity)))
        if key is not None and self._kept[key].row.signal_id == str(record.signal_id):
            reason = code_key(WithdrawalReason, record.reason)
            self._become(key, WITHDRAWN_STATES.get(record.reason, "withdrawn"), reason)

    def _become(self, key: SignalKey, state: str, reason: str = "") -> None:
        row, market = self._kept[key]
        if RANKS[state] > RANKS[row.state]:
            self._kept[key] = KeptSignal(msgspec.structs.replace(row, state=state, reason=reason), market)
            self._changed.add(key)

    def _drop(self, key: SignalKey) -> None:
        row = self._kept.pop(key).row
        if self._newest.get((row.ring, row.opportunity)) == key:
            del self._newest[row.ring, row.opportunity]


def takes_back(reorg: KeptReorg, signal: KeptSignal) -> bool:
    """Whether a signal is of a block that a reorg took: above the fork, and triggered before the ring told of it."""
    row = signal.row
    return reorg.ring == signal.market and reorg.sequence > row.trigger_sequence and row.block > reorg.fork_number
