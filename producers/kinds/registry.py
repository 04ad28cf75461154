"""Which pool kinds there are, and their events in one table.

Owns the set and what two kinds may not have in common.  A kind is only ever added: codes and places in EVENTS stay good
for the process's life.  Decoders and subscriptions take the tables as they are when they are made, so kinds come first.
"""

from __future__ import annotations

from producers.kinds.checks import check_kind, refuse
from producers.kinds.events import EVENT_OF_TOPIC, EVENTS, ContractEvent
from producers.kinds.kind import PoolKind

_BY_NAME: dict[str, PoolKind] = {}
_BY_CODE: dict[int, PoolKind] = {}


def register(kind: PoolKind) -> None:
    """Add `kind`; nothing changes if it is refused.

    Raises:
        UsageError: the declaration is wrong, or another kind has its name, code or topic; names kind and field.
    """
    check_kind(kind)
    if kind.name in _BY_NAME:
        refuse(kind, "name", "there is one of this name")
    if kind.code in _BY_CODE:
        refuse(kind, "code", f"{kind.code} is {_BY_CODE[kind.code].name}'s")
    topics = [event.topic0 for event in (*kind.events, *kind.shares)]
    for event in kind.events:
        if topics.count(event.topic0) > 1:
            refuse(kind, event.name, f"{event.signature} is declared twice")
        if event.topic0 in EVENT_OF_TOPIC:
            owner = _BY_CODE[EVENT_OF_TOPIC[event.topic0].protocols[0]]
            refuse(kind, event.name, f"{event.signature} is {owner.name}'s; if it is the same event, name it in shares")
    for event in kind.shares:
        if (
            event != EVENT_OF_TOPIC.get(event.topic0, event)._replace(protocols=())
            or event.topic0 not in EVENT_OF_TOPIC
        ):
            refuse(kind, "shares", f"no kind declares {event.name}, {event.signature}, in these words")
    _BY_NAME[kind.name] = _BY_CODE[kind.code] = kind
    for event in kind.events:
        EVENT_OF_TOPIC[event.topic0] = event._replace(protocols=(kind.code,))
        EVENTS.append(EVENT_OF_TOPIC[event.topic0])
    for event in kind.shares:
        _add_emitter(EVENT_OF_TOPIC[event.topic0], kind)


def _add_emitter(event: ContractEvent, kind: PoolKind) -> None:
    shared = event._replace(protocols=(*event.protocols, kind.code))
    EVENTS[EVENTS.index(event)] = EVENT_OF_TOPIC[event.topic0] = shared


def all_kinds() -> tuple[PoolKind, ...]:
    """Every kind, in the order in which they were registered."""
    return tuple(_BY_NAME.values())


def kind_named(name: str) -> PoolKind | None:
    """The kind that a chain file calls so."""
    return _BY_NAME.get(name)


def kind_of(code: int) -> PoolKind | None:
    """The kind with this code, `protocol` of a record or a pool."""
    return _BY_CODE.get(code)


def name_of(code: int) -> str:
    """What a code is called in text, lower case; its number if no kind of this process has it."""
    kind = _BY_CODE.get(code)
    return kind.name.lower() if kind is not None else str(code)
