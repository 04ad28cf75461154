"""The lines of a recording's files, as typed rows.

Owns the form of a line.  It must never know what the rows are for.  A row declares only the members that are used;
others are ignored, since headers differ from chain to chain and the files carry notes (their names start with an
underscore).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

# `\Z`, not `$`: a dollar would let a trailing newline through.
Hash = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
Address = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{40}\Z")]
Quantity = Annotated[str, Meta(pattern=r"^0x(0|[1-9a-f][0-9a-f]{0,63})\Z")]
Bytes = Annotated[str, Meta(pattern=r"^0x([0-9a-f]{2})*\Z")]


class LogRow(Struct, frozen=True, rename="camel"):
    """One log, in the shape of `eth_getLogs`."""

    address: Address
    topics: Annotated[list[Hash], Meta(max_length=4)]
    data: Bytes
    block_number: Quantity
    transaction_hash: Hash
    transaction_index: Quantity
    block_hash: Hash
    log_index: Quantity
    removed: bool | None = None


class HeaderRow(Struct, frozen=True, rename="camel"):
    """The members of a block header that place it in a chain."""

    number: Quantity
    hash: Hash
    parent_hash: Hash
    state_root: Hash
    timestamp: Quantity


class CallRow(Struct, frozen=True):
    """One recorded JSON-RPC call with its answer and the HTTP date of that answer (resolution: one second)."""

    i: int
    date: str
    method: str
    params: list[Any]
    result: Raw
    error: dict[str, Any] | None = None


class ServedHead(Struct, frozen=True):
    """The member that identifies the block in an answer to `eth_getBlockBy*`."""

    hash: Hash


class ServedLog(Struct, frozen=True, rename="camel"):
    """The members that identify a log in an answer to `eth_getLogs`."""

    transaction_hash: Hash
    log_index: Quantity


class PoolRow(Struct, frozen=True, rename={"chain_id": "chainId"}):
    """What is known about one emitter of pool events, and (`method`) how it is known."""

    chain_id: int
    pool: Address
    method: str
    dex: str | None = None
    factory_or_deployer: Address | None = None
    token0: Address | None = None
    token1: Address | None = None
    fee_pips: int | None = None
    coins: tuple[Address, ...] = ()
    underlying_coins: tuple[Address, ...] = ()
    """Of a pool of several coins, by index; the second are those that its lending pool holds for the first."""


class TokenRow(Struct, frozen=True, rename={"chain_id": "chainId"}):
    """What the published token lists say about one token."""

    chain_id: int
    address: Address
    symbol: str | None
    name: str | None
    decimals: Annotated[int, Meta(ge=0, le=255)] | None
