"""One log to one typed record: the readable decoder, for tools, tests and whatever is not the hot path.

Owns the rules by which a log is accepted or refused, and their order.  `producers.decode.batch` obeys the same rules,
compiled, for many logs at once; both read the declarations of `producers.kinds`, and the tests hold them equal.
Whether the emitter is a real pool is the caller's knowledge, not this file's.

The rules are those of Solidity's strict ABI decoder: every value is one 32-byte word, zero- or sign-extended from its
type's width.  A word that is not, is no value of that type, and the whole log is refused: a wrong amount is worse than
none.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from msgspec.structs import asdict

from producers.decode.pool_table import VerifiedEmitter, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Argument, ContractEvent, Relation, Role
from producers.kinds.registry import name_of
from producers.node.hex import HexError, read_bytes, read_quantity
from producers.node.rpc_types import Log
from tlv.errors import FeedError
from tlv.layout import EventOrigin, PoolRecord


class Refusal(IntEnum):
    """Why a log yields no event.  The rules are tried in this order."""

    NONE = 0
    NO_TOPICS = 1
    """Anonymous: nothing says what it is."""
    BAD_HEX = 2
    """A field is not `0x` and an even number of hex digits, or a topic or hash has not 32 bytes."""
    UNKNOWN_EVENT = 3
    UNKNOWN_EMITTER = 4
    """The caller gave no pool (batch form only: the cold form decodes without one)."""
    FOREIGN_EVENT = 5
    """The emitter's contract family has no such event, so this is another contract's event with the same name."""
    WRONG_TOPIC_COUNT = 6
    WRONG_DATA_SIZE = 7
    VALUE_OUT_OF_RANGE = 8
    """A word is no value of its ABI type, or a block number or index does not fit its field."""
    IMPOSSIBLE_VALUE = 9
    """A value of its type that no contract says: a tick, price or fee beyond all there are, two coins or ticks out of
    order, one coin twice, an index that no coin has, or other tokens than the pool is proven to have."""


IDENTITY = ("token0", "token1")
"""What a pool's event can only say as it was proven."""


class RefusedLog(FeedError):
    """A log that yields no event; `refusal` says why in one word, the message in one line."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


def decode_log(log: Log, pool: VerifiedEmitter | None = None) -> PoolRecord:
    """The record of `log`.  Without a `pool`, tokens and venue are zero and the family is the topic's own.

    Raises:
        RefusedLog: it is no event of ours, or breaks a rule.
    """
    event = identify(log)
    if pool is None:
        pool = unverified(_bytes(log.address, 20, "address"), event.protocols[0], event.role)
    if pool.role != event.role or pool.protocol not in event.protocols:
        raise RefusedLog(Refusal.FOREIGN_EVENT, f"{event.signature} is no event of a {_described(pool)}")
    words = _words(log, event)
    values = asdict(event.record.unpack(bytes(event.record.layout.size)))
    values |= {name: value for name, value in asdict(pool).items() if name in values}
    for argument, word in zip((*event.indexed, *event.words), words, strict=True):
        _assign(values, argument, word, flipped=bool(pool.flipped))
    _check_values(event, words, pool)
    if "block_number" in values:
        values["block_number"] = _index(log.block_number, 63, "blockNumber")
    return event.record(**values)


def identify(log: Log) -> ContractEvent:
    """The event that topic0 names.

    Raises:
        RefusedLog: there is no topic0, or no such event.
    """
    if not log.topics or not log.topics[0]:
        raise RefusedLog(Refusal.NO_TOPICS, "expected at least one topic, found none")
    event = EVENT_OF_TOPIC.get(log.topics[0])
    if event is None:
        topic0 = _bytes(log.topics[0], 32, "topic 0")
        event = EVENT_OF_TOPIC.get(f"0x{topic0.hex()}")
        if event is None:
            raise RefusedLog(Refusal.UNKNOWN_EVENT, f"topic 0 is no event of ours: 0x{topic0.hex()}")
    return event


def origin_of(log: Log, receive_time_ns: int = 0, block_timestamp: int | None = None) -> EventOrigin:
    """Where `log` stands on its chain.  What the node left out is zero.

    Raises:
        RefusedLog: a number does not fit, or a hash is none.
    """
    if block_timestamp is None:
        block_timestamp = _index(log.block_timestamp, 64, "blockTimestamp")
    return EventOrigin(
        block_number=_index(log.block_number, 63, "blockNumber"),
        block_timestamp=block_timestamp,
        receive_time_ns=receive_time_ns,
        transaction_index=_index(log.transaction_index, 32, "transactionIndex"),
        log_index=_index(log.log_index, 32, "logIndex"),
        block_hash=_hash(log.block_hash, "blockHash"),
        transaction_hash=_hash(log.transaction_hash, "transactionHash"),
    )


def _words(log: Log, event: ContractEvent) -> list[bytes]:
    """The 32-byte words of the arguments: those in the topics, then those in the data."""
    topics = list(log.topics[1:])
    while topics and not topics[-1]:  # some indexers pad the list to four
        topics.pop()
    if len(topics) != len(event.indexed):
        raise RefusedLog(
            Refusal.WRONG_TOPIC_COUNT,
            f"{event.signature} has {len(event.indexed) + 1} topics, found {len(topics) + 1}",
        )
    data, size = log.data or "", 32 * len(event.words)
    if data[:2] == "0x" and len(data) % 2 == 0 and len(data) != 2 + 2 * size:
        # Told apart by length alone: a hostile log may carry megabytes, and they need not be read.
        raise RefusedLog(
            Refusal.WRONG_DATA_SIZE, f"{event.signature} has {size} bytes of data, found {len(data) // 2 - 1}"
        )
    words = [_bytes(topic, 32, f"topic {number}") for number, topic in enumerate(topics, 1)]
    raw = _bytes(data, size, "data")
    return words + [raw[at : at + 32] for at in range(0, len(raw), 32)]


def _assign(values: dict[str, Any], argument: Argument, word: bytes, *, flipped: bool) -> None:
    """Check `word` against the argument's type and put it into the record fields that take it; `flipped`: the row's."""
    value = int.from_bytes(word, "big", signed=argument.signed)
    width = argument.bits - 1 if argument.signed else argument.bits
    if (value if value >= 0 else ~value) >> width:
        raise RefusedLog(Refusal.VALUE_OUT_OF_RANGE, f"0x{word.hex()} is no {argument.type}")
    if argument.type == "address":
        if argument.fields:
            values[argument.fields[0]] = word[12:]
    elif argument.type == "bytes32":
        if argument.fields:
            values[argument.fields[0]] = word
    elif argument.by_order:
        values[argument.fields[flipped]] = value
    elif argument.split:
        into, out_of = argument.fields
        values[into], values[out_of] = max(value, 0), max(-value, 0)
    elif argument.fields:
        values[argument.fields[0]] = value


def _check_values(event: ContractEvent, words: list[bytes], pool: VerifiedEmitter) -> None:
    """Refuse what no contract says."""
    first, before = 0, ""
    for argument, word in zip((*event.indexed, *event.words), words, strict=True):
        value = int.from_bytes(word, "big", signed=argument.signed)
        expected = ""
        if argument.relation is Relation.FIRST:
            first, before = value, f"{argument.name} {_told(argument, value)}"
        elif argument.relation is Relation.ABOVE and value <= first:
            expected = f"more than {before}"
        elif argument.relation is Relation.DIFFERENT and value == first:
            expected = f"another than {before}"
        if argument.bounds is not None and value not in argument.bounds:
            expected = f"{argument.bounds.least} to {argument.bounds.most}"
        if event.role is Role.POOL and argument.name in IDENTITY and any(pool.token1):
            proven = getattr(pool, argument.name)
            expected = expected if word[12:] == proven else f"the pool's own, 0x{proven.hex()}"
        if expected:
            told = f"{event.signature}: {argument.name}: expected {expected}, found {_told(argument, value)}"
            raise RefusedLog(Refusal.IMPOSSIBLE_VALUE, told)


def _told(argument: Argument, value: int) -> str:
    return f"0x{value:040x}" if argument.type == "address" else str(value)


def _described(pool: VerifiedEmitter) -> str:
    return f"{name_of(pool.protocol)} {Role(pool.role).name.lower()}"


def _bytes(text: str | None, size: int, name: str) -> bytes:
    try:
        return read_bytes(text, size)
    except HexError as error:
        raise RefusedLog(Refusal.BAD_HEX, f"{name}: {error}") from None


def _hash(text: str | None, name: str) -> bytes:
    return _bytes(text, 32, name) if text else bytes(32)


def _index(text: str | None, bits: int, name: str) -> int:
    if not text:
        return 0
    try:
        value = read_quantity(text)
    except HexError as error:
        raise RefusedLog(Refusal.BAD_HEX, f"{name}: {error}") from None
    if value >> bits:
        raise RefusedLog(Refusal.VALUE_OUT_OF_RANGE, f"{name} {text} does not fit {bits} bits")
    return value
