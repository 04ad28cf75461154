"""A real Algebra V1 pool that lives through time: it is traded, and minted and burnt in, at timestamps of choice.

Owns the pool, its tokens and who pays it: an account with a program of its own that answers the pool's callbacks.  The
code is `@cryptoalgebra/v1-core`'s, whose pool is QuickSwap V3's byte for byte.  A history begins from a snapshot, so
none leaves anything behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from eth_abi.abi import encode

from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE
from consumers.extras import need
from producers.node.assembler import assemble
from producers.node.view_calls import selector
from tlv.layout import Timepoint
from tools.rig.evm.world import bytecode, call_data

if TYPE_CHECKING:
    from pyrevm import EVM

ACCOUNT = "0x1000000000000000000000000000000000000001"
PAYER = "0x2000000000000000000000000000000000000002"
GAS = 1_000_000_000
PADDING = 33
"""Zero bytes that revm keeps behind a contract's code."""
WEALTH = 1 << 250
STATE_SLOT, LIQUIDITY_SLOT = 2, 3
"""Of the pool: `globalState`, and `liquidity` with the volume since the last timepoint above it."""
CONFIG_SLOT = 2 << 16
"""Of the pool's DataStorageOperator, behind 65,536 timepoints of two slots each: the fee configuration."""
CONFIG_BITS = (16, 16, 32, 32, 16, 16, 32, 16, 16)
PROGRAM = """
    CALLER {account} EQ ISZERO pay JUMPI
    CALLDATASIZE 0 0 CALLDATACOPY
    0 0 CALLDATASIZE 0 0 {pool} GAS CALL
    RETURNDATASIZE 0 0 RETURNDATACOPY
    ISZERO fail JUMPI
    RETURNDATASIZE 0 RETURN
  fail:
    RETURNDATASIZE 0 REVERT
  pay:
    {transfer} e0 SHL 0 MSTORE  CALLER 4 MSTORE
    4 CALLDATALOAD 24 MSTORE
    0 24 MLOAD SGT ISZERO second JUMPI
    0 0 44 0 0 {token0} GAS CALL
  second:
    24 CALLDATALOAD 24 MSTORE
    0 24 MLOAD SGT ISZERO done JUMPI
    0 0 44 0 0 {token1} GAS CALL
  done:
    0 0 RETURN
  end:
"""
"""Passes on to the pool what our account calls; whoever else calls (amount0, amount1, ..) is sent what is positive."""


SWAP, MINT, BURN = (
    selector(signature)
    for signature in (
        "swap(address,bool,int256,uint160,bytes)",
        "mint(address,address,int24,int24,uint128,bytes)",
        "burn(int24,int24,uint128)",
    )
)


class PoolNow(NamedTuple):
    """What `globalState` and `liquidity` say, and the volume per liquidity since the last timepoint."""

    sqrt_price_x96: int
    tick: int
    fee: int
    timepoint: int
    liquidity: int
    volume: int


class TradedAlgebra:
    """One pool at the price of 1.

    Raises:
        UsageError: the extra `evm` is not installed, or npm cannot fetch the contracts.
    """

    def __init__(self, timestamp: int) -> None:
        self._revm = need("pyrevm")
        self._evm: EVM = self._revm.EVM(env=self._revm.Env(block=self._block(timestamp)))
        self._evm.insert_account_info(ACCOUNT, self._revm.AccountInfo(balance=1 << 120))
        token = encode(("string", "string", "uint256", "uint256"), ("token", "T", 18, 1))
        tokens = sorted(self._deploy(bytecode("Token") + token) for _ in range(2))
        deployer = self._deploy(bytecode("AlgebraDeployer"))
        factory = self._deploy(bytecode("AlgebraFactory") + encode(("address", "address"), (deployer, ACCOUNT)))
        self._call(deployer, call_data("setFactory(address)", factory))
        for token_address in tokens:
            self._call(token_address, call_data("setBalance(address,uint256)", PAYER, WEALTH))
        self.pool = "0x" + self._call(factory, call_data("createPool(address,address)", *tokens))[-20:].hex()
        self.storage = "0x" + self._call(self.pool, call_data("dataStorageOperator()"))[-20:].hex()
        self._call(self.pool, call_data("initialize(uint160)", 1 << 96))
        places = {"account": ACCOUNT[2:], "pool": self.pool[2:], "token0": tokens[0][2:], "token1": tokens[1][2:]}
        code = assemble(PROGRAM.format(transfer=selector("transfer(address,uint256)"), **places))
        self._evm.insert_account_info(PAYER, self._revm.AccountInfo(code=code))

    # ---- time, and what is done in it

    def begin(self, timestamp: int) -> None:
        """What follows stands in a block of this timestamp."""
        self._evm.set_block_env(self._block(timestamp))

    def snapshot(self) -> Any:
        """For `revert`."""
        return self._evm.snapshot()

    def revert(self, snapshot: Any) -> None:
        """Forget what was done since."""
        self._evm.revert(snapshot)

    def swap(self, amount: int, *, falls: bool) -> tuple[int, int]:
        """Sell `amount`, or buy it if it is negative; (amount0, amount1), positive into the pool."""
        limit = MIN_SQRT_PRICE + 1 if falls else MAX_SQRT_PRICE - 1
        moved = self._call(PAYER, SWAP + words(int(PAYER, 16), falls, amount, limit, 160, 0))
        return signed_word(moved, 0), signed_word(moved, 1)

    def mint(self, lower: int, upper: int, liquidity: int) -> None:
        """Add liquidity between two ticks, multiples of 60."""
        payer = int(PAYER, 16)
        self._call(PAYER, MINT + words(payer, payer, lower, upper, liquidity, 192, 0))

    def burn(self, lower: int, upper: int, liquidity: int) -> None:
        """Take liquidity away that `mint` added."""
        self._call(PAYER, BURN + words(lower, upper, liquidity))

    # ---- storage

    def configure(self, config: Iterable[int]) -> None:
        """Set the fee configuration, in the order of its fields."""
        packed = at = 0
        for value, bits in zip(config, CONFIG_BITS, strict=True):
            packed |= value << at
            at += bits
        self._evm.insert_account_storage(self.storage, CONFIG_SLOT, packed)

    def read(self) -> PoolNow:
        """The pool's state."""
        state, held = self._evm.storage(self.pool, STATE_SLOT), self._evm.storage(self.pool, LIQUIDITY_SLOT)
        tick = state >> 160 & 0xFFFFFF
        return PoolNow(
            state & (1 << 160) - 1,
            tick - (tick >> 23 << 24),
            state >> 184 & 0xFFFF,
            state >> 200 & 0xFFFF,
            held & (1 << 128) - 1,
            held >> 128,
        )

    def timepoint(self, index: int) -> Timepoint:
        """A timepoint; its place in the ring is its sequence number."""
        first, second = (self._evm.storage(self.storage, 2 * index + half) for half in range(2))
        cumulative, average = first >> 40 & (1 << 56) - 1, second >> 88 & 0xFFFFFF
        return Timepoint(
            volatility=second & (1 << 88) - 1,
            volume=second >> 112,
            tick_cumulative=cumulative - (cumulative >> 55 << 56),
            timestamp=first >> 8 & 0xFFFFFFFF,
            sequence=index,
            average_tick=average - (average >> 23 << 24),
        )

    def put_timepoint(self, index: int, point: Timepoint) -> None:
        """Overwrite a timepoint."""
        first = 1 | point.timestamp << 8 | point.tick_cumulative % (1 << 56) << 40
        second = point.volatility | point.average_tick % (1 << 24) << 88 | point.volume << 112
        self._evm.insert_account_storage(self.storage, 2 * index, first)
        self._evm.insert_account_storage(self.storage, 2 * index + 1, second)

    def put_index(self, index: int) -> None:
        """Say which timepoint is the last."""
        self._put_state(200, 0xFFFF, index)

    def put_community_fees(self, fee0: int, fee1: int) -> None:
        """The thousandths of what a swap pays that go to the vault, 250 at most, of either token."""
        self._put_state(216, 0xFFFF, fee0 | fee1 << 8)

    def _put_state(self, at: int, mask: int, value: int) -> None:
        state = self._evm.storage(self.pool, STATE_SLOT)
        self._evm.insert_account_storage(self.pool, STATE_SLOT, state & ~(mask << at) | value << at)

    def slot(self, number: int) -> int:
        """A word of the pool's storage."""
        return int(self._evm.storage(self.pool, number))

    # ---- calls

    def run(self, program: str) -> bytes:
        """What the data of an eth_call without `to` returns: the code of the contract that it would make."""
        before = self.snapshot()
        try:
            made = self._evm.deploy(ACCOUNT, bytes.fromhex(program[2:]), gas=GAS)
            return bytes(self._evm.get_code(made) or b"")[:-PADDING]
        finally:
            self.revert(before)

    def _deploy(self, code: bytes) -> str:
        return str(self._evm.deploy(ACCOUNT, code, gas=GAS)).lower()

    def _block(self, timestamp: int) -> Any:
        return self._revm.BlockEnv(number=1, timestamp=timestamp, gas_limit=GAS)

    def _call(self, to: str, data: str) -> bytes:
        return bytes(self._evm.message_call(ACCOUNT, to, calldata=bytes.fromhex(data[2:]), gas=GAS))


def words(*values: int) -> str:
    """ABI-encoded integers."""
    return "".join(f"{value % (1 << 256):064x}" for value in values)


def signed_word(answer: bytes, at: int) -> int:
    """An int256 of an answer."""
    return int.from_bytes(answer[32 * at : 32 * at + 32], "big", signed=True)
