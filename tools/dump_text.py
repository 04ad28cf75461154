"""A message as one line for a person: what happened, in which pool, how much, in which block.

Owns the wording and the scaling of amounts.  A line begins with the record's name, has words for codes, and every
number exact.  Symbols come from the PoolState messages of the stream; nothing is looked up elsewhere.  Of a tick map a
line has range and count, of a signal's way the number of ticks, of a signal's pools no state: that is for `--json` and
`--hex`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from tlv.codes import (
    UNKNOWN_DECIMALS,
    AnomalyKind,
    AnomalyState,
    Completeness,
    Domain,
    EmitterProof,
    FarewellReason,
    FeedReason,
    FeedState,
    FeeKind,
    FilterKind,
    Flag,
    NotPublished,
    Protocol,
    Source,
    StreamStart,
)
from tlv.instrument import pool_text
from tlv.layout import (
    BackfillBegin,
    BackfillEnd,
    Block,
    BlockEnd,
    EventOrigin,
    Farewell,
    Filter,
    Gap,
    Heartbeat,
    PoolFee,
    PoolRecord,
    PoolState,
    PoolSwap,
    Reorg,
    RingReplaced,
    Session,
    SignalIdentity,
    StateInvalidation,
    Subscribe,
    SystemHealth,
    TickLiquidity,
    Timepoint,
    Uncovered,
    Unproven,
    VenueName,
    WayTick,
)
from tlv.message import Message
from tlv.record import Record
from tlv.text import record_to_dict
from tlv.units import NS
from tlv.venues import VENUES
from tools.anomaly_text import UNITS
from tools.code_names import code_key, code_name
from tools.command.printable import printable
from tools.execution_text import execution_sentences
from tools.wording import backfill_text, counted, gap_text, invalidation_text, reorg_text

POOL_FIELDS = frozenset(PoolRecord.__struct_fields__)
AMOUNTS = {
    "amount0": 0,
    "amount1": 1,
    "amount0_in": 0,
    "amount1_in": 1,
    "amount0_out": 0,
    "amount1_out": 1,
    "reserve0": 0,
    "reserve1": 1,
}
"""Fields that count a token's base units, and which of the pool's two tokens it is."""
NAMED: dict[tuple[type[Record], str], type[IntEnum]] = {
    (PoolFee, "fee_kind"): FeeKind,
    (Subscribe, "start"): StreamStart,
    (Filter, "kind"): FilterKind,
    (Farewell, "reason"): FarewellReason,
}
"""Fields of records without a sentence of their own whose number has a name."""
SHORT = 8
NOWHERE = bytes(32)


def scale(amount: int, decimals: int) -> str:
    """An amount of base units in whole tokens, exactly; as it is if the decimals are unknown."""
    if decimals in (0, UNKNOWN_DECIMALS):
        return str(amount)
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return ("-" if amount < 0 else "") + whole + ("." + fraction if fraction else "")


class Describer:
    """Describes messages of one stream; keeps the symbols of their tokens."""

    def __init__(self) -> None:
        self._symbols: dict[bytes, str] = {}
        self._sentences: dict[type[Record], Callable[[Any], str]] = {
            **execution_sentences(self._amount),
            BackfillBegin: backfill_text,
            BackfillEnd: backfill_text,
            Block: block_text,
            BlockEnd: block_end_text,
            Gap: gap_text,
            Heartbeat: heartbeat_text,
            Reorg: reorg_line,
            RingReplaced: replaced_text,
            Session: session_text,
            SignalIdentity: identity_text,
            StateInvalidation: invalidation_text,
            SystemHealth: health_text,
            Uncovered: uncovered_text,
            Unproven: unproven_text,
            VenueName: lambda record: f"{record.code} is {record.name}",
        }

    def line(self, sequence: int, message: Message) -> str:
        """The whole line; whatever a contract called its token, it is one line and holds no control character."""
        header = message.header
        parts = [str(sequence), clock(header.timestamp_ns)]
        origin = message.first(EventOrigin)
        for record in message.records:
            if record is not origin and not isinstance(record, TickLiquidity | Timepoint | WayTick):
                parts.append(self._record(record))
        if ticks := sum(isinstance(record, WayTick) for record in message.records):
            parts.append(f"{counted(ticks, 'tick')} on the way")
        if origin:
            parts.append(f"block {origin.block_number} log {origin.log_index}")
        if message.unknown:
            parts.append(f"{message.unknown} unknown TLVs")
        if header.flags:
            parts.append(f"[{'|'.join(flag.name or '' for flag in Flag(header.flags))}]")
        if not message.records:
            parts.append(f"empty {Domain(header.domain).name} message of source {code_key(Source, header.source)}")
        return printable("  ".join(parts))

    def _record(self, record: Record) -> str:
        if isinstance(record, PoolState):
            self._symbols[record.token0] = record.symbol0
            self._symbols[record.token1] = record.symbol1
        if isinstance(record, VenueName):
            VENUES.learn(record.code, record.name)
        if isinstance(record, PoolRecord):
            return self._pool_record(record)
        sentence = self._sentences.get(type(record))
        if sentence is not None:
            return f"{type(record).__name__} {sentence(record)}"
        fields = record_to_dict(record)
        return " ".join([fields.pop("type"), *(f"{name}={named(record, name, fields[name])}" for name in fields)])

    def _pool_record(self, record: PoolRecord) -> str:
        name = type(record).__name__
        parts = [name, pool_text(record.venue, record.pool)]
        if isinstance(record, PoolSwap):
            paid, got = self._sides(record, "in"), self._sides(record, "out")
            parts.append(f"{paid} -> {got}")
            left = {"sqrt_price_x96", "liquidity", "tick"} if record.sqrt_price_x96 else set()
        else:
            left = set(record.__struct_fields__) - POOL_FIELDS - {"protocol"}
        for field in record.__struct_fields__:
            if field in left:
                parts.append(f"{field}={self._value(record, field)}")
        return " ".join(parts)

    def _sides(self, swap: PoolSwap, side: str) -> str:
        amounts = [field for field in (f"amount0_{side}", f"amount1_{side}") if getattr(swap, field)]
        return " + ".join(self._value(swap, field) for field in amounts) or "nothing"

    def _value(self, record: PoolRecord, field: str) -> str:
        value = getattr(record, field)
        if field not in AMOUNTS:
            return "0x" + value.hex() if isinstance(value, bytes) else named(record, field, value)
        token, decimals = (record.token1, record.decimals1) if AMOUNTS[field] else (record.token0, record.decimals0)
        return self._amount(value, token, decimals)

    def _amount(self, value: int, token: bytes, decimals: int) -> str:
        unit = self._symbols.get(token) or "0x" + token.hex()[:SHORT]
        # Without decimals the number counts base units, and the line must not look like whole tokens.
        unknown = " base units of" if decimals == UNKNOWN_DECIMALS else ""
        return f"{scale(value, decimals)}{unknown} {unit}"


def named(record: Record, field: str, value: Any) -> str:
    """A field's value, or what it stands for."""
    if isinstance(record, Filter) and field == "venue":
        return VENUES.name_of(value) or str(value)
    codes = NAMED.get((type(record), field))
    return str(value) if codes is None else code_key(codes, value)


def block_text(block: Block) -> str:
    """A header."""
    fee = f", base fee {block.base_fee} wei" if block.base_fee else ""
    used = f"{block.gas_used:,} of {block.gas_limit:,} gas{fee}"
    hashes = f"0x{block.hash.hex()}, parent 0x{block.parent_hash.hex()}"
    return f"{block.number} of {chain_time(block.timestamp)}, {used}, hash {hashes}"


def block_end_text(end: BlockEnd) -> str:
    """What a block had, and how that is known."""
    had = f"{counted(end.log_count, 'log')}, {counted(end.event_count, 'event')}, {end.held_back:,} held back"
    return f"{end.number} complete ({code_name(Completeness, end.verdict)}): {had}, hash 0x{end.hash.hex()}"


def heartbeat_text(beat: Heartbeat) -> str:
    """A writer's feed."""
    feed = f"feed {code_name(FeedState, beat.feed_state)}, {code_name(FeedReason, beat.reason)}"
    head = f"head {beat.head_number} came {beat.head_age_ms / 1000:g} s ago, safe {beat.safe_number}"
    if beat.head_number < 0:
        head = "no head yet"
    rest = f"{counted(beat.blocks_behind, 'block')} behind, {counted(beat.held_back, 'log')} held back"
    return f"{feed}, {head}, {rest}, endpoint {beat.endpoint}, last sequence {beat.last_sequence}"


def reorg_line(reorg: Reorg) -> str:
    """Both heads beside what happened."""
    fork = f"0x{reorg.fork_hash.hex()}" if reorg.fork_hash != NOWHERE else "an unknown block"
    heads = (
        f"from {reorg.old_head_number} 0x{reorg.old_head_hash.hex()} to {reorg.new_head_number} "
        f"0x{reorg.new_head_hash.hex()}"
    )
    return f"{reorg_text(reorg)}; {heads}, fork at {fork}"


def replaced_text(record: RingReplaced) -> str:
    """Which ring ended where."""
    last = "nobody knows where" if record.last_sequence < 0 else f"with sequence {record.last_sequence}"
    return f"ring {record.old_uuid.hex()} ended {last}; {record.new_uuid.hex()} follows it"


def session_text(session: Session) -> str:
    """A writer's epoch."""
    chain = f"chain {session.chain_id}" if session.chain_id else "chain not known yet"
    genesis = f", genesis 0x{session.genesis.hex()}" if session.genesis != NOWHERE else ""
    begun = f"epoch {session.epoch} of ring {session.ring_uuid.hex()} begins with sequence {session.first_sequence}"
    return f"{begun}, {chain}{genesis}, layout {session.layout_digest:#x}"


def identity_text(identity: SignalIdentity) -> str:
    """Whose signal, and about what."""
    trigger = f"sequence {identity.trigger_sequence} of ring {identity.trigger_ring.hex()}"
    whose = f"{identity.strategy} version {identity.strategy_version}"
    return f"{identity.signal_id:016x} of {whose} for {trigger}, received {clock(identity.trigger_receive_time_ns)}"


def health_text(health: SystemHealth) -> str:
    """An anomaly."""
    unit = f" {UNITS[AnomalyKind(health.kind)]}" if health.kind in set(AnomalyKind) else ""
    parts = [
        f"{code_name(AnomalyKind, health.kind)} {code_name(AnomalyState, health.state)}",
        f"{health.value}{unit} (threshold {health.threshold})",
        health.evidence,
        f"sequences {health.first_sequence} to {health.last_sequence} of ring {health.ring.hex()}",
        pool_text(health.venue, health.pool) if any(health.pool) else f"chain {health.chain_id}",
    ]
    if health.block_number >= 0:
        parts.append(
            f"block {health.block_number}" + (f" 0x{health.block_hash.hex()}" if any(health.block_hash) else "")
        )
    return ", ".join(part for part in parts if part)


def uncovered_text(record: Uncovered) -> str:
    """Which swaps of a block are not published."""
    what = f"{counted(record.swaps, 'swap')} of {code_name(Protocol, record.protocol)} emitter 0x{record.emitter.hex()}"
    maker = f" of factory 0x{record.factory.hex()}" if any(record.factory) else ""
    return f"{what}{maker} not published: {code_name(NotPublished, record.reason)}"


def unproven_text(record: Unproven) -> str:
    """What is known of an emitter, and of its events."""
    what = f"{code_name(Protocol, record.protocol)} emitter 0x{record.emitter.hex()}"
    events = f"{record.held_back:,} held back, {record.marked:,} published as unproven"
    return f"{what}: {code_name(EmitterProof, record.standing)}, since block {record.since_block}: {events}"


def chain_time(timestamp: int) -> str:
    """A block's own time, UTC; the number itself where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{timestamp} s"


def clock(timestamp_ns: int) -> str:
    """Wall-clock time of day, UTC."""
    seconds, ns = divmod(timestamp_ns, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{ns // 1000:06d}"
