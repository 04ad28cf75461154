"""The feed's campaign: a real node, real contracts, a collector in its own process, and faults between them.

Owns one seeded run: what happens in it, and the judgement of what the ring holds afterwards.

    node      <-- WsRelay <-- TcpRelay <-- collector --> ring
      ^           close codes,  RST, FIN,    kill -9, SIGSTOP
      |           refusals      stalls
    swaps, mints, burns, reorgs; kill -9 of the node, which comes back with its history or without the last blocks of it

The truth is the node's own `eth_getLogs` after the last block.  A run passes when the ring's canonical events
(published minus REMOVED, by identity) are exactly those, field by field, the sequences are dense, no Gap was declared
(this node can always be asked again), and the pools' token balances moved by exactly the amounts in the ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from producers.decode.cold import decode_log
from producers.decode.pool_table import VerifiedEmitter
from producers.node.rpc_types import Log
from ringbuf import Reader, RingNotFound, RingNotReady, Status, unlink
from tlv.codes import Flag, Protocol, Venue
from tlv.errors import FeedError
from tlv.layout import (
    LAYOUT_DIGEST,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    PoolBurn,
    PoolCollect,
    PoolCreated,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
)
from tlv.message import Message, parse
from tools.rig.evm.faults import KEY, TcpRelay, WsRelay
from tools.rig.evm.history import History
from tools.rig.evm.kinds import ANVIL, NodeKind
from tools.rig.evm.node import Node
from tools.rig.evm.world import World, bytecode_hash
from tools.warm import warm_collector, warm_ring

CLOSE_CODES = (1000, 1001, 1008, 1011, 1012, 1013, 4000)
REFUSALS = (401, 403, 429, 500, 503)
MAX_REORG = 3
QUIET_BLOCKS = 5
"""Mined before the first fault, so that no reorg reaches below what the collector has seen, and after the last one."""
WATCHDOG_S = 1.0
"""Instead of 10 s, so that a half-open connection is found within a test's patience."""
SETTLE_TIMEOUT_S = 120.0
"""Judges nothing: a start takes 4 s of a processor, and with ten others on two cores more than 25 s passed."""
MEAN_PAUSE_S = 0.05
"""Between two moves: about as long as the collector takes to publish one."""
FAULT_SHARE = 0.25
"""Of the moves that are followed by a fault."""
FAULT_WEIGHTS = {
    "close": 30,
    "reset": 20,
    "fin": 15,
    "stall": 12,
    "half_open": 3,
    "refusal": 10,
    "kill": 10,
    "freeze": 6,
    "outage": 12,
}
FAULTS = tuple(name for name in FAULT_WEIGHTS if name != "outage")
OUTAGE_SEEDS = 4
"""One run in so many has outages of the node, which then writes its whole history, up to 60 MB, every second.
Only anvil can: Hardhat and Ganache come back with another chain."""
RECOVERY_S = 3.0

COLLECTOR = (sys.executable, "-m", "tools.command.main", "collect")

Identity = tuple[bytes, bytes, int]


@dataclass
class FeedRun:
    """What one run did and saw."""

    seed: int
    node: str = ANVIL.name
    transactions: int = 0
    blocks: int = 0
    reorgs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    repeated: int = 0
    gaps: int = 0
    sequence_errors: int = 0
    balance_errors: int = 0
    leaks: int = 0
    """Times that the collector, which logs at DEBUG, repeated the key in its endpoint's URL."""
    published_reorgs: int = 0
    connections: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Nothing missing, nothing invented, nothing changed."""
        wrong = self.missing + self.extra + self.different + self.gaps + self.sequence_errors + self.balance_errors
        return self.expected > 0 and wrong == 0 and self.leaks == 0

    @property
    def summary(self) -> str:
        """One line."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.node}, seed {self.seed}: {'ok' if self.passed else 'FAILED'}  {self.expected} events, "
            f"{self.missing} missing, {self.extra} extra, {self.different} different, {self.gaps} gaps, "
            f"{self.balance_errors} balances off, {self.leaks} leaks; "
            f"{self.transactions} transactions, {self.blocks} blocks, {self.reorgs} reorgs ({self.published_reorgs} "
            f"seen), {self.connections} connections, {faults}; {self.seconds:.1f} s"
        )


def run_feed(
    seed: int,
    transactions: int = 300,
    *,
    kind: NodeKind = ANVIL,
    program: tuple[str, ...] = COLLECTOR,
    relay: type[WsRelay] = WsRelay,
    faults: tuple[str, ...] | None = None,
) -> FeedRun:
    """One run.  Everything random in it follows from `seed`; the scheduling of the processes does not.

    `program` is the collector's command line up to its options; `relay` stands between it and the node; `faults` are
    all but `outage`, and that too in one seed of OUTAGE_SEEDS against anvil, unless told otherwise.
    """
    if faults is None:
        faults = (*FAULTS, "outage") if kind is ANVIL and seed % OUTAGE_SEEDS == 0 else FAULTS
    return asyncio.run(_Campaign(seed, transactions, kind, program, relay, faults).run())


def run_feeds(
    seeds: Iterable[int], transactions: int = 300, jobs: int = 4, kind: NodeKind = ANVIL
) -> Iterator[FeedRun]:
    """Several runs, `jobs` at a time (a run mostly waits), in the order of their seeds."""
    warm_ring()  # once, here: four collectors that compile at the same time take minutes
    warm_collector()
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda seed: run_feed(seed, transactions, kind=kind), seeds)


class _Campaign:
    def __init__(
        self,
        seed: int,
        transactions: int,
        kind: NodeKind,
        program: tuple[str, ...],
        relay: type[WsRelay],
        faults: tuple[str, ...],
    ) -> None:
        self.kind, self.program, self.relay, self.faults = kind, program, relay, faults
        self.random = random.Random(seed)
        self.result = FeedRun(seed, kind.name)
        self.wanted = transactions
        self.came_back_at = 0
        """Height of the node after its last outage.  A reorg below that leaves anvil 1.7.1 with an empty state."""
        self.ring = f"prove.feed.{secrets.token_hex(4)}"

    async def run(self) -> FeedRun:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, self._node(Path(folder)) as node:
            self.node, self.folder = node, Path(folder)
            self.world = World.build(node.rpc)
            self.world.hold_mining(True)
            (self.folder / "chain.toml").write_text(chain_toml(self.world))
            try:
                async with self.relay(node.url) as self.ws, TcpRelay(self.ws.port) as self.tcp:
                    await self._play()
            finally:
                with contextlib.suppress(RingNotFound):
                    unlink(self.ring)
        self.result.seconds = time.monotonic() - began
        return self.result

    def _node(self, folder: Path) -> Node:
        self.history = History(folder / "chain.json")
        return Node(*(self.history.options if "outage" in self.faults else ()), kind=self.kind)

    async def _play(self) -> None:
        self.collector = await self._start_collector()
        try:
            await self._mine(QUIET_BLOCKS)
            first = await self._first_block()
            balances = await asyncio.to_thread(self._balances)
            while self.result.transactions < self.wanted:
                await self._move()
                await asyncio.sleep(min(self.random.expovariate(1 / MEAN_PAUSE_S), 1.0))
                if self.random.random() < FAULT_SHARE:
                    await self._fault()
                    await self._recover()
            await self._mine(QUIET_BLOCKS)
            await self._settled()
            moved = await asyncio.to_thread(self._balances)
            self.result.connections = self.ws.accepted
        finally:
            await self._stop_collector(signal.SIGTERM)
        logs = [log for log in self.world.logs() if int(log["blockNumber"], 16) >= first]
        self._judge(logs, {key: moved[key] - balances[key] for key in moved})
        self.result.leaks = (self.folder / "collector.log").read_text().count(KEY)

    # ---- what happens

    async def _move(self) -> None:
        """A few transactions and the block that holds them; sometimes the end of a branch."""
        count = self.random.randint(1, 8)
        await asyncio.to_thread(self._transact, count)
        await self._mine(1)
        self.result.transactions += count
        if self.random.random() < 0.08:
            depth = min(self.random.randint(1, MAX_REORG), self.world.height() - self.came_back_at)
            later = self.random.random() < 0.8
            if depth:
                await asyncio.to_thread(self.world.reorg, depth, later=later)
                self.result.reorgs += 1

    def _transact(self, count: int) -> None:
        for _ in range(count):
            self._transaction()

    def _transaction(self) -> None:
        world, choose = self.world, self.random
        weth = choose.random() < 0.5
        token, amount = (world.weth, 10**18) if weth else (world.usdc, 3000 * 10**6)
        amount = max(1, int(amount * 10 ** choose.uniform(-6, 0.5)))
        action = choose.choices(("v2", "v3", "v2_mint", "v2_burn", "v3_mint", "v3_burn"), (45, 35, 6, 5, 5, 4))[0]
        if action == "v2":
            world.v2_swap(choose.randrange(2), token, amount)
        elif action == "v3":
            world.v3_swap(token, amount)
        elif action == "v2_mint":
            world.v2_mint(choose.randrange(2), amount if weth else 10**15, 3 * 10**6)
        elif action == "v2_burn":
            world.v2_burn(choose.randrange(2), choose.randint(10**3, 10**10))
        elif action == "v3_mint":
            low, high = sorted(choose.sample(range(-40, 40), 2))
            world.v3_mint((low * 10_000, high * 10_000), 10**9, 10**9)
        else:
            world.v3_burn(1, choose.randint(0, 10**6))

    async def _mine(self, blocks: int) -> None:
        await asyncio.to_thread(self.world.mine, blocks)
        self.result.blocks += blocks

    async def _fault(self) -> None:
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "close": self._close,
            "reset": self._reset,
            "fin": self._finish,
            "stall": self._stall,
            "half_open": self._half_open,
            "refusal": self._refuse,
            "kill": self._kill,
            "freeze": self._freeze,
            "outage": self._outage,
        }
        name = self.random.choices(self.faults, [FAULT_WEIGHTS[name] for name in self.faults])[0]
        self.result.faults[name] += 1
        await faults[name]()

    async def _recover(self) -> None:
        """Mostly wait for the next connection, so that faults hit a live feed; else let the next one come into this."""
        deadline = time.monotonic() + RECOVERY_S
        patient = self.random.random() < 0.7
        await asyncio.sleep(MEAN_PAUSE_S)
        while patient and not self.ws.open_connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _close(self) -> None:
        await self.ws.close_all(self.random.choice(CLOSE_CODES), "fault")

    async def _reset(self) -> None:
        self.tcp.reset()

    async def _finish(self) -> None:
        self.tcp.finish()

    async def _stall(self) -> None:
        """Everything waits in the relay for a moment, then comes at once."""
        self.ws.stall(True)
        await self._move()
        await asyncio.sleep(self.random.uniform(0.05, 0.3))
        self.ws.stall(False)

    async def _half_open(self) -> None:
        """The connection is dead and nothing says so: only the watchdog can tell."""
        self.tcp.stalled = True
        await self._move()
        await asyncio.sleep(2 * WATCHDOG_S)
        self.tcp.reset()
        self.tcp.stalled = False

    async def _refuse(self) -> None:
        self.ws.refuse_with = self.random.choice(REFUSALS)
        self.tcp.reset()
        await self._move()
        await asyncio.sleep(self.random.uniform(0.1, 0.5))
        self.ws.refuse_with = None

    async def _kill(self) -> None:
        await self._stop_collector(signal.SIGKILL)
        await self._move()
        self.collector = await self._start_collector()

    async def _freeze(self) -> None:
        """The collector sleeps through a block, for longer than its watchdog: as if the machine had been suspended."""
        self.collector.send_signal(signal.SIGSTOP)
        await self._move()
        await asyncio.sleep(self.random.uniform(0.1, 2) * WATCHDOG_S)
        self.collector.send_signal(signal.SIGCONT)

    async def _outage(self) -> None:
        """The node crashes and comes back, in half of the cases without the blocks of its last moments."""
        await asyncio.to_thread(self.history.save)
        if self.random.random() < 0.5:
            await self._move()
        await asyncio.to_thread(self.node.kill)
        self.history.restore()
        await asyncio.sleep(self.random.uniform(0.1, 1.0))
        await asyncio.to_thread(self.node.restart)
        self.world.hold_mining(True)
        self.came_back_at = self.world.height()

    async def _start_collector(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *(*self.program, "--ring", self.ring),
            *("--chain", str(self.folder / "chain.toml"), "--pool-cache", str(self.folder / "pools.jsonl")),
            *("--state", str(self.folder / "state.json"), "--watchdog", str(WATCHDOG_S), "--capacity", str(1 << 26)),
            env=os.environ | {"ALPHAPULSE__COLLECTOR__URL": self.tcp.url, "ALPHAPULSE_LOG_LEVEL": "debug"},
            stdout=DEVNULL,
            stderr=(self.folder / "collector.log").open("ab"),
        )

    async def _stop_collector(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.collector.send_signal(number)
        await self.collector.wait()

    # ---- what the ring holds

    async def _first_block(self) -> int:
        """The first block the collector announced; what stands before it is not its promise."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            blocks = [
                record.number for _, message in messages_of(self.ring) if (record := message.first(Block)) is not None
            ]
            if blocks:
                return min(blocks)
            await self._alive()
        raise FeedError(f"the collector announced no block within {SETTLE_TIMEOUT_S:.0f} s\n{self._log()}")

    async def _settled(self) -> None:
        """Until the collector has closed the node's head."""
        head = (await asyncio.to_thread(self.world.rpc, "eth_getBlockByNumber", "latest", False))["hash"]
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            ends = [record for _, message in messages_of(self.ring) if (record := message.first(BlockEnd)) is not None]
            if any(f"0x{record.hash.hex()}" == head for record in ends):
                return
            await self._alive()
        raise FeedError(f"seed {self.result.seed}: the head was not closed\n{self._log()}")

    async def _alive(self) -> None:
        await asyncio.sleep(0.1)
        if self.collector.returncode is not None:
            raise FeedError(f"the collector ended with {self.collector.returncode}\n{self._log()}")

    def _log(self) -> str:
        return (self.folder / "collector.log").read_text()[-2000:]

    def _balances(self) -> dict[tuple[str, int], int]:
        return {
            (pool, side): self.world.balance(token, pool)
            for pool in self.world.pools
            for side, token in enumerate(self.world.tokens)
        }

    # ---- the judgement

    def _judge(self, logs: list[dict[str, Any]], moved: dict[tuple[str, int], int]) -> None:
        result = self.result
        canonical: dict[Identity, PoolRecord] = {}
        expected_sequence = 1
        for sequence, message in messages_of(self.ring):
            if sequence != expected_sequence or message.header.sequence != sequence:
                result.sequence_errors += 1
            expected_sequence = sequence + 1
            result.gaps += message.first(Gap) is not None
            result.published_reorgs += message.first(Reorg) is not None
            origin = message.first(EventOrigin)
            if origin is None:
                continue
            record = message.records[0]
            assert isinstance(record, PoolRecord)
            identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
            if message.header.flags & Flag.REMOVED:
                result.extra += canonical.pop(identity, None) is None
            else:
                result.repeated += identity in canonical
                canonical[identity] = record
        truth = true_events(self.world, logs)
        result.expected = len(truth)
        result.missing = len(truth.keys() - canonical.keys())
        result.extra += len(canonical.keys() - truth.keys())
        result.different = sum(truth[key] != canonical[key] for key in truth.keys() & canonical.keys())
        result.balance_errors = self._balance_errors(canonical, moved)

    def _balance_errors(self, canonical: dict[Identity, PoolRecord], moved: dict[tuple[str, int], int]) -> int:
        """Pools whose token balances did not move by what the ring says flowed in and out."""
        flows: Counter[tuple[str, int]] = Counter(dict.fromkeys(moved, 0))
        for record in canonical.values():
            pool = "0x" + record.pool.hex()
            for side, amount in enumerate(_flow(record)):
                flows[pool, side] += amount
        return sum(flows[key] != moved[key] for key in moved)


def _flow(record: PoolRecord) -> tuple[int, int]:
    """What an event moved into its pool, by token.  V2's burn pays out at once, V3's when it is collected."""
    if isinstance(record, PoolSwap):
        return record.amount0_in - record.amount0_out, record.amount1_in - record.amount1_out
    if isinstance(record, PoolMint):
        return record.amount0, record.amount1
    if isinstance(record, PoolCollect) or (isinstance(record, PoolBurn) and record.protocol == Protocol.UNISWAP_V2):
        return -record.amount0, -record.amount1
    assert isinstance(record, (PoolBurn, PoolCreated, PoolState, PoolSync)), record
    return 0, 0


def messages_of(ring: str) -> list[tuple[int, Message]]:
    """What stands in a ring now, with the sequences of its frames; nothing where there is no ring yet."""
    try:
        reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
    except (RingNotFound, RingNotReady):
        return []
    with reader:
        found = []
        while (poll := reader.poll()).status in (Status.OK, Status.EPOCH_CHANGED, Status.GAP):
            if poll.loss is not None:
                raise FeedError(f"ring {ring} was too small: lost {poll.loss.count} frames")
            found += [(frame.sequence, parse(bytes(frame.payload))) for frame in poll]
        return found


def true_events(world: World, logs: list[dict[str, Any]]) -> dict[Identity, PoolRecord]:
    """The events that a node's own logs are."""
    pools = {bytes.fromhex(pool.pool.hex()): pool for pool in verified_pools(world)}
    truth = {}
    for row in logs:
        log = msgspec.convert(row, Log)
        pool = pools.get(bytes.fromhex(row["address"][2:]))
        with contextlib.suppress(FeedError):  # Transfer and Approval of a pair's own token are no events of ours
            identity = (
                bytes.fromhex(row["blockHash"][2:]),
                bytes.fromhex(row["transactionHash"][2:]),
                int(row["logIndex"], 16),
            )
            truth[identity] = decode_log(log, pool)
    return truth


def verified_pools(world: World) -> list[VerifiedEmitter]:
    """The world's pools as the collector must find them."""
    token0, token1 = (bytes.fromhex(token[2:]) for token in world.tokens)
    decimals = (18, 6) if world.tokens[0] == world.weth else (6, 18)
    venues = (Venue.QUICKSWAP_V2, Venue.SUSHISWAP_POLYGON, Venue.UNISWAP_V3_POLYGON)
    factories = (*(exchange.factory for exchange in world.exchanges), world.v3_factory)
    protocols = (Protocol.UNISWAP_V2, Protocol.UNISWAP_V2, Protocol.UNISWAP_V3)
    return [
        VerifiedEmitter(
            bytes.fromhex(pool[2:]),
            *(token0, token1, venue, *decimals),
            factory=bytes.fromhex(factory[2:]),
            protocol=protocol,
        )
        for pool, venue, factory, protocol in zip(world.pools, venues, factories, protocols, strict=True)
    ]


def chain_toml(world: World, *more: str) -> str:
    """The local chain as configuration for the collector, with `more` tables behind it."""
    quick, sushi = world.exchanges
    factories = [
        ("QUICKSWAP_V2", "UNISWAP_V2", quick.factory, bytecode_hash("V2Pair"), 3000),
        ("SUSHISWAP_POLYGON", "UNISWAP_V2", sushi.factory, bytecode_hash("V2Pair"), 3000),
        ("UNISWAP_V3_POLYGON", "UNISWAP_V3", world.v3_factory, bytecode_hash("V3Pool"), 0),
    ]
    return "".join(
        (
            'name = "local"\nchain_id = 137\nsource = "POLYGON_COLLECTOR"\nring = "market.local"\n',
            f'wrapped_native = "{world.wrapped_native}"\nfinality_blocks = 64\n',
            *(
                f'[[factories]]\nvenue = "{venue}"\nprotocol = "{protocol}"\naddress = "{address}"\n'
                f'init_code_hash = "{code}"\nfee_pips = {fee}\n'
                for venue, protocol, address, code, fee in factories
            ),
            *more,
        )
    )
