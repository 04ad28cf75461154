"""What a node sends, as typed values: logs and block headers.

Owns the JSON shape only.  Text stays text here: quantities and hashes are read by `producers.node.hex`, events by
`producers.decode.cold`.  As lenient as real nodes demand (members left out or null, `null` among the topics, members
that nobody asked for), and never more: another JSON type is a `msgspec.ValidationError`, which the caller counts.
"""

from __future__ import annotations

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
