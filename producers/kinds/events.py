"""The contract events that the project understands: how one is declared, and the tables of all.

Owns the declaration of an event (signature, topic0, indexed arguments, data words, the record field that each argument
fills) and the two tables that `producers.kinds.registry` fills from the kinds.  The decoders, the subscription's topic
filter and the tests against eth-abi read them.  It never looks at a log and never knows a pool.

Reading a declaration: types and `indexed` are Solidity's; the name is the **record field** that takes the argument.

    `_`        checked like any other argument, then dropped
    `amount0`  int256 where the record has `amount0_in` and `amount0_out`: split by sign, positive = into the pool
    `-amount0` the same, negative = into the pool
    `pool`     bytes32, in an event of a pool: the id that names it, as its emitter keeps many
    `coin_in`  the coin that went into a pool of several, and `coin_out`: addresses, or indices; none of them is a
               field.  `amount_in` and `amount_out` are then of these two, whichever is the pair's first
    `underlying_in`, `underlying_out`  the same, of coins that the pool counts apart from its own
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from eth_hash.auto import keccak

from producers.kinds.spelling import WORD_DIGITS, Speller, speller
from tlv.layout import PoolCollect, PoolRecord


class Role(IntEnum):
    """What kind of contract may emit an event."""

    POOL = 0
    FACTORY = 1


class ValueBounds(NamedTuple):
    """What an argument of its ABI type can be at all: no contract says another value."""

    least: int
    most: int
    besides: int = 0
    """One value that it can be all the same."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and (self.least <= value <= self.most or value == self.besides != 0)


class Relation(IntEnum):
    """What an argument has to do with an earlier one."""

    NONE = 0
    FIRST = 1
    """The earlier one."""
    ABOVE = 2
    """Greater than it."""
    DIFFERENT = 3
    """Not it."""


class Argument(NamedTuple):
    """One event argument: its ABI type and the record fields it fills (none, one, or one of two)."""

    type: str
    indexed: bool
    fields: tuple[str, ...]
    """Of two the first takes a value that is positive, or unsigned and the pair is in order; else the second."""
    coin: str = ""
    """`coin_in` or `coin_out`, if it names one."""
    apart: bool = False
    """It is one of the coins beneath the pool's own, which are counted for themselves."""
    bounds: ValueBounds | None = None
    relation: Relation = Relation.NONE

    @property
    def name(self) -> str:
        """As `alphapulse decode` prints it: the record field, or what the two halves of a split amount share."""
        if self.by_order:
            return f"amount_{self.fields[0].rpartition('_')[2]}"
        coin = self.coin.replace("coin", APART) if self.apart else self.coin
        return self.fields[0].rpartition("_")[0] if self.split else coin or "".join(self.fields)

    @property
    def by_order(self) -> bool:
        """Which of its two fields takes it follows from the order of the pair."""
        return self.fields in BY_ORDER.values()

    @property
    def split(self) -> bool:
        """Which of its two fields takes it follows from its sign."""
        return len(self.fields) > 1 and not self.by_order

    @property
    def signed(self) -> bool:
        """Two's complement."""
        return self.type.startswith("int")

    @property
    def bits(self) -> int:
        """Width of the value inside its 256-bit word; the rest must be zero, or the sign."""
        if self.type in WIDTHS:
            return WIDTHS[self.type]
        return int(self.type.removeprefix("u").removeprefix("int"))


WIDTHS = {"address": 160, "bytes32": 256, "bool": 1}
COINS = ("coin_in", "coin_out")
APART = "underlying"
TICKS = ValueBounds(-887272, 887272)
BOUNDS = {
    "tick": TICKS,
    "tick_lower": TICKS,
    "tick_upper": TICKS,
    "sqrt_price_x96": ValueBounds(4295128739, 1461446703485210103287273052203988822378723970341),
    "tick_spacing": ValueBounds(1, (1 << 15) - 1),
    "fee_pips": ValueBounds(0, 1_000_000, 1 << 23),
    "swap_fee_pips": ValueBounds(0, 1_000_000),
}
"""Of the fields that say what a pool of ticks does (TickMath, LPFeeLibrary of uniswap/v4-core: the fee that a hook says
is 2^23).  Not of PoolCollect: a pool checks no ticks there, and anybody makes it say any (UniswapV3Pool.collect)."""
COIN_INDEX = ValueBounds(0, 15)
"""No pool has more than sixteen coins (`COIN_DIGITS`)."""
PAIRS = {"token0": "token1", "tick_lower": "tick_upper"}
"""Fields of which the second is above the first, where an event says both."""
UNDERLYING = 1 << 156
"""Marks the index of a coin that is beneath the pool's own: the first digit of its forty in a pool's name."""
BY_ORDER = {"amount_in": ("amount0_in", "amount1_in"), "amount_out": ("amount1_out", "amount0_out")}
"""Of a pair in order coin 0 goes in."""


class NamePlace(NamedTuple):
    """Where a log has a word that names its pool."""

    topic: int
    """0 = in the data."""
    begin: int
    end: int
    """Of the digits that do, in the text of topic or data."""
    front: str = ""
    """Of an index: the digits that stand before it in a pool's name, where an address has its own."""


class ContractEvent(NamedTuple):
    """One event of one kind of contract."""

    name: str
    """As `alphapulse decode` prints it."""
    role: Role
    record: type[PoolRecord]
    solidity_name: str
    arguments: tuple[Argument, ...]
    protocols: tuple[int, ...] = ()
    """Codes of the kinds whose contracts emit it, the declaring one first.  The registry's to fill."""
    names_pool: tuple[NamePlace, ...] = ()
    """Where its arguments name the pool, as its emitter does not, or not alone."""
    spell: Speller | None = None
    """How they do; None if they do not."""

    @property
    def signature(self) -> str:
        """What topic0 is the hash of."""
        return f"{self.solidity_name}({','.join(argument.type for argument in self.arguments)})"

    @property
    def topic0(self) -> str:
        """The event's first topic, lower-case hex."""
        return _topic_of(self.signature)

    @property
    def indexed(self) -> tuple[Argument, ...]:
        """The arguments that stand in the topics, in order; the first of them is topic 1."""
        return tuple(argument for argument in self.arguments if argument.indexed)

    @property
    def words(self) -> tuple[Argument, ...]:
        """The arguments that stand in the data, 32 bytes each, in order."""
        return tuple(argument for argument in self.arguments if not argument.indexed)


@lru_cache(maxsize=256)
def _topic_of(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


def event(name: str, role: Role, record: type[PoolRecord], declaration: str) -> ContractEvent:
    """An event from its Solidity declaration; whether the record has its fields, `registry.register` checks."""
    solidity_name, _, arguments = declaration.removesuffix(")").partition("(")
    parsed = []
    for argument in filter(None, arguments.split(", ")):
        abi_type, *indexed, field = argument.split(" ")
        named = field.replace(APART, "coin", 1)
        coin = named if named in COINS else ""
        fields = () if coin else _fields(field, record)
        bounds = BOUNDS.get(fields[0]) if len(fields) == 1 and record is not PoolCollect else None
        if coin and abi_type != "address":
            bounds = COIN_INDEX
        parsed.append(Argument(abi_type, indexed == ["indexed"], fields, coin, named != field, bounds))
    parsed = _related(parsed, PAIRS if record is not PoolCollect else {})
    places = tuple(_places(parsed)) if role is Role.POOL else ()
    spell = speller(places) if places else None
    return ContractEvent(name, role, record, solidity_name, tuple(parsed), names_pool=places, spell=spell)


COIN_DIGITS, INDEX_DIGITS = 40, 1
"""Of a coin's address, and of its index: no pool has more than sixteen coins."""


def _related(arguments: list[Argument], pairs: dict[str, str]) -> list[Argument]:
    """The same, each of a pair with what it has to do with the other."""
    named = {argument.coin or "".join(argument.fields): at for at, argument in enumerate(arguments)}
    related = [(first, second, Relation.ABOVE) for first, second in pairs.items()] + [(*COINS, Relation.DIFFERENT)]
    for first, second, relation in related:
        if named.keys() >= {first, second}:
            earlier, later = sorted((named[first], named[second]))
            arguments[earlier] = arguments[earlier]._replace(relation=Relation.FIRST)
            arguments[later] = arguments[later]._replace(relation=relation)
    return arguments


def _fields(name: str, record: type[PoolRecord]) -> tuple[str, ...]:
    if name == "_":
        return ()
    if name in BY_ORDER:
        return BY_ORDER[name]
    plain = name.removeprefix("-")
    pair = (f"{plain}_in", f"{plain}_out")
    if not set(pair) <= set(record.__struct_fields__):
        return (name,)
    return pair if plain == name else pair[::-1]


def _places(arguments: list[Argument]) -> Iterator[NamePlace]:
    """Where a pool's event names it: the id, then the coin in and the coin out."""
    topic, word, ids, coins = 0, 0, [], {}
    for argument in arguments:
        topic, word = (topic + 1, word) if argument.indexed else (topic, word + 1)
        in_topic, end = (topic, 2 + WORD_DIGITS) if argument.indexed else (0, 2 + WORD_DIGITS * word)
        if argument.fields == ("pool",):
            ids.append(NamePlace(in_topic, end - WORD_DIGITS, end))
        elif argument.coin and argument.type == "address":
            coins[argument.coin] = NamePlace(in_topic, end - COIN_DIGITS, end)
        elif argument.coin:
            front = f"{UNDERLYING * argument.apart:040x}"[:-INDEX_DIGITS]
            coins[argument.coin] = NamePlace(in_topic, end - INDEX_DIGITS, end, front)
    yield from (*ids, *(coins[coin] for coin in COINS if coin in coins))


EVENTS: list[ContractEvent] = []
"""Every event, in an order that nothing outside this process may rely on.  Only ever appended to."""

EVENT_OF_TOPIC: dict[str, ContractEvent] = {}
"""The event of each topic0 (lower-case hex).  Its keys are the topic filter of a subscription."""


def event_of(record: PoolRecord) -> ContractEvent | None:
    """The event that a record was decoded from, as far as its class and protocol say; None if it is none of ours."""
    return next(
        (event for event in EVENTS if event.record is type(record) and record.protocol in event.protocols), None
    )
