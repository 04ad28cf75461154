"""The contract events that the project understands: how one is declared, and the tables of all.

Owns the declaration of an event (signature, topic0, indexed arguments, data words, the record field that each argument
fills) and the two tables that `producers.kinds.registry` fills from the kinds.  The decoders, the subscription's topic
filter and the tests against eth-abi read them.  It never looks at a log and never knows a pool.

Reading a declaration: types and `indexed` are Solidity's; the name is the **record field** that takes the argument.

    `_`        checked like any other argument, then dropped
    `amount0`  int256 where the record has `amount0_in` and `amount0_out`: split by sign, positive = into the pool
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from eth_hash.auto import keccak

from tlv.layout import PoolRecord


class Role(IntEnum):
    """What kind of contract may emit an event."""

    POOL = 0
    FACTORY = 1


class Argument(NamedTuple):
    """One event argument: its ABI type and the record fields it fills (none, one, or an in/out pair)."""

    type: str
    indexed: bool
    fields: tuple[str, ...]

    @property
    def name(self) -> str:
        """As `alphapulse decode` prints it: the record field, or what the two halves of a split amount share."""
        return self.fields[0] if len(self.fields) == 1 else "".join(self.fields[:1]).removesuffix("_in")

    @property
    def signed(self) -> bool:
        """Two's complement."""
        return self.type.startswith("int")

    @property
    def bits(self) -> int:
        """Width of the value inside its 256-bit word; the rest must be zero, or the sign."""
        return 160 if self.type == "address" else int(self.type.removeprefix("u").removeprefix("int"))


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
        parsed.append(Argument(abi_type, indexed == ["indexed"], _fields(field, record)))
    return ContractEvent(name, role, record, solidity_name, tuple(parsed))


def _fields(name: str, record: type[PoolRecord]) -> tuple[str, ...]:
    if name == "_":
        return ()
    pair = (f"{name}_in", f"{name}_out")
    return pair if set(pair) <= set(record.__struct_fields__) else (name,)


EVENTS: list[ContractEvent] = []
"""Every event, in an order that nothing outside this process may rely on.  Only ever appended to."""

EVENT_OF_TOPIC: dict[str, ContractEvent] = {}
"""The event of each topic0 (lower-case hex).  Its keys are the topic filter of a subscription."""


def event_of(record: PoolRecord) -> ContractEvent | None:
    """The event that a record was decoded from, as far as its class and protocol say; None if it is none of ours."""
    return next(
        (event for event in EVENTS if event.record is type(record) and record.protocol in event.protocols), None
    )
