"""The judge: reads every message as a reader of the ring would, and holds it against the chain.

Owns what a reader believes and the rules that no message may break.  It must never look into the feed: what it knows it
has read, or it is the truth of `tools.prove.world.chain`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tlv.codes import EmitterProof, Flag, GapScope, NotPublished, Reason
from tlv.layout import (
    HEADER_SIZE,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Header,
    Heartbeat,
    PoolRecord,
    PoolState,
    PoolSwap,
    Reorg,
    Session,
    StateInvalidation,
    Uncovered,
    Unproven,
    VenueName,
)
from tlv.message import parse
from tlv.record import Record
from tools.prove.world.chain import BlockTree, Emitted, Mined
from tools.prove.world.contracts import WorldPool, decimals_of, mark
from tools.prove.world.removals import Identity, Removals

USUAL_DEPTH = 5
"""Blocks that leave the chain at once, where reorgs are not deep."""


class Fault(NamedTuple):
    """A rule that was broken."""

    kind: str
    words: str


class _Standing(NamedTuple):
    number: int
    order: int
    """Of its publication."""


class Oracle:
    """What has been published, rings one after another."""

    def __init__(
        self,
        tree: BlockTree,
        tell: Callable[[str], None],
        *,
        judges_ends: bool,
        judges_states: bool,
        judges_reorgs: bool,
        ring_size: int | None,  # messages; the newest are read back by a restart.  None: all are
        fees_may_lack: bool = False,  # a factory whose storage a node lacks says 0, which is no fee
    ) -> None:
        self.faults: list[Fault] = []
        self.gaps: list[tuple[int, int]] = []
        self.needless: tuple[int, int] | None = None
        """The first gap, those aside of a reorg that is deeper than what is remembered."""
        self.unproven: set[bytes] = set()
        """Emitters that were declared."""
        self.traded: set[int] = set()
        """Kinds, by code, of which a swap was told."""
        self.messages = self.gaps_told = 0
        self._tree, self._tell = tree, tell
        self._judges_ends, self._judges_states, self._judges_reorgs = judges_ends, judges_states, judges_reorgs
        self._fees_may_lack = fees_may_lack
        self._joined: set[str] = set()
        """Blocks that joined the chain since the world began."""
        self._left: set[str] = set()
        """Blocks that left it at some time."""
        self._ring_size = ring_size
        self._silent = {some.name for some in tree.lookalikes if some.silent}
        self._logs: dict[Identity, Emitted] = {}
        self._ring = b""
        self._rings = 0
        self._begin_ring()

    def _begin_ring(self) -> None:
        self._sequence = 0
        self._canonical: dict[int, str] = {}
        self._standing: dict[Identity, _Standing] = {}
        self._kept_from = 0
        """Sequence: older messages were gone from the ring at a restart."""
        self._owed = Removals()
        self._unannounced = 0
        """Events that fell with the newest Reorg and that it does not count: a Gap must name their blocks."""
        self._highest = -1
        """The highest block that was told."""
        self._flagged: dict[Identity, bytes] = {}
        """Standing events that are flagged UNPROVEN, and their emitters."""
        self._verdicts: dict[bytes, EmitterProof] = {}
        """Of each emitter, what the last Unproven record says."""
        self._last: dict[bytes, tuple[int, int]] = {}
        """Of each pool, the place of its newest event."""
        self._doubted_from = 1 << 62
        """Late events of blocks from here on were announced."""
        self._decimals: dict[tuple[bytes, bytes, bytes], tuple[int, int]] = {}
        self._first: int | None = None
        self._floor = -1
        """The lowest block that was told before the newest Reorg; -1 where the writer may know an earlier ring."""
        self._older = 0
        """Blocks below that, and of before the collector's life, that were told since."""
        self._to_return: set[str] = set()
        """Blocks that the newest Reorg took back and that never left the chain: to fill a hole, it tells them again."""
        self._taken_back: set[str] = set()
        """All that the newest Reorg took back, down to `_fork`."""
        self._fork = -1
        self._return_to = -1
        """The newest block of that Reorg's branch."""
        self._fork_unknown = False
        """The newest Reorg is deeper than what the collector knows."""
        self._abandoned: list[tuple[int, int]] = []
        """Declared by a restart from a torn ring: what was told of these cannot be known, so nothing is told again."""
        self._declared_at: dict[tuple[int, int], int] = {}
        """Of each gap, the sequence of the last message that declares it."""
        self._forgotten: set[tuple[int, int]] = set()
        """Gaps whose message was gone from the ring at a restart, which cannot know of them."""
        self._held_back: set[str] = set()
        """Blocks that ended while logs of emitters that are not proven were held back."""
        self._let_go: set[str] = set()
        """Of these, the ones from before a restart, which knows them as ended: what was held back stays declared."""
        self.gaps.clear()
        self.needless = None
        self.unproven.clear()

    def moved(self, dropped: list[Mined], adopted: list[Mined]) -> None:
        """The chain has another head."""
        self._left.update(block.hash for block in dropped)
        self._joined.update(block.hash for block in adopted)

    def forget(self, below: int) -> None:
        """Of lower blocks, what was told and what is true; they are judged no more."""
        known = self._tree.blocks.keys()
        for hashes in (self._joined, self._left, self._held_back, self._let_go):
            hashes.intersection_update(known)
        for identity in [identity for identity, standing in self._standing.items() if standing.number < below]:
            self._void(identity)
        for identity in [identity for identity in self._logs if identity[0] not in known]:
            del self._logs[identity]
        for number in [number for number in self._canonical if number < below]:
            del self._canonical[number]
        for ranges in (self.gaps, self._abandoned):
            ranges[:] = [(first, last) for first, last in ranges if last >= below]
        self._declared_at = {gap: self._declared_at[gap] for gap in self.gaps}
        self._first = max(self._first or below, below)

    def take(self, payload: bytes) -> None:
        """One message, as it goes into the ring."""
        self.messages += 1
        if payload[HEADER_SIZE] == Heartbeat.layout.type:
            self._count(Header.unpack(payload))
            return
        message = parse(payload, verify=False)
        header, record = message.header, message.records[0]
        if isinstance(record, Session) and record.ring_uuid != self._ring:
            self._ring = record.ring_uuid
            self._rings += 1
            self._begin_ring()
        if isinstance(record, Session):
            self._unannounced = 0  # what the life before left undone is taken back, and no Reorg announces that
            self._let_go |= self._held_back
            if self._ring_size is not None:
                self._kept_from = max(self._kept_from, header.sequence - self._ring_size)
                self._forgotten = {gap for gap in self.gaps if self._declared_at[gap] < self._kept_from}
        self._count(header)
        origin = message.first(EventOrigin)
        if origin is not None:
            self._on_event(header, record, origin)
            return
        if isinstance(record, Gap) and record.reason == Reason.WRITER_RESTARTED and self._ring_size is not None:
            self._abandon(record.first, record.last)  # what cannot be taken back, by one Gap or several
        elif not _opens_a_life(record):
            if isinstance(record, Gap) and record.reason == Reason.CHAIN_BROKEN:
                self._give_up(record.first, record.last)
            self._all_taken_back(type(record).__name__)
        match record:
            case Block():
                self._on_block(record)
            case Reorg():
                self._on_reorg(record)
            case BlockEnd():
                self._on_end(record, [one for one in message.records if isinstance(one, Uncovered)])
            case Gap() if record.scope == GapScope.BLOCK_NUMBERS:
                self.gaps.append((record.first, record.last))
                self._declared_at[record.first, record.last] = header.sequence
                self.gaps_told += 1
                if record.reason != Reason.CHAIN_BROKEN or record.last > self._remembered_to:
                    self.needless = self.needless or (record.first, record.last)
                self._tell(f"> Gap {record.first} to {record.last}: {Reason(record.reason).name}")
                self._doubted_from = min(self._doubted_from, record.first)
            case StateInvalidation() if record.reason != Reason.FILTER_CHANGED:
                self._doubted_from = min(self._doubted_from, record.since_block)
                if record.reason == Reason.CHAIN_BROKEN and self._fork_unknown:
                    self._forget(record.since_block)
            case PoolState():
                self._on_state(record)
            case _:
                if type(record).__name__ == "Unproven":
                    self._on_unproven(record)

    def _count(self, header: Header) -> None:
        if header.sequence != self._sequence + 1:
            self._fault("sequence", f"expected {self._sequence + 1}, found {header.sequence}")
        self._sequence = header.sequence

    # Messages

    def _on_block(self, record: Block) -> None:
        block_hash = "0x" + record.hash.hex()
        block = self._tree.blocks.get(block_hash)
        if block is None or block.number != record.number:
            self._fault("another chain", f"block {record.number} {block_hash[:10]} is none of this chain")
            return
        before = self._canonical.get(record.number)
        if before not in (None, block_hash):
            self._fault("block replaced", f"block {record.number} took the place of {before} without a Reorg")
        self._canonical[record.number] = block_hash
        self._highest = max(self._highest, record.number)
        if self._first is None:
            self._first = record.number
        if record.number == self._return_to and self._judges_reorgs:
            gone = self._to_return.difference(self._canonical.values())
            if gone:
                self._fault("needless reorg", f"{len(gone)} blocks taken back that never left the chain")
            elif self._taken_back == {block for at, block in self._canonical.items() if at > self._fork}:
                self._fault("needless reorg", f"{len(self._taken_back)} blocks taken back, and no other told")
        if block_hash not in self._joined and record.number < self._floor:
            self._older += 1
            if self._older > 1:
                self._fault("history", f"block {record.number} was there before the collector, and so was its parent")

    def _on_reorg(self, record: Reorg) -> None:
        self._floor, self._older = min(self._canonical, default=-1) if self._rings == 1 else -1, 0
        self._tell(f"> Reorg from {record.old_head_number} to {record.fork_number}, then {record.new_head_number}")
        gone = {number for number in self._canonical if number > record.fork_number}
        dropped = {self._canonical.pop(number) for number in gone}
        self._to_return, self._return_to = dropped - self._left, record.new_head_number
        self._taken_back, self._fork = dropped, record.fork_number
        fallen = [identity for identity in self._standing if identity[0] in dropped]
        self._owed.expect(sorted(fallen, key=self._standing.__getitem__))
        self._unannounced = len(fallen) - record.removed_events
        self._fork_unknown = record.fork_hash == bytes(32)
        for pool, (number, _) in list(self._last.items()):
            if number > record.fork_number:
                self._last[pool] = (record.fork_number, 1 << 62)

    def _give_up(self, first: int, last: int) -> None:
        """A Gap behind a Reorg: what fell with it in blocks beyond finality, which nobody need know, is void."""
        last = min(last, self._remembered_to)
        for identity, standing in list(self._standing.items()):
            if first <= standing.number <= last and identity in self._owed:
                self._void(identity)
                self._unannounced -= 1
        self._owed.keep(self._standing)

    @property
    def _remembered_to(self) -> int:
        """The highest block that nobody need know any more."""
        return self._highest - self._tree.config.finality_blocks - 1

    def _forget(self, number: int) -> None:
        """A reorg below what the collector knows: what was told from here on is void, and is told anew."""
        for known in [known for known in self._canonical if known >= number]:
            del self._canonical[known]
        for identity, standing in list(self._standing.items()):
            if standing.number >= number:
                self._void(identity)

    def _abandon(self, first: int, last: int) -> None:
        """A Gap of a restart: what left the chain there, and is gone from the ring, cannot be taken back."""
        self._abandoned.append((first, last))
        for identity, standing in list(self._standing.items()):
            gone = self._canonical.get(standing.number) != identity[0]
            could_be_named = standing.order >= self._kept_from and identity in self._owed
            if first <= standing.number <= last and gone and not could_be_named:
                self._void(identity)
        self._owed.keep(self._standing)

    def _void(self, identity: Identity) -> None:
        del self._standing[identity]
        self._flagged.pop(identity, None)

    def _on_event(self, header: Header, record: Record, origin: EventOrigin) -> None:
        identity = ("0x" + origin.block_hash.hex(), "0x" + origin.transaction_hash.hex(), origin.log_index)
        where = f"{type(record).__name__} {origin.block_number}/{origin.log_index}"
        if header.flags & Flag.REMOVED:
            owed = identity in self._owed
            if self._flagged.pop(identity, None) is not None and not owed:
                self._standing.pop(identity)  # by a verdict, outside any Reorg
                return
            if not owed:
                self._fault("taken back wrongly", where)
            elif not self._owed.take(identity):
                self._fault("order of removal", where)
            self._standing.pop(identity, None)
            return
        self._all_taken_back(where)
        flagged = bool(header.flags & Flag.UNPROVEN)
        log = self._log(identity) or (self._foreign(identity) if flagged else None)
        if log is None:
            self._fault("invented", f"{where} of block {identity[0][:10]} is no log of this chain")
            return
        if identity in self._standing:
            self._fault("told twice", where)
        if self._canonical.get(origin.block_number) != identity[0]:
            self._fault("not canonical", f"{where} of block {identity[0][:10]}")
        if flagged:
            assert isinstance(record, PoolRecord)
            self._flagged[identity] = record.pool
            if record.pool not in self.unproven:
                self._fault("flagged", f"{where} is flagged, and its emitter was not declared")
        else:
            self._compare(where, log, record)
            if isinstance(record, PoolSwap):
                self.traded.add(record.protocol)
        self._order(where, log, origin)
        self._standing[identity] = _Standing(origin.block_number, self._sequence)

    def _all_taken_back(self, what: str) -> None:
        """The REMOVED copies of a reorg stand together, and behind them the Gaps of what nobody can name any more."""
        if left := len(self._owed):
            self._fault("not taken back", f"{left} events stand when {what} comes")
            self._owed.expect(())
        if self._unannounced and self._ring_size is None:
            self._fault("reorg", f"{self._unannounced} events more fell than it said, when {what} comes")
        self._unannounced = 0

    def _compare(self, where: str, log: Emitted, record: Record) -> None:
        if type(record).__name__ != log.record:
            self._fault("different", f"{where}: expected {log.record or 'nothing'}")
            return
        for name, value in log.fields.items():
            if getattr(record, name) != value:
                self._fault("different", f"{where}.{name}: expected {value!r}, found {getattr(record, name)!r}")

    def _order(self, where: str, log: Emitted, origin: EventOrigin) -> None:
        """Of each pool in order; a late one is marked BACKFILL or was announced."""
        place = (origin.block_number, origin.log_index)
        last = self._last.get(log.pool + log.way, (-1, -1))
        announced = origin.block_number >= self._doubted_from or log.pool in self.unproven
        block = self._tree.blocks["0x" + origin.block_hash.hex()]
        # a log of the chain itself may repeat the index of one that was lost or is late, so that no hole showed
        hidden = last[0] == block.number and not all(other.bloomed for other in block.logs)
        if place < last and not (announced or hidden):
            self._fault("order", f"{where} behind {last[0]}/{last[1]}")
        self._last[log.pool + log.way] = max(place, last)

    def _on_end(self, record: BlockEnd, uncovered: Sequence[Uncovered]) -> None:
        block = self._tree.blocks.get("0x" + record.hash.hex())
        if block is None or self._canonical.get(record.number) != block.hash:
            self._fault("end", f"BlockEnd of {record.number}, which is not canonical")
        if record.held_back:
            self._held_back.add("0x" + record.hash.hex())
        elif self._judges_ends and block is not None and not self._declared(record.number):
            missing = self._missing(block)
            if missing:
                self._fault("false end", f"block {record.number} ended without {len(missing)} events")
        if block is not None:
            self._on_counts(record, block, uncovered)

    def _on_counts(self, record: BlockEnd, block: Mined, uncovered: Sequence[Uncovered]) -> None:
        """Every swap of a block that ended is published, or counted under its pool."""
        told: Counter[bytes] = Counter()
        for one in uncovered:
            told[one.emitter] += one.swaps
        untold = [log for log in block.logs if (block.hash, *log.identity) not in self._standing]
        swaps = sum(log.is_swap for log in block.logs)
        missing = Counter(log.pool for log in untold if log.is_swap)
        where = f"block {record.number}"
        published = swaps - missing.total()
        if record.swap_count != published + told.total():
            self._fault(
                "swaps", f"{where}: {record.swap_count} came, {published} are published, {told.total()} are uncovered"
            )
        elif told - missing:
            self._fault("swaps", f"{where}: more uncovered than there are of 0x{next(iter(told - missing)).hex()}")
        elif self._judges_ends and not self._declared(record.number) and told != missing:
            self._fault("swaps", f"{where}: {missing.total() - told.total()} swaps are uncounted")
        waiting = sum(one.swaps for one in uncovered if one.reason == NotPublished.UNPROVEN)
        if not waiting <= record.held_back <= sum(log.is_event for log in untold):
            self._fault("held back", f"{where}: {record.held_back} logs, {waiting} swaps of them")

    def _on_state(self, record: PoolState) -> None:
        tokens = record.token0, record.token1
        self._decimals[record.pool, *tokens] = record.decimals0, record.decimals1
        block_hash = self._canonical.get(record.block_number)
        told = record.reserve0 or record.sqrt_price_x96
        if self._judges_states and told and block_hash is not None and told != mark(block_hash):
            self._fault("state", f"PoolState of {record.block_number} is of another block")
        pool = self._tree.pools.get(record.pool)
        if pool is not None and pool.factory is not None:
            self._on_identity(record, pool, block_hash if told else None)

    def _on_identity(self, record: PoolState, pool: WorldPool, block_hash: str | None) -> None:
        """Who a pool is, and what it charges after the block of its state."""
        assert pool.factory is not None
        maker = {"protocol": pool.factory.protocol_code, "factory": bytes.fromhex(pool.factory.address[2:])}
        if pool.fee_after is not None and self._judges_states and block_hash is not None:
            lacks = self._fees_may_lack and record.fee_pips == 0
            maker["fee_pips"] = pool.fee_after(block_hash) if not lacks else 0
        for name, value in (maker | pool.identity).items():
            if getattr(record, name) != value:
                where = f"PoolState of 0x{pool.name.hex()}"
                self._fault("identity", f"{where}: {name} is {getattr(record, name)!r} instead of {value!r}")

    def _on_unproven(self, record: Record) -> None:
        assert isinstance(record, PoolRecord) or hasattr(record, "emitter")
        emitter: bytes = getattr(record, "emitter", b"") or getattr(record, "pool", b"")
        self.unproven.add(bytes(emitter))
        if isinstance(record, Unproven):
            self._verdicts[record.emitter] = EmitterProof(record.standing)

    # Judgement

    def unmet(self, head: Mined) -> list[Fault]:
        """What a reader lacks, or has too much, now that all should be there."""
        if self._first is None:
            return [Fault("nothing", "no block was published")]
        faults: list[Fault] = []
        expected: set[Identity] = set()
        remembered_from = head.number - self._tree.config.finality_blocks
        for block in head.path:
            expected.update((block.hash, *log.identity) for log in block.logs if log.record)
            if block.number < self._first or self._is_abandoned(block.number):
                continue
            if self._is_below_a_lasting_hole(block.number, remembered_from):
                continue
            declared = self._declared(block.number)
            if self._canonical.get(block.number) != block.hash:
                kind = "block missing, declared" if declared else "block missing in silence"
                if not declared or self._is_healed(block.number, remembered_from):
                    faults.append(Fault(kind, f"block {block.number} {block.hash[:10]}"))
            missing = self._missing(block)
            if block.hash in self._let_go:
                missing = [log for log in missing if log.pool not in self.unproven]
            if missing:
                silent = not declared and any(log.pool not in self.unproven for log in missing)
                kind = "lost in silence" if silent else "hole not filled"
                if silent or self._is_healed(block.number, remembered_from):
                    faults.append(Fault(kind, f"{len(missing)} of {len(block.events)} events of block {block.number}"))
        for identity, standing in self._standing.items():
            if identity in expected or identity in self._flagged or self._is_abandoned(standing.number):
                continue
            given_up = self._declared(standing.number) and standing.number < remembered_from
            if not (given_up or self._is_below_a_lasting_hole(standing.number, remembered_from)):
                faults.append(Fault("extra", f"an event of block {standing.number} {identity[0][:10]} stands"))
        for identity, emitter in self._flagged.items():
            # what answers "0x", or is unknown to a factory that is asked, may be a contract whose state the node lacks
            wanted = EmitterProof.UNKNOWN if emitter in self._silent else EmitterProof.POOL
            said = self._verdicts[emitter]
            kept = self._standing[identity].number >= remembered_from
            if said is not wanted and kept and self._ring_size is None:
                faults.append(Fault("flagged for ever", f"an event of {identity[0][:10]}, {said.name}"))
        for (pool, *tokens), decimals in self._decimals.items():
            real = tuple(map(decimals_of, tokens))
            if decimals != real and pool in self._tree.pools:
                faults.append(Fault("decimals", f"of pool 0x{pool.hex()}: {decimals} instead of {real}"))
        return faults

    def _missing(self, block: Mined) -> list[Emitted]:
        identities = ((log, (block.hash, *log.identity)) for log in block.events)
        return [log for log, name in identities if name not in self._standing]

    def _is_abandoned(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self._abandoned)

    def _is_below_a_lasting_hole(self, number: int, remembered_from: int) -> bool:
        """Whether a block may have left the chain below a hole that nobody filled while it was remembered.

        Where the headers of both cannot be had, all that shows is that something is missing.
        """
        lasting = [gap for gap in self.gaps if gap[1] < remembered_from]
        return any(first - USUAL_DEPTH <= number < first for first, _ in lasting)

    def _is_healed(self, number: int, remembered_from: int) -> bool:
        """Whether a block that was declared is to be told in the end."""
        return number >= remembered_from and not any(first <= number <= last for first, last in self._forgotten)

    def _declared(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.gaps)

    def _log(self, identity: Identity) -> Emitted | None:
        """The log of an identity, if a pool of ours emitted it."""
        if identity not in self._logs:
            block = self._tree.blocks.get(identity[0])
            for log in block.logs if block is not None else ():
                if log.record:
                    self._logs[(identity[0], *log.identity)] = log
        return self._logs.get(identity)

    def _foreign(self, identity: Identity) -> Emitted | None:
        """The log of an identity, of whomever it is."""
        block = self._tree.blocks.get(identity[0])
        logs = block.logs if block is not None else []
        return next((log for log in logs if log.identity == identity[1:]), None)

    def _fault(self, kind: str, words: str) -> None:
        if not self.faults:
            self._tell(f"! {kind}: {words}")
        self.faults.append(Fault(kind, f"{words} (sequence {self._sequence})"))


def _opens_a_life(record: Record) -> bool:
    """Whether it stands at the beginning of a life, in front of what the life before left undone."""
    restarted = isinstance(record, StateInvalidation) and record.reason == Reason.WRITER_RESTARTED
    return restarted or isinstance(record, Session | VenueName)


def sorted_by_kind(faults: list[Fault]) -> dict[str, int]:
    """How many faults of each kind."""
    counts: dict[str, int] = defaultdict(int)
    for fault in faults:
        counts[fault.kind] += 1
    return dict(counts)
