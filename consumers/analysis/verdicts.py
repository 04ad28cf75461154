"""Which messages about contested blocks stand: the last word about a number decides.

Owns the judgement, on statements in the order of the journal:

    block      the hash named last for a number is in force.  A Reorg takes all numbers above its fork off the chain; so
               does a Block with another hash than before for those above it, and it takes off a block below it that is
               not its parent.  A block that comes back is in force from then on.
    event      stands if its block is in force, it came after the block did, and it was not taken back since; of several
               copies the first stands, of the ends of a block the last.
    replay     a copy with the flag REPLAY counts only where nothing was recorded first-hand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from consumers.analysis.statements import (
    END_OF,
    HASH,
    HEADER_OF,
    IDENTITY,
    KIND,
    NUMBER,
    RANK,
    REMOVED,
    REORG,
    TICKS,
)
from tlv.buffers import Longs

OFF_CHAIN = 0
"""The hash of a number that no block holds."""


class InForce(NamedTuple):
    """The block of a number: its hash, its parent's if known (else 0), since which statement, and told by whom."""

    hash: int
    parent: int
    since: int
    rank: int


class BlockVerdicts(NamedTuple):
    """What `judge` found."""

    dropped: Longs
    """Indices of the statements whose messages do not stand, those of REMOVED copies among them."""
    cut_off: list[tuple[int, int]]
    """Ranges of numbers that a Block took off the chain."""


def judge(said: Longs) -> BlockVerdicts:
    """Judge statements in the order of the journal: all about some numbers, and all Reorgs."""
    blocks, cut_off = blocks_in_force(said)
    numbers, places = np.unique(said[NUMBER], return_inverse=True)
    nobody = InForce(OFF_CHAIN, 0, 0, 0)
    found = [blocks.get(number, nobody) for number in numbers.tolist()]
    hashes = np.array([block.hash for block in found], np.int64)
    since = np.array([block.since for block in found], np.int64)
    at = np.arange(said.shape[1])
    counts = (said[KIND] != REORG) & (said[HASH] == hashes[places]) & (at >= since[places])
    stands = counts & (said[KIND] == TICKS)
    stands[first_copies(said, np.flatnonzero(counts & (said[KIND] != TICKS)))] = True
    return BlockVerdicts(np.flatnonzero(~stands & (said[KIND] != REORG)), cut_off)


def first_copies(said: Longs, candidates: Longs) -> Longs:
    """Of the statements `candidates`, all of blocks in force, those whose messages stand: one for each identity."""
    if not candidates.size:
        return candidates
    order = candidates[np.lexsort((candidates, said[IDENTITY, candidates], said[NUMBER, candidates]))]
    number, identity, kind, rank = said[NUMBER, order], said[IDENTITY, order], said[KIND, order], said[RANK, order]
    begins = np.append(True, (number[1:] != number[:-1]) | (identity[1:] != identity[:-1]))
    firsts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    told = kind != REMOVED
    best = np.maximum.reduceat(np.where(told, rank, -1), firsts)
    took_back = np.where(~told & (rank >= best[group]), order, -1)
    last_removal = np.maximum.reduceat(took_back, firsts)
    alive = told & (rank == best[group]) & (order > last_removal[group])
    beyond = said.shape[1]
    first = np.minimum.reduceat(np.where(alive, order, beyond), firsts)
    last = np.maximum.reduceat(np.where(alive & (kind == END_OF), order, -1), firsts)
    kept: Longs = np.where(last >= 0, last, first)
    found: Longs = kept[kept < beyond]
    return found


def blocks_in_force(said: Longs) -> tuple[dict[int, InForce], list[tuple[int, int]]]:
    """The block of each number after the last statement, and which ranges a Block took off."""
    blocks: dict[int, InForce] = {}
    cut_off: list[tuple[int, int]] = []
    head = -1
    for at in turning_points(said):
        number, block_hash, _, kind, parent, rank = (int(value) for value in said[NUMBER : RANK + 1, at])
        if kind == REORG:
            take_off(blocks, number, head, at, rank)
            continue
        head = max(head, number)
        known = blocks.get(number)
        if known is not None and known.hash != block_hash and rank < known.rank:
            continue
        if known is None or known.hash != block_hash:
            new = InForce(block_hash, 0, at, rank)
        else:
            new = known._replace(rank=max(rank, known.rank))
        if kind == HEADER_OF:
            new = new._replace(parent=parent)
            above = blocks.get(number + 1)
            if (known is not None and known.hash not in (OFF_CHAIN, block_hash)) or (
                above is not None and above.parent not in (0, block_hash)
            ):
                take_off(blocks, number + 1, head, at, rank)
                cut_off.append((number + 1, head))
            below = blocks.get(number - 1)
            if parent and below is not None and below.hash not in (OFF_CHAIN, parent) and rank >= below.rank:
                blocks[number - 1] = InForce(OFF_CHAIN, 0, at, rank)
        blocks[number] = new
    return blocks, cut_off


def turning_points(said: Longs) -> list[int]:
    """The statements that can change which block is in force: REMOVED copies cannot, nor can the next event of one."""
    kept = np.flatnonzero(said[KIND] != REMOVED)
    if not kept.size:
        return []
    rows = said[:, kept]
    same = (rows[NUMBER, 1:] == rows[NUMBER, :-1]) & (rows[HASH, 1:] == rows[HASH, :-1])
    same &= rows[RANK, 1:] == rows[RANK, :-1]
    turns = np.append(True, ~same) | (rows[KIND] == HEADER_OF) | (rows[KIND] == REORG)
    # What follows a Reorg speaks of its number as a block above it did, and must be looked at all the same.
    turns[1:] |= rows[KIND, :-1] == REORG
    points: list[int] = kept[turns].tolist()
    return points


def take_off(blocks: dict[int, InForce], first: int, head: int, at: int, rank: int) -> None:
    """Nothing from number `first` to `head` is in force from statement `at` on, but for what a better source told."""
    numbers = range(first, head + 1) if head - first < len(blocks) else [n for n in blocks if first <= n <= head]
    for number in numbers:
        known = blocks.get(number)
        if known is not None and rank >= known.rank:
            blocks[number] = InForce(OFF_CHAIN, 0, at, rank)
