"""Tick maps of watched V3 and V4 pools, read from the node: which liquidity waits beyond a pool's current range.

Owns the reading of a map, and its messages; `producers.output.pool_readings` owns whose is due.  It must never run a
program or ask a contract in its own words (`producers.output.tick_program`).

    due --(the newest complete block)--> words of the bitmap, one call at a time --+--> slot0, liquidity --> PoolState,
            ^                                  ^    |                              |                         PoolTicks
            |                                  |    +-- refused, late: both halves |
            +-- disconnected, block dropped    +-----------------------------------+
            +-- not one word can be had, or the answers contradict each other: 16 blocks later

All questions of one reading are about one block (`producers.node.calls_at`), whose events are all published, so the
map is the state at that block's end, and events of later blocks move it.  Only then is it told, whole and in one piece:
the ticks' net liquidity up to the price must add up to what the pool itself calls its liquidity, and all of it to
nothing.

Kinds with a `tick_bitmap` or `tick_slots` only: ticks as Uniswap V3 or V4 keep them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from producers.blocks.block import Block
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.kind import StateAnswer
from producers.kinds.registry import kind_of
from producers.node.calls_at import About, Answer
from producers.node.jsonrpc import DISCONNECTED, TIMED_OUT, Failure
from producers.node.refusals import Meaning
from producers.output.pool_readings import PAUSE_BLOCKS, TIMEOUT_S, PoolReadings, ToldReading
from producers.output.snapshots import read_state, state_questions
from producers.output.tick_program import (
    MAX_TICK,
    MIN_TICK,
    Tick,
    Words,
    all_words,
    call_data,
    read_ticks,
    slots_call_data,
)
from tlv.codes import Domain, Flag
from tlv.layout import PoolRecord, PoolTicks, TickLiquidity
from tlv.record import Record

MAX_AT_ONCE = 2
"""Pools being read, each with one question in flight: a map is worth waiting for, events are not to wait."""
MOST_WORDS = 1024
"""Words a first question asks for: about 4 million gas where nothing is initialised, a tenth of what nodes allow."""
TICKS_PER_MESSAGE = 128
"""So that a message fits the smallest ring, 64 KiB, which takes frames of an eighth of its size."""


@dataclass(eq=False)
class Reading:
    """A map on its way."""

    row: int
    pool: VerifiedEmitter
    block: Block
    left: list[Words]
    """Words that are still to be asked for, the lowest last."""
    ticks: list[Tick] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """What the pool said of its price, then of its liquidity."""


class TickMaps(PoolReadings):
    """The tick maps of one chain, and their messages."""

    most_at_once = MAX_AT_ONCE

    @staticmethod
    def has_reading(pool: VerifiedEmitter) -> bool:
        """Whether its ticks can be read."""
        kind = kind_of(pool.protocol)
        return kind is not None and (kind.tick_bitmap != "" or kind.tick_slots is not None)

    def _begin(self, row: int, block: Block) -> None:
        pool = self._introductions.pool(row)
        self._ask(Reading(row, pool, block, list(first_questions(pool.tick_spacing))))

    def _ask(self, reading: Reading) -> None:
        """The next question of a reading: words, lowest first, then the price, then the liquidity."""
        pool, words = reading.pool, None
        if reading.left:
            words = reading.left.pop()
            call = {"data": program_of(pool, words)}
        else:
            question = state_questions(pool)[len(reading.answers)]
            call = {"to": question.to, "data": question.data}
        about = About(reading.block.hash, reading.block.number)
        self._calls.call(about, call, partial(self._take, reading, words), timeout_s=TIMEOUT_S)

    def _take(self, reading: Reading, words: Words | None, answer: Answer) -> None:
        ticks = None
        if isinstance(answer, str) and words is not None:
            ticks = read_ticks(answer, words, reading.pool.tick_spacing)
        if answer is DISCONNECTED or not self._is_canonical(reading.block):
            self._end(reading.row, ask_again_at=0)
        elif ticks is not None:
            reading.ticks += ticks
            self._ask(reading)
        elif isinstance(answer, str) and words is None:
            reading.answers.append(answer)
            if len(reading.answers) == len(state_questions(reading.pool)):
                self._tell(reading)
            else:
                self._ask(reading)
        elif words is not None and words.first < words.last and may_be_too_much(answer):
            reading.left += reversed(words.halves())
            self._ask(reading)
        else:
            self._refuse(reading)

    def _tell(self, reading: Reading) -> None:
        """Everything is answered: PoolState, and behind it the parts of the map."""
        pool, block = reading.pool, reading.block
        state = read_state(pool, reading.answers)
        if state is None or not adds_up(reading.ticks, state):
            self._refuse(reading)
            return
        self._end(reading.row)
        if not self.is_followed(pool):
            return
        self._introductions.put(reading.row, state._replace(block_number=block.number))
        for part in parts_of(pool, block, reading.ticks):
            self._outbox.put(Domain.MARKET_DATA, *part, flags=Flag.SNAPSHOT)
        self._told[reading.row] = ToldReading(block.number)
        self._stats.tick_maps += 1

    def _refuse(self, reading: Reading) -> None:
        self._stats.refused_tick_maps += 1
        self._end(reading.row, ask_again_at=reading.block.number + PAUSE_BLOCKS)


def first_questions(spacing: int) -> Iterator[Words]:
    """All words of a pool's bitmap in pieces, the highest first; none if its spacing is not known."""
    if spacing > 0:
        first, last = all_words(spacing)
        for start in reversed(range(first, last + 1, MOST_WORDS)):
            yield Words(start, min(start + MOST_WORDS - 1, last))


def program_of(pool: VerifiedEmitter, words: Words) -> str:
    """What the node is to run, by where the pool's kind keeps ticks."""
    kind = kind_of(pool.protocol)
    if kind is not None and kind.tick_slots is not None:
        return slots_call_data(pool.factory, kind.tick_slots(pool.pool), words, pool.tick_spacing)
    return call_data(pool.pool, words, pool.tick_spacing, kind.tick_bitmap if kind is not None else "")


def may_be_too_much(answer: str | Failure) -> bool:
    """Whether asking for fewer words may help: not if the node wants to be left alone."""
    return isinstance(answer, str) or answer is TIMED_OUT or answer.meaning is not Meaning.RATE


def adds_up(ticks: list[Tick], state: StateAnswer) -> bool:
    """Whether a map is whole and belongs to the state: what positions add they take away, and up to the price it is
    the pool's liquidity (UniswapV3Pool.liquidity).  Without a price the node answered from an empty state: a pool that
    ever spoke has one."""
    if state.sqrt_price_x96 == 0:
        return False
    active = sum(tick.liquidity_net for tick in ticks if tick.tick <= state.tick)
    return active == state.liquidity and sum(tick.liquidity_net for tick in ticks) == 0


def parts_of(pool: VerifiedEmitter, block: Block, ticks: list[Tick]) -> Iterator[list[Record]]:
    """The records of each message: a PoolTicks and its ticks.  Together they cover every tick there can be."""
    groups = [ticks[at : at + TICKS_PER_MESSAGE] for at in range(0, max(len(ticks), 1), TICKS_PER_MESSAGE)]
    edges = [MIN_TICK, *(group[0].tick for group in groups[1:]), MAX_TICK + 1]
    identity = {name: getattr(pool, name) for name in PoolRecord.__struct_fields__}
    for group, (first, end) in zip(groups, pairwise(edges), strict=True):
        head = PoolTicks(
            **identity,
            block_number=block.number,
            block_hash=bytes.fromhex(block.hash[2:]),
            first_tick=first,
            last_tick=end - 1,
            tick_spacing=pool.tick_spacing,
            count=len(group),
        )
        yield [head, *(TickLiquidity(tick.liquidity_gross, tick.liquidity_net, tick.tick) for tick in group)]
