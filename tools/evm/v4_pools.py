"""Uniswap V4 inside this process: a pool manager with any pools, traded by v4-core's own test contracts.

Owns what the contracts are called with, what they log, and where the manager keeps a pool (StateLibrary).  Nothing that
is done here is undone, but for `swap_seeded`.  Native coin and tokens of the only account are as many as it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from consumers.arbitrage.pool_state import Price
from consumers.extras import need
from tools.evm.errors import NoRealContract, SwapReverted, reason_in
from tools.rig.evm.v4 import (
    BITMAP_SLOT,
    KEY,
    LIQUIDITY_SLOT,
    MAX_PRICE,
    MIN_PRICE,
    NO_HOOK,
    POOLS_SLOT,
    TICKS_SLOT,
    call_data_of,
    mapping_slot,
    signed,
)
from tools.rig.evm.world import MAX_UINT256, bytecode, call_data

if TYPE_CHECKING:
    from pyrevm import EVM

ACCOUNT = "0x1000000000000000000000000000000000000001"
PROGRAM_AT = "0x2000000000000000000000000000000000000002"
GAS = 1_000_000_000
NATIVE = "0x" + "00" * 20
RICHES = 1 << 200
"""Of each token.  Of the native coin it is `COINS`."""
COINS = 1 << 126
MOST_LP_FEE = 1_000_000
MOST_SPACING = (1 << 15) - 1
MOST_AMOUNT = (1 << 127) - 1
"""What a swap moves is an int128."""
SWAP_TOPIC = "0x" + keccak(b"Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)").hex()
SWAP_WORDS = ("int128", "int128", "uint160", "uint128", "int24", "uint24")

Key = tuple[str, str, int, int, str]
"""Currencies in order, fee, tick spacing, hook."""


class SwapWords(NamedTuple):
    """The words of a Swap event: amounts by the swapper's side, so what goes into the pool is negative."""

    amount0: int
    amount1: int
    sqrt_price_x96: int
    liquidity: int
    tick: int
    fee_pips: int


class Slots(NamedTuple):
    """What the manager keeps of a pool at its price."""

    sqrt_price_x96: int
    tick: int
    protocol_fee: int
    """Both directions', 12 bits each."""
    lp_fee: int
    liquidity: int


class V4Pools:
    """An EVM with a pool manager, two tokens, and the contracts that trade.

    Raises:
        UsageError: the extra `evm` is not installed, or npm cannot fetch the contracts.
    """

    def __init__(self) -> None:
        revm = need("pyrevm")
        environment = revm.Env(block=revm.BlockEnv(number=1, timestamp=GAS, gas_limit=GAS))
        self._evm: EVM = revm.EVM(env=environment, spec_id="CANCUN")
        self._evm.insert_account_info(ACCOUNT, revm.AccountInfo(balance=COINS))
        self.manager = self._deploy("V4Manager", ("address",), (ACCOUNT,))
        self._swapper = self._deploy("V4Swapper", ("address",), (self.manager,))
        self._provider = self._deploy("V4Provider", ("address",), (self.manager,))
        token = ("string", "string", "uint256", "uint256"), ("token", "T", 18, 1)
        first, second = sorted(self._deploy("Token", *token) for _ in range(2))
        self.tokens = first, second
        for holder in self.tokens:
            self._call(holder, call_data("setBalance(address,uint256)", ACCOUNT, RICHES))
            for spender in (self._swapper, self._provider):
                self._call(holder, call_data("approve(address,uint256)", spender, MAX_UINT256))
        self._call(self.manager, call_data("setProtocolFeeController(address)", ACCOUNT))

    def key(self, fee_pips: int, spacing: int, *, native: bool = False) -> Key:
        """Names a pool without a hook."""
        return (NATIVE if native else self.tokens[0], self.tokens[1], fee_pips, spacing, NO_HOOK)

    def initialize(self, key: Key, sqrt_price_x96: int) -> None:
        """Make the pool.

        Raises:
            SwapReverted: by the contract, as everything here.
        """
        self._call(self.manager, call_data_of(f"initialize({KEY},uint160)", (KEY, "uint160"), (key, sqrt_price_x96)))

    def set_protocol_fee(self, key: Key, protocol_fee: int) -> None:
        """Charge for the protocol; both directions, packed."""
        self._call(self.manager, call_data_of(f"setProtocolFee({KEY},uint24)", (KEY, "uint24"), (key, protocol_fee)))

    def provide(self, key: Key, ticks: tuple[int, int], liquidity: int) -> tuple[int, int]:
        """Add liquidity between two ticks, or (negative) take it out; what that moved to the account, with its fees."""
        change = "(int24,int24,int256,bytes32)"
        data = call_data_of(
            f"modifyLiquidity({KEY},{change},bytes)",
            (KEY, change, "bytes"),
            (key, (*ticks, liquidity, bytes(32)), b""),
        )
        return _amounts(self._pay(self._provider, key, data))

    def swap(self, key: Key, amount: int, *, falls: bool, limit: int | None = None) -> SwapWords:
        """Sell `amount` of the one currency, or (negative) buy so much of the other, up to a price; what was logged."""
        what, how = "(bool,int256,uint160)", "(bool,bool)"
        last = MIN_PRICE if falls else MAX_PRICE
        data = call_data_of(
            f"swap({KEY},{what},{how},bytes)",
            (KEY, what, how, "bytes"),
            (key, (falls, -amount, last if limit is None else limit), (False, False), b""),
        )
        moved = _amounts(self._pay(self._swapper, key, data))
        assert self._evm.result is not None
        log = next(log for log in self._evm.result.logs if log.topics[0] == SWAP_TOPIC)
        if log.topics[1] != "0x" + pool_id(key).hex():
            raise NoRealContract(f"expected a swap of pool {pool_id(key).hex()}, found {log.topics[1]}")
        found = SwapWords(*decode(SWAP_WORDS, bytes(log.data[1])))
        if moved != found[:2]:
            raise NoRealContract(f"expected the amounts {moved} as returned, found {found[:2]} in the log")
        return found

    def read(self, key: Key) -> Slots:
        """A pool's slots."""
        base = pool_slot(key)
        word = self._evm.storage(self.manager, base)
        return Slots(
            word & (1 << 160) - 1,
            signed(word >> 160 & 0xFFFFFF, 24),
            word >> 184 & 0xFFFFFF,
            word >> 208,
            self._evm.storage(self.manager, base + LIQUIDITY_SLOT),
        )

    def run(self, program: str) -> str:
        """What a program returns that a node would run as the creation of a contract."""
        self._evm.insert_account_info(PROGRAM_AT, need("pyrevm").AccountInfo(code=bytes.fromhex(program[2:])))
        return "0x" + self._call(PROGRAM_AT, "0x").hex()

    def swap_seeded(
        self, state: Price, fee_pips: int, amount_in: int, *, falls: bool, net: Mapping[int, int], spacing: int
    ) -> tuple[int, int, Price]:
        """Sell `amount_in` to a pool in this state; what it took and paid, and the state that this left.

        Raises:
            NoRealContract: no pool can be like this one.
            SwapReverted: the contract refuses.
        """
        if not 0 <= fee_pips <= MOST_LP_FEE or not 0 < spacing <= MOST_SPACING:
            raise NoRealContract(f"Uniswap V4 has no pool of {fee_pips} pips and spacing {spacing}")
        if not (0 < state.sqrt_price_x96 < 1 << 160 and 0 <= state.liquidity < 1 << 128 and abs(state.tick) < 1 << 23):
            raise NoRealContract(f"no pool has the state {state}")
        if not 0 < amount_in <= MOST_AMOUNT:
            raise NoRealContract(f"an amount is from 1 to 2^127 - 1, found {amount_in}")
        key = self.key(fee_pips, spacing)
        before = self._evm.snapshot()
        try:
            self._seed(key, state, net)
            for token in self.tokens:
                self._call(token, call_data("setBalance(address,uint256)", self.manager, RICHES))
            swapped = self.swap(key, amount_in, falls=falls)
            entered, left = (swapped.amount0, swapped.amount1)[:: 1 if falls else -1]
            return -entered, left, Price(swapped.sqrt_price_x96, swapped.liquidity, swapped.tick)
        finally:
            self._evm.revert(before)

    def _seed(self, key: Key, state: Price, net: Mapping[int, int]) -> None:
        base, spacing = pool_slot(key), key[3]
        word = state.sqrt_price_x96 | (state.tick % (1 << 24)) << 160 | key[2] << 208
        slots = {base: word, base + LIQUIDITY_SLOT: state.liquidity}
        for tick, amount in net.items():
            if tick % spacing:
                raise NoRealContract(f"tick {tick} is no multiple of the spacing {spacing}")
            gross = abs(amount) or 1  # swaps do not look at it
            slots[mapping_slot(tick, base + TICKS_SLOT)] = gross | (amount % (1 << 128)) << 128
            at = mapping_slot(tick // spacing >> 8, base + BITMAP_SLOT)
            slots[at] = slots.get(at, 0) | 1 << (tick // spacing & 255)
        for slot, value in slots.items():
            self._evm.insert_account_storage(self.manager, slot, value)

    # ---- calls

    def _deploy(self, name: str, types: tuple[str, ...], values: tuple[object, ...]) -> str:
        address: str = self._evm.deploy(ACCOUNT, bytecode(name) + encode(types, values), gas=GAS)
        return address.lower()

    def _pay(self, to: str, key: Key, data: str) -> bytes:
        """A call with enough of the native coin, of which the contract gives the rest back."""
        return self._call(to, data, value=COINS // 2 if key[0] == NATIVE else 0)

    def _call(self, to: str, data: str, *, value: int = 0) -> bytes:
        try:
            return bytes(self._evm.message_call(ACCOUNT, to, calldata=bytes.fromhex(data[2:]), gas=GAS, value=value))
        except RuntimeError as refusal:
            raise SwapReverted(reason_in(str(refusal))) from refusal


def pool_id(key: Key) -> bytes:
    """Hash of the key."""
    return keccak(encode([KEY], [key]))


@lru_cache(maxsize=256)
def pool_slot(key: Key) -> int:
    """Where the manager keeps a pool."""
    return int.from_bytes(keccak(pool_id(key) + POOLS_SLOT.to_bytes(32, "big")), "big")


def _amounts(packed: bytes) -> tuple[int, int]:
    """A BalanceDelta."""
    word = int.from_bytes(packed, "big")
    return signed(word >> 128, 128), signed(word & (1 << 128) - 1, 128)
