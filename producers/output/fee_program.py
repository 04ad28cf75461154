"""The program that reads, in one `eth_call`, what decides the fee of an Algebra V1 pool.

Owns its text, its arguments and the form of its answer; asks nobody.  It runs as that of `tick_program`.
The pool's record of trades (v1-core: DataStorage) is a ring of 65,536 timepoints, of which few matter: the program
finds the last one at or before a moment by halving, and answers

    one zero word | globalState, 7 words | feeConfig, 9 | liquidity | sequence and timepoint, 8 words, of each of:
    the oldest; that one and those that follow it, so many as are wanted; the one before the last; the last

Sequence numbers count from 0, and on through the ring where it is full.  What `liquidity` shares its slot with, the
volume since the last timepoint, no function tells: it is read from the pool's storage.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from producers.node.assembler import assemble
from producers.node.view_calls import read_words, selector
from tlv.layout import Timepoint

WINDOW_S = 86_400
VOLUME_SLOT = 3
"""Of AlgebraPool: liquidity, and above it volumePerLiquidityInBlock."""
MOST_POINTS = 64
LONGEST_ANSWER = 2 + 2 * 24_576
SLOT = re.compile(r"0x[0-9a-fA-F]{1,64}")
STATE_WORDS, CONFIG_WORDS, POINT_WORDS = 7, 9, 8
MOST_FEE = 65_535

NEXT_POINT = "2a0 MLOAD 100 ADD 2a0 MSTORE"
# Memory: 0 pool, 20 moment, 40 points (the arguments); 60 operator, 80 last, a0 oldest; c0 the sequence that `point`
# reads, e0 where it goes on; 100 data of a call; 260 and 280 the bounds of the search, 2c0 that of the points; 2a0
# where the next point goes, 560 at first, so that its first two words are 580 and 5a0.  The answer begins at 320.
PROGRAM = f"""
    60 end 0 CODECOPY
    {selector("globalState()")} e0 SHL 100 MSTORE
    e0 340 4 100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI
    {selector("dataStorageOperator()")} e0 SHL 100 MSTORE
    20 60 4 100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI
    {selector("feeConfig()")} e0 SHL 100 MSTORE
    120 420 4 100 60 MLOAD GAS STATICCALL ISZERO fail JUMPI
    {selector("liquidity()")} e0 SHL 100 MSTORE
    20 540 4 100 0 MLOAD GAS STATICCALL ISZERO fail JUMPI
    {selector("timepoints(uint256)")} e0 SHL 100 MSTORE
    560 2a0 MSTORE  3a0 MLOAD 80 MSTORE
    1 80 MLOAD ADD c0 MSTORE  ahead e0 MSTORE  point JUMP
  ahead:
    580 MLOAD ISZERO young JUMPI                ; the one ahead of the last was written: the ring is full
    1 80 MLOAD ADD a0 MSTORE  10000 80 MLOAD ADD 80 MSTORE
  young:
    a0 MLOAD 260 MSTORE  80 MLOAD 280 MSTORE
  search:
    280 MLOAD 260 MLOAD EQ found JUMPI
    1 280 MLOAD ADD 260 MLOAD ADD 1 SHR c0 MSTORE  judge e0 MSTORE  point JUMP
  judge:
    5a0 MLOAD 20 MLOAD LT later JUMPI           ; moment < its timestamp
    c0 MLOAD 260 MSTORE  search JUMP
  later:
    1 c0 MLOAD SUB 280 MSTORE  search JUMP
  found:
    40 MLOAD 260 MLOAD ADD 2c0 MSTORE
    a0 MLOAD c0 MSTORE  oldest e0 MSTORE  point JUMP
  oldest:
    {NEXT_POINT}
  window:
    260 MLOAD 80 MLOAD LT tail JUMPI            ; last < this
    2c0 MLOAD 260 MLOAD LT ISZERO tail JUMPI
    260 MLOAD c0 MSTORE  kept e0 MSTORE  point JUMP
  kept:
    {NEXT_POINT}  1 260 MLOAD ADD 260 MSTORE  window JUMP
  tail:
    80 MLOAD ISZERO last JUMPI
    1 80 MLOAD SUB c0 MSTORE  before e0 MSTORE  point JUMP
  before:
    {NEXT_POINT}
  last:
    80 MLOAD c0 MSTORE  done e0 MSTORE  point JUMP
  done:
    {NEXT_POINT}
    320 2a0 MLOAD SUB 320 RETURN
  point:
    c0 MLOAD 2a0 MLOAD MSTORE  c0 MLOAD ffff AND 104 MSTORE
    e0 20 2a0 MLOAD ADD 24 100 60 MLOAD GAS STATICCALL ISZERO fail JUMPI
    e0 MLOAD JUMP
  fail:
    0 0 REVERT
  end:
"""
"""In the notation of `producers.node.assembler`."""

CODE = assemble(PROGRAM)


class FeeReading(NamedTuple):
    """What the program tells of a pool."""

    tick: int
    fee_pips: int
    liquidity: int
    config: tuple[int, ...]
    """alpha1, alpha2, beta1, beta2, gamma1, gamma2, volumeBeta, volumeGamma, baseFee."""
    points: list[Timepoint]
    """By rising sequence; the last is the pool's last."""


def call_data(pool: bytes, timestamp: int) -> str:
    """What to send as the data of the eth_call about a block of this timestamp."""
    arguments = (int.from_bytes(pool, "big"), max(timestamp - WINDOW_S, 0), MOST_POINTS)
    return "0x" + CODE.hex() + "".join(f"{argument:064x}" for argument in arguments)


def read_fee(answer: str) -> FeeReading | None:
    """What an answer of the program tells; None if it is none that an initialised pool gives."""
    words = read_words(answer, LONGEST_ANSWER)
    begin = 1 + STATE_WORDS
    points_at = begin + CONFIG_WORDS + 1
    if len(words) < points_at + POINT_WORDS or (len(words) - points_at) % POINT_WORDS or words[0] != 0:
        return None
    price, tick, fee, index = words[1:5]
    config, liquidity = tuple(words[begin : points_at - 1]), words[points_at - 1]
    found = {}
    for at in range(points_at, len(words), POINT_WORDS):
        sequence, written, timestamp, cumulative, _, volatility, average, volume = words[at : at + POINT_WORDS]
        if written != 1 or timestamp >> 32 or sequence >> 17 or volatility >> 88 or volume >> 128:
            return None
        found[sequence] = Timepoint(
            volatility, volume, signed(cumulative, 56), timestamp, sequence, signed(average, 24)
        )
    points = [found[sequence] for sequence in sorted(found)]
    sane = price and fee <= MOST_FEE and points[-1].sequence & 0xFFFF == index and liquidity >> 128 == 0
    bits = (16, 16, 32, 32, 16, 16, 32, 16, 16)
    if not sane or any(value >> most for value, most in zip(config, bits, strict=True)):
        return None
    return FeeReading(signed(tick, 24), fee, liquidity, config, points)


def read_volume(answer: str, liquidity: int) -> int | None:
    """The volume per liquidity since the last timepoint, from the slot that holds both; None if it holds others."""
    if SLOT.fullmatch(answer) is None:
        return None
    held = int(answer, 16)
    return held >> 128 if held % (1 << 128) == liquidity else None


def signed(word: int, bits: int) -> int:
    """A word as the signed integer of so many bits that it was made of."""
    return word % (1 << bits) - (word >> bits - 1 & 1) * (1 << bits)
