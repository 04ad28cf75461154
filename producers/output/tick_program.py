"""The program that reads a pool's tick map inside the node, in one `eth_call` for hundreds of words.

Owns its text, its arguments and the form of its answer; asks nobody.  A node runs the data of an eth_call
without `to` as the creation of a contract and answers with what it returns, which makes nothing and needs no contract
of ours or anybody's to be there (ERC-6492 relies on the same).  The program walks words of `tickBitmap`, and asks
`ticks` for each bit that is set:

    one zero word | position, bitmap, gross << 128 | net for each set bit, lowest first | the next such word

The zero word tells an empty answer from none, and no code may begin with 0xEF (EIP-3541).  What is returned counts as
code, 24,576 bytes at most on every chain (EIP-170): more ticks than that, and the node refuses, like a call that runs
out of gas or time; then fewer words have to be asked.  One word always fits: 258 * 32 + 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from producers.node.assembler import assemble
from producers.node.view_calls import read_words, selector

WORD_TICKS = 256
"""Ticks, in units of the spacing, per word of the bitmap."""
MIN_TICK, MAX_TICK = -887272, 887272
LONGEST_ANSWER = 2 + 2 * 49_152
"""Hex characters; twice what EIP-170 allows, since some chains allow more."""

# Memory: 0 pool, 20 word, 40 last word, 60 spacing (the arguments); 80 where the answer ends, a0 bitmap, c0 bit;
# 100 data of a call, 140 its first two words of result; the answer begins at 200.
PROGRAM = f"""
    80 end 0 CODECOPY                           ; the arguments stand behind the program
    220 80 MSTORE
  word:
    20 MLOAD 40 MLOAD SLT done JUMPI            ; last < word
    {selector("tickBitmap(int16)")} e0 SHL 100 MSTORE  20 MLOAD 104 MSTORE
    20 140 24 100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI
    140 MLOAD a0 MSTORE  0 c0 MSTORE
    a0 MLOAD ISZERO next JUMPI
    20 MLOAD 80 MLOAD MSTORE  a0 MLOAD 80 MLOAD 20 ADD MSTORE  80 MLOAD 40 ADD 80 MSTORE
  bit:
    a0 MLOAD c0 MLOAD SHR ISZERO next JUMPI     ; no bit is left; a shift by 256 leaves none either
    a0 MLOAD c0 MLOAD SHR 1 AND ISZERO skip JUMPI
    {selector("ticks(int24)")} e0 SHL 100 MSTORE
    20 MLOAD 100 MUL c0 MLOAD ADD 60 MLOAD MUL 104 MSTORE
    40 140 24 100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI
    140 MLOAD 80 SHL  160 MLOAD 80 SHL 80 SHR  OR  80 MLOAD MSTORE
    80 MLOAD 20 ADD 80 MSTORE
  skip:
    c0 MLOAD 1 ADD c0 MSTORE  bit JUMP
  next:
    20 MLOAD 1 ADD 20 MSTORE  word JUMP
  done:
    200 80 MLOAD SUB 200 RETURN
  fail:
    0 0 REVERT
  end:
"""
"""In the notation of `producers.node.assembler`."""


CODE = assemble(PROGRAM)


class Words(NamedTuple):
    """Words `first` to `last` of the bitmap, both included."""

    first: int
    last: int

    def halves(self) -> tuple[Words, Words]:
        """The two halves of at least two words."""
        middle = (self.first + self.last) // 2
        return Words(self.first, middle), Words(middle + 1, self.last)


class Tick(NamedTuple):
    """An initialised tick, as `ticks` of the pool tells it."""

    tick: int
    liquidity_gross: int
    liquidity_net: int


def all_words(spacing: int) -> Words:
    """The words that hold every tick a pool of this spacing can have."""
    return Words(-(MAX_TICK // spacing) // WORD_TICKS, MAX_TICK // spacing // WORD_TICKS)


def call_data(pool: bytes, words: Words, spacing: int) -> str:
    """What to send as the data of the eth_call."""
    arguments = (int.from_bytes(pool, "big"), words.first, words.last, spacing)
    return "0x" + CODE.hex() + "".join(f"{argument % (1 << 256):064x}" for argument in arguments)


def read_ticks(answer: str, words: Words, spacing: int) -> list[Tick] | None:
    """The initialised ticks in these words, rising; None if the answer is not one that the program gives."""
    found = read_words(answer, LONGEST_ANSWER)
    if not found or found[0] != 0:
        return None
    try:
        return list(_ticks(iter(found[1:]), words, spacing))
    except ValueError:
        return None


def _ticks(found: Iterator[int], words: Words, spacing: int) -> Iterator[Tick]:
    least = words.first
    for raw in found:
        position = raw - (raw >> 255 << 256)
        bitmap = next(found, 0)
        if not least <= position <= words.last or bitmap == 0:
            raise ValueError(f"word {position} with bitmap {bitmap:#x}")
        least = position + 1
        for bit in range(WORD_TICKS):
            if bitmap >> bit & 1:
                tick, packed = (position * WORD_TICKS + bit) * spacing, next(found, 0)
                gross, net = packed >> 128, packed % (1 << 128)
                net -= net >> 127 << 128
                if not MIN_TICK <= tick <= MAX_TICK or gross == 0 or abs(net) > gross:
                    raise ValueError(f"tick {tick}: gross {gross}, net {net}")
                yield Tick(tick, gross, net)
