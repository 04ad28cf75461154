"""The state file: the newest block up to which everything was published.

Owns the file.  It names the chain (id and early block) and the ring it was written beside.  It serves twice: when the
ring is gone, the next collector fetches from this block on instead of from the head; when the ring is there and its
newest block ends are gone (`producers.blocks.recovery`), it says what was ended.  Of a ring that knows later ends the
ring is believed, and of another ring it says nothing.  The file is replaced whole, so a crash leaves the old or the new
one; it is some seconds older than the ring (`producers.keeping`), so when a ring is lost events are told again: at
least once, and within one ring never twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from producers.blocks.block import Block, ended_block
from producers.blocks.recovery import Recovered
from producers.chains.configuration import LARGEST_NUMBER, HexHash
from producers.disk import replace_file
from producers.node.errors import StateFileError
from producers.node.hex import read_bytes
from producers.node.rpc_types import Head
from tlv.codes import Completeness

NO_RING = "0x" + "0" * 32


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the file."""

    chain_id: int
    number: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
    hash: HexHash
    parent_hash: HexHash
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
    genesis: HexHash = "0x" + "0" * 64
    """Hash of the chain's early block; zeros = it was not known."""
    ring: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{32}$")] = NO_RING
    """The uuid of the ring that everything up to this block was published in."""

    @classmethod
    def of(cls, chain_id: int, block: Block, genesis: bytes = bytes(32), ring: bytes = bytes(16)) -> Position:
        """Everything up to `block` is in this ring."""
        return cls(chain_id, block.number, block.hash, block.parent_hash, block.timestamp, _hex(genesis), _hex(ring))

    def ended_in(self, ring: bytes) -> tuple[int, bytes] | None:
        """Number and hash of the block, if `ring` is the one it was ended in."""
        return (self.number, read_bytes(self.hash)) if self.ring == _hex(ring) else None

    def resume(self) -> Recovered:
        """Continue behind it in a ring that knows nothing."""
        head = Head(hex(self.number), self.hash, self.parent_hash, hex(self.timestamp))
        block = ended_block(head, Completeness.REFETCHED)
        block.believe()
        return Recovered(
            [block],
            ended=self.number,
            chain_id=self.chain_id,
            genesis=read_bytes(self.genesis),
        )


def save(path: Path, position: Position) -> None:
    """Replace the file."""
    replace_file(path, msgspec.json.encode(position))


def load(path: Path, chain_id: int, genesis: bytes = bytes(32)) -> Position | None:
    """What the file says; None if there is none yet.  `genesis` is zeros where it is not known.

    Raises:
        StateFileError: the file is damaged, or of another chain.
    """
    try:
        position = msgspec.json.decode(path.read_bytes(), type=Position)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateFileError(f"state file {path}: {error}; remove it to begin at the head") from None
    if position.chain_id != chain_id:
        raise StateFileError(
            f"state file {path}: expected chain {chain_id}, found {position.chain_id}; give another file, or remove it"
        )
    known = {_hex(bytes(32)), _hex(genesis)}
    if any(genesis) and position.genesis not in known:
        raise StateFileError(
            f"state file {path}: expected a chain whose early block is {_hex(genesis)}, found {position.genesis}: "
            f"another chain of id {chain_id}; give another file, or remove it"
        )
    return position


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
