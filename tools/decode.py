"""`alphapulse decode`: a file of logs in, decoded events as JSON lines out.

Owns the JSON form of events and the counts; `producers.decode.cold` decodes.  The file is read as a stream, one
transaction at a time, since it takes all of a transaction's logs to distinguish a pool from a lookalike.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import click
import msgspec

from consumers.progress import BYTES, WorkProgress
from producers.decode.cold import Refusal, RefusedLog, decode_log, identify, origin_of
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.emitter_key import coins_of, key_of
from producers.kinds.events import COINS, UNDERLYING, ContractEvent
from producers.kinds.registry import name_of
from producers.node.rpc_types import Log
from producers.pools.lookalikes import is_lookalike
from tlv.codes import Venue
from tlv.layout import PoolRecord
from tlv.text import LARGEST_JSON_INTEGER
from tlv.venues import FIRST_FREE_CODE, VENUES
from tools.command.progress import progress, progress_option
from tools.recording.log_file import LocatedLog, read_logs
from tools.recording.proven_pools import bundled_pools, read_proven_pools

NOT_OURS = (Refusal.NO_TOPICS, Refusal.UNKNOWN_EVENT)


class Summary:
    """What became of the logs of a file."""

    def __init__(self) -> None:
        self.logs = 0
        self.events: Counter[str] = Counter()
        self.lookalikes = 0
        self.unverified_emitters = 0
        self.other_logs = 0
        self.refused: Counter[str] = Counter()

    def as_dict(self) -> dict[str, Any]:
        """Every count, for `--summary-json`."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def __str__(self) -> str:
        lines = [f"{self.logs} logs: {self.events.total()} events{_listed(self.events)}"]
        lines += [f"{self.lookalikes} lookalikes, {self.unverified_emitters} of unverified emitters"]
        lines += [f"{self.other_logs} other logs, {self.refused.total()} refused{_listed(self.refused)}"]
        return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in counts.most_common())})" if counts else ""


class FileDecoder:
    """Decides for each log of a file whether it counts, and decodes it.  `pools` None = every emitter counts."""

    def __init__(
        self,
        pools: Iterable[VerifiedEmitter] | None,
        *,
        excerpt: bool = False,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        self.summary = Summary()
        self._pools = None if pools is None else {f"0x{pool.pool.hex()}": pool for pool in pools}
        self._excerpt = excerpt
        self._refused = refused

    def decode(self, rows: Iterator[LocatedLog]) -> Iterator[dict[str, Any]]:
        """The events of `rows`, in their order, as JSON-able dicts."""
        for _, transaction in groupby(rows, _transaction_of):
            yield from self._decode_transaction(list(transaction))

    def _decode_transaction(self, rows: list[LocatedLog]) -> Iterator[dict[str, Any]]:
        false = self._lookalikes([row.log for row in rows])
        for row in rows:
            self.summary.logs += 1
            emitter = row.log.address.lower()
            pool = self._pools.get(emitter) if self._pools is not None else None
            try:
                event = identify(row.log)
                if emitter in false:
                    self.summary.lookalikes += 1
                elif self._pools is not None and pool is None:
                    self.summary.unverified_emitters += 1
                else:
                    yield self._event(event, row.log, pool)
            except RefusedLog as refused:
                if refused.refusal in NOT_OURS:
                    self.summary.other_logs += 1
                else:
                    self.summary.refused[refused.refusal.name.lower()] += 1
                    if self._refused is not None:
                        self._refused(f"{row.where}: {refused.refusal.name.lower()}: {refused}")

    def _event(self, event: ContractEvent, log: Log, pool: VerifiedEmitter | None) -> dict[str, Any]:
        as_json = event_to_dict(event, log, decode_log(log, pool), pool)
        self.summary.events[event.name] += 1
        return as_json

    def _lookalikes(self, logs: list[Log]) -> set[str]:
        """The emitters of one transaction whose logs prove them to be no pools; verified ones are not checked."""
        if self._excerpt:
            return set()
        by_emitter: dict[str, list[Log]] = {}
        for log in logs:
            emitter = log.address.lower()
            if self._pools is None or emitter not in self._pools:
                by_emitter.setdefault(emitter, []).append(log)
        return {emitter for emitter, theirs in by_emitter.items() if is_lookalike(theirs)}


def _transaction_of(row: LocatedLog) -> tuple[str | None, str]:
    """Logs with the same key stand in one transaction; a log of an unknown one stands alone."""
    return row.log.block_hash, row.log.transaction_hash or row.where


def event_to_dict(event: ContractEvent, log: Log, record: PoolRecord, pool: VerifiedEmitter | None) -> dict[str, Any]:
    """One event as JSON; null is a member that the log lacks, or an unknown venue.

    Raises:
        RefusedLog: block number, indices or hashes are unusable.
    """
    origin = origin_of(log)
    as_json: dict[str, Any] = {
        "event": event.name,
        "protocol": name_of(pool.protocol if pool else event.protocols[0]),
        "pool": record.pool,
        "venue": _venue(record.venue) if record.venue else None,
        "block_number": origin.block_number if log.block_number else None,
        "block_hash": origin.block_hash if log.block_hash else None,
        "transaction_hash": origin.transaction_hash if log.transaction_hash else None,
        "transaction_index": origin.transaction_index if log.transaction_index else None,
        "log_index": origin.log_index if log.log_index else None,
        "removed": log.removed,
    }
    coins = coins_of(key_of(log)) or (0, 0)
    for argument in event.arguments:
        if argument.by_order:
            as_json[argument.name] = sum(getattr(record, field) for field in argument.fields)
        elif argument.split:
            into, out_of = argument.fields
            as_json[argument.name] = getattr(record, into) - getattr(record, out_of)
        elif argument.coin:
            coin = coins[COINS.index(argument.coin)]
            as_json[argument.name] = coin.to_bytes(20, "big") if argument.type == "address" else coin & ~UNDERLYING
        elif argument.fields:
            as_json[argument.name] = getattr(record, argument.name)
    return {name: _json_value(value) for name, value in as_json.items()}


def _venue(code: int) -> str | None:
    return Venue(code).name.lower() if code < FIRST_FREE_CODE else VENUES.name_of(code)


def told(logs: Iterable[LocatedLog], file: BufferedReader, bar: WorkProgress) -> Iterator[LocatedLog]:
    """The logs; `bar` shows how far into the file they are, or how many came of a pipe."""
    for log in logs:
        yield log
        if bar.total is None:
            bar.advance(1)
        else:
            bar.to(file.tell())


def _say(line: str) -> None:
    click.echo(line, err=True)


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_JSON_INTEGER else value


@click.command(
    epilog="""\b
Examples:
  alphapulse decode logs.jsonl.gz > events.jsonl
  alphapulse decode --trust-emitters --limit 10 logs.jsonl
  gunzip -c logs.jsonl.gz | alphapulse decode --pools pools.jsonl.gz --summary-json -"""
)
@click.argument("file", type=click.File("rb", lazy=False))
@click.option(
    "--pools",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines of emitters; those with method CREATE2_verified count.  Default: the bundled proven pools.",
)
@click.option("--trust-emitters", is_flag=True, help="Every emitter counts, unless its logs prove it to be no pool.")
@click.option(
    "--excerpt", is_flag=True, help="The file does not hold whole transactions: a missing Sync proves nothing."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many events.")
@click.option("--errors", is_flag=True, help="Say on stderr why each refused log was refused, and on which line.")
@progress_option
@click.option("--summary-json", is_flag=True, help="Write the summary on stderr as one JSON object.")
def command(
    file: BufferedReader,
    pools: Path | None,
    trust_emitters: bool,
    excerpt: bool,
    limit: int | None,
    errors: bool,
    summary_json: bool,
) -> None:
    """Decode FILE, logs as eth_getLogs gives them (JSON lines, plain or gzipped, - for stdin), to JSON lines.

    The logs of a transaction must stand together, as nodes give them.  Amounts are exact: a number over 2^53 is written
    as a decimal string.  Logs that are no event of a pool that counts are counted on stderr.
    """
    if pools is not None and trust_emitters:
        raise click.UsageError("--pools and --trust-emitters exclude each other")
    counted = None if trust_emitters else read_proven_pools(pools) if pools else bundled_pools()
    decoder = FileDecoder(counted, excerpt=excerpt, refused=_say if errors else None)
    size = os.fstat(file.fileno()).st_size if file.seekable() else None
    with progress("decode", size, BYTES if size is not None else "logs", hidden=sys.stdout.isatty()) as bar:
        for event in islice(decoder.decode(told(read_logs(file, file.name), file, bar)), limit):
            sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    summary = decoder.summary
    _say(msgspec.json.encode(summary.as_dict()).decode() if summary_json else str(summary))
