"""A small EVM: runs the programs that a collector sends as the data of an eth_call without `to`.

Owns the instructions that such programs use (yellow paper, appendix H; EIP-145, EIP-211, EIP-214, EIP-3855, EIP-5656).
Contracts are Python functions behind `Calls`.  Gas is not counted: a program that runs longer than `MOST_STEPS` fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from eth_hash.auto import keccak

WORD = 1 << 256
SIGN = 1 << 255
MOST_STEPS = 400_000
MOST_MEMORY = 1 << 21
LARGEST_CODE = 24_576
"""EIP-170: what a creation returns counts as code."""
MUCH_GAS = 30_000_000


class Calls(Protocol):
    """The chain that a program sees: one state, after one block."""

    number: int
    timestamp: int
    chain_id: int

    def has_code(self, address: bytes) -> bool:
        """Whether there is a contract."""

    def call(self, address: bytes, data: bytes) -> tuple[bool, bytes]:
        """Whether a static call succeeds, and what it returns."""

    def hash_at(self, number: int) -> bytes:
        """BLOCKHASH; zero if it is not one of the last 256."""


class Ran(NamedTuple):
    """How a program ended."""

    ok: bool
    output: bytes


class _Halt(Exception):
    """An instruction that ends the program in failure: all gas gone, nothing returned."""


def _signed(value: int) -> int:
    return value - WORD if value >= SIGN else value


def _div(a: int, b: int) -> int:
    return a // b if b else 0


def _sdiv(a: int, b: int) -> int:
    a, b = _signed(a), _signed(b)
    return (abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)) % WORD if b else 0


def _smod(a: int, b: int) -> int:
    a, b = _signed(a), _signed(b)
    return (abs(a) % abs(b) * (-1 if a < 0 else 1)) % WORD if b else 0


def _signextend(size: int, value: int) -> int:
    if size > 30:
        return value
    bit = 8 * size + 7
    low = value & ((1 << (bit + 1)) - 1)
    return low | (WORD - (1 << (bit + 1))) if value >> bit & 1 else low


BINARY: dict[int, Callable[[int, int], int]] = {
    0x01: lambda a, b: (a + b) % WORD,
    0x02: lambda a, b: a * b % WORD,
    0x03: lambda a, b: (a - b) % WORD,
    0x04: _div,
    0x05: _sdiv,
    0x06: lambda a, b: a % b if b else 0,
    0x07: _smod,
    0x0A: lambda a, b: pow(a, b, WORD),
    0x0B: _signextend,
    0x10: lambda a, b: int(a < b),
    0x11: lambda a, b: int(a > b),
    0x12: lambda a, b: int(_signed(a) < _signed(b)),
    0x13: lambda a, b: int(_signed(a) > _signed(b)),
    0x14: lambda a, b: int(a == b),
    0x16: lambda a, b: a & b,
    0x17: lambda a, b: a | b,
    0x18: lambda a, b: a ^ b,
    0x1A: lambda a, b: b >> 8 * (31 - a) & 255 if a < 32 else 0,
    0x1B: lambda a, b: b << a & WORD - 1 if a < 256 else 0,
    0x1C: lambda a, b: b >> a if a < 256 else 0,
    0x1D: lambda a, b: (_signed(b) >> min(a, 255)) % WORD,
}
"""Instructions that take two words and give one; the first is the top of the stack."""


class _Machine:
    """One run."""

    def __init__(self, code: bytes, calls: Calls) -> None:
        self.code, self.calls = code, calls
        self.stack: list[int] = []
        self.memory = bytearray()
        self.returned = b""

    def read(self, at: int, size: int) -> bytes:
        """Memory, grown as needed."""
        self._grow(at, size)
        return bytes(self.memory[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        """Into memory, grown as needed."""
        self._grow(at, len(data))
        self.memory[at : at + len(data)] = data

    def copy(self, source: bytes) -> None:
        """CODECOPY and its like: what lies beyond the source is zero."""
        to, at, size = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if size > MOST_MEMORY:
            raise _Halt
        self.write(to, source[at : at + size].ljust(size, b"\0"))

    def static_call(self) -> None:
        """STATICCALL: what is returned goes to memory as far as there is room for it."""
        _, to, data_at, data_size, out_at, out_size = (self.stack.pop() for _ in range(6))
        ok, self.returned = self.calls.call((to % (1 << 160)).to_bytes(20, "big"), self.read(data_at, data_size))
        self._grow(out_at, out_size)
        self.write(out_at, self.returned[:out_size])
        self.stack.append(int(ok))

    def environment(self, op: int) -> int:
        """What an instruction without arguments pushes."""
        calls = self.calls
        match op:
            case 0x3D:
                return len(self.returned)
            case 0x38:
                return len(self.code)
            case 0x42:
                return calls.timestamp
            case 0x43:
                return calls.number
            case 0x45 | 0x5A:
                return MUCH_GAS
            case 0x46:
                return calls.chain_id
            case 0x59:
                return len(self.memory)
            case 0x30 | 0x32 | 0x33 | 0x34 | 0x36 | 0x3A | 0x41 | 0x44 | 0x48 | 0x5F:
                return 0
            case _:
                raise _Halt

    def about(self, op: int, word: int) -> int:
        """What an instruction with one argument pushes."""
        address = (word % (1 << 160)).to_bytes(20, "big")
        match op:
            case 0x15:
                return int(word == 0)
            case 0x19:
                return WORD - 1 - word
            case 0x31 | 0x35:  # BALANCE; CALLDATALOAD: a creation has no call data
                return 0
            case 0x3B:
                return 1 if self.calls.has_code(address) else 0
            case 0x3F:
                return int.from_bytes(keccak(address), "big") if self.calls.has_code(address) else 0
            case 0x40:
                return int.from_bytes(self.calls.hash_at(word), "big")
            case 0x51:
                return int.from_bytes(self.read(word, 32), "big")
            case _:
                raise _Halt

    def _grow(self, at: int, size: int) -> None:
        if at + size > MOST_MEMORY:
            raise _Halt
        if size and at + size > len(self.memory):
            self.memory.extend(bytes((at + size + 31) // 32 * 32 - len(self.memory)))


ONE_ARGUMENT = frozenset((0x15, 0x19, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x51))


def run(code: bytes, calls: Calls) -> Ran:
    """Run `code` as the creation of a contract."""
    machine = _Machine(code, calls)
    try:
        ran = _run(machine, _jump_targets(code))
    except (_Halt, IndexError):  # a stack without enough words
        return Ran(False, b"")
    if ran.ok and (len(ran.output) > LARGEST_CODE or ran.output[:1] == b"\xef"):
        return Ran(False, b"")
    return ran


def _jump_targets(code: bytes) -> frozenset[int]:
    targets, at = set(), 0
    while at < len(code):
        if code[at] == 0x5B:
            targets.add(at)
        at += code[at] - 0x5E if 0x60 <= code[at] <= 0x7F else 1
    return frozenset(targets)


def _run(machine: _Machine, targets: frozenset[int]) -> Ran:
    code, stack, at = machine.code, machine.stack, 0
    pop, push = stack.pop, stack.append
    for _ in range(MOST_STEPS):
        if at >= len(code):
            return Ran(True, b"")
        op = code[at]
        at += 1
        if 0x60 <= op <= 0x7F:
            size = op - 0x5F
            push(int.from_bytes(code[at : at + size].ljust(size, b"\0"), "big"))
            at += size
        elif op in BINARY:
            a = pop()
            push(BINARY[op](a, pop()))
        elif 0x80 <= op <= 0x8F:
            push(stack[0x7F - op])
        elif 0x90 <= op <= 0x9F:
            other = 0x8E - op
            stack[-1], stack[other] = stack[other], stack[-1]
        elif op in ONE_ARGUMENT:
            push(machine.about(op, pop()))
        elif op == 0x52:
            to = pop()
            machine.write(to, pop().to_bytes(32, "big"))
        elif op == 0x5B:
            continue
        elif op in (0x56, 0x57):
            to = pop()
            if op == 0x56 or pop():
                if to not in targets:
                    raise _Halt
                at = to
        elif op == 0xFA:
            machine.static_call()
        elif op == 0x50:
            pop()
        elif op == 0x53:
            to = pop()
            machine.write(to, bytes([pop() & 255]))
        elif op == 0x20:
            begin = pop()
            push(int.from_bytes(keccak(machine.read(begin, pop())), "big"))
        elif op == 0x37:
            machine.copy(b"")
        elif op == 0x39:
            machine.copy(code)
        elif op == 0x3E:
            if stack[-2] + stack[-3] > len(machine.returned):
                raise _Halt  # EIP-211
            machine.copy(machine.returned)
        elif op == 0x5E:
            to, begin = pop(), pop()
            machine.write(to, machine.read(begin, pop()))
        elif op in (0xF3, 0xFD):
            begin = pop()
            return Ran(op == 0xF3, machine.read(begin, pop()))
        elif op == 0x00:
            return Ran(True, b"")
        elif op == 0x58:
            push(at - 1)
        else:
            push(machine.environment(op))
    raise _Halt
