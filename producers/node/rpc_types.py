"""What a node sends, as typed values: logs and block headers, in one spelling.

Owns the border: the JSON shape of logs and headers, and how the spellings of real nodes become one.  Quantities and
hashes stay text here and are read by `producers.node.hex`, events by `producers.decode.cold`.

    hex digits in any case (addresses of EIP-55)      lower case, where two spellings of one thing would count as two
    a number as an integer or as decimal text         `0x...`, if it fits the member (Geth 1.16.0: go-ethereum#32120)
    a hash or an address without `0x`                 with it
    null, or no member at all                         the member's default
    null for a list                                   an empty list (flow-evm-gateway#695)
    members that nobody asked for                     ignored

What is none of these is refused by an `Unfit`, which names the member and the kind of value.  A well-spelt value costs
one typed decode and six searches for a capital letter; only what that decode refuses goes through the table of members.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec


class Log(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One log, as `eth_getLogs` and a `logs` subscription give it.

    None means that the node left the member out or sent null: recordings lack `blockHash`, pending logs have no block.
    """

    address: str
    topics: tuple[str | None, ...] = ()
    data: str | None = None
    block_number: str | None = None
    transaction_hash: str | None = None
    transaction_index: str | None = None
    block_hash: str | None = None
    log_index: str | None = None
    removed: bool | None = None
    block_timestamp: str | None = None


class Head(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One block header, as `newHeads` and `eth_getBlockByHash` give it."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str = "0x0"
    logs_bloom: str | None = None
    base_fee_per_gas: str | None = None
    gas_used: str = "0x0"
    gas_limit: str = "0x0"


class Unfit(msgspec.ValidationError):
    """A log or a header that cannot be used; `member` and `kind` say why, in words of ours only."""

    def __init__(self, member: str, kind: str) -> None:
        super().__init__(f"{member} is {kind}")
        self.member, self.kind = member, kind


class Member(NamedTuple):
    """How one member may be spelt, and what its values may be."""

    read: Callable[[Member, Any], Any]
    size: int = 0
    """Bytes of a hash or an address, bits of a number."""
    required: bool = False


LARGEST_DIGITS = 80
"""Digits of a number that is looked at; 2^256 has 78."""
DIGITS = frozenset("0123456789abcdef")


def read_number(value: object, bits: int = 256) -> int:
    """A quantity in any spelling: `0x` digits (`0x` is zero), an integer, or decimal text.

    Raises:
        Unfit: it is none, or has more bits.
    """
    text = value.strip().lower() if isinstance(value, str) and len(value) <= LARGEST_DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif text is not None and text[:2] == "0x" and set(text[2:]) <= DIGITS:
        number = int(text[2:] or "0", 16)
    elif text is not None and text.isascii() and text.isdecimal():
        number = int(text)
    else:
        raise Unfit("a number", kind_of(value))
    if number < 0 or number.bit_length() > bits:
        raise Unfit("a number", f"a number that does not fit {bits} bits")
    return number


def kind_of(value: object) -> str:
    """What a value is, for a message: never the value itself, which may be a node's megabyte."""
    match value:
        case None:
            return "missing"
        case bool():
            return "a boolean"
        case int():
            return "a number"
        case float():
            return "a fraction"
        case str():
            return f"a text of {len(value)} characters"
        case list() | tuple():
            return "a list"
    return "an object"


def _hex(member: Member, value: Any) -> Any:
    """Hex digits; of a fixed size, if the member has one."""
    if not isinstance(value, str):
        raise Unfit("", kind_of(value))
    text = value.lower()
    if member.size and len(text) == 2 * member.size and text[:2] != "0x":
        text = "0x" + text
    if text[:2] != "0x" or (member.size and len(text) != 2 + 2 * member.size) or not set(text[2:]) <= DIGITS:
        raise Unfit("", kind_of(value))
    return text


def _quantity(member: Member, value: Any) -> Any:
    return hex(read_number(value, member.size))


def _topics(member: Member, value: Any) -> Any:
    if not isinstance(value, list):
        raise Unfit("", kind_of(value))
    return tuple(None if topic is None else _hex(member, topic) for topic in value)


def _boolean(member: Member, value: Any) -> Any:
    if not isinstance(value, bool):
        raise Unfit("", kind_of(value))
    return value


LOG_MEMBERS = {
    "address": Member(_hex, 20, required=True),
    "topics": Member(_topics, 32),
    "data": Member(_hex),
    "blockNumber": Member(_quantity, 63),
    "transactionHash": Member(_hex, 32),
    "transactionIndex": Member(_quantity, 32),
    "blockHash": Member(_hex, 32),
    "logIndex": Member(_quantity, 32),
    "removed": Member(_boolean),
    "blockTimestamp": Member(_quantity, 64),
}
HEAD_MEMBERS = {
    "number": Member(_quantity, 63, required=True),
    "hash": Member(_hex, 32, required=True),
    "parentHash": Member(_hex, 32, required=True),
    "timestamp": Member(_quantity, 63),
    "logsBloom": Member(_hex),
    "baseFeePerGas": Member(_quantity, 256),
    "gasUsed": Member(_quantity, 64),
    "gasLimit": Member(_quantity, 64),
}


def _normalised(value: Any, members: dict[str, Member]) -> dict[str, Any]:
    """The members of one log or header, in one spelling.

    Raises:
        Unfit: one of them cannot be read, or is missing.
    """
    if not isinstance(value, dict):
        raise Unfit("the value", kind_of(value))
    found = {}
    for name, member in members.items():
        said = value.get(name)
        if said is None:
            if member.required:
                raise Unfit(name, kind_of(None))
            continue
        try:
            found[name] = member.read(member, said)
        except Unfit as error:
            raise Unfit(name, error.kind) from None
    return found


def in_lower_case(log: Log) -> Log:
    """`log` with what names something in lower case: its emitter, its topics, its block, its transaction."""
    topics = tuple(topic and topic.lower() for topic in log.topics)
    return msgspec.structs.replace(
        log,
        address=log.address.lower(),
        topics=topics,
        block_hash=log.block_hash and log.block_hash.lower(),
        transaction_hash=log.transaction_hash and log.transaction_hash.lower(),
    )


def has_capitals(text: bytes) -> bool:
    """Whether hex digits in capitals may stand in a JSON text.  The members of a log have no such letter: 0.15 us."""
    return 65 in text or 66 in text or 67 in text or 68 in text or 69 in text or 70 in text


_ANY = msgspec.json.Decoder()
_LOG = msgspec.json.Decoder(Log)
_LOGS = msgspec.json.Decoder(list[Log])
_HEAD = msgspec.json.Decoder(Head)
_HASHES = re.compile(r"(?:0x[0-9a-f]{64}){2}")
_QUANTITIES = re.compile(r"0x[0-9a-f]{1,15} 0x[0-9a-f]{1,15}(?: 0x[0-9a-f]{1,16}){2}")
_FEE = re.compile(r"0x[0-9a-f]{1,64}")


class AnswerReader(Protocol):
    """What reads an answer: one of those below, or a decoder of msgspec's."""

    def decode(self, text: bytes | msgspec.Raw, /) -> Any:
        """The value, or msgspec.DecodeError."""


class LogReader:
    """Reads one log."""

    def decode(self, text: bytes | msgspec.Raw) -> Log:
        """The log.

        Raises:
            msgspec.DecodeError, Unfit: it is none, or cannot be used.
        """
        try:
            log = _LOG.decode(text)
        except msgspec.ValidationError:
            return msgspec.convert(_normalised(_ANY.decode(text), LOG_MEMBERS), Log)
        return in_lower_case(log) if has_capitals(bytes(text)) else log


class LogsReader:
    """Reads a list of logs; null is an empty one."""

    def decode(self, text: bytes | msgspec.Raw) -> list[Log]:
        """The logs, all of them.

        Raises:
            msgspec.DecodeError, Unfit: there is no list, or one of them cannot be used.
        """
        try:
            logs = _LOGS.decode(text)
        except msgspec.ValidationError:
            found = _ANY.decode(text)
            if found is None:
                return []
            if not isinstance(found, list):
                raise Unfit("the list of logs", kind_of(found)) from None
            return [msgspec.convert(_normalised(log, LOG_MEMBERS), Log) for log in found]
        return list(map(in_lower_case, logs)) if has_capitals(bytes(text)) else logs


class HeadReader:
    """Reads one header."""

    def decode(self, text: bytes | msgspec.Raw) -> Head:
        """The header.

        Raises:
            msgspec.DecodeError, Unfit: it is none, or cannot be used.
        """
        try:
            head = _HEAD.decode(text)
        except msgspec.ValidationError:
            head = None
        if head is not None and is_well_spelt(head):
            return head
        return msgspec.convert(_normalised(_ANY.decode(text), HEAD_MEMBERS), Head)


def is_well_spelt(head: Head) -> bool:
    """Whether nothing of a header need be spelt otherwise, and all of it fits its record."""
    return bool(
        _HASHES.fullmatch(head.hash + head.parent_hash)
        and _QUANTITIES.fullmatch(f"{head.number} {head.timestamp} {head.gas_used} {head.gas_limit}")
        and (head.base_fee_per_gas is None or _FEE.fullmatch(head.base_fee_per_gas))
    )


class HeadOrNullReader:
    """Reads one header; null, and only that, says that the node has no such block."""

    def decode(self, text: bytes | msgspec.Raw) -> Head | None:
        """The header, or None.

        Raises:
            msgspec.DecodeError, Unfit: it is neither.
        """
        return None if bytes(text).strip() == b"null" else _HEAD_READER.decode(text)


_HEAD_READER = HeadReader()
