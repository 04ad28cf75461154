"""`fold_blocks` by carry-less multiplication, for numba; `crc` imports it where kernels are compiled.

Owns what a CRC of 16 bytes or more is compiled to: PCLMULQDQ where the CPU that numba compiles for has it (x86 since
2010), else the slicing of `tlv.crc`, which is what runs uncompiled as well.

A CRC is a remainder of polynomials over GF(2), and bytes that stand D bits before others count as their product with
x^D mod P.  So 128 bits are folded onto those D bits later by two products with constants, and four such strands run
side by side (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009, the
bit-reversed form).
"""

from __future__ import annotations

import inspect
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from tlv.crc import BLOCK, POLYNOMIAL, fold_blocks, slice_blocks

NEEDED = frozenset({"+pclmul", "+ssse3"})
BYTE, HALF, WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
BLOCK_BYTES = ir.VectorType(BYTE, BLOCK)
PAIR = ir.VectorType(WORD, 2)
WIDE_STEP = 4 * BLOCK
LOWS, LOW_BY_HIGH, HIGHS = 0x00, 0x10, 0x11
"""Which half of each factor PCLMULQDQ multiplies."""


def power(exponent: int) -> int:
    """x^exponent mod P, bits reversed and shifted up by one, which makes up for the product of two reversed factors."""
    crc = 1 << 31  # x^0, reversed
    for _ in range(exponent):
        crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
    return crc << 1


def quotient() -> int:
    """floor(x^64 / P), 33 bits reversed, for Barrett's reduction."""
    plain = int(f"{POLYNOMIAL:032b}"[::-1], 2) | 1 << 32
    rest, found = 1 << 64, 0
    for bit in range(32, -1, -1):
        if rest >> (bit + 32) & 1:
            rest ^= plain << bit
            found |= 1 << bit
    return int(f"{found:033b}"[::-1], 2)


def pair(low: int, high: int) -> Any:
    """A constant of two words."""
    return ir.Constant(PAIR, [low, high])


def fold_by(distance: int) -> Any:
    """The two factors that move 128 bits `distance` bits towards the end."""
    return pair(power(distance + 32), power(distance - 32))


BY_BLOCK, BY_TWO, BY_THREE, BY_FOUR = (fold_by(128 * blocks) for blocks in (1, 2, 3, 4))
TO_96 = pair(power(96), power(64))
BARRETT = pair(quotient(), POLYNOMIAL << 1 | 1)
SHUFFLES = bytes([0x80] * 16 + [*range(16)] + [0x80] * 16)
"""16 of these from 16 + n on shift a block n bytes towards its first byte, from 16 - n on towards its last one."""


@type_callable(fold_blocks)  # type: ignore[untyped-decorator]
def _type_fold_blocks(_context: Any) -> Any:
    def check(buf: Any, start: Any, end: Any, crc: Any) -> Any:
        if buf.dtype != types.uint8:
            raise TypingError("fold_blocks: expected an array of bytes")
        return types.int64(buf, types.int64, types.int64, types.int64)

    check.__signature__ = inspect.signature(fold_blocks)  # type: ignore[attr-defined]
    return check


class Folding:
    """The instructions of one call, written behind each other."""

    def __init__(self, builder: Any, data: Any) -> None:
        self.builder = builder
        self.data = data

    def load(self, at: Any) -> Any:
        """16 bytes of the buffer, at any alignment."""
        place = self.builder.bitcast(self.builder.gep(self.data, [at]), PAIR.as_pointer())
        return self.builder.load(place, align=1)

    def multiply(self, a: Any, b: Any, halves: int) -> Any:
        """The carry-less product of one half of `a` and one of `b`."""
        signature = ir.FunctionType(PAIR, [PAIR, PAIR, BYTE])
        product = cgutils.get_or_insert_function(self.builder.module, signature, "llvm.x86.pclmulqdq")
        return self.builder.call(product, [a, b, BYTE(halves)])

    def fold(self, block: Any, factors: Any, onto: Any) -> Any:
        """`block`, moved as far as `factors` say, added to `onto`."""
        low, high = self.multiply(block, factors, LOWS), self.multiply(block, factors, HIGHS)
        return self.builder.xor(self.builder.xor(low, onto), high)

    def shuffle(self, block: Any, order: Any) -> Any:
        """The bytes of `block` in another order, zero where the order says 0x80."""
        signature = ir.FunctionType(BLOCK_BYTES, [BLOCK_BYTES, BLOCK_BYTES])
        shuffled = cgutils.get_or_insert_function(self.builder.module, signature, "llvm.x86.ssse3.pshuf.b.128")
        return self.builder.call(shuffled, [self.builder.bitcast(block, BLOCK_BYTES), order])

    def order(self, at: Any) -> Any:
        """16 bytes of SHUFFLES."""
        table = cgutils.global_constant(self.builder, "crc_shuffles", ir.Constant(ir.ArrayType(BYTE, 48), [*SHUFFLES]))
        place = self.builder.gep(table, [WORD(0), at])
        return self.builder.load(self.builder.bitcast(place, BLOCK_BYTES.as_pointer()), align=1)

    def add_rest(self, block: Any, end: Any, rest: Any) -> Any:
        """`block` and the `rest` bytes before `end`, 1 to 15: its first `rest` bytes fold onto the 16 that follow."""
        builder = self.builder
        first = self.shuffle(block, self.order(rest))
        order = self.order(builder.add(rest, WORD(16)))
        behind = self.shuffle(block, order)
        new = builder.icmp_signed("<", order, ir.Constant(BLOCK_BYTES, [0] * BLOCK))
        last = builder.bitcast(self.load(builder.sub(end, WORD(BLOCK))), BLOCK_BYTES)
        onto = builder.select(new, last, behind)
        return self.fold(builder.bitcast(first, PAIR), BY_BLOCK, builder.bitcast(onto, PAIR))

    def reduce(self, block: Any) -> Any:
        """The remainder of 128 bits, with 32 zero bits behind them."""
        builder = self.builder
        lowest = pair(0xFFFFFFFF, 0)

        def down(value: Any, bits: int) -> Any:
            wide = builder.bitcast(value, ir.IntType(128))
            return builder.bitcast(builder.lshr(wide, ir.IntType(128)(bits)), PAIR)

        bits96 = builder.xor(self.multiply(block, TO_96, LOWS), down(block, 64))
        bits64 = builder.xor(self.multiply(builder.and_(bits96, lowest), TO_96, LOW_BY_HIGH), down(bits96, 32))
        times = builder.and_(self.multiply(builder.and_(bits64, lowest), BARRETT, LOWS), lowest)
        remainder = builder.xor(self.multiply(times, BARRETT, LOW_BY_HIGH), bits64)
        return builder.lshr(builder.extract_element(remainder, HALF(0)), WORD(32))


@lower_builtin(fold_blocks, types.Array, types.int64, types.int64, types.int64)  # type: ignore[untyped-decorator]
def _emit_fold_blocks(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    multiplies = set(context.codegen()._tm_features.split(",")) >= NEEDED
    sliced = getattr(slice_blocks, "py_func", slice_blocks)
    return (
        _emit_folding(context, builder, signature, args)
        if multiplies
        else context.compile_internal(builder, sliced, signature, args)
    )


def _emit_folding(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    _, start, end, crc = args
    folding = Folding(builder, context.make_array(signature.args[0])(context, builder, args[0]).data)
    block, pos = cgutils.alloca_once(builder, PAIR), cgutils.alloca_once(builder, WORD)

    def left() -> Any:
        return builder.sub(end, builder.load(pos))

    first = builder.insert_element(pair(0, 0), builder.and_(crc, WORD(0xFFFFFFFF)), HALF(0))
    builder.store(builder.xor(folding.load(start), first), block)
    builder.store(builder.add(start, WORD(BLOCK)), pos)
    with builder.if_then(builder.icmp_signed(">=", left(), WORD(WIDE_STEP - BLOCK))):
        strands = [block, *(cgutils.alloca_once(builder, PAIR) for _ in range(3))]
        for i, strand in enumerate(strands[1:], 1):
            builder.store(folding.load(builder.add(start, WORD(i * BLOCK))), strand)
        builder.store(builder.add(start, WORD(WIDE_STEP)), pos)
        with cgutils.for_range(builder, builder.ashr(left(), WORD(6))):
            for i, strand in enumerate(strands):
                onto = folding.load(builder.add(builder.load(pos), WORD(i * BLOCK)))
                builder.store(folding.fold(builder.load(strand), BY_FOUR, onto), strand)
            builder.store(builder.add(builder.load(pos), WORD(WIDE_STEP)), pos)
        whole = builder.load(strands[3])
        for strand, factors in zip(strands, (BY_THREE, BY_TWO, BY_BLOCK), strict=False):
            whole = folding.fold(builder.load(strand), factors, whole)
        builder.store(whole, block)
    with cgutils.for_range(builder, builder.ashr(left(), WORD(4))):
        onto = folding.load(builder.load(pos))
        builder.store(folding.fold(builder.load(block), BY_BLOCK, onto), block)
        builder.store(builder.add(builder.load(pos), WORD(BLOCK)), pos)
    with builder.if_then(builder.icmp_signed(">", left(), WORD(0))):
        builder.store(folding.add_rest(builder.load(block), end, left()), block)
    return folding.reduce(builder.load(block))
