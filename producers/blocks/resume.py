"""Where a collector goes on: its ring, its state file, or neither.

Owns the choice between the two, and the refusal of a ring of another chain.  It opens no file: the ring's messages and
the state's position are given to it.

    the ring tells of blocks     the ring; the state file too, if it was written beside this very ring and knows later
    it does not, state file      behind the state's block
    neither                      at the head
    it lost all that says so     at the head, and what is below is declared
"""

from __future__ import annotations

from collections.abc import Iterable

from producers.blocks.recovery import Recovered, RingStory, recover
from producers.blocks.state_file import Position
from producers.chains.configuration import ChainConfig
from producers.node.errors import WrongRingError

UNKNOWN = bytes(32)


def resume(
    chain: ChainConfig,
    ring: str,
    ring_uuid: bytes,
    payloads: Iterable[bytes | memoryview] | None,
    position: Position | None,
    story: RingStory | None = None,
) -> Recovered | None:
    """What was told before; None if nothing was.  `payloads` are the ring's messages, None if it is new; `story` is of
    those before them.

    Raises:
        WrongRingError: the ring is another chain's.
    """
    recovered = None
    if payloads is not None:
        recovered = recover(payloads, position.ended_in(ring_uuid) if position is not None else None, story)
        refuse_other_chain(chain, ring, recovered.chain_id, recovered.genesis)
        if recovered.genesis == UNKNOWN and position is not None:
            recovered = recovered._replace(genesis=bytes.fromhex(position.genesis[2:]))
    if position is not None and (recovered is None or not (recovered.blocks or recovered.ended >= 0 or recovered.lost)):
        return position.resume()
    return recovered


def refuse_other_chain(chain: ChainConfig, ring: str, chain_id: int, genesis: bytes) -> None:
    """Let only a ring of `chain` pass; 0 and zeros where the ring does not say.

    Raises:
        WrongRingError: it is another chain's, by id or by early block.
    """
    remedy = f"give another --ring, or remove it: ringstat gc --closed --prefix {ring}"
    if chain_id not in (0, chain.chain_id):
        raise WrongRingError(f"ring {ring}: expected chain {chain.chain_id} ({chain.name}), found {chain_id}; {remedy}")
    if chain.identity is not None and genesis not in (UNKNOWN, chain.genesis):
        raise WrongRingError(
            f"ring {ring}: expected a chain whose block {chain.identity.number} is {chain.identity.hash}, "
            f"found 0x{genesis.hex()}: another chain of id {chain.chain_id}; {remedy}"
        )
