"""Which blocks need a verdict: those about which a journal says anything but "here it is, and these are its events".

Owns one pass over the statements in their order, in memory that does not depend on the journal's length: the last
WINDOW block numbers with their hashes, and the identities of their events.  A number is contested if

    another hash is told for it, or another block names another parent or child
    an event of it is taken back, or told twice
    a Reorg takes it off the chain
    anything is told of it after it fell out of the window (a late back-fill, a replay)

All other numbers are canonical as they stand.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from consumers.analysis.statements import (
    HASH,
    HEADER_OF,
    IDENTITY,
    KIND,
    NUMBER,
    PARENT,
    REMOVED,
    REORG,
    SESSION,
    TICKS,
    mix,
)
from tlv.buffers import Longs
from tlv.jit import kernel

WINDOW = 128
"""Block numbers below the highest whose events are known by identity: four minutes of Polygon."""
SLOTS = 1 << 16  # power of two
"""Places for identities: 1 MiB, which stays in the second-level cache.  If a window has more, it becomes shorter."""
PROBES = 8  # power of two
"""Places that an identity may have, side by side."""
HEAD, FLOOR = range(2)
"""Of the ends of a window: the highest number so far, and the lowest number in it."""
NOWHERE = -2
CHAIN_SHIFT = 40
MOST_MARKS = 1 << 12
MARKS_OF_ONE = 4
"""Marks that one statement makes at most."""


@kernel
def watch(
    said: Longs, begin: int, count: int, ends: Longs, blocks: Longs, slots: Longs, marks: Longs
) -> tuple[int, int]:
    """Follow the statements from `begin` on, and write the ranges of contested numbers to `marks`.

    `blocks` has the number, hash and parent of each block of the window, `slots` the identity and number of each event.
    Returns (statement to go on with, marks); it stops early when `marks` is nearly full.
    """
    found = 0
    for i in range(begin, count):
        if found + MARKS_OF_ONE > marks.shape[1]:
            return i, found
        number, block_hash, kind = said[NUMBER, i], said[HASH, i], said[KIND, i]
        if kind == REORG:
            if number <= ends[HEAD]:
                marks[0, found], marks[1, found] = number, ends[HEAD]
                found += 1
            continue
        if number > ends[HEAD]:
            ends[HEAD] = number
            ends[FLOOR] = max(ends[FLOOR], number - WINDOW + 1)
        head = ends[HEAD]
        contested_to = int(number) if number < ends[FLOOR] or kind == REMOVED else -1
        if number >= ends[FLOOR]:
            at, above, below = number % WINDOW, (number + 1) % WINDOW, (number - 1) % WINDOW
            if blocks[0, at] != number:
                blocks[0, at], blocks[1, at], blocks[2, at] = number, block_hash, 0
            elif blocks[1, at] != block_hash:
                contested_to = int(head if kind == HEADER_OF else number)
                blocks[1, at] = block_hash
            if kind == HEADER_OF and said[PARENT, i] != 0:
                blocks[2, at] = said[PARENT, i]
                if blocks[0, below] == number - 1 and blocks[1, below] != said[PARENT, i]:
                    marks[0, found], marks[1, found] = number - 1, number
                    found += 1
            if (
                kind == HEADER_OF
                and blocks[0, above] == number + 1
                and blocks[2, above] != 0
                and blocks[2, above] != block_hash
            ):
                contested_to = int(head)
            if kind not in (REMOVED, TICKS) and not is_new(mix(said[IDENTITY, i], block_hash), number, ends, slots):
                contested_to = max(contested_to, int(number))
        if contested_to >= 0:
            marks[0, found], marks[1, found] = number, contested_to
            found += 1
    return count, found


@kernel
def is_new(identity: int, number: int, ends: Longs, slots: Longs) -> bool:
    """Enter an identity of block `number`; False if it is there already, or if there is no place for it."""
    begin = identity & (SLOTS - PROBES)
    while True:
        free, floor = -1, int(ends[FLOOR])
        for at in range(begin, begin + PROBES):
            if slots[at, 0] == identity and slots[at, 1] == number:
                return False
            if slots[at, 1] < floor:
                free = at
        if free >= 0:
            slots[free, 0], slots[free, 1] = identity, number
            return True
        if number <= floor:
            return False
        ends[FLOOR] = (ends[FLOOR] + number) // 2 + 1


class Ranges:
    """Disjoint ranges of numbers, both ends included, in rising order."""

    def __init__(self) -> None:
        self.firsts: Longs = np.zeros(0, np.int64)
        self.lasts: Longs = np.zeros(0, np.int64)

    def add(self, marks: Longs) -> None:
        """Unite with the ranges in the columns of `marks`."""
        firsts, lasts = np.concatenate([self.firsts, marks[0]]), np.concatenate([self.lasts, marks[1]])
        order = np.argsort(firsts, kind="stable")
        firsts, lasts = firsts[order], np.maximum.accumulate(lasts[order])
        begins = np.append(True, firsts[1:] > lasts[:-1] + 1) if firsts.size else np.zeros(0, np.bool_)
        self.firsts = firsts[begins]
        self.lasts = lasts[np.append(np.flatnonzero(begins)[1:] - 1, firsts.size - 1)] if firsts.size else lasts

    def hold(self, numbers: Longs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of `numbers` lie in a range."""
        if not self.firsts.size:
            return np.zeros(numbers.shape, np.bool_)
        at = np.searchsorted(self.firsts, numbers, side="right") - 1
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (at >= 0) & (numbers <= self.lasts[at])
        return found

    def covers(self, marks: Longs) -> bool:
        """Whether each of the ranges in the columns of `marks` that is not empty lies in one of these."""
        marks = marks[:, marks[0] <= marks[1]]
        if not self.firsts.size:
            return not marks.size
        at = np.searchsorted(self.firsts, marks[0], side="right") - 1
        return bool((at >= 0).all() and (marks[1] <= self.lasts[at]).all())


class Watch:
    """Finds the contested numbers of a journal, whose statements `take` gets in their order."""

    def __init__(self) -> None:
        self.contested = Ranges()
        self._chains: dict[tuple[int, int], int] = {}
        self._chain = 0
        self._ends: dict[int, Longs] = {}
        self._blocks: Longs = np.full((3, WINDOW), NOWHERE, np.int64)
        self._slots: Longs = np.full((SLOTS, 2), NOWHERE, np.int64)
        self._marks: Longs = np.zeros((2, MOST_MARKS), np.int64)

    def number_chains(self, said: Longs) -> Longs:
        """The statements without Sessions, the numbers of each chain in a range of their own.

        A journal without a Session has one chain.
        """
        edges = [*np.flatnonzero(said[KIND] == SESSION).tolist(), said.shape[1]]
        begin = 0
        for edge in edges:
            said[NUMBER, begin:edge] += self._chain << CHAIN_SHIFT
            if edge < said.shape[1]:
                self._on_session((int(said[NUMBER, edge]), int(said[HASH, edge])))
            begin = edge + 1
        if len(edges) == 1:
            return said
        numbered: Longs = np.ascontiguousarray(said[:, said[KIND] != SESSION])
        return numbered

    def _on_session(self, chain: tuple[int, int]) -> None:
        """The chain that follows.  What came before the first one, or before its genesis was known, is of the same."""
        chain_id, genesis = chain
        if chain in self._chains:
            self._chain = self._chains[chain]
        elif not self._chains or ((chain_id, 0) in self._chains and genesis):
            self._chains[chain] = self._chain = self._chains.get((chain_id, 0), 0)
        elif not genesis and any(known == chain_id for known, _ in self._chains):
            self._chain = next(number for (known, _), number in self._chains.items() if known == chain_id)
        else:
            self._chains[chain] = self._chain = len(self._chains)

    def take(self, said: Longs) -> Longs:
        """Follow the next statements, whose chains are numbered; returns the ranges that they made contested."""
        marks = []
        chains = said[NUMBER] >> CHAIN_SHIFT
        edges = [0, *(np.flatnonzero(np.diff(chains)) + 1).tolist(), said.shape[1]]
        for begin, end in pairwise(edges):
            if begin == end:
                continue
            ends = self._ends.setdefault(int(chains[begin]), np.array([NOWHERE, 0], np.int64))
            at = begin
            while at < end:
                at, found = watch(said, at, end, ends, self._blocks, self._slots, self._marks)
                marks.append(self._marks[:, :found].copy())
        new: Longs = np.concatenate(marks, axis=1) if marks else np.zeros((2, 0), np.int64)
        if new.shape[1]:
            self.contested.add(new)
        return new
