"""What names the pool that a log is of: a text, the same for all logs of one pool.

Owns the form of that name.  Most pools are their logs' emitters.  Some kinds keep all pools in one contract and name
one by an id; and of a pool of more than two coins each ordered pair is told like a pool of its own.

    0x address [id: 64 hex digits] [coin in, coin out: 40 hex digits each, as the log has them]

A coin is an address or an index below sixteen; that of an underlying coin has UNDERLYING added.

Everything that is known of an emitter is kept by that name.  A log of a wrong shape has its emitter's address.
"""

from __future__ import annotations

import re

from producers.kinds.events import EVENT_OF_TOPIC, ContractEvent
from producers.node.rpc_types import Log

ADDRESS_LENGTH = 2 + 40
COIN_LENGTH = 40
ID_LENGTH = 64
HEX = re.compile("0x[0-9a-fA-F]*")
HEX_WORD = re.compile("0x[0-9a-fA-F]{64}")


def key_of(log: Log) -> str:
    """The name of a log's pool."""
    event = naming_event(log)
    return log.address if event is None else named_by(log, event)


def spelled_key_of(log: Log) -> str:
    """The same as the log spells it (`looked_up_by`)."""
    event = naming_event(log)
    return log.address if event is None else looked_up_by(log, event)


def naming_event(log: Log) -> ContractEvent | None:
    """The event of a log whose arguments name its pool; None if its emitter does."""
    event = EVENT_OF_TOPIC.get(log.topics[0] or "") if log.topics else None
    return event if event is not None and event.names_pool else None


def named_by(log: Log, event: ContractEvent) -> str:
    """The name of the pool that an event's own arguments name."""
    key = looked_up_by(log, event).lower()
    length = ADDRESS_LENGTH + sum(place.end - place.begin + len(place.front) for place in event.names_pool)
    try:
        digits = bytes.fromhex(key[2:])
    except ValueError:
        return log.address
    return key if len(key) == length and 2 * len(digits) == length - 2 else log.address  # fromhex skips spaces


def looked_up_by(log: Log, event: ContractEvent) -> str:
    """The name as the log spells it, good to look up what is known by a name: for a log that is no such event it may be
    none."""
    assert event.spell is not None
    try:
        return event.spell(log)
    except (LookupError, TypeError):
        return log.address


def is_garbled(log: Log) -> bool:
    """Whether topics or data of a log are none that a chain can have: then it was garbled on its way."""
    data = log.data or "0x"
    words = all(topic is None or HEX_WORD.fullmatch(topic) for topic in log.topics)
    return not words or len(data) % 2 == 1 or HEX.fullmatch(data) is None


def address_of(key: str) -> str:
    """The contract that emits a pool's logs."""
    return key[:ADDRESS_LENGTH]


def is_plain(key: str) -> bool:
    """Whether a pool is its logs' emitter, and all its logs are of the same two coins."""
    return len(key) == ADDRESS_LENGTH


def id_of(key: str) -> bytes:
    """The id that names a pool, 32 bytes; the emitter's address, 20 bytes, where none does."""
    has_id = (len(key) - ADDRESS_LENGTH) % (2 * COIN_LENGTH) == ID_LENGTH
    digits = key[ADDRESS_LENGTH:][:ID_LENGTH] if has_id else key[2:ADDRESS_LENGTH]
    return bytes.fromhex(digits)


def coins_of(key: str) -> tuple[int, int] | None:
    """What names coin in and coin out, addresses or indices, as 160-bit numbers; None if nothing does."""
    if len(key) - ADDRESS_LENGTH < 2 * COIN_LENGTH:
        return None
    return int(key[-2 * COIN_LENGTH : -COIN_LENGTH], 16), int(key[-COIN_LENGTH:], 16)
