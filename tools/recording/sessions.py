"""The recorded sessions: what each answer contained, and what the node refused.

Owns what must agree between a session and the other files: it names recorded blocks only, and its logs are exactly
those of the log files.  It must never know how the answers become a time line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec

from tools.recording.blocks import RecordedBlock, RecordedLog
from tools.recording.errors import RecordingError
from tools.recording.files import read_rows
from tools.recording.rows import CallRow, ServedHead, ServedLog
from tools.recording.timeline import Seen

ALWAYS = math.inf


def read_sessions(
    paths: Iterable[Path], blocks: Mapping[str, RecordedBlock], logs: Mapping[str, tuple[RecordedLog, ...]]
) -> tuple[list[list[Seen]], dict[str, float]]:
    """Read the sessions in their order.

    Returns:
        What every answer showed, by session; and by block hash how often `eth_getLogs` failed before it had logs
        (`ALWAYS`, if it never had).

    Raises:
        RecordingError: a line is damaged, goes back in time, or contradicts `blocks` or `logs`.
    """
    sessions = []
    refusals: Counter[str] = Counter()
    served: set[str] = set()
    last = 0
    for path in paths:
        session = []
        for where, _, call in read_rows(path, CallRow):
            second = _second_of(call.date, where)
            if second < last:
                raise RecordingError(f"{where}: expected a date not before the line above, found {call.date}")
            last = second
            seen = _seen(call, second, where, blocks, logs)
            if seen.logs_of:
                served.add(seen.logs_of)
            elif call.method == "eth_getLogs":
                refusals[_asked_block(call, where)] += 1
            session.append(seen)
        sessions.append(session)
    return sessions, {block: count if block in served else ALWAYS for block, count in refusals.items()}


def _seen(
    call: CallRow,
    second: int,
    where: str,
    blocks: Mapping[str, RecordedBlock],
    logs: Mapping[str, tuple[RecordedLog, ...]],
) -> Seen:
    if call.error is not None or bytes(call.result) == b"null":
        return Seen(second)
    try:
        if call.method == "eth_getBlockByNumber":
            head = msgspec.json.decode(call.result, type=ServedHead).hash
            if head not in blocks:
                raise RecordingError(f"{where}: expected a block of the headers file, found {head}")
            return Seen(second, head=head)
        if call.method == "eth_getLogs":
            block = _asked_block(call, where)
            served = msgspec.json.decode(call.result, type=list[ServedLog])
            held = [log.identity for log in logs.get(block, ())]
            if block not in blocks or [(log.transaction_hash, log.log_index) for log in served] != held:
                found = f"{len(served)} others" if block in blocks else "an unrecorded block"
                raise RecordingError(f"{where}: expected the {len(held)} logs held for block {block}, found {found}")
            return Seen(second, logs_of=block)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{where}: expected the answer of {call.method}, found: {error}") from error
    return Seen(second)


def _asked_block(call: CallRow, where: str) -> str:
    query = call.params[0] if call.params else None
    block = query.get("blockHash") if isinstance(query, dict) else None
    if not isinstance(block, str):
        raise RecordingError(f"{where}: expected eth_getLogs of a blockHash, found {call.params}")
    return block


def _second_of(date: str, where: str) -> int:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except ValueError as error:
        raise RecordingError(f"{where}: expected an HTTP date, found {date!r}") from error
