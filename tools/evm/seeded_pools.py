"""The real contracts as judge of a swap: their published bytecode in an EVM, their storage set to a pool's state.

Owns where each contract keeps its state.  The EVM is pyrevm's; the contracts come from npm, as on the local node
(`tools.rig.evm.packages`).  Each swap begins from the same snapshot, so none leaves anything behind.

    Uniswap V2   pair and Router02: what the router computes is what the pair must accept.  The fee of 3,000 pips is in
                 their code; a fork's is the same code with another constant, and so it is here
    Uniswap V3   pool and SwapRouter, any fee and tick spacing
    PancakeSwap V3  the pool, by a deployer and a router that are made to it (`tools.evm.pancake`)
    Algebra 1.9  pool and SwapRouter, spacing 60; the fee is the state's, since no time passes that would change it
    Uniswap V4   in an EVM of its own (`v4_pools`), any fee and tick spacing, no hook
    Algebra V1  pool and SwapRouter, spacing 60; the fee is the state's, since no time passes that would change it

Storage slots: read from contracts that were deployed and traded the usual way, and held by the tests, in which seeded
contracts and those that got into their state by trading pay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from eth_abi.abi import encode
from eth_hash.auto import keccak

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.extras import need
from tlv.codes import Protocol
from tools.evm import pancake
from tools.evm.errors import NoRealContract, SwapReverted, reason_in
from tools.evm.v4_pools import V4Pools
from tools.rig.evm.world import DEADLINE, MAX_UINT256, bytecode, call_data

if TYPE_CHECKING:
    from pyrevm import EVM

ACCOUNT = "0x1000000000000000000000000000000000000001"
GAS = 1_000_000_000
TIME_S = 1_000_000_000
"""Timestamp of the only block."""
WAD = 1 << 200
"""Token balance of a pool with concentrated liquidity, whose swaps do not depend on it."""
V2_FEE_PER_MILLE = 3
ALGEBRA_SPACING = 60
ALGEBRA_MAX_FEE = (1 << 16) - 1
PANCAKE_SPACING = {100: 1, 500: 10, 2500: 50, 10_000: 200}
USUAL_SPACING = {100: 1, 500: 10, 3000: 60, 10_000: 200}
"""Uniswap V3's fee tiers; for a state that does not say its spacing, which then lies within one."""


class Executed(NamedTuple):
    """What the contracts moved, into the pool and out of it, and the state that this left."""

    amount_in: int
    amount_out: int
    after: Reserves | Price


class _Kind(NamedTuple):
    """How a kind of pool with concentrated liquidity is seeded and traded."""

    swap: str
    fee_in_call: bool
    """Whether the fee names the pool; else it is part of the state."""
    state: int
    """Slot of price and tick; the others follow."""
    liquidity: int
    ticks: int
    bitmap: int
    rest: int
    """What the slot of the state holds behind price, tick and fee: unlocked, and one observation of V3's oracle."""
    also: Mapping[int, int]
    """Further slots."""


PUSH1, PUSH2 = 0x60, 0x61
CALL_OF_MUL = bytes.fromhex("63ffffffff")
"""Behind the constant that SafeMath.mul gets, as solc 0.5.16 writes it."""
INITIALISED = 1 << 248
"""In the fourth slot of a tick (Tick.Info, TickManager.Tick), and in an observation."""
V2_RESERVES = 8
MOST_RESERVE = (1 << 112) - 1
V3_FACTORY_SPACINGS = 4
ALGEBRA_FEE_BIT = 184
V3_KIND = _Kind(
    "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
    True,
    *(0, 4, 5, 6),
    rest=1 << 200 | 1 << 216 | 1 << 240,
    also={8: TIME_S | INITIALISED},
)
ALGEBRA_KIND = _Kind(
    "exactInputSingle((address,address,address,uint256,uint256,uint256,uint160))",
    False,
    *(2, 3, 5, 6),
    rest=1 << 232,
    also={},
)
PANCAKE_KIND = V3_KIND._replace(
    liquidity=5,
    ticks=6,
    bitmap=7,
    rest=1 << 200 | 1 << 216,
    also={1: 1 << 32 | 3200 << 16 | 3200, 9: TIME_S | INITIALISED},
)
"""Its state takes two slots: the second is unlocked, and what the protocol takes of fees, in ten thousandths."""


class SeededPools:
    """An EVM with the contracts; made once, used for any number of swaps.

    Raises:
        UsageError: the extra `evm` is not installed, or npm cannot fetch the contracts.
    """

    def __init__(self) -> None:
        revm = need("pyrevm")
        block = revm.BlockEnv(number=1, timestamp=TIME_S, gas_limit=GAS)
        self._evm: EVM = revm.EVM(env=revm.Env(block=block))
        self._evm.insert_account_info(ACCOUNT, revm.AccountInfo(balance=1 << 120))
        token = ("string", "string", "uint256", "uint256"), ("token", "T", 18, 1)
        self._tokens = tuple(sorted(self._deploy("Token", *token) for _ in range(2)))
        self._v2: dict[int, tuple[str, str]] = {}
        self._v3: dict[int, tuple[str, str]] = {}
        self._v3_pools: dict[tuple[int, int], str] = {}
        self._pancake: dict[tuple[int, int], tuple[str, str]] = {}
        self._algebra: tuple[str, str] | None = None
        self._v4: V4Pools | None = None

    def swap(
        self,
        protocol: int,
        state: Reserves | Price,
        fee_pips: int,
        amount_in: int,
        *,
        falls: bool,
        net: Mapping[int, int] | None = None,
        spacing: int = 0,
    ) -> Executed:
        """Sell `amount_in` of token0 (`falls`) or token1 to a pool in this state.

        `net`: its initialised ticks, and the liquidity that each adds when it is crossed upwards.  `spacing`: of its
        ticks; 0 for that of its fee tier.

        Raises:
            NoRealContract: no contract here is like this pool.
            SwapReverted: the contract refuses.
        """
        match protocol, state:
            case Protocol.UNISWAP_V2, Reserves():
                return self._swap_pair(state, fee_pips, amount_in, falls)
            case Protocol.UNISWAP_V3, Price():
                spacing = spacing or USUAL_SPACING.get(fee_pips, 1)
                contracts = self._v3_pool(fee_pips, spacing)
                return self._swap_ranges(contracts, V3_KIND, state, fee_pips, amount_in, falls, net or {}, spacing)
            case Protocol.PANCAKESWAP_V3, Price():
                spacing = spacing or PANCAKE_SPACING.get(fee_pips, 1)
                contracts = self._pancake_pool(fee_pips, spacing)
                return self._swap_ranges(contracts, PANCAKE_KIND, state, fee_pips, amount_in, falls, net or {}, spacing)
            case Protocol.ALGEBRA, Price():
                spacing = spacing or ALGEBRA_SPACING
                contracts = self._algebra_pool(fee_pips, spacing)
                return self._swap_ranges(contracts, ALGEBRA_KIND, state, fee_pips, amount_in, falls, net or {}, spacing)
            case Protocol.UNISWAP_V4, Price():
                self._v4 = self._v4 or V4Pools()
                spacing = spacing or USUAL_SPACING.get(fee_pips, 1)
                found = self._v4.swap_seeded(state, fee_pips, amount_in, falls=falls, net=net or {}, spacing=spacing)
                return Executed(*found)
        raise NoRealContract(f"no contract of protocol {protocol} with a state of {type(state).__name__}")

    # ---- the kinds

    def _swap_pair(self, state: Reserves, fee_pips: int, amount_in: int, falls: bool) -> Executed:
        per_mille, rest = divmod(fee_pips, 1000)
        if rest or not 0 <= per_mille < 256:
            raise NoRealContract(f"a Uniswap V2 pair charges whole thousandths below 256, this pool {fee_pips} pips")
        if not 0 < min(state) <= max(state) <= MOST_RESERVE:
            raise NoRealContract(f"a Uniswap V2 pair holds from 1 to 2^112 - 1 of each token, this pool {state}")
        pair, router = self._pair(per_mille)
        before = self._evm.snapshot()
        try:
            self._evm.insert_account_storage(pair, V2_RESERVES, state.reserve0 | state.reserve1 << 112 | TIME_S << 224)
            self._hold(pair, state)
            path = self._tokens if falls else self._tokens[::-1]
            signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
            moved = self._trade(amount_in, falls, router, signature, amount_in, 0, path, ACCOUNT, DEADLINE)
            held = self._evm.storage(pair, V2_RESERVES)
            return Executed(*moved, Reserves(held & MOST_RESERVE, held >> 112 & MOST_RESERVE))
        finally:
            self._evm.revert(before)

    def _pair(self, per_mille: int) -> tuple[str, str]:
        """The pair that charges so much, and its router."""
        if per_mille not in self._v2:
            factory_code, router_code = pair_code(per_mille)
            factory = self._create(factory_code, ("address",), (ACCOUNT,))
            router = self._create(router_code, ("address", "address"), (factory, ACCOUNT))
            pair = _address(self._call(factory, "createPair(address,address)", *self._tokens))
            self._approve(router)
            self._v2[per_mille] = pair, router
        return self._v2[per_mille]

    def _v3_pool(self, fee_pips: int, spacing: int) -> tuple[str, str]:
        """The pool of a fee and spacing, and its router.  A factory has one spacing a fee: each spacing has its own."""
        if not 0 <= fee_pips < FEE_UNIT or not 0 < spacing < 1 << 14:
            raise NoRealContract(f"Uniswap V3's factory makes no pool of {fee_pips} pips and spacing {spacing}")
        if spacing not in self._v3:
            factory = self._deploy("V3Factory")
            router = self._deploy("V3Router", ("address", "address"), (factory, ACCOUNT))
            self._approve(router)
            self._v3[spacing] = factory, router
        factory, router = self._v3[spacing]
        if (fee_pips, spacing) not in self._v3_pools:
            self._evm.insert_account_storage(factory, _entry(fee_pips, V3_FACTORY_SPACINGS), spacing)
            made = self._call(factory, "createPool(address,address,uint24)", *self._tokens, fee_pips)
            self._v3_pools[fee_pips, spacing] = _address(made)
        return self._v3_pools[fee_pips, spacing], router

    def _pancake_pool(self, fee_pips: int, spacing: int) -> tuple[str, str]:
        """The pool of a fee and spacing, and its router."""
        if not 0 <= fee_pips < FEE_UNIT or not 0 < spacing < 1 << 14:
            raise NoRealContract(f"PancakeSwap V3's factory makes no pool of {fee_pips} pips and spacing {spacing}")
        if (fee_pips, spacing) not in self._pancake:
            deployer = f"0x{keccak(encode(('uint24', 'int24'), (fee_pips, spacing)))[12:].hex()}"
            code = pancake.deployer_code(ACCOUNT, self._tokens, fee_pips, spacing)
            self._evm.insert_account_info(deployer, need("pyrevm").AccountInfo(code=code))
            pool = _address(bytes(self._evm.message_call(ACCOUNT, deployer, gas=GAS)))
            router = self._create(pancake.router_code(), ("address", "address"), (deployer, ACCOUNT))
            self._approve(router)
            self._pancake[fee_pips, spacing] = pool, router
        return self._pancake[fee_pips, spacing]

    def _algebra_pool(self, fee_pips: int, spacing: int) -> tuple[str, str]:
        """The pool and its router."""
        if not 0 <= fee_pips <= ALGEBRA_MAX_FEE or spacing != ALGEBRA_SPACING:
            raise NoRealContract(f"Algebra V1 has no pool of {fee_pips} pips and spacing {spacing}")
        if self._algebra is None:
            deployer = self._deploy("AlgebraDeployer")
            factory = self._deploy("AlgebraFactory", ("address", "address"), (deployer, ACCOUNT))
            self._call(deployer, "setFactory(address)", factory)
            router = self._deploy("AlgebraRouter", ("address",) * 3, (factory, ACCOUNT, deployer))
            pool = _address(self._call(factory, "createPool(address,address)", *self._tokens))
            self._call(pool, "initialize(uint160)", 1 << 96)  # begins the oracle, whose storage is another contract's
            self._approve(router)
            self._algebra = pool, router
        return self._algebra

    def _swap_ranges(
        self,
        contracts: tuple[str, str],
        kind: _Kind,
        state: Price,
        fee_pips: int,
        amount_in: int,
        falls: bool,
        net: Mapping[int, int],
        spacing: int,
    ) -> Executed:
        pool, router = contracts
        before = self._evm.snapshot()
        try:
            self._seed(pool, kind, state, fee_pips)
            self._seed_ticks(pool, kind, net, spacing)
            self._hold(pool, (WAD, WAD))
            tokens = self._tokens if falls else self._tokens[::-1]
            tier = (fee_pips,) if kind.fee_in_call else ()
            asked = (*tokens, *tier, ACCOUNT, DEADLINE, amount_in, 0, 0)
            moved = self._trade(amount_in, falls, router, kind.swap, asked)
            return Executed(*moved, self._price(pool, kind))
        finally:
            self._evm.revert(before)

    # ---- storage

    def _seed(self, pool: str, kind: _Kind, state: Price, fee_pips: int) -> None:
        if not (0 <= state.sqrt_price_x96 < 1 << 160 and 0 <= state.liquidity < 1 << 128 and abs(state.tick) < 1 << 23):
            raise NoRealContract(f"no pool has the state {state}")
        word = state.sqrt_price_x96 | (state.tick % (1 << 24)) << 160 | kind.rest
        if not kind.fee_in_call:
            word |= fee_pips << ALGEBRA_FEE_BIT
        for slot, value in ((kind.state, word), (kind.liquidity, state.liquidity), *kind.also.items()):
            self._evm.insert_account_storage(pool, slot, value)

    def _price(self, pool: str, kind: _Kind) -> Price:
        word, liquidity = self._evm.storage(pool, kind.state), self._evm.storage(pool, kind.liquidity)
        tick = word >> 160 & 0xFFFFFF
        return Price(word & (1 << 160) - 1, liquidity & (1 << 128) - 1, tick - (tick >> 23 << 24))

    def _seed_ticks(self, pool: str, kind: _Kind, net: Mapping[int, int], spacing: int) -> None:
        words: dict[int, int] = {}
        for tick, amount in net.items():
            if tick % spacing:
                raise NoRealContract(f"tick {tick} is no multiple of the spacing {spacing}")
            at = _entry(tick, kind.ticks)
            gross = abs(amount) or 1  # swaps do not look at it
            self._evm.insert_account_storage(pool, at, gross | (amount % (1 << 128)) << 128)
            self._evm.insert_account_storage(pool, at + 3, INITIALISED)
            compressed = tick // spacing
            words[compressed >> 8] = words.get(compressed >> 8, 0) | 1 << (compressed & 255)
        for word, bits in words.items():
            self._evm.insert_account_storage(pool, _entry(word, kind.bitmap), bits)

    # ---- calls

    def _trade(self, amount_in: int, falls: bool, router: str, signature: str, *values: Any) -> tuple[int, int]:
        """What a call of a router moved: into the pool, and out of it."""
        token_in, token_out = self._tokens if falls else self._tokens[::-1]
        if not 0 < amount_in <= MAX_UINT256:
            raise NoRealContract(f"an amount is from 1 to 2^256 - 1, found {amount_in}")
        self._give(token_in, ACCOUNT, amount_in)
        self._give(token_out, ACCOUNT, 0)
        self._call(router, signature, *values)
        return amount_in - self._balance(token_in), self._balance(token_out)

    def _hold(self, holder: str, amounts: Iterable[int]) -> None:
        for token, amount in zip(self._tokens, amounts, strict=True):
            self._give(token, holder, amount)

    def _give(self, token: str, holder: str, amount: int) -> None:
        self._call(token, "setBalance(address,uint256)", holder, amount)

    def _balance(self, token: str) -> int:
        return int.from_bytes(self._call(token, "balanceOf(address)", ACCOUNT), "big")

    def _approve(self, spender: str) -> None:
        for token in self._tokens:
            self._call(token, "approve(address,uint256)", spender, MAX_UINT256)

    def _deploy(self, name: str, types: tuple[str, ...] = (), values: tuple[Any, ...] = ()) -> str:
        return self._create(bytecode(name), types, values)

    def _create(self, code: bytes, types: tuple[str, ...], values: tuple[Any, ...]) -> str:
        address: str = self._evm.deploy(ACCOUNT, code + encode(types, values), gas=GAS)
        return address.lower()

    def _call(self, to: str, signature: str, *values: Any) -> bytes:
        data = bytes.fromhex(call_data(signature, *values)[2:])
        try:
            return bytes(self._evm.message_call(ACCOUNT, to, calldata=data, gas=GAS))
        except RuntimeError as refusal:
            raise SwapReverted(reason_in(str(refusal))) from refusal


def pair_code(per_mille: int) -> tuple[bytes, bytes]:
    """Creation code of a V2 factory and router whose fee is `per_mille` thousandths.

    The pair multiplies what came in by 3 (UniswapV2Pair.swap), the router by 997 (UniswapV2Library).
    """
    pair = bytecode("V2Pair")
    changed = pair.replace(_charged(V2_FEE_PER_MILLE), _charged(per_mille))
    factory = bytecode("V2Factory").replace(pair, changed)
    router = bytecode("V2Router").replace(keccak(pair), keccak(changed))
    return factory, router.replace(_kept(V2_FEE_PER_MILLE), _kept(per_mille))


def _charged(per_mille: int) -> bytes:
    return bytes((PUSH1, per_mille)) + CALL_OF_MUL


def _kept(per_mille: int) -> bytes:
    return bytes((PUSH2, *divmod(1000 - per_mille, 256)))


def _address(word: bytes) -> str:
    return "0x" + word[-20:].hex()


def _entry(key: int, slot: int) -> int:
    """Storage slot of a mapping's entry under a signed integer."""
    return int.from_bytes(keccak((key % (1 << 256)).to_bytes(32, "big") + slot.to_bytes(32, "big")), "big")
