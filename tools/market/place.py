"""The contracts of a market on its node: made once, read before each block, and the transactions that move them.

Accounts are the node's own unlocked ones, so nothing is signed here.  Transactions have their nonce and a fixed gas
price, so that the node decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode

from tools.market.plan import COIN, DOLLAR, NORTH, SOUTH, TOKENS, V2_FEE, V3, PlannedPool, PlannedToken
from tools.rig.evm.node import Rpc
from tools.rig.evm.world import DEADLINE, MAX_UINT256, World, call_data

Q96 = 1 << 96
SPACINGS = {500: 10, 3000: 60, 10_000: 200}
"""Of Uniswap V3's fees."""
LAST_TICK = 887_272
NEAR_TICKS = 2_400
"""Around the first price stands as much again as in the whole range: about a quarter of the price to either side."""
GAS_PRICE = 500 * 10**9
"""What every transaction bids; more than any base fee here."""
SWAP_GAS, MINT_GAS = 400_000, 900_000
COINS_EACH = 10**6
"""Wrapped coins of each trader."""
TOKENS_EACH = 10**9
"""Whole tokens of each trader, of every other kind."""
NODE_OPTIONS = ("--order", "fifo", "--balance", str(20 * COINS_EACH))
TRADERS = ("noise", "trend", "arbitrage", "liquidity")

Transaction = dict[str, str]
"""As `eth_sendTransaction` takes it."""


@dataclass(frozen=True)
class MarketToken:
    """A token on the node."""

    plan: PlannedToken
    address: str


@dataclass(frozen=True)
class MarketPool:
    """A pool on the node; its tokens in the order of their addresses."""

    plan: PlannedPool
    address: str
    token0: MarketToken
    token1: MarketToken

    @property
    def is_v3(self) -> bool:
        """Whether its liquidity has ranges."""
        return self.plan.venue == V3


@dataclass(frozen=True)
class Depth:
    """What a pool holds at its price: of V3 what a V2 pool of the same depth would hold.  Amounts in base units."""

    reserve0: int
    reserve1: int
    tick: int = 0

    def facing(self, pool: MarketPool, token_in: str) -> tuple[int, int]:
        """Of the token that goes in, and of the other."""
        return (self.reserve0, self.reserve1) if token_in == pool.token0.address else (self.reserve1, self.reserve0)


@dataclass
class MarketPlace:
    """A market on a node."""

    rpc: Rpc
    pools: list[MarketPool] = field(default_factory=list)
    tokens: dict[str, MarketToken] = field(default_factory=dict)
    traders: dict[str, str] = field(default_factory=dict)
    """From the kind of a trader to its account."""
    factories: dict[str, str] = field(default_factory=dict)
    """From a venue to its factory."""
    _routers: dict[str, str] = field(default_factory=dict)
    _positions: str = ""

    @classmethod
    def build(cls, rpc: Rpc, plans: Sequence[PlannedPool]) -> MarketPlace:
        """Deploy everything, give every trader tokens, and add the first liquidity."""
        accounts = [account.lower() for account in rpc("eth_accounts")]
        world = World(rpc, account=accounts[0])
        place = cls(rpc, traders=dict(zip(TRADERS, accounts[1:], strict=False)))
        place._deploy(world)
        place._endow(world)
        for plan in plans:
            place.pools.append(place._open(world, plan))
        return place

    @property
    def coin(self) -> str:
        """The token that wraps the chain's coin."""
        return self.tokens[COIN].address

    def _deploy(self, world: World) -> None:
        for plan in TOKENS:
            address = (
                world.deploy("WETH9") if plan.symbol == COIN else world.token(plan.name, plan.symbol, plan.decimals)
            )
            self.tokens[plan.symbol] = MarketToken(plan, address)
        coin = self.coin
        for venue in (NORTH, SOUTH):
            self.factories[venue] = world.deploy("V2Factory", ("address",), (world.account,))
            self._routers[venue] = world.deploy("V2Router", ("address",) * 2, (self.factories[venue], coin))
        self.factories[V3] = world.deploy("V3Factory")
        self._routers[V3] = world.deploy("V3Router", ("address",) * 2, (self.factories[V3], coin))
        self._positions = world.deploy("V3Positions", ("address",) * 3, (self.factories[V3], coin, world.account))

    def _endow(self, world: World) -> None:
        """Coins, tokens and approvals of everybody, in one block."""
        sent: list[Transaction] = []
        holders = [world.account, *self.traders.values()]
        coin = self.coin
        for holder in holders:
            wrap = transaction(holder, coin, call_data("deposit()"), gas=100_000)
            sent.append(wrap | {"value": hex(COINS_EACH * 10**18)})
            for token in self.tokens.values():
                if token.address != coin and holder != world.account:
                    amount = TOKENS_EACH * one_of(token.plan)
                    data = call_data("transfer(address,uint256)", holder, amount)
                    sent.append(transaction(world.account, token.address, data, gas=100_000))
                for spender in (*self._routers.values(), self._positions):
                    data = call_data("approve(address,uint256)", spender, MAX_UINT256)
                    sent.append(transaction(holder, token.address, data, gas=100_000))
        world.hold_mining(True)
        self.submit(sent)
        world.mine()
        world.hold_mining(False)

    def _open(self, world: World, plan: PlannedPool) -> MarketPool:
        first, second = sorted((self.tokens[symbol] for symbol in plan.pair), key=lambda token: int(token.address, 16))
        amounts = [worth(plan.depth, token.plan) for token in (first, second)]
        pair = (first.address, second.address)
        factory = self.factories[plan.venue]
        if plan.venue != V3:
            world.execute(factory, "createPair(address,address)", *pair)
            address = world.call(factory, "getPair(address,address)", *pair, returns="address")
            pool = MarketPool(plan, address.lower(), first, second)
            world.receipt(world.send(**self._sending(self.mint_v2(world.account, pool, *amounts))))
            return pool
        world.execute(
            self._positions,
            "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
            *(*pair, plan.fee_pips, math.isqrt((amounts[1] << 192) // amounts[0])),
        )
        address = world.call(factory, "getPool(address,address,uint24)", *pair, plan.fee_pips, returns="address")
        pool = MarketPool(plan, address.lower(), first, second)
        spacing = SPACINGS[plan.fee_pips]
        widest = LAST_TICK // spacing * spacing
        middle = self.depths([pool])[0].tick // spacing * spacing
        near = NEAR_TICKS // spacing * spacing
        for ticks in ((-widest, widest), (middle - near, middle + near)):
            world.receipt(world.send(**self._sending(self.mint_v3(world.account, pool, ticks, *amounts))))
        return pool

    @staticmethod
    def _sending(made: Transaction) -> dict[str, Any]:
        """What `World.send` takes, of a transaction of its account."""
        return {"to": made["to"], "data": made["data"], "gas": int(made["gas"], 16)}

    # ---- what is seen

    def depths(self, pools: Sequence[MarketPool]) -> list[Depth]:
        """What pools hold at the newest block, asked in one go."""
        asked: list[tuple[str, str]] = []
        for pool in pools:
            names = ("slot0()", "liquidity()") if pool.is_v3 else ("getReserves()",)
            asked += [(pool.address, name) for name in names]
        calls = [({"to": address, "data": call_data(name)}, "latest") for address, name in asked]
        answers = iter(bytes.fromhex(answer[2:]) for answer in self.rpc.batch("eth_call", calls))
        found = []
        for pool in pools:
            if not pool.is_v3:
                found.append(Depth(*decode(["uint112", "uint112"], next(answers))))
                continue
            price, tick = decode(["uint160", "int24"], next(answers))
            (liquidity,) = decode(["uint128"], next(answers))
            found.append(Depth(liquidity * Q96 // price, liquidity * price // Q96, tick))
        return found

    def holding(self, token: str, holder: str) -> int:
        """What an account has of a token, or of a V2 pool's shares."""
        return int(World(self.rpc).balance(token, holder))

    def position(self, holder: str, choice: int) -> tuple[int, int] | None:
        """One of a holder's V3 positions by any number: its id and liquidity; None if there is none."""
        world = World(self.rpc)
        held = self.holding(self._positions, holder)
        if not held:
            return None
        number = int(world.call(self._positions, "tokenOfOwnerByIndex(address,uint256)", holder, choice % held))
        data = call_data("positions(uint256)", number)
        words = bytes.fromhex(self.rpc("eth_call", {"to": self._positions, "data": data}, "latest")[2:])
        return number, int.from_bytes(words[7 * 32 : 8 * 32], "big")

    def nonce(self, account: str) -> int:
        """Of the next transaction of an account."""
        return int(self.rpc("eth_getTransactionCount", account, "latest"), 16)

    def submit(self, transactions: Sequence[Transaction]) -> None:
        """Give each its nonce and send it, in this order; they are mined with the next block.  Those that are given get
        their nonce, so that they can be sent again."""
        nonces = {account: self.nonce(account) for account in {one["from"] for one in transactions}}
        for one in transactions:
            one["nonce"] = hex(nonces[one["from"]])
            nonces[one["from"]] += 1
            self.rpc("eth_sendTransaction", one)

    # ---- what moves the pools

    def swap(self, account: str, pool: MarketPool, token_in: str, amount: int) -> Transaction:
        """Sell `amount` of a token in a pool, for whatever comes."""
        token_out = pool.token1.address if token_in == pool.token0.address else pool.token0.address
        router = self._routers[pool.plan.venue]
        if pool.is_v3:
            data = call_data(
                "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
                (token_in, token_out, pool.plan.fee_pips, account, DEADLINE, amount, 0, 0),
            )
        else:
            data = call_data(
                "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
                *(amount, 0, [token_in, token_out], account, DEADLINE),
            )
        return transaction(account, router, data, gas=SWAP_GAS)

    def mint_v2(self, account: str, pool: MarketPool, amount0: int, amount1: int) -> Transaction:
        """Add liquidity to a V2 pool."""
        data = call_data(
            "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
            *(pool.token0.address, pool.token1.address, amount0, amount1, 0, 0, account, DEADLINE),
        )
        return transaction(account, self._routers[pool.plan.venue], data, gas=SWAP_GAS)

    def burn_v2(self, account: str, pool: MarketPool, shares: int) -> list[Transaction]:
        """Give shares of a V2 pool back."""
        router = self._routers[pool.plan.venue]
        data = call_data(
            "removeLiquidity(address,address,uint256,uint256,uint256,address,uint256)",
            *(pool.token0.address, pool.token1.address, shares, 0, 0, account, DEADLINE),
        )
        approve = call_data("approve(address,uint256)", router, MAX_UINT256)
        return [
            transaction(account, pool.address, approve, gas=100_000),
            transaction(account, router, data, gas=SWAP_GAS),
        ]

    def mint_v3(
        self, account: str, pool: MarketPool, ticks: tuple[int, int], amount0: int, amount1: int
    ) -> Transaction:
        """Open a V3 position between two ticks, multiples of the fee's spacing."""
        data = call_data(
            "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
            (
                *(pool.token0.address, pool.token1.address, pool.plan.fee_pips, *ticks),
                *(amount0, amount1, 0, 0, account, DEADLINE),
            ),
        )
        return transaction(account, self._positions, data, gas=MINT_GAS)

    def burn_v3(self, account: str, position: int, liquidity: int) -> list[Transaction]:
        """Take liquidity out of a V3 position and collect it."""
        burn = call_data(
            "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))", (position, liquidity, 0, 0, DEADLINE)
        )
        collect = call_data("collect((uint256,address,uint128,uint128))", (position, account, 2**128 - 1, 2**128 - 1))
        return [transaction(account, self._positions, data, gas=SWAP_GAS) for data in (burn, collect)]


def transaction(account: str, to: str, data: str, *, gas: int) -> Transaction:
    """A transaction without its nonce."""
    return {"from": account, "to": to, "data": data, "gas": hex(gas), "gasPrice": hex(GAS_PRICE)}


def worth(dollars: int, token: PlannedToken) -> int:
    """So many dollars in base units of a token, at its first value."""
    return dollars * DOLLAR * one_of(token) // token.value


def fee_of(pool: MarketPool) -> int:
    """In hundredths of a basis point."""
    return pool.plan.fee_pips if pool.is_v3 else V2_FEE


def one_of(token: PlannedToken) -> int:
    """One whole token in base units."""
    return int(10**token.decimals)
