"""A recording, read from its folder, checked, and made ready to be served.

Owns what must agree between the files: every block comes once, every log is of a recorded block.  It must never
know about clients or clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tlv.errors import UsageError
from tlv.units import NS
from tools.recording.blocks import RecordedBlock, RecordedLog
from tools.recording.contracts import answers
from tools.recording.errors import RecordingError
from tools.recording.files import find_files, read_rows
from tools.recording.rows import HeaderRow, LogRow, PoolRow, TokenRow
from tools.recording.sessions import read_sessions
from tools.recording.timeline import Moment, steps_of_headers, steps_of_sessions

# eth_getBlockBy* sends them; a newHeads notification does not.
NOT_IN_NEW_HEADS = {"size", "totalDifficulty"}


@dataclass(frozen=True)
class Recording:
    """Everything that a recording node serves."""

    name: str
    chain_id: int
    blocks: dict[str, RecordedBlock]
    logs: dict[str, tuple[RecordedLog, ...]]
    steps: tuple[Moment, ...]
    first_head: str  # visible before the clock starts
    unknown_answers: dict[str, float]  # block hash -> how often eth_getLogs says "unknown block" first, or ALWAYS
    call_answers: dict[tuple[str, str], str]

    @property
    def lowest(self) -> int:
        """The lowest number of its blocks."""
        return min(block.number for block in self.blocks.values())

    def logs_of(self, block_hash: str) -> tuple[RecordedLog, ...]:
        """The logs of a block in their order; none for a block whose logs were not recorded."""
        return self.logs.get(block_hash, ())


def load_recording(folder: Path, chain_id: int | None = None, max_pause_s: float = 2.0) -> Recording:
    """Read and check the recording in `folder`.

    Args:
        chain_id: of the chain; without it, that of the pools in the metadata which emitted most of the logs.
        max_pause_s: how long the clock may stand still between two sessions.

    Raises:
        RecordingError: a file is missing or damaged, or two files contradict each other.
    """
    files = find_files(folder)
    blocks, timestamps = _read_headers(files.headers)
    logs = _read_logs(files.logs, blocks)
    pools = [row for _, _, row in read_rows(files.pools, PoolRow)] if files.pools else []
    tokens = [row for _, _, row in read_rows(files.tokens, TokenRow)] if files.tokens else []
    chain = _chain_id(folder, logs, pools) if chain_id is None else chain_id
    if files.sessions:
        sessions, unknown_answers = read_sessions(files.sessions, blocks, logs)
        steps = steps_of_sessions(sessions, int(max_pause_s * NS))
    else:
        steps, unknown_answers = steps_of_headers(timestamps), {}
    first_head = steps[0].adopts if steps else None
    if first_head is None:
        raise RecordingError(f"{folder}: expected a recording that begins with a block, found {len(steps)} steps")
    return Recording(
        name=folder.name,
        chain_id=chain,
        blocks=blocks,
        logs=logs,
        steps=tuple(steps),
        first_head=first_head,
        unknown_answers=unknown_answers,
        call_answers=answers(
            (pool for pool in pools if pool.chain_id == chain), (token for token in tokens if token.chain_id == chain)
        ),
    )


def begun_at(recording: Recording, number: int) -> Recording:
    """The recording from the first head on that has at least this number; what was before is history.

    Raises:
        UsageError: no head is so high.
    """
    for index, step in enumerate(recording.steps):
        if step.adopts is not None and recording.blocks[step.adopts].number >= number:
            steps = tuple(replace(later, due_ns=later.due_ns - step.due_ns) for later in recording.steps[index:])
            return replace(recording, steps=steps, first_head=step.adopts)
    highest = max(block.number for block in recording.blocks.values())
    raise UsageError(f"first block: expected at most {highest}, the last of recording {recording.name}, found {number}")


def _read_headers(path: Path) -> tuple[dict[str, RecordedBlock], list[tuple[int, str]]]:
    blocks: dict[str, RecordedBlock] = {}
    timestamps = []
    for where, line, row in read_rows(path, HeaderRow):
        if row.hash in blocks:
            raise RecordingError(f"{where}: expected every block once, found {row.hash} again")
        members = {name: value for name, value in msgspec.json.decode(line).items() if not name.startswith("_")}
        head = {name: value for name, value in members.items() if name not in NOT_IN_NEW_HEADS}
        blocks[row.hash] = RecordedBlock(
            number=int(row.number, 16),
            hash=row.hash,
            parent_hash=row.parent_hash,
            state_root=row.state_root,
            block_json=msgspec.json.encode(members),
            head_json=msgspec.json.encode(head),
        )
        timestamps.append((int(row.timestamp, 16), row.hash))
    return blocks, timestamps


def _read_logs(paths: Sequence[Path], blocks: dict[str, RecordedBlock]) -> dict[str, tuple[RecordedLog, ...]]:
    logs: dict[str, list[RecordedLog]] = {}
    for path in paths:
        for where, _, row in read_rows(path, LogRow):
            block = blocks.get(row.block_hash)
            if block is None or block.number != int(row.block_number, 16):
                place = f"{row.block_hash} at {row.block_number}"
                raise RecordingError(f"{where}: expected a block of the headers file, found {place}")
            served = msgspec.structs.replace(row, removed=False)
            logs.setdefault(row.block_hash, []).append(
                RecordedLog(
                    address=row.address,
                    topics=tuple(row.topics),
                    identity=(row.transaction_hash, row.log_index),
                    body=msgspec.json.encode(served),
                )
            )
    return {block: tuple(of_block) for block, of_block in logs.items()}


def _chain_id(folder: Path, logs: dict[str, tuple[RecordedLog, ...]], pools: Sequence[PoolRow]) -> int:
    emitted = Counter(log.address for of_block in logs.values() for log in of_block)
    by_chain: Counter[int] = Counter()
    for pool in pools:
        by_chain[pool.chain_id] += emitted[pool.pool]
    if by_chain.total() == 0:
        raise RecordingError(f"{folder}: expected pool metadata that tells the chain (or a chain id given), found none")
    return by_chain.most_common(1)[0][0]
