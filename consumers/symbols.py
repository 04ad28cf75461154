"""Filters by symbol: `WMATIC/USDC` means the pools of these two tokens, `WMATIC` every pool of the one.

A pool of more coins is one of each of its pairs, and passes whole.

Owns what a symbol means.  A token has a symbol because its own contract says so, and any contract may say what another
says.  Only a PoolState tells it, of proven pools.  So a symbol means the token that the first PoolState in the ring's
order gave it, whatever comes later, which is the same live and on a recording; another token of that name is told,
with its address, and left out.  Before a run a `Census` refuses symbols that several tokens bear: then an address has
to be given instead, as in `0x2791.../WMATIC`.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from consumers.select_frames import select_frames
from ringbuf import Poll, Reader, Status
from tlv.addresses import ADDRESS, read_address
from tlv.buffers import Longs
from tlv.codes import Flag
from tlv.errors import UsageError
from tlv.filter import EVERYTHING, POOL_BYTES, MessageFilter, address
from tlv.kernels import check_message, find_tlv
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, PoolState
from tlv.layout import Header as MessageHeader
from tlv.nearest import did_you_mean, there_are
from tlv.status import OK

log = logging.getLogger("alphapulse.strategy")

STATES = MessageFilter.of(types=[PoolState])
NO_POOL = bytes(POOL_BYTES)
"""In a filter whose symbols no pool has yet: without any pool it would let all pass."""


class SymbolFilter:
    """A filter that learns from PoolStates which pools its symbols mean.

    Args:
        symbols: `A/B`, or `A`; in whatever case; each side a symbol or an address of 0x and 40 digits.
        base: what else is wanted; its pools are wanted beside those of the symbols.

    Raises:
        UsageError: a symbol that is none.
    """

    def __init__(self, symbols: Iterable[str], base: MessageFilter = EVERYTHING) -> None:
        self._pairs = [sides_of(text) for text in symbols]
        self._wanted = frozenset(side for pair in self._pairs for side in pair)
        self._base = base
        self._means: dict[str, bytes] = {side: address(side) for side in self._wanted if ADDRESS.fullmatch(side)}
        self._others: set[bytes] = set()
        self.pools: set[bytes] = set()
        """The pools that are wanted because of their symbols."""
        self.filter = self._made()

    def _made(self) -> MessageFilter:
        return replace(self._base, pools=self._base.pools | (self.pools or {NO_POOL}))

    def learn(self, state: PoolState) -> bool:
        """Take in a PoolState; whether the filter is another one now."""
        tokens = {side_of(state.symbol0): state.token0, side_of(state.symbol1): state.token1}
        for side, token in tokens.items():
            if side in self._wanted and self._means.setdefault(side, token) != token and token not in self._others:
                self._others.add(token)
                found = {"symbol": side, "token": f"0x{token.hex()}", "meant": f"0x{self._means[side].hex()}"}
                text = "another token calls itself %(symbol)s, %(token)s, and is left out; the filter means %(meant)s"
                log.warning(text, found)
        pool = state.pool.ljust(POOL_BYTES, b"\0")
        if pool in self.pools or not any(self._is(pair, state.token0, state.token1) for pair in self._pairs):
            return False
        self.pools.add(pool)
        self.filter = self._made()
        return True

    def _is(self, pair: tuple[str, ...], token0: bytes, token1: bytes) -> bool:
        meant = [self._means.get(side) for side in pair]
        if len(meant) == 1:
            return meant[0] in (token0, token1)
        return meant in ([token0, token1], [token1, token0])


def sides_of(text: str) -> tuple[str, ...]:
    """The two sides of `A/B`, or the only one of `A`.

    Raises:
        UsageError: it is neither, or an address in it has a wrong checksum.
    """
    written = [side.strip() for side in text.split("/")]
    for address_text in filter(ADDRESS.fullmatch, written):
        read_address(address_text)
    sides = tuple(map(side_of, written))
    if not 1 <= len(sides) <= 2 or not all(sides) or len(set(sides)) != len(sides):
        raise UsageError(f"symbol {text!r}: expected a token such as WMATIC, or a pair such as WMATIC/USDC")
    return sides


def side_of(text: str) -> str:
    """A symbol as it is compared: without spaces around it, in one case."""
    return text.strip().casefold()


def states_in(poll: Poll) -> Iterable[tuple[int, PoolState]]:
    """The PoolStates of proven pools among the frames of a poll, with their places in it."""
    buffer = poll.buffer
    chosen: Longs = np.zeros(len(poll), np.int64)
    count = select_frames(buffer, poll.offsets, poll.lengths, STATES.tables, chosen)
    for column in chosen[:count].tolist():
        start, length = int(poll.offsets[column]), int(poll.lengths[column])
        at = find_tlv(buffer, start, start + length, PoolState.layout.type)
        if at < 0 or check_message(buffer, start, start + length, False) != OK:
            continue
        header = MessageHeader.read(buffer.data, start)
        if isinstance(header, MessageHeader) and not header.flags & Flag.UNPROVEN and length > HEADER_SIZE:
            state = PoolState.read(buffer.data, at)
            assert isinstance(state, PoolState)
            yield column, state


class Census:
    """Which tokens bear which symbols, in how many pools."""

    def __init__(self) -> None:
        self.tokens: dict[str, Counter[bytes]] = defaultdict(Counter)
        self.states: dict[tuple[bytes, bytes, bytes], PoolState] = {}
        """The first state of each pool and pair: a pool of more than two coins has one for each that it trades."""
        self._in_pool: set[tuple[bytes, bytes]] = set()

    def count(self, poll: Poll) -> None:
        """Take in the PoolStates of a poll."""
        for _, state in states_in(poll):
            if self.states.setdefault((state.pool, state.token0, state.token1), state) is state:
                self._count(state.pool, state.token0, state.symbol0)
                self._count(state.pool, state.token1, state.symbol1)

    def _count(self, pool: bytes, token: bytes, symbol: str) -> None:
        if (pool, token) not in self._in_pool:
            self._in_pool.add((pool, token))
            self.tokens[side_of(symbol)][token] += 1

    def check(self, symbols: Iterable[str], where: str, *, complete: bool) -> None:
        """Refuse symbols that several tokens bear; with `complete` those that none bears, too, which else are told.

        Raises:
            UsageError: naming the tokens' addresses, or what is near.
        """
        for side in dict.fromkeys(side for text in symbols for side in sides_of(text) if not ADDRESS.fullmatch(side)):
            found = self.tokens.get(side, Counter())
            if len(found) > 1:
                there = ", ".join(f"0x{token.hex()} (in {count} pools)" for token, count in found.most_common())
                raise UsageError(
                    f"symbol {side}: {len(found)} tokens of {where} bear it: {there}; give the address instead"
                )
            if not found:
                known = sorted(filter(None, self.tokens))
                text = f"symbol {side}: no token of {where} bears it{did_you_mean(side, known)} {there_are(known)}"
                if complete:
                    raise UsageError(text)
                log.warning("%s; pools of it may come", text)


def take_census(polls: Iterable[Poll]) -> Census:
    """The census of all that `polls` give."""
    census = Census()
    for poll in polls:
        census.count(poll)
        if not len(poll) and poll.status in {Status.EMPTY, Status.CLOSED}:
            break
    return census


def learn_from_ring(symbols: SymbolFilter, texts: Iterable[str], ring: str) -> None:
    """Have a filter learn from what is in a ring now, for a reader that begins at its end.

    Raises:
        UsageError: several tokens there bear a symbol.
        RingNotFound, BadSegment: see `Reader.attach`.
    """
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        census = take_census(iter(reader.poll, None))
    census.check(texts, f"ring {ring}", complete=False)
    for state in census.states.values():
        symbols.learn(state)


def with_states(wanted: MessageFilter) -> MessageFilter:
    """What a relay has to be asked for: a PoolState alone says what a symbol means, and any pool may have it."""
    types = wanted.types | STATES.types if wanted.types else wanted.types
    return MessageFilter(types, wanted.venues)
