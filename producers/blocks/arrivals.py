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
    """It is known now whether a parent that cannot be had is a hole: the queue of heads can move on."""


class LogsFetched(NamedTuple):
    """The node's own list of a block's logs."""

    block: Block
    logs: list[Log]


class LogsUnavailable(NamedTuple):
    """The node has the block and cannot list its logs."""

    block: Block


class HeadMissing(NamedTuple):
    """Logs of a block came, and its head did not."""

    block_hash: str
    number: int


class Opinion(NamedTuple):
    """What the second endpoint lists of a block."""

    block: Block
    found: list[Log]
    """Logs that we lack."""
    short: bool
    """It lacks logs that we have."""


Arrival = HeaderFetched | ParentSettled | LogsFetched | LogsUnavailable | HeadMissing | Opinion
Arrivals = list[Arrival]
