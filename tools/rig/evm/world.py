"""Real contracts on a local node: two Uniswap V2 exchanges, Uniswap V3 at its mainnet addresses, tokens of 18 and 6
decimals, liquidity, and the transactions that move them.

Accounts are the node's own unlocked ones, so nothing is signed here.  Gas of a V2 swap is fixed at 400,000: below
200,000 some fail without a log.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from tlv.errors import FeedError
from tools.rig.evm.node import Rpc
from tools.rig.evm.packages import (
    ALGEBRA_CORE,
    ALGEBRA_PERIPHERY,
    BALANCER,
    ERC20,
    INTEGRAL_CORE,
    PANCAKE_CORE,
    V2_CORE,
    V2_PERIPHERY,
    V3_CORE,
    V3_PERIPHERY,
    V4_CORE,
    Package,
    path_of,
)

MAX_UINT256 = 2**256 - 1
DEADLINE = 2**40
MINED_TIMEOUT_S = 10.0
SWAP_GAS = 400_000
V3_FEE = 500
KEPT_SNAPSHOTS = 8
FULL_RANGE = (-887270, 887270)
V3_DEPLOYER = "0x6c9fc64a53c1b71fb3f9af64d1ae3a4931a5f4e9"
"""Deployed Uniswap V3 on Ethereum and Polygon; contract addresses follow from it and its nonces 0, 4 and 8."""

ARTIFACTS: dict[str, tuple[Package, str]] = {
    "V2Factory": (V2_CORE, V2_CORE.members[0]),
    "V2Pair": (V2_CORE, V2_CORE.members[1]),
    "V2Router": (V2_PERIPHERY, V2_PERIPHERY.members[0]),
    "WETH9": (V2_PERIPHERY, V2_PERIPHERY.members[1]),
    "V3Factory": (V3_CORE, V3_CORE.members[0]),
    "V3Pool": (V3_CORE, V3_CORE.members[1]),
    "V3Router": (V3_PERIPHERY, V3_PERIPHERY.members[0]),
    "V3Positions": (V3_PERIPHERY, V3_PERIPHERY.members[1]),
    "V4Manager": (V4_CORE, V4_CORE.members[0]),
    "V4Swapper": (V4_CORE, V4_CORE.members[1]),
    "V4Provider": (V4_CORE, V4_CORE.members[2]),
    "AlgebraFactory": (ALGEBRA_CORE, ALGEBRA_CORE.members[0]),
    "AlgebraDeployer": (ALGEBRA_CORE, ALGEBRA_CORE.members[1]),
    "AlgebraPool": (ALGEBRA_CORE, ALGEBRA_CORE.members[2]),
    "AlgebraRouter": (ALGEBRA_PERIPHERY, ALGEBRA_PERIPHERY.members[0]),
    "AlgebraPositions": (ALGEBRA_PERIPHERY, ALGEBRA_PERIPHERY.members[1]),
    "IntegralFactory": (INTEGRAL_CORE, INTEGRAL_CORE.members[0]),
    "IntegralDeployer": (INTEGRAL_CORE, INTEGRAL_CORE.members[1]),
    "IntegralPool": (INTEGRAL_CORE, INTEGRAL_CORE.members[2]),
    "IntegralCallee": (INTEGRAL_CORE, INTEGRAL_CORE.members[3]),
    "IntegralCustomCreator": (INTEGRAL_CORE, INTEGRAL_CORE.members[4]),
    "IntegralPlugin": (INTEGRAL_CORE, INTEGRAL_CORE.members[5]),
    "PancakePool": (PANCAKE_CORE, PANCAKE_CORE.members[0]),
    "BalancerVault": (BALANCER, BALANCER.members[0]),
    "BalancerFees": (BALANCER, BALANCER.members[1]),
    "BalancerWeighted": (BALANCER, BALANCER.members[2]),
    "BalancerStable": (BALANCER, BALANCER.members[3]),
    "Token": (ERC20, ERC20.members[0]),
}


def bytecode(name: str) -> bytes:
    """Creation code of a contract, from its published artifact."""
    artifact = json.loads(path_of(*ARTIFACTS[name]).read_text())
    code = artifact["bytecode"] if "bytecode" in artifact else artifact["compilerOutput"]["evm"]["bytecode"]
    text = (code["object"] if isinstance(code, dict) else code).removeprefix("0x")
    return bytes.fromhex(text)


def bytecode_hash(name: str) -> str:
    """Hash of a contract's creation code: what fixes the addresses that its factory gives it (CREATE2)."""
    return "0x" + keccak(bytecode(name)).hex()


def call_data(signature: str, *values: Any) -> str:
    """Selector and ABI-encoded arguments of a call, as hex.  A single tuple argument may be spelt `f((a,b))`."""
    arguments = signature[signature.index("(") + 1 : -1]
    types = [arguments] if arguments.startswith("(") else [t for t in arguments.split(",") if t]
    return "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()


@dataclass
class Exchange:
    """One V2 exchange with its WETH/USDC pair."""

    factory: str
    router: str
    pair: str


@dataclass
class World:
    """The deployed contracts, by the node they stand on."""

    rpc: Rpc
    account: str = ""
    weth: str = ""
    usdc: str = ""
    wrapped_native: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    v3_factory: str = ""
    v3_router: str = ""
    v3_positions: str = ""
    v3_pool: str = ""
    _snapshots: list[tuple[int, str]] = field(default_factory=list)
    """Height and id of the state before each `mine`, for nodes that reorg by reverting."""

    @classmethod
    def build(cls, rpc: Rpc) -> World:
        """Deploy everything and add the first liquidity (about 0.1 s, one block a transaction)."""
        world = cls(rpc, account=rpc("eth_accounts")[0].lower())
        world.wrapped_native = world.deploy("WETH9")
        world.weth = world.token("Wrapped Ether", "WETH", 18)
        world.usdc = world.token("USD Coin", "USDC", 6)
        world.exchanges = [world._v2_exchange(), world._v2_exchange()]
        world._uniswap_v3()
        return world

    @property
    def tokens(self) -> tuple[str, str]:
        """token0 and token1 of every pool here."""
        first, second = sorted((self.weth, self.usdc))
        return first, second

    @property
    def pools(self) -> list[str]:
        """Addresses of the three pools."""
        return [*(exchange.pair for exchange in self.exchanges), self.v3_pool]

    # ---- transactions

    def send(
        self, to: str | None, data: str, *, sender: str | None = None, gas: int = 8_000_000, value: int = 0
    ) -> str:
        """Send a transaction and return its hash; it is mined with the next block."""
        transaction = {"from": sender or self.account, "data": data, "gas": hex(gas), "value": hex(value)}
        if to is not None:
            transaction["to"] = to
        sent: str = self.rpc("eth_sendTransaction", transaction)
        return sent

    def receipt(self, transaction: str, timeout_s: float = MINED_TIMEOUT_S) -> dict[str, Any]:
        """Wait for a transaction to be mined.

        Raises:
            FeedError: it was not mined in time, or it reverted.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", transaction)
            if receipt:
                if int(receipt["status"], 16) != 1:
                    raise FeedError(f"transaction {transaction} reverted, gas used {int(receipt['gasUsed'], 16)}")
                return receipt
            time.sleep(0.001)
        raise FeedError(f"transaction {transaction} was not mined within {timeout_s} s")

    def execute(self, to: str, signature: str, *values: Any) -> dict[str, Any]:
        """Send a call and wait until it is mined."""
        return self.receipt(self.send(to, call_data(signature, *values)))

    def call(self, to: str, signature: str, *values: Any, returns: str = "uint256") -> Any:
        """Read-only call with one return value."""
        raw = self.rpc("eth_call", {"to": to, "data": call_data(signature, *values)}, "latest")
        return decode([returns], bytes.fromhex(raw[2:]))[0]

    def deploy(
        self, name: str, types: tuple[str, ...] = (), values: tuple[Any, ...] = (), sender: str | None = None
    ) -> str:
        """Create a contract and return its address."""
        data = "0x" + (bytecode(name) + encode(types, values)).hex()
        address: str = self.receipt(self.send(None, data, sender=sender, gas=14_000_000))["contractAddress"]
        return address.lower()

    # ---- building blocks

    def token(self, name: str, symbol: str, decimals: int) -> str:
        """A new ERC-20 token whose whole supply the account holds."""
        supply = 10 ** (12 + decimals)
        address = self.deploy("Token", ("string", "string", "uint256", "uint256"), (name, symbol, decimals, supply))
        if self.balance(address) != supply:
            self.execute(address, "setBalance(address,uint256)", self.account, supply)
        return address

    def balance(self, token: str, holder: str | None = None) -> int:
        """Token balance in base units."""
        return int(self.call(token, "balanceOf(address)", holder or self.account))

    def _approve(self, spender: str) -> None:
        for token in self.tokens:
            self.execute(token, "approve(address,uint256)", spender, MAX_UINT256)

    def _v2_exchange(self) -> Exchange:
        factory = self.deploy("V2Factory", ("address",), (self.account,))
        router = self.deploy("V2Router", ("address", "address"), (factory, self.wrapped_native))
        self.execute(factory, "createPair(address,address)", self.weth, self.usdc)
        pair = self.call(factory, "getPair(address,address)", self.weth, self.usdc, returns="address")
        self._approve(router)
        self.execute(
            router,
            "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
            *(self.weth, self.usdc, 100 * 10**18, 300_000 * 10**6, 0, 0, self.account, DEADLINE),
        )
        return Exchange(factory, router, pair.lower())

    def _deploy_at_mainnet_address(self, name: str, nonce: int, values: tuple[str, ...] = ()) -> str:
        self.rpc(*self.rpc.kind.steering.set_nonce(V3_DEPLOYER, nonce))
        # The node takes a mined transaction out of its pool only after its receipt can be had, and until then it counts
        # nonces from there: what is sent too early is refused, or waits for ever.
        deadline = time.monotonic() + MINED_TIMEOUT_S
        while (found := int(self.rpc("eth_getTransactionCount", V3_DEPLOYER, "pending"), 16)) != nonce:
            if time.monotonic() > deadline:
                raise FeedError(f"expected {V3_DEPLOYER} to stand at nonce {nonce}, found {found}")
            time.sleep(0.001)
        return self.deploy(name, ("address",) * len(values), values, sender=V3_DEPLOYER)

    def _uniswap_v3(self) -> None:
        self.rpc(*self.rpc.kind.steering.set_balance(V3_DEPLOYER, 10**20))
        for request in self.rpc.kind.steering.impersonate(V3_DEPLOYER):
            self.rpc(*request)
        self.v3_factory = self._deploy_at_mainnet_address("V3Factory", 0)
        self.v3_router = self._deploy_at_mainnet_address("V3Router", 4, (self.v3_factory, self.wrapped_native))
        self.v3_positions = self._deploy_at_mainnet_address(
            "V3Positions", 8, (self.v3_factory, self.wrapped_native, self.account)
        )
        token0, token1 = self.tokens
        amounts = (10**18, 3000 * 10**6) if token0 == self.weth else (3000 * 10**6, 10**18)
        self.execute(
            self.v3_positions,
            "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
            *(token0, token1, V3_FEE, math.isqrt((amounts[1] << 192) // amounts[0])),
        )
        pool = self.call(self.v3_factory, "getPool(address,address,uint24)", token0, token1, V3_FEE, returns="address")
        self.v3_pool = pool.lower()
        self._approve(self.v3_positions)
        self._approve(self.v3_router)
        self.v3_mint(FULL_RANGE, amounts[0] * 100, amounts[1] * 100)

    # ---- what moves the pools; each returns the transaction's hash, to be mined

    def v2_swap(self, exchange: int, token_in: str, amount: int, sender: str | None = None) -> str:
        """Sell `amount` of `token_in` on a V2 exchange."""
        token_out = self.usdc if token_in == self.weth else self.weth
        data = call_data(
            "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
            *(amount, 0, [token_in, token_out], sender or self.account, DEADLINE),
        )
        return self.send(self.exchanges[exchange].router, data, sender=sender, gas=SWAP_GAS)

    def v2_mint(self, exchange: int, weth: int, usdc: int) -> str:
        """Add liquidity to a V2 pair."""
        data = call_data(
            "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
            *(self.weth, self.usdc, weth, usdc, 0, 0, self.account, DEADLINE),
        )
        return self.send(self.exchanges[exchange].router, data, gas=SWAP_GAS)

    def v2_burn(self, exchange: int, share: int) -> str:
        """Give `share` liquidity tokens back to a V2 pair."""
        pair, router = self.exchanges[exchange].pair, self.exchanges[exchange].router
        self.send(pair, call_data("approve(address,uint256)", router, MAX_UINT256), gas=SWAP_GAS)
        data = call_data(
            "removeLiquidity(address,address,uint256,uint256,uint256,address,uint256)",
            *(self.weth, self.usdc, share, 0, 0, self.account, DEADLINE),
        )
        return self.send(router, data, gas=SWAP_GAS)

    def v3_swap(self, token_in: str, amount: int, sender: str | None = None, gas: int = SWAP_GAS) -> str:
        """Sell `amount` of `token_in` in the V3 pool."""
        token_out = self.usdc if token_in == self.weth else self.weth
        data = call_data(
            "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
            (token_in, token_out, V3_FEE, sender or self.account, DEADLINE, amount, 0, 0),
        )
        return self.send(self.v3_router, data, sender=sender, gas=gas)

    def v3_mint(self, ticks: tuple[int, int], amount0: int, amount1: int) -> str:
        """Open a V3 position between two ticks (multiples of 10)."""
        data = call_data(
            "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
            (*self.tokens, V3_FEE, *ticks, amount0, amount1, 0, 0, self.account, DEADLINE),
        )
        return self.send(self.v3_positions, data, gas=2_000_000)

    def v3_burn(self, position: int, liquidity: int) -> str:
        """Take liquidity out of a V3 position and collect it."""
        burn = call_data(
            "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))", (position, liquidity, 0, 0, DEADLINE)
        )
        self.send(self.v3_positions, burn, gas=SWAP_GAS)
        collect = call_data(
            "collect((uint256,address,uint128,uint128))", (position, self.account, 2**128 - 1, 2**128 - 1)
        )
        return self.send(self.v3_positions, collect, gas=SWAP_GAS)

    # ---- blocks

    def mine(self, blocks: int = 1) -> None:
        """Mine what is pending."""
        if self.rpc.kind.steering.reorg is None:
            self._snapshots = [*self._snapshots, (self.height(), self.rpc("evm_snapshot"))][-KEPT_SNAPSHOTS:]
        self.rpc(*self.rpc.kind.steering.mine(blocks))

    def hold_mining(self, on: bool) -> None:
        """With `on`, blocks are made only by `mine`, and hold as many transactions as were sent."""
        self.rpc(*self.rpc.kind.steering.automine(not on))

    def height(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def reorg(self, depth: int, *, later: bool = True) -> None:
        """Replace the last `depth` blocks, or a few more.

        anvil leaves their transactions out, Ganache too; Hardhat mines them again, all in the first block of the new
        branch.  Unless the time was moved (`later`) that makes the very blocks again, and they are announced again.
        """
        if self.rpc.kind.steering.reorg is not None:
            self.rpc(*self.rpc.kind.steering.reorg(depth))
            return
        head = self.rpc("eth_getBlockByNumber", "latest", False)
        top = int(head["number"], 16)
        while self._snapshots:
            height, snapshot = self._snapshots.pop()
            if height <= top - depth:
                break
        else:
            raise FeedError(f"no snapshot is {depth} blocks deep")
        self.rpc("evm_revert", snapshot)
        if later:
            self.rpc(*self.rpc.kind.steering.next_after(int(head["timestamp"], 16)))
        self.mine(top - height)

    def logs(self, first: int = 0, last: int | str = "latest") -> list[dict[str, Any]]:
        """The node's own truth: every canonical log of the pools and their factories."""
        emitters = [*self.pools, *(exchange.factory for exchange in self.exchanges), self.v3_factory]
        upper = hex(last) if isinstance(last, int) else last
        found: list[dict[str, Any]] = self.rpc(
            "eth_getLogs", {"fromBlock": hex(first), "toBlock": upper, "address": emitters}
        )
        return found
