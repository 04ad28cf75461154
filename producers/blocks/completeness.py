"""Whether a block's logs are complete, as far as that shows without asking anybody.

Owns the evidence.  It must never act on it: what is done about a block in doubt is decided in `producers.assembly`.

    bloom filter holds none of our topics       nothing can be missing, and nothing need be asked
    a hole in the set of log indices            something is missing, if all are subscribed
    a bit of the bloom that no log sets         something is missing, if all are subscribed
    logs that set all its bits                  nothing seems to be missing: it would set no bit that others do not
    a topic of the bloom that no log has        something seems to be missing, if some are subscribed; may be chance
    topics of it that no log of a list in parts has, more than chance shows in so full a bloom    something is missing
    no bloom, no log, and gas was used          something seems to be missing

An answer of the node is REFUTED by a proof, and SUSPECT where only something seems to be missing: such an answer is
believed when it was repeated for long enough.

A header can be wrong as well: some providers send blooms of zeros for blocks with logs.  Such a bloom proves nothing of
its block, nor zeros of that endpoint the emptiness of any other.
"""

from __future__ import annotations

from enum import Enum
from math import comb

from producers.blocks.block import OPEN, Block, identify, places_of
from producers.blocks.bloom import TopicBloom, bloom_of, read_bloom, share_of_bits
from producers.chains.configuration import ChainConfig
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.hex import read_optional_quantity
from producers.node.rpc_types import Head, Log

IMPROBABLE = 0.01
"""Of lists in parts that lack nothing, fewer than this share are refuted by what chance shows in the bloom: those are
Gaps, and only blocks that are too much for one answer are asked for in parts."""


MOST_UNREAD = 16
"""Addresses and topics of an open block whose bits are not known: the last of them are computed when it is closed."""


class Doubt(Enum):
    """What the evidence says of a list of logs."""

    NONE = 0
    SUSPECT = 1
    REFUTED = 2
    UNLISTED = 3
    """The block may have events of pools that were not asked for."""


class Evidence:
    """What speaks for and against a block being complete, given what is subscribed to."""

    def __init__(self, chain: ChainConfig, log_filter: dict[str, object]) -> None:
        self.sees_all = not log_filter
        """All logs are subscribed to: their indices must have no hole, and they set all bits of the bloom."""
        self.blooms_lie = False
        """This endpoint sent a bloom of zeros for a block with logs: zeros prove no emptiness any more."""
        self.numbers_repeat = False
        """This endpoint lists one place in a block for two transactions: places prove nothing any more."""
        self._chain = chain
        addresses = log_filter.get("address")
        self._by_address = isinstance(addresses, list)
        self._bloom = TopicBloom(addresses if isinstance(addresses, list) else EVENT_OF_TOPIC)

    def reconnected(self) -> None:
        """Perhaps another endpoint: what was held against the last one's blooms and numbers is forgotten."""
        self.blooms_lie = self.numbers_repeat = False

    def read_header(self, block: Block, head: Head | None = None) -> None:
        """Look up our topics, or the addresses that are subscribed to, in the bloom filter of the block's header.

        `head` is the header as it was fetched later: a block that was read back from the ring has no bloom filter.
        """
        bloom = read_bloom((head or block.head).logs_bloom)
        numbered_once = not self.numbers_repeat and self._chain.bloom_proves(block.number)
        block.expect(bloom, self._bloom.positives(bloom), numbered_once=numbered_once)

    def proves_empty(self, block: Block) -> bool:
        """Whether the block can have no event of ours."""
        if block.positives is None or block.positives or not self._chain.bloom_proves(block.number):
            return False
        if block.head_bloom == 0 and (self.blooms_lie or block.seen or used_gas(block)):
            return False
        return EVENT_OF_TOPIC.keys().isdisjoint(block.topics)

    def proves_empty_at_once(self, block: Block) -> bool:
        """Whether it has no log at all, so that none can still be on its way."""
        return block.head_bloom == 0 and self.proves_empty(block)

    def is_holed(self, block: Block) -> bool:
        """Whether a log is missing below one that came."""
        return self.sees_all and not block.contiguous

    def is_doubtful(self, block: Block, *, vouched: bool = False) -> bool:
        """Whether a log of it seems to be missing; `vouched` if a list of its logs has none that did not come."""
        return _is_silent(block) or (block.doubted and not vouched) or self._doubt(block) is not Doubt.NONE

    def judge(self, block: Block, logs: list[Log], *, whole: bool, of_known: bool = False) -> Doubt:
        """What to think of `logs`, the node's own list of the block's logs, which the block has taken.

        A list that is not `whole` was asked for by topics and addresses: it has no hole that shows, but it has every
        event that came.  One `of_known` pools, and of whoever is known to have emitted logs of the block, is all only
        where the bloom has none of our topics, or no bit that the logs that came do not set.
        """
        places = [identify(log) for log in logs]
        if of_known and None not in places:
            explained = self.is_exact(block) and block.emitters is not None and self._doubt(block) is Doubt.NONE
            return Doubt.NONE if explained or self.proves_empty(block) else Doubt.UNLISTED
        if not whole:
            events_came = block.positives is None or block.positives <= block.topics
            if not events_came and not self._is_chance(block):
                return Doubt.REFUTED
            if not logs and not EVENT_OF_TOPIC.keys().isdisjoint(block.topics):
                events_came = False  # what was pushed should be in it, if its pool was among the addresses
            if not logs and _is_silent(block):
                events_came = False  # nothing says that the backend has the block
            events = {place for log, place in zip(logs, places, strict=True) if _is_event(log)}
            if None in places or _lacks_event(block, events):
                return Doubt.REFUTED
            return Doubt.NONE if events_came else Doubt.SUSPECT
        listed = dict(place for place in places if place is not None)
        if None in places:
            return Doubt.REFUTED
        if block.seen.keys() - listed.keys():
            return Doubt.NONE if self.sees_all and shows_all(block, logs) else Doubt.REFUTED
        doubt = self._doubt(block)
        if doubt is Doubt.SUSPECT and listed and not self.is_exact(block):
            return Doubt.NONE  # the backend has the block, and what its bloom holds beside the list is chance
        if doubt is Doubt.SUSPECT and not block.head_bloom and not used_gas(block):
            return Doubt.NONE
        return doubt

    def prepare(self, blocks: list[Block]) -> None:
        """Compute ahead what `is_doubtful` will need, when nothing waits for it.

        A block of 300 logs has some 600 entries, 2 us each: the first log of the next block waited for all of them.
        """
        for block in blocks:
            if len(block.entries) > MOST_UNREAD and block.progress is OPEN and block.head_bloom and self.sees_all:
                self._read_entries(block)

    def displaced(self, block: Block, logs: list[Log]) -> set[str]:
        """Identities of logs that came and are none of the block's: this list of all its logs, in which by bloom and
        indices nothing is missing, has another transaction in their places."""
        listed = dict(place for place in map(identify, logs) if place is not None)
        if not block.numbered_once or not logs or len(listed) < len(logs):
            return set()
        if self.sees_all and _lacks_log(block, logs):
            return set()
        theirs = places_of(logs)
        self.numbers_repeat = self.numbers_repeat or theirs is None
        return block.displaced(theirs, listed) if theirs is not None else set()

    def catches_lie(self, block: Block) -> bool:
        """Whether the block has logs under a bloom of zeros, as the first one of this endpoint."""
        if self.blooms_lie or block.head_bloom != 0 or not block.seen or not self._chain.bloom_proves(block.number):
            return False
        self.blooms_lie = True
        return True

    def _doubt(self, block: Block) -> Doubt:
        if self.is_holed(block):
            return Doubt.REFUTED
        if not block.head_bloom:
            silent = block.head_bloom is None or self.blooms_lie
            return Doubt.SUSPECT if silent and not block.seen else Doubt.NONE
        if not self.sees_all:
            came = block.entries if self._by_address else block.topics
            return Doubt.NONE if block.positives is None or block.positives <= came else Doubt.SUSPECT
        if block.entries:
            self._read_entries(block)
        # also where logs stand outside the bloom: some log sets each bit that is in it
        return Doubt.REFUTED if block.head_bloom & ~block.bloom else Doubt.NONE

    def _read_entries(self, block: Block) -> None:
        block.absorb(bloom_of(entry for entry in block.entries if entry))

    def _is_chance(self, block: Block) -> bool:
        """Whether chance may have put the topics of ours into the bloom that no log has: any so many of those that did
        not come, each with its three bits among those that are set.

        An address that was asked for may stand there for a log that a list in parts does not have.
        """
        positives = block.positives
        if self._by_address or not block.head_bloom or positives is None:
            return True
        unmet = len(positives - block.topics)
        absent = len(EVENT_OF_TOPIC) - len(EVENT_OF_TOPIC.keys() & block.topics)
        return comb(absent, unmet) * share_of_bits(block.head_bloom) ** (3 * unmet) >= IMPROBABLE

    def is_exact(self, block: Block) -> bool:
        """Whether the block's logs set exactly the bits of its bloom, those of the chain itself aside."""
        return self.sees_all and bool(block.head_bloom)


def shows_all(block: Block, logs: list[Log]) -> bool:
    """Whether a list of all logs, in which what came may lack, has all that the block's bloom holds, and no hole.

    Then what it lacks the bloom lacks too: logs of the chain itself, which some nodes do not list, or nonsense.
    """
    return bool(block.head_bloom) and not _lacks_log(block, logs)


def _lacks_log(block: Block, listed: list[Log]) -> bool:
    """Whether the indices of a list of all logs have a hole, or the block's bloom holds what none of them sets."""
    indices = {place[1] for place in map(identify, listed) if place is not None}
    entries = {log.address for log in listed} | {topic for log in listed for topic in log.topics if topic}
    return len(indices) != max(indices, default=0) + 1 or bool((block.head_bloom or 0) & ~bloom_of(entries))


def _lacks_event(block: Block, listed: set[tuple[str, int] | None]) -> bool:
    """Whether a log with an event's topic came that is not listed.

    Those that wait are known by name, and how many are published, in quarantine or let go.
    """
    waiting = {identify(log) for _, log, _ in block.waiting if _is_event(log)}
    others = block.events + block.quarantined + sum(map(len, block.unpublished.values()))
    return not waiting <= listed or others > len(listed - waiting)


def _is_event(log: Log) -> bool:
    return bool(log.topics) and log.topics[0] in EVENT_OF_TOPIC


def _is_silent(block: Block) -> bool:
    """Whether it used gas, and neither bloom nor log says of what: zeros alone do not say that a block is empty."""
    return not block.head_bloom and not block.seen and used_gas(block)


def used_gas(block: Block) -> bool:
    """Whether its header says that something was done in it."""
    return read_optional_quantity(block.head.gas_used) > 0
