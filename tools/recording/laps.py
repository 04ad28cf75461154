"""The same recording once more, as later blocks: what a node with `at_end="loop"` goes on with.

Owns the renumbering.  In lap n every block has a number, hash, parent hash and timestamp of that lap, so that heads
chain, logs name their block, and a client decodes each lap as new blocks.  Everything else is as it was recorded, bloom
and transaction hashes among it.

    lap 0   13522111 ... 13522298     as recorded
    lap 1   13522304 ... 13522491     HOLE blocks later

A lap's hash is keccak256(recorded hash | lap): it does not recompute from the header, as a recorded one does.  Between
two laps is a hole as between two sessions: the pools' states of its two ends have nothing to do with each other, and a
client must not take one for the sequel of the other.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
from eth_hash.auto import keccak

from tlv.units import NS
from tools.recording.blocks import RecordedBlock, RecordedLog
from tools.recording.recording import NOT_IN_NEW_HEADS, Recording
from tools.recording.timeline import Moment

HOLE = 5
"""Blocks between two laps that nobody recorded: as many as between the first two bundled sessions."""
PAUSE_NS = 2 * NS
"""Between two laps."""


def lap_of(recording: Recording, lap: int) -> Recording:
    """The recording as lap `lap`, from 1 on."""
    hashes = {block: _hash_of(block, lap) for block in recording.blocks}
    numbers = [block.number for block in recording.blocks.values()]
    later = lap * (max(numbers) - min(numbers) + 1 + HOLE)
    seconds = later * _block_time(recording)
    return replace(
        recording,
        blocks={hashes[name]: _block(block, hashes, lap, later, seconds) for name, block in recording.blocks.items()},
        logs={
            hashes[name]: tuple(_log(log, recording.blocks[name], hashes[name], later) for log in logs)
            for name, logs in recording.logs.items()
        },
        steps=tuple(_step(step, hashes) for step in recording.steps),
        first_head=hashes[recording.first_head],
        unknown_answers={hashes[name]: count for name, count in recording.unknown_answers.items()},
    )


def both(earlier: Recording, later: Recording) -> Recording:
    """Two laps that follow each other, as a node knows them; the steps are those of the later one."""
    return replace(
        later,
        blocks=earlier.blocks | later.blocks,
        logs=earlier.logs | later.logs,
        unknown_answers=earlier.unknown_answers | later.unknown_answers,
    )


def _hash_of(block_hash: str, lap: int) -> str:
    return "0x" + keccak(bytes.fromhex(block_hash[2:]) + lap.to_bytes(8, "big")).hex()


def _block_time(recording: Recording) -> int:
    """Whole seconds a block, so that a lap begins later than the one before ended."""
    placed = [(block.number, _timestamp(block)) for block in recording.blocks.values()]
    (first, began), (last, ended) = min(placed), max(placed)
    return max(1, -(-(ended - began) // max(1, last - first)))


def _timestamp(block: RecordedBlock) -> int:
    return int(msgspec.json.decode(block.head_json)["timestamp"], 16)


def _block(block: RecordedBlock, hashes: dict[str, str], lap: int, later: int, seconds: int) -> RecordedBlock:
    members = msgspec.json.decode(block.block_json)
    parent = hashes.get(block.parent_hash) or _hash_of(block.parent_hash, lap)
    members |= {"number": hex(block.number + later), "hash": hashes[block.hash], "parentHash": parent}
    members["timestamp"] = hex(int(members["timestamp"], 16) + seconds)
    head = {name: value for name, value in members.items() if name not in NOT_IN_NEW_HEADS}
    return replace(
        block,
        number=block.number + later,
        hash=hashes[block.hash],
        parent_hash=parent,
        block_json=msgspec.json.encode(members),
        head_json=msgspec.json.encode(head),
    )


def _log(log: RecordedLog, block: RecordedBlock, block_hash: str, later: int) -> RecordedLog:
    body = log.body.replace(block.hash.encode(), block_hash.encode())
    number = b'"blockNumber":"%b"'
    body = body.replace(number % hex(block.number).encode(), number % hex(block.number + later).encode())
    return RecordedLog(log.address, log.topics, log.identity, body)


def _step(step: Moment, hashes: dict[str, str]) -> Moment:
    def renamed(block_hash: str | None) -> str | None:
        return None if block_hash is None else hashes[block_hash]

    return Moment(step.due_ns + PAUSE_NS, renamed(step.adopts), renamed(step.announces), renamed(step.logs_of))
