"""The program that reads a pool's tick map inside the node, in one `eth_call` for hundreds of words.

Owns its text, its arguments and the form of its answer; asks nobody.  A node runs the data of an eth_call
without `to` as the creation of a contract and answers with what it returns, which makes nothing and needs no contract
of ours or anybody's to be there (ERC-6492 relies on the same).  The program walks words of a pool's bitmap, and
asks for the tick of each bit that is set:

    one zero word | position, bitmap, gross << 128 | net for each set bit, lowest first | the next such word

The zero word tells an empty answer from none, and no code may begin with 0xEF (EIP-3541).  What is returned counts as
code, 24,576 bytes at most on every chain (EIP-170): more ticks than that, and the node refuses, like a call that runs
out of gas or time; then fewer words have to be asked.  One word always fits: 258 * 32 + 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from producers.node.assembler import assemble
from producers.node.view_calls import read_words, selector

WORD_TICKS = 256
"""Ticks, in units of the spacing, per word of the bitmap."""
MIN_TICK, MAX_TICK = -887272, 887272
LONGEST_ANSWER = 2 + 2 * 49_152
"""Hex characters; twice what EIP-170 allows, since some chains allow more."""

# Memory: 0 contract, 20 word, 40 last word, 60 spacing, 80 slot of the pool (the arguments; what is not given is 0);
# a0 where the answer ends, c0 bitmap, e0 bit; 100 data of a call, 140 its first two words of result, 180 what is
# hashed; the answer begins at 200.
WALK = """
    a0 end 0 CODECOPY                           ; the arguments stand behind the program
    220 a0 MSTORE
  word:
    20 MLOAD 40 MLOAD SLT done JUMPI            ; last < word
    {bitmap}
    140 MLOAD c0 MSTORE  0 e0 MSTORE
    c0 MLOAD ISZERO next JUMPI
    20 MLOAD a0 MLOAD MSTORE  c0 MLOAD a0 MLOAD 20 ADD MSTORE  a0 MLOAD 40 ADD a0 MSTORE
  bit:
    c0 MLOAD e0 MLOAD SHR ISZERO next JUMPI     ; no bit is left; a shift by 256 leaves none either
    c0 MLOAD e0 MLOAD SHR 1 AND ISZERO skip JUMPI
    20 MLOAD 100 MUL e0 MLOAD ADD 60 MLOAD MUL
    {tick}
    a0 MLOAD MSTORE
    a0 MLOAD 20 ADD a0 MSTORE
  skip:
    e0 MLOAD 1 ADD e0 MSTORE  bit JUMP
  next:
    20 MLOAD 1 ADD 20 MSTORE  word JUMP
  done:
    200 a0 MLOAD SUB 200 RETURN
  fail:
    0 0 REVERT
  end:
"""
"""In the notation of `producers.node.assembler`.  `bitmap` leaves a word of it at 140; `tick` takes a tick from the
stack and leaves gross << 128 | net."""
ASK = "100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI"
BITMAP = "{bitmap}"
PROGRAM = WALK.format(
    bitmap=f"""
    {BITMAP} e0 SHL 100 MSTORE  20 MLOAD 104 MSTORE  20 140 24 {ASK}""",
    tick=f"""
    {selector("ticks(int24)")} e0 SHL 100 MSTORE  104 MSTORE  40 140 24 {ASK}
    140 MLOAD 80 SHL  160 MLOAD 80 SHL 80 SHR  OR""",
)
"""Pools of Uniswap V3's kind, whose contract has functions for both; the name of the first differs."""
TICKS_SLOT, BITMAP_SLOT = 4, 5
"""Within a pool (v4-core StateLibrary)."""
LOAD = f"{selector('extsload(bytes32)')} e0 SHL 100 MSTORE  40 180 KECCAK256 104 MSTORE  20 140 24 {ASK}"
SLOTS_PROGRAM = WALK.format(
    bitmap=f"""
    20 MLOAD 180 MSTORE  80 MLOAD {BITMAP_SLOT:x} ADD 1a0 MSTORE  {LOAD}""",
    tick=f"""
    180 MSTORE  80 MLOAD {TICKS_SLOT:x} ADD 1a0 MSTORE  {LOAD}
    140 MLOAD 80 SHL  140 MLOAD 80 SHR  OR      ; net stands above gross""",
)
"""Uniswap V4's manager, which shows its storage: the slot of a mapping's entry is the hash of key and slot."""
SLOTS_CODE = assemble(SLOTS_PROGRAM)


@cache
def code_for(bitmap: str) -> bytes:
    """The program for pools that keep their bitmap behind this view function, `tickBitmap(int16)`."""
    return assemble(PROGRAM.replace(BITMAP, selector(bitmap)))


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


def call_data(pool: bytes, words: Words, spacing: int, bitmap: str) -> str:
    """What to send as the data of the eth_call."""
    arguments = (int.from_bytes(pool, "big"), words.first, words.last, spacing)
    return "0x" + code_for(bitmap).hex() + "".join(f"{argument % (1 << 256):064x}" for argument in arguments)


def slots_call_data(manager: bytes, slot: int, words: Words, spacing: int) -> str:
    """The same for a pool that its manager keeps at a slot."""
    arguments = (int.from_bytes(manager, "big"), words.first, words.last, spacing, slot)
    return "0x" + SLOTS_CODE.hex() + "".join(f"{argument % (1 << 256):064x}" for argument in arguments)


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
