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

Call = Callable[[str], bytes | None]
"""From the hash of the block to the answer; None = revert."""

PEOPLE = tuple(bytes([0xAA]) * 19 + bytes([n]) for n in range(1, 9))
"""Who swaps."""
TICKS = tuple(range(-1200, 1260, 120))
FEES = (100, 500, 3000, 10_000, 1234)
"""Of V3 pools; for the last one the tick spacing must be asked."""


@lru_cache(maxsize=4096)
def selector(signature: str) -> bytes:
    """The first four bytes of a call."""
    return keccak(signature.encode())[:4]


def word(value: int | bytes) -> bytes:
    """32 bytes of an answer."""
    return value.rjust(32, b"\0") if isinstance(value, bytes) else (value % (1 << 256)).to_bytes(32, "big")


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
    lies: bool = False
    """What its factory says of it changes, so that it is one or none."""
    silent: bool = False
    """Nobody says anything for it, nor against it."""

    @property
    def name(self) -> bytes:
        """Its address, or 32 bytes of an id."""
        return self.contract.address


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


def decimals_of(token: bytes) -> int:
    """What a token of the world says."""
    return _token(token[0] // 0x11 - 1)[1]


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


def pool_of(factory: Factory, first: int, second: int, fee: int) -> WorldPool:
    """The pool of two tokens (by number) at a factory."""
    (token0, decimals0), (token1, decimals1) = _token(first), _token(second)
    own = factory.kind.fee is Fee.OWN
    words = (fee,) if factory.kind.proof.functions else ()
    spacing = 60 if factory.kind.spacing_of_fee is not None else 0
    spacing = (factory.kind.spacing_of_fee or {}).get(fee, spacing) if own else spacing
    functions: dict[bytes, Call] = {
        selector("token0()"): lambda _: word(token0.address),
        selector("token1()"): lambda _: word(token1.address),
        selector("factory()"): lambda _: word(bytes.fromhex(factory.address[2:])),
        selector("getReserves()"): lambda block: word(mark(block)) + word(mark(block) >> 1) + word(1),
        selector("slot0()"): lambda block: word(mark(block)) + word(-7) + word(0) * 5,
        selector("globalState()"): lambda block: word(mark(block)) + word(-7) + word(0) * 5,
        selector("liquidity()"): lambda block: word(mark(block) >> 2),
    }
    if own:
        functions[selector("fee()")] = lambda _: word(fee)
    if spacing:
        functions[selector("tickSpacing()")] = lambda _: word(spacing)
    contract = Contract(_address(factory, token0.address, token1.address, words), functions)
    facts: dict[str, Any] = {"token0": token0.address, "token1": token1.address, "pool": contract.address}
    facts |= {"fee_pips": fee, "tick_spacing": spacing} if own else {}
    return WorldPool(
        contract, events_of(factory), factory, token0.address, token1.address, (decimals0, decimals1), facts
    )


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
