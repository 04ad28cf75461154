"""What the page knows of a ring beside its rows: names, symbols, its feed's newest word, how far its chain has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tlv.layout import Heartbeat
from tlv.venues import VENUE_NAMES


class KeptFrame(NamedTuple):
    """A message that may be shown and is not parsed yet."""

    ring: str
    sequence: int
    payload: bytes


class KeptReorg(NamedTuple):
    """A reorg that a ring told of."""

    ring: bytes
    sequence: int
    fork_number: int


@dataclass
class SeenRing:
    """What is known of one ring."""

    name: str
    uuid: bytes
    sequence: int = 0
    """Of the last frame; 0 if none came."""
    venues: dict[int, str] = field(default_factory=lambda: {int(code): name for code, name in VENUE_NAMES.items()})
    symbols: dict[bytes, str] = field(default_factory=dict)
    """By token."""
    heartbeat: Heartbeat | None = None
    heartbeat_ns: int = 0
    ended: int = -1
    """Number of the highest block that ended and was not taken back."""
    gone: bool = False
