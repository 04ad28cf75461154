"""Uniswap V4 on the local node: the pool manager, a pool without a hook, and v4-core's own test contracts that trade.

All of V4's pools live in one contract; a pool's state is read from its storage (StateLibrary).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from eth_abi.abi import encode
from eth_hash.auto import keccak

from tools.rig.evm.world import MAX_UINT256, World, call_data

SWAP_GAS = 3_000_000
"""A price that runs far stops at each word of the bitmap."""
NO_HOOK = "0x" + "00" * 20
POOLS_SLOT = 6
LIQUIDITY_SLOT, TICKS_SLOT, BITMAP_SLOT = 3, 4, 5
"""Of `PoolManager.pools`, and within a pool (v4-core StateLibrary)."""
MIN_PRICE, MAX_PRICE = 4295128740, 1461446703485210103287273052203988822378723970341
"""The last prices that a swap may be limited to (TickMath)."""
LAST_TICK = 887272
NATIVE_COIN = "0x" + "00" * 20
RICHES = 10**21
"""Of the native coin with a call; what is not needed comes back."""
KEY = "(address,address,uint24,int24,address)"


class V4Price(NamedTuple):
    """A pool's price, the liquidity there, and its fees: the protocol's as the manager packs it."""

    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_pips: int
    protocol_fee: int


@dataclass(frozen=True)
class V4State:
    """A pool's price, its liquidity there, and its initialised ticks with the liquidity that each adds."""

    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_pips: int
    net: dict[int, int]


@dataclass(frozen=True)
class V4Pool:
    """A pool manager with one of its pools, and the contracts through which these are traded."""

    world: World
    manager: str
    swapper: str
    provider: str
    key: tuple[str, str, int, int, str]
    """Coins in order, fee, tick spacing, hook."""

    @classmethod
    def build(
        cls,
        world: World,
        token0: str,
        token1: str,
        amount0: int,
        amount1: int,
        *,
        fee_pips: int = 500,
        spacing: int = 10,
    ) -> V4Pool:
        """Deploy everything, with a pool whose price is `amount1` / `amount0` and which holds them over the full range.

        The tokens are sorted, and the world's account holds them.  One block a transaction.
        """
        manager = world.deploy("V4Manager", ("address",), (world.account,))
        swapper = world.deploy("V4Swapper", ("address",), (manager,))
        provider = world.deploy("V4Provider", ("address",), (manager,))
        world.execute(manager, "setProtocolFeeController(address)", world.account)
        for token in (token0, token1):
            for spender in (swapper, provider):
                world.execute(token, "approve(address,uint256)", spender, MAX_UINT256)
        found = cls(world, manager, swapper, provider, (token0, token1, fee_pips, spacing, NO_HOOK))
        world.receipt(found.initialize(amount0, amount1))
        world.receipt(found.provide(found.full_range, math.isqrt(amount0 * amount1)))
        return found

    def beside(self, coin0: str, fee_pips: int, spacing: int) -> V4Pool:
        """Another pool of the same manager, not made yet: of this coin and the same token1."""
        return replace(self, key=(coin0, self.key[1], fee_pips, spacing, NO_HOOK))

    def initialize(self, amount0: int, amount1: int) -> str:
        """Make the pool, with this price; the transaction's hash."""
        price = math.isqrt((amount1 << 192) // amount0)
        data = call_data_of(f"initialize({KEY},uint160)", (KEY, "uint160"), (self.key, price))
        return self.world.send(self.manager, data)

    @property
    def full_range(self) -> tuple[int, int]:
        """The outermost ticks."""
        last = LAST_TICK // self.key[3] * self.key[3]
        return -last, last

    @property
    def chain_table(self) -> str:
        """Its manager as configuration for the collector."""
        return (
            '[[venues]]\ncode = 1004\nname = "local.uniswap_v4"\n[[factories]]\nvenue = "local.uniswap_v4"\n'
            f'protocol = "UNISWAP_V4"\naddress = "{self.manager}"\n'
        )

    @property
    def id(self) -> bytes:
        """The pool's id: hash of its key."""
        return keccak(encode([KEY], [self.key]))

    def provide(self, ticks: tuple[int, int], liquidity: int) -> str:
        """Add liquidity between two ticks, or (negative) take it out; the transaction's hash."""
        change = "(int24,int24,int256,bytes32)"
        data = call_data_of(
            f"modifyLiquidity({KEY},{change},bytes)",
            (KEY, change, "bytes"),
            (self.key, (*ticks, liquidity, bytes(32)), b""),
        )
        return self.world.send(self.provider, data, gas=SWAP_GAS, value=self._value)

    def charge_for_protocol(self, of_token0: int, of_token1: int) -> str:
        """Let the protocol take so many pips of what goes in, each way; the transaction's hash."""
        packed = of_token0 | of_token1 << 12
        data = call_data_of(f"setProtocolFee({KEY},uint24)", (KEY, "uint24"), (self.key, packed))
        return self.world.send(self.manager, data)

    @property
    def _value(self) -> int:
        return RICHES if self.key[0] == NATIVE_COIN else 0

    def swap(self, token_in: str, amount: int, sender: str | None = None) -> str:
        """Sell `amount` of `token_in`; the transaction's hash."""
        falls = token_in == self.key[0]
        what, how = "(bool,int256,uint160)", "(bool,bool)"
        data = call_data_of(
            f"swap({KEY},{what},{how},bytes)",
            (KEY, what, how, "bytes"),
            (self.key, (falls, -amount, MIN_PRICE if falls else MAX_PRICE), (False, False), b""),
        )
        return self.world.send(self.swapper, data, sender=sender, gas=SWAP_GAS, value=self._value)

    def read_price(self, block: int | str = "latest") -> V4Price:
        """The pool's price at the end of a block."""
        base = int.from_bytes(keccak(self.id + POOLS_SLOT.to_bytes(32, "big")), "big")
        first, liquidity = self._load([base, base + LIQUIDITY_SLOT], hex(block) if isinstance(block, int) else block)
        fees = (first >> 208 & 0xFFFFFF, first >> 184 & 0xFFFFFF)
        return V4Price(first & (1 << 160) - 1, signed(first >> 160 & 0xFFFFFF, 24), liquidity, *fees)

    def read(self, block: int | str = "latest") -> V4State:
        """The pool's state at the end of a block."""
        where = hex(block) if isinstance(block, int) else block
        base = int.from_bytes(keccak(self.id + POOLS_SLOT.to_bytes(32, "big")), "big")
        spacing = self.key[3]
        words = range(self.full_range[0] // spacing >> 8, (self.full_range[1] // spacing >> 8) + 1)
        bitmaps = self._load([mapping_slot(word, base + BITMAP_SLOT) for word in words], where)
        ticks = [
            (word * 256 + bit) * spacing
            for word, bitmap in zip(words, bitmaps, strict=True)
            for bit in range(256)
            if bitmap >> bit & 1
        ]
        amounts = self._load([mapping_slot(tick, base + TICKS_SLOT) for tick in ticks], where)
        net = {tick: signed(amount >> 128, 128) for tick, amount in zip(ticks, amounts, strict=True)}
        return V4State(*self.read_price(block)[:4], net)

    def _load(self, slots: list[int], block: str) -> list[int]:
        calls = [
            [{"to": self.manager, "data": call_data("extsload(bytes32)", slot.to_bytes(32, "big"))}, block]
            for slot in slots
        ]
        return [int(answer, 16) for answer in self.world.rpc.batch("eth_call", calls)]


def call_data_of(signature: str, types: tuple[str, ...], values: tuple[object, ...]) -> str:
    """Selector and arguments of a call that takes several tuples."""
    return "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()


def mapping_slot(key: int, slot: int) -> int:
    """Storage slot of a mapping's entry under a signed key."""
    return int.from_bytes(keccak((key % (1 << 256)).to_bytes(32, "big") + slot.to_bytes(32, "big")), "big")


def signed(value: int, bits: int) -> int:
    """Two's complement."""
    return value - (value >> (bits - 1) << bits)
