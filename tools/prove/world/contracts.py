"""The contracts of the world: pools under a chain's factories, tokens, and emitters that are none.

Owns what each answers to a call and which logs it may emit.  What a pool holds after a block is written in the block's
hash (`mark`), so a state told of another block shows.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

from eth_hash.auto import keccak

from producers.chains.configuration import ChainConfig, Factory
from producers.kinds.events import EVENT_OF_TOPIC, ContractEvent, Relation, Role
from producers.kinds.kind import Fee
from tlv.codes import Curve
from tlv.layout import PoolState

Call = Callable[[str], bytes | None]
"""From the hash of the block to the answer; None = revert."""

PEOPLE = tuple(bytes([0xAA]) * 19 + bytes([n]) for n in range(1, 9))
"""Who swaps."""
TICKS = tuple(range(-1200, 1260, 120))
FEES = (100, 500, 3000, 10_000, 1234)
"""Of V3 pools; for the last one the tick spacing must be asked."""
SPACINGS = {"KYBER_ELASTIC": ("tickDistance()",)}
"""What says a pool's tick spacing, where that is not `tickSpacing()`."""


@lru_cache(maxsize=4096)
def selector(signature: str) -> bytes:
    """The first four bytes of a call."""
    return keccak(signature.encode())[:4]


def word(value: int | bytes) -> bytes:
    """32 bytes of an answer."""
    return value.rjust(32, b"\0") if isinstance(value, bytes) else (value % (1 << 256)).to_bytes(32, "big")


def words(*values: int | bytes) -> bytes:
    """One word each."""
    return b"".join(map(word, values))


def text(value: str) -> bytes:
    """An ABI string."""
    raw = value.encode()
    return word(32) + word(len(raw)) + raw.ljust((len(raw) + 31) // 32 * 32, b"\0")


def mark(block_hash: str) -> int:
    """96 bits that tell the block of a state."""
    return int(block_hash[2:26], 16)


@dataclass(eq=False, slots=True)
class Contract:
    """Code at an address."""

    address: bytes
    functions: dict[bytes, Call] = field(default_factory=dict)
    lookups: dict[bytes, tuple[bytes, Call]] = field(default_factory=dict)
    """By call data with arguments: what it answers about a pool, named first, once that is there."""
    fallback: bytes | None = None
    """What it answers to anything else; None = revert."""

    def call(self, block_hash: str, data: bytes, there: Container[bytes] = ()) -> bytes | None:
        """What it returns after that block, when these contracts and pools were there; None = revert."""
        function = self.functions.get(data[:4])
        if function is not None:
            return function(block_hash)
        pool, lookup = self.lookups.get(data, (b"", None))
        return lookup(block_hash) if lookup is not None and pool in there else self.fallback


@dataclass(eq=False, slots=True)
class WorldPool:
    """A pool, or a contract that looks like one."""

    contract: Contract
    events: tuple[ContractEvent, ...]
    """What it emits."""
    factory: Factory | None = None
    """None: no pool."""
    token0: bytes = bytes(20)
    token1: bytes = bytes(20)
    decimals: tuple[int, int] = (0, 0)
    facts: dict[str, Any] = field(default_factory=dict)
    """What its creation says of it, by record field."""
    emitter: bytes = b""
    """The contract that emits its logs, where that keeps many pools."""
    coins: tuple[bytes, ...] = ()
    """Of a pool of several: those of which a swap names two."""
    beneath: tuple[bytes, ...] = ()
    """Those that it counts apart, beneath its own (Curve)."""
    lies: bool = False
    """What its factory says of it changes, so that it is one or none."""
    silent: bool = False
    """Nobody says anything for it, nor against it."""
    words: tuple[int, ...] = ()
    """What it answers to its kind's `proof.functions`."""
    deployer: bytes = b""
    """Who made it, where that is not its factory alone (Algebra Integral)."""
    identity: dict[str, int] = field(default_factory=dict)
    """What each PoolState of it says, by record field, besides its tokens and its factory."""
    fee_after: Callable[[str], int] | None = None
    """From the hash of a block to the pips that it charges then, where its factory says so."""

    @property
    def name(self) -> bytes:
        """Its address, or 32 bytes of an id."""
        return self.contract.address

    def coins_of(self, event: ContractEvent) -> tuple[bytes, ...]:
        """Those of which an event names two; empty if it names none."""
        named = [argument for argument in event.arguments if argument.coin]
        return () if not named else self.beneath if named[0].apart else self.coins


@lru_cache(maxsize=64)
def _token(number: int) -> tuple[Contract, int]:
    decimals = (6, 18, 8, 18, 2, 18)[number]
    symbol = text(f"TK{number}") if number != 5 else b"MKR".ljust(32, b"\0")
    functions: dict[bytes, Call] = {
        selector("decimals()"): lambda _: word(decimals),
        selector("symbol()"): lambda _: symbol,
    }
    return Contract(bytes([0x11 * (number + 1)]) * 20, functions), decimals


def token_of(number: int) -> Contract:
    """One of the tokens."""
    return _token(number)[0]


NATIVE, NATIVE_OF_CURVE = bytes(20), bytes([0xEE]) * 20
"""The chain's own coin, as Uniswap V4 and Curve name it; there is no contract."""


def decimals_of(token: bytes) -> int:
    """What a token of the world says, and what the chain's own coin has."""
    return _token(token[0] // 0x11 - 1)[1] if token not in (NATIVE, NATIVE_OF_CURVE) else 18


TOKENS = 6
TRADES = ("swap", "sync", "mint", "burn", "collect", "modify_liquidity")


def tokens() -> list[Contract]:
    """Every token of the world."""
    return [token_of(number) for number in range(TOKENS)]


@lru_cache(maxsize=4096)
def _address(factory: Factory, token0: bytes, token1: bytes, words: tuple[int, ...]) -> bytes:
    if factory.init_code_hash is None:
        return keccak(b"".join((bytes.fromhex(factory.address[2:]), token0, token1, *map(word, words))))[:20]
    return factory.pool_address(token0, token1, *words)


def events_of(factory: Factory) -> tuple[ContractEvent, ...]:
    """The events of a factory's pools that leave no state of their own: `initialize` is no trade."""
    events = (*factory.kind.events, *factory.kind.shares)
    return tuple(event for event in events if event.role is Role.POOL and event.name in TRADES)


def creations_of(pool: WorldPool) -> list[ContractEvent]:
    """What is logged where a pool is made: by its factory, or by the contract that keeps it."""
    assert pool.factory is not None, "lookalikes are there from the beginning"
    events = (*pool.factory.kind.events, *pool.factory.kind.shares)
    created = [event for event in events if event.role is Role.FACTORY or names_new(event)]
    return [event for event in created if event.solidity_name.startswith("Custom") == bool(pool.deployer)]


def names_new(event: ContractEvent) -> bool:
    """Whether a contract of many pools says by it what a new one is."""
    return event.record is PoolState and bool(event.names_pool)


def pool_of(factory: Factory, first: int, second: int, fee: int, stable: int = 0) -> WorldPool:
    """The pool of two tokens (by number) at a factory."""
    (token0, decimals0), (token1, decimals1) = _token(first), _token(second)
    kind = factory.kind
    own = kind.fee is Fee.OWN
    spacing = 60 if kind.spacing_of_fee is not None or kind.name in SPACINGS else 0
    spacing = (kind.spacing_of_fee or {}).get(fee, spacing) if own else spacing
    asked = {"fee()": fee, "stable()": stable, "tickSpacing()": spacing, "swapFeeUnits()": fee // 10}
    words = tuple(asked[name] for name in kind.proof.functions)
    functions: dict[bytes, Call] = {
        selector("token0()"): lambda _: word(token0.address),
        selector("token1()"): lambda _: word(token1.address),
        selector("factory()"): lambda _: word(bytes.fromhex(factory.address[2:])),
        selector("getReserves()"): lambda block: word(mark(block)) + word(mark(block) >> 1) + word(1),
        selector("slot0()"): lambda block: _price(block) + word(0) * 5,
        selector("globalState()"): lambda block: _price(block) + word(0) * 5,
        selector("liquidity()"): lambda block: word(mark(block) >> 2),
        selector("getPoolState()"): lambda block: _price(block) + word(0) * 2,
        selector("getLiquidityState()"): lambda block: word(mark(block) >> 2) + word(0) * 2,
    }
    said = dict(zip(kind.proof.functions, words, strict=True)) | ({"fee()": fee} if own else {})
    said |= dict.fromkeys(SPACINGS.get(kind.name, ("tickSpacing()",)), spacing) if spacing else {}
    functions |= {selector(name): _always_word(value) for name, value in said.items()}
    contract = Contract(_address(factory, token0.address, token1.address, words), functions)
    facts: dict[str, Any] = {"token0": token0.address, "token1": token1.address, "pool": contract.address}
    facts |= {"fee_pips": fee, "tick_spacing": spacing} if own else {}
    facts |= {"tick_spacing": spacing} if "tickSpacing()" in kind.proof.functions else {}
    curve = (kind.stable_curve if stable else Curve.VOLATILE) if kind.stable_curve else 0
    identity = {"tick_spacing": spacing, "curve": curve}
    identity |= {} if factory.fee_call else {"fee_pips": fee if own else factory.fee_pips}
    return WorldPool(
        contract,
        events_of(factory),
        factory,
        token0.address,
        token1.address,
        (decimals0, decimals1),
        facts,
        words=words,
        identity=identity,
    )


def _price(block_hash: str) -> bytes:
    return word(mark(block_hash)) + word(-7)


def _always_word(value: int) -> Call:
    return lambda _: word(value)


def draw_pools(chain: ChainConfig, rng: Random, count: int) -> list[WorldPool]:
    """Different pools of several factories."""
    pools: dict[bytes, WorldPool] = {}
    while len(pools) < count:
        factory = rng.choice(chain.factories)
        first, second = sorted(rng.sample(range(TOKENS), 2))
        pool = pool_of(factory, first, second, rng.choice(FEES))
        pools[pool.name] = pool
    return list(pools.values())


def draw_lookalike(chain: ChainConfig, rng: Random, number: int) -> WorldPool:
    """A contract that emits the events of pools and is none of a factory of ours."""
    factory = rng.choice(chain.factories)
    model = pool_of(factory, 0, 1, 500)
    address = bytes([0xEE]) * 18 + bytes([rng.randrange(256), number])
    kind = rng.choice(("reverts", "empty", "unknown factory", "claims ours"))
    if kind == "reverts":
        contract = Contract(address)
    elif kind == "empty":
        contract = Contract(address, fallback=b"")
    else:
        functions = dict(model.contract.functions)
        if kind == "unknown factory":
            functions[selector("factory()")] = lambda _: word(bytes([0xFA]) * 20)
        contract = Contract(address, functions)
    unknown = kind == "claims ours" and factory.init_code_hash is None
    return WorldPool(contract, model.events, silent=kind == "empty" or unknown)


def draw_arguments(
    event: ContractEvent, rng: Random, facts: dict[str, Any], coins: tuple[bytes, ...] = ()
) -> tuple[dict[str, Any], list[bytes]]:
    """Values for the arguments of an event: the record's fields, and one word for each argument.

    facts: values that are known, by field; coins: those of which a swap of a pool of several names two.
    """
    fields: dict[str, Any] = dict.fromkeys(event.record.__struct_fields__, None)
    words: list[bytes] = []
    moved = rng.sample(range(len(coins)), 2) if coins else [0, 0]
    flipped = bool(coins) and coins[moved[0]] > coins[moved[1]]
    if coins:
        fields["token0"], fields["token1"] = sorted(coins[at] for at in moved)
    for argument in event.arguments:
        known = argument.fields[0] if argument.fields else ""
        value: Any
        if argument.coin:
            at = moved[argument.coin == "coin_out"]
            value = coins[at] if argument.type == "address" else at
        elif known in facts:
            value = facts[known]
        elif argument.type == "bytes32":
            value = rng.randbytes(32)
        elif argument.type == "address":
            value = rng.choice(PEOPLE)
        elif argument.type == "bool":
            value = rng.randrange(2)
        elif known.endswith("fee_pips"):
            value = rng.randrange(10**6)
        elif known.startswith("tick"):
            value = rng.choice(TICKS)
        else:
            size = rng.randrange(1, argument.bits - argument.signed)
            value = rng.getrandbits(size)
            if argument.signed and rng.random() < 0.5:
                value = -value
        if argument.bounds is not None and value not in argument.bounds:
            value = argument.bounds.least + value % (argument.bounds.most - argument.bounds.least + 1)
        if argument.relation is Relation.ABOVE and known == "tick_upper":
            value = max(value, fields["tick_lower"] + 60)
        words.append(word(value))
        if argument.by_order:
            fields[argument.fields[flipped]] = value
        elif len(argument.fields) == 2:
            fields[argument.fields[0]], fields[argument.fields[1]] = max(value, 0), max(-value, 0)
        elif argument.fields:
            fields[known] = value
    return {name: value for name, value in fields.items() if value is not None}, words


FOREIGN_TOPICS = tuple("0x" + keccak(name).hex() for name in (b"Transfer(address,address,uint256)", b"Approve()"))
assert not set(FOREIGN_TOPICS) & set(EVENT_OF_TOPIC)
