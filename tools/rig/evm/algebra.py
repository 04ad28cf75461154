"""Algebra V1, the code of QuickSwap V3 byte for byte, on the local node: factory, one pool of two tokens, router and
positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eth_abi.abi import decode

from consumers.arbitrage.pool_state import Price
from tools.rig.evm.v4 import mapping_slot, signed
from tools.rig.evm.world import DEADLINE, MAX_UINT256, World, bytecode_hash, call_data

TICKS_SLOT, TABLE_SLOT = 5, 6
"""Where a pool keeps its ticks and the table of the initialised ones."""
SPACING = 60
"""Of every pool (Constants.TICK_SPACING)."""
CREATE_GAS = 30_000_000
SWAP_GAS = 6_000_000
"""A price that runs far stops at each word of the bitmap."""
FULL_RANGE = (-887220, 887220)


@dataclass(frozen=True)
class AlgebraPool:
    """An Algebra factory with one pool, and the contracts through which it is traded."""

    world: World
    token0: str
    token1: str
    factory: str
    deployer: str
    router: str
    positions: str
    pool: str

    @classmethod
    def build(cls, world: World, token0: str, token1: str, amount0: int, amount1: int) -> AlgebraPool:
        """Deploy everything, with a pool whose price is `amount1` / `amount0` and which holds them over the full range.

        The tokens are sorted, and the world's account holds them.  One block a transaction.
        """
        account = world.account
        deployer = world.deploy("AlgebraDeployer")
        factory = world.deploy("AlgebraFactory", ("address", "address"), (deployer, account))
        world.execute(deployer, "setFactory(address)", factory)
        places = (factory, world.wrapped_native)
        router = world.deploy("AlgebraRouter", ("address",) * 3, (*places, deployer))
        positions = world.deploy("AlgebraPositions", ("address",) * 4, (*places, account, deployer))
        create = call_data("createPool(address,address)", token0, token1)
        world.receipt(world.send(factory, create, gas=CREATE_GAS))
        pool = str(world.call(factory, "poolByPair(address,address)", token0, token1, returns="address")).lower()
        world.execute(pool, "initialize(uint160)", math.isqrt((amount1 << 192) // amount0))
        for token in (token0, token1):
            for spender in (router, positions):
                world.execute(token, "approve(address,uint256)", spender, MAX_UINT256)
        found = cls(world, token0, token1, factory, deployer, router, positions, pool)
        world.receipt(found.mint(FULL_RANGE, amount0, amount1))
        return found

    @property
    def chain_table(self) -> str:
        """Its factory as configuration for the collector."""
        return (
            f'[[factories]]\nvenue = "QUICKSWAP_V3"\nprotocol = "ALGEBRA"\naddress = "{self.factory}"\n'
            f'deployer = "{self.deployer}"\ninit_code_hash = "{bytecode_hash("AlgebraPool")}"\n'
        )

    def mint(self, ticks: tuple[int, int], amount0: int, amount1: int) -> str:
        """Open a position between two ticks (multiples of 60); the transaction's hash."""
        data = call_data(
            "mint((address,address,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
            (self.token0, self.token1, *ticks, amount0, amount1, 0, 0, self.world.account, DEADLINE),
        )
        return self.world.send(self.positions, data, gas=3_000_000)

    def swap(self, token_in: str, amount: int, sender: str | None = None) -> str:
        """Sell `amount` of `token_in`; the transaction's hash."""
        token_out = self.token1 if token_in == self.token0 else self.token0
        data = call_data(
            "exactInputSingle((address,address,address,uint256,uint256,uint256,uint160))",
            (token_in, token_out, sender or self.world.account, DEADLINE, amount, 0, 0),
        )
        return self.world.send(self.router, data, sender=sender, gas=SWAP_GAS)

    def read(self) -> tuple[Price, int, dict[int, int]]:
        """Price, fee, and initialised ticks with the liquidity that each adds, at the end of the newest block."""
        raw = self.world.rpc("eth_call", {"to": self.pool, "data": call_data("globalState()")}, "latest")
        price, tick, fee_pips, *_ = decode(["uint160", "int24", "uint16"], bytes.fromhex(raw[2:])[:96])
        words = range(FULL_RANGE[0] // SPACING >> 8, (FULL_RANGE[1] // SPACING >> 8) + 1)
        rows = self._load([mapping_slot(word, TABLE_SLOT) for word in words])
        ticks = [
            (word * 256 + bit) * SPACING
            for word, row in zip(words, rows, strict=True)
            for bit in range(256)
            if row >> bit & 1
        ]
        amounts = self._load([mapping_slot(tick, TICKS_SLOT) for tick in ticks])
        net = {tick: signed(amount >> 128, 128) for tick, amount in zip(ticks, amounts, strict=True)}
        return Price(price, int(self.world.call(self.pool, "liquidity()")), tick), fee_pips, net

    def fee(self) -> int:
        """What it charged last, in pips."""
        raw = self.world.rpc("eth_call", {"to": self.pool, "data": call_data("globalState()")}, "latest")
        return int(raw[2 + 128 : 2 + 192], 16)

    def _load(self, slots: list[int]) -> list[int]:
        calls = [[self.pool, hex(slot), "latest"] for slot in slots]
        return [int(answer, 16) for answer in self.world.rpc.batch("eth_getStorageAt", calls)]
