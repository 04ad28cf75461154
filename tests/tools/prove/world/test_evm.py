"""The small EVM: each instruction that programs of the collector use, and the ways to fail."""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak

from producers.output.tick_program import Tick, Words, assemble, call_data, read_ticks
from tools.prove.world.contracts import selector, word
from tools.prove.world.evm import LARGEST_CODE, Ran, run

POOL = bytes([0x55]) * 20


class Calls:
    """One contract that answers with its own call data, one that reverts, and nothing else."""

    number, timestamp, chain_id = 7, 1_700_000_000, 137

    def has_code(self, address: bytes) -> bool:
        return address in (POOL, bytes([0x66]) * 20)

    def call(self, address: bytes, data: bytes) -> tuple[bool, bytes]:
        return (True, data) if address == POOL else (not self.has_code(address), b"")

    def hash_at(self, number: int) -> bytes:
        return bytes([number]) * 32


def result_of(expression: str) -> int:
    """The word that a program leaves on the stack."""
    ran = run(assemble(f"{expression} 0 MSTORE 20 0 RETURN end:"), Calls())
    assert ran.ok and len(ran.output) == 32
    return int.from_bytes(ran.output, "big")


def raw(code: str) -> Ran:
    return run(bytes.fromhex(code), Calls())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 2 ADD", 5),
        ("1 0 SUB", (1 << 256) - 1),
        ("3 7 MUL", 21),
        ("ff 8 SHL", 0xFF00),
        ("ff00 8 SHR", 0xFF),
        ("1 100 SHL", 0),
        ("0 1 0 SUB SLT", 1),
        ("1 1 0 SUB SLT", 1),
        ("5 5 EQ", 1),
        ("0 ISZERO", 1),
        ("c a AND", 8),
        ("c a OR", 14),
    ],
)
def test_program_of_an_expression_gives_its_value(expression: str, value: int) -> None:
    assert result_of(expression) == value  # the top of the stack is the first operand


def returned(code: str) -> int:
    """The value of raw code that leaves one word on the stack."""
    ran = raw(code + "60005260206000f3")
    assert ran.ok
    return int.from_bytes(ran.output, "big")


def test_environment_instructions_tell_the_block_and_the_code() -> None:
    assert returned("43") == 7 and returned("42") == 1_700_000_000 and returned("46") == 137
    assert returned("600540") == int.from_bytes(bytes([5]) * 32, "big")
    assert returned("73" + "55" * 20 + "3b") == 1 and returned("73" + "77" * 20 + "3b") == 0
    assert returned("38") == len(bytes.fromhex("38" + "60005260206000f3"))


def test_hash_and_copies_work_on_memory() -> None:
    assert returned("602a60005260206000" + "20") == int.from_bytes(keccak(word(42)), "big")
    assert returned("602a600052" + "6020600060405e" + "604051") == 42


def test_static_call_returns_data_and_reverts_show() -> None:
    call = "6000600060206000" + "73" + "55" * 20 + "5a" + "fa"
    assert returned(call) == 1
    assert returned(call + "503d") == 32
    assert returned("6000600060006000" + "73" + "66" * 20 + "5afa") == 0
    assert returned("6000600060006000" + "73" + "77" * 20 + "5afa") == 1


@pytest.mark.parametrize(
    "code",
    [
        "01",  # no operands
        "600056",  # a jump to no JUMPDEST
        "605b600156",  # into the data of a push
        "fe",
        "63ffffffff6000f3",  # more memory than there is
        "60206000600060206000600a3e",  # beyond what was returned
        "5b600056",  # for ever
        f"62{LARGEST_CODE + 1:06x}6000f3",  # more than a contract may have
        "60ef60005360016000f3",  # EIP-3541
    ],
)
def test_program_that_cannot_go_on_fails_without_output(code: str) -> None:
    assert raw(code) == Ran(False, b"")


def test_revert_fails_with_its_data() -> None:
    assert raw("602a60005260206000fd") == Ran(False, word(42))


def test_tick_program_reads_the_ticks_of_a_contract() -> None:
    bitmaps, ticks = {-1: 1 << 255, 0: 0b101, 2: 0}, {-10: (5, 5), 0: (7, -2), 20: (9, 9)}

    class Pools(Calls):
        def call(self, address: bytes, data: bytes) -> tuple[bool, bytes]:
            argument = int.from_bytes(data[4:36], "big")
            argument -= argument >> 255 << 256
            if data[:4] == selector("tickBitmap(int16)"):
                return True, word(bitmaps.get(argument, 0))
            assert data[:4] == selector("ticks(int24)")
            gross, net = ticks[argument]
            return True, word(gross) + word(net)

    words = Words(-1, 2)
    ran = run(bytes.fromhex(call_data(POOL, words, 10, "tickBitmap(int16)")[2:]), Pools())
    assert ran.ok
    assert read_ticks("0x" + ran.output.hex(), words, 10) == [Tick(-10, 5, 5), Tick(0, 7, -2), Tick(20, 9, 9)]
