"""Which events readers want: a TOML file beside the subscription's addresses, read again while the collector runs.

Owns the file and the judgement of one log.  It must never know blocks: completeness is about everything a block holds,
whatever of it is published.  An empty list asks nothing; every other one must be met.

    addresses = ["0x..."]             # pools or factories; a pool as polygon.uniswap_v3:pool:0x... too
    venues = ["polygon.quickswap_v2"] # names of tlv.venues, or QUICKSWAP_V2
    tokens = ["0x..."]                # one of the pool's two
    events = ["swap", "sync"]         # names of producers.kinds.events

    [minimum]                         # in whole tokens; only events that move this token are held against it
    "0x2791bca1f2de4661ed88a30c99a7a9449aa84174" = 1000.0
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from producers.chains.configuration import HexAddress
from producers.decode.cold import RefusedLog, decode_log
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.rpc_types import Log
from tlv.addresses import ADDRESS, read_address
from tlv.codes import UNKNOWN_DECIMALS
from tlv.errors import UsageError
from tlv.filter import MessageFilter


class EventFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """What an event must be to be published."""

    addresses: tuple[str, ...] = ()
    venues: tuple[str, ...] = ()
    tokens: tuple[HexAddress, ...] = ()
    events: tuple[str, ...] = ()
    minimum: dict[HexAddress, Annotated[float, msgspec.Meta(ge=0)]] = {}

    def __post_init__(self) -> None:
        unknown = set(self.events) - {event.name for event in EVENT_OF_TOPIC.values()}
        if unknown:
            raise ValueError(f"expected a known event, found {min(unknown)!r}")
        try:
            _ = self._emitters
        except UsageError as error:
            raise ValueError(str(error)) from None

    def passes(self, log: Log, pool: VerifiedEmitter) -> bool:
        """Whether the event of `log` is wanted; `pool` is its emitter, a factory has no tokens."""
        if not self._emitters.passes_pool(pool):
            return False
        if self.events and _name_of(log) not in self.events:
            return False
        return not self.minimum or self._moves_enough(log, pool)

    def shows_liquidity(self, pool: VerifiedEmitter) -> bool:
        """Whether every event that moves liquidity or price of the pool passes, whatever it moves."""
        return (
            self._emitters.passes_pool(pool)
            and (not self.events or {"swap", "mint", "burn"}.issubset(self.events))
            and self._minimum_of.keys().isdisjoint({pool.token0, pool.token1})
        )

    def _moves_enough(self, log: Log, pool: VerifiedEmitter) -> bool:
        """Whether it moves as much as is asked of its tokens; an event without amounts of them does."""
        asked = [self._minimum_of.get(pool.token0), self._minimum_of.get(pool.token1)]
        if asked == [None, None]:
            return True
        try:
            record = decode_log(log, pool)
        except RefusedLog:
            return True  # refused again, and counted, where it is decoded for the ring
        for side, decimals in enumerate((pool.decimals0, pool.decimals1)):
            amounts = [getattr(record, name) for name in record.__struct_fields__ if name.startswith(f"amount{side}")]
            least = asked[side]
            if amounts and least is not None and decimals != UNKNOWN_DECIMALS and max(amounts) < least * 10**decimals:
                return False
        return True

    @cached_property
    def _emitters(self) -> MessageFilter:
        """Whose events are wanted.  A factory counts as a pool without tokens."""
        return MessageFilter.of(pools=self.addresses, venues=self.venues, tokens=self.tokens)

    @cached_property
    def _minimum_of(self) -> dict[bytes, float]:
        return {bytes.fromhex(token[2:]): least for token, least in self.minimum.items()}


def load_filter(path: Path) -> EventFilter:
    """The filter in a TOML file.

    Raises:
        UsageError: no such file, or a value that cannot be; the message names its key.
    """
    try:
        found = msgspec.toml.decode(path.read_bytes())
        try:
            return msgspec.convert(_spelled(found), EventFilter)
        except ValueError as error:
            raise UsageError(f"filter {path}: {error}") from None
    except OSError as error:
        raise UsageError(f"filter {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"filter {path}: {error}") from None


def _spelled(found: dict[str, Any]) -> dict[str, Any]:
    """The same with addresses in lower case.

    Raises:
        ValueError: a checksum is wrong; the message names the key.
    """
    spelled = dict(found)
    for key, values in found.items():
        if key not in ("addresses", "tokens", "minimum") or not isinstance(values, list | dict):
            continue
        try:
            texts = [
                read_address(text) if isinstance(text, str) and ADDRESS.fullmatch(text) else text for text in values
            ]
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        spelled[key] = dict(zip(texts, values.values(), strict=True)) if isinstance(values, dict) else texts
    return spelled


def _name_of(log: Log) -> str:
    event = EVENT_OF_TOPIC.get(log.topics[0] or "") if log.topics else None
    return event.name if event is not None else ""
