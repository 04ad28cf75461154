"""Where a collector stands, on disk: the newest block up to which everything was published.

Owns the file.  A collector whose ring is still there reads its story from the ring (`producers.blocks.recovery`); this
is for the day after a reboot, when the ring is gone: the next collector fetches from this block on instead of from the
head. The file is replaced whole, so a crash leaves the old or the new one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from producers.blocks.chain import Block, Progress
from producers.blocks.recovery import Recovered
from producers.chains.configuration import HexHash
from producers.disk import replace_file
from producers.node.errors import CursorError
from producers.node.rpc_types import Head
from tlv.codes import Completeness


class Cursor(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the file."""

    chain_id: int
    number: int
    hash: HexHash
    parent_hash: HexHash
    timestamp: int


def save(path: Path, chain_id: int, block: Block) -> None:
    """Replace the file."""
    cursor = Cursor(chain_id, block.number, block.hash, block.parent_hash, block.timestamp)
    replace_file(path, msgspec.json.encode(cursor))


def load(path: Path, chain_id: int) -> Recovered | None:
    """The story that ended at that block; None if there is no file yet.

    Raises:
        CursorError: the file is damaged, or of another chain.
    """
    try:
        cursor = msgspec.json.decode(path.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CursorError(f"state file {path}: {error}") from None
    if cursor.chain_id != chain_id:
        raise CursorError(f"state file {path}: expected chain {chain_id}, found {cursor.chain_id}")
    head = Head(hex(cursor.number), cursor.hash, cursor.parent_hash, hex(cursor.timestamp))
    block = Block(head, 0)
    block.progress, block.verdict, block.ended = Progress.CLOSED, Completeness.REFETCHED, True
    return Recovered([block], [], [])
