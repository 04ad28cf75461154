"""Blocks and logs of a recording, each with the JSON text in which a node sends it.

The texts are made once, when the recording is loaded: serving copies bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """A block: its place in the chain, and its texts in an answer and in a newHeads notification."""

    number: int
    hash: str
    parent_hash: str
    state_root: str
    block_json: bytes
    head_json: bytes


@dataclass(frozen=True, slots=True)
class RecordedLog:
    """A log: address and topics for filters, its identity within the block (transaction hash, log index), its text."""

    address: str
    topics: tuple[str, ...]
    identity: tuple[str, str]
    body: bytes
