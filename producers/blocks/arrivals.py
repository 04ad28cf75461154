"""What answers and timers bring: values, in the order in which they came.

The parts that ask a node append them to one list; `producers.assembly` takes them from there after every frame and
every timer, and acts on each in one `match`.  So no part calls the assembly.
"""

from __future__ import annotations

from typing import NamedTuple

from producers.blocks.block import Block
from producers.node.rpc_types import Head, Log


class HeaderFetched(NamedTuple):
    """The node has this header; it was asked for as the parent of a head, or because logs of the block came."""

    head: Head


class ParentSettled(NamedTuple):
    """It is known whether a parent that cannot be had is a hole, or it took long: the queue of heads may move on."""


class LogsFetched(NamedTuple):
    """The node's own list of a block's logs."""

    block: Block
    logs: list[Log]
    whole: bool = True
    """It holds every log that is subscribed to; else only events."""
    of_known: bool = False
    """It holds nothing of pools that are not known."""


class LogsUnavailable(NamedTuple):
    """The node has the block and cannot list its logs, or lists what cannot be."""

    block: Block


class LogsConfirmed(NamedTuple):
    """What the node lists of a block only seemed to lack something: it has the block and says the same, repeatedly."""

    block: Block


class HoleFilled(NamedTuple):
    """The node has these headers after all (oldest first); they join the block above them."""

    heads: list[Head]


class HeadMissing(NamedTuple):
    """Logs of a block came, and its head did not."""

    block_hash: str
    number: int


class HeldBackFetched(NamedTuple):
    """Logs of a block that were held back wait in it again, as their emitters are proven now."""

    block: Block


class Opinion(NamedTuple):
    """What the second endpoint lists of a block."""

    block: Block
    found: list[Log]
    """Logs that we lack."""
    short: bool
    """It lacks logs that we have."""
    misplaced: bool = False
    """It has logs that we lack, and numbers logs otherwise, so that those have no place in our block."""


Arrival = (
    HeaderFetched
    | ParentSettled
    | LogsFetched
    | LogsUnavailable
    | LogsConfirmed
    | HoleFilled
    | HeadMissing
    | HeldBackFetched
    | Opinion
)
Arrivals = list[Arrival]
