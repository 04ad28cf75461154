"""The state file: the newest block up to which everything was published.

Owns the file.  A collector whose ring is still there reads what it published from the ring
(`producers.blocks.recovery`); this is for the day after a reboot, when the ring is gone: the next collector fetches
from this block on instead of from the head.  The file is replaced whole, so a crash leaves the old or the new one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from producers.blocks.block import Block, ended_block
from producers.blocks.recovery import Recovered
from producers.chains.configuration import HexHash
from producers.disk import replace_file
from producers.node.errors import StateFileError
from producers.node.rpc_types import Head
from tlv.codes import Completeness


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the file."""

    chain_id: int
    number: int
    hash: HexHash
    parent_hash: HexHash
    timestamp: int


def save(path: Path, chain_id: int, block: Block) -> None:
    """Replace the file."""
    position = Position(chain_id, block.number, block.hash, block.parent_hash, block.timestamp)
    replace_file(path, msgspec.json.encode(position))


def load(path: Path, chain_id: int) -> Recovered | None:
    """What was published up to that block; None if there is no file yet.

    Raises:
        StateFileError: the file is damaged, or of another chain.
    """
    try:
        position = msgspec.json.decode(path.read_bytes(), type=Position)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateFileError(f"state file {path}: {error}") from None
    if position.chain_id != chain_id:
        raise StateFileError(f"state file {path}: expected chain {chain_id}, found {position.chain_id}")
    head = Head(hex(position.number), position.hash, position.parent_hash, hex(position.timestamp))
    return Recovered([ended_block(head, Completeness.REFETCHED)], [], [])
