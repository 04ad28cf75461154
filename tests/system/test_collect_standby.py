"""`alphapulse collect --standby`: a second collector waits beside the first, and goes on where that one ends.

The market of these tests is a real node on which somebody trades all the time.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from consumers.event import Event
from consumers.live import Live
from producers.standby import StandbyCounts
from ringbuf import Reader, RingInfo, Status, Writer, unlink
from ringbuf.names import FOLDER, ring_object
from tests.system.up_rig import UpRig, kill
from tlv.codes import Domain, Flag, Source
from tlv.errors import SegmentError
from tlv.layout import (
    LAYOUT_DIGEST,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    PoolRecord,
    PoolSwap,
    RingReplaced,
    Session,
)
from tlv.message import Message, build, parse
from tlv.record import Record
from tools.collect_standby import writer_of
from tools.obs.conditions import judge
from tools.obs.look import Looking
from tools.process_stat import copies, process_states
from tools.prove.feed.campaign import chain_toml, true_events
from tools.rig.evm.node import Node
from tools.rig.evm.world import World

PATIENCE_S = 120.0
SWAPS = 24
"""In a block: some 1,000 events a second."""
REORG_EVERY = 16
Identity = tuple[bytes, bytes, int]
T = TypeVar("T", bound=Record)


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


class Collect:
    """A collector as a process; its lines are read by a thread."""

    def __init__(self, ring: str, *arguments: str, url: str = "ws://127.0.0.1:9", cache: str = "none") -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.command.main", "collect", "--json", "--ring", ring, "--url", url),
                *("--pool-cache", cache, *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.errors = ""
        self._threads = [threading.Thread(target=self._read_lines), threading.Thread(target=self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def says(self, key: str) -> bool:
        """Whether it said a line with this key; it must not have ended without."""
        said = any(key in line for line in list(self.lines))
        assert said or self.process.poll() is None, self.errors
        return said

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join()
        return code


@contextmanager
def collecting(ring: str, *arguments: str, **options: str) -> Iterator[Collect]:
    """One that is killed at the end, if it still runs."""
    collector = Collect(ring, *arguments, **options)
    try:
        yield collector
    finally:
        collector.end(signal.SIGKILL)


class Market:
    """Somebody who trades in every block, until told to rest; every few blocks the chain is reorganized."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.url = node.url
        self.world = World.build(node.rpc)
        self.world.hold_mining(True)
        self.chain = folder / "chain.toml"
        self.chain.write_text(chain_toml(self.world))
        self.cache = str(folder / "pools.jsonl")
        self.blocks = 0
        self.failure: BaseException | None = None
        self._resting = threading.Event()

    @contextmanager
    def trading(self, *, reorgs: bool = True) -> Iterator[None]:
        self._resting.clear()
        thread = threading.Thread(target=self._trade, args=(reorgs,))
        thread.start()
        try:
            yield
        finally:
            self._resting.set()
            thread.join()
        assert self.failure is None

    def _trade(self, reorgs: bool) -> None:
        world = self.world
        try:
            while not self._resting.is_set():
                for swap in range(SWAPS):
                    token, amount = ((world.weth, 10**15), (world.usdc, 3 * 10**6))[swap % 2]
                    if swap % 3:
                        world.v2_swap(swap % 3 - 1, token, amount)
                    else:
                        world.v3_swap(token, amount)
                world.mine()
                self.blocks += 1
                if reorgs and self.blocks % REORG_EVERY == 0:
                    world.reorg(2)
            world.mine(3)  # the last block with events has others behind it
        except BaseException as error:
            self.failure = error
            raise

    def wait(self, blocks: int) -> None:
        wanted = self.blocks + blocks
        until(lambda: self.failure is not None or self.blocks >= wanted, "blocks")

    def collecting(self, ring: str, *arguments: str) -> AbstractContextManager[Collect]:
        return collecting(ring, "--chain", str(self.chain), *arguments, url=self.url, cache=self.cache)

    @property
    def pools(self) -> set[bytes]:
        return {bytes.fromhex(pool[2:]) for pool in self.world.pools}

    def head(self) -> bytes:
        return bytes.fromhex(self.world.rpc("eth_getBlockByNumber", "latest", False)["hash"][2:])

    def events(self, first: int) -> dict[Identity, PoolRecord]:
        """What the node itself says of its blocks from `first` on, in its order."""
        return true_events(self.world, self.world.logs(first))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with Node() as node:
        yield Market(node, tmp_path_factory.mktemp("market"))


class Follower:
    """Reads a ring as it is written: its messages, and when each was published."""

    def __init__(self, ring: str) -> None:
        self.messages: list[Message] = []
        self.published: list[int] = []
        self.failure: BaseException | None = None
        self._ring = ring
        self._enough = threading.Event()

    @contextmanager
    def following(self) -> Iterator[None]:
        thread = threading.Thread(target=self._follow)
        thread.start()
        try:
            yield
        finally:
            self._enough.set()
            thread.join()
        assert self.failure is None

    def _follow(self) -> None:
        try:
            with Reader.attach(self._ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                while True:
                    enough = self._enough.is_set()
                    poll = reader.poll()
                    assert poll.loss is None
                    for frame in poll:
                        message = parse(bytes(frame.payload))
                        assert message.header.sequence == frame.sequence == len(self.messages) + 1
                        self.messages.append(message)
                        self.published.append(frame.publish_time_ns)
                    if poll.status in (Status.EMPTY, Status.CLOSED):
                        if enough:
                            return
                        time.sleep(0.002)
        except BaseException as error:
            self.failure = error
            raise

    def all(self, record: type[T]) -> list[T]:
        """The records of that type that came so far."""
        assert self.failure is None
        return [found for message in list(self.messages) if (found := message.first(record)) is not None]

    def epochs(self) -> list[int]:
        """Where each epoch begins, by the index of its first message."""
        seen: dict[int, int] = {}
        assert self.failure is None
        for index, message in enumerate(list(self.messages)):
            if (session := message.first(Session)) is not None:
                seen.setdefault(session.epoch, index)
        return [seen[epoch] for epoch in sorted(seen)]


def standing(
    messages: Iterable[Message | Event], first: int, *, over_rings: bool = False
) -> dict[Identity, PoolRecord]:
    """The events of blocks from `first` on that stand, in the order in which they were told.

    None is told while it stands; over the loss of a ring some are.
    """
    found: dict[Identity, PoolRecord] = {}
    for message in messages:
        origin = next((record for record in message.records if isinstance(record, EventOrigin)), None)
        if origin is None or origin.block_number < first:
            continue
        record = message.records[0]
        assert isinstance(record, PoolRecord)
        identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
        if message.header.flags & Flag.REMOVED:
            assert found.pop(identity) == record
        else:
            assert over_rings or identity not in found
            found[identity] = record
    return found


def hand_over(market: Market, ring: str, turns: int, tell: Callable[[str], None]) -> None:
    """End the ring's writer `turns` times, in turns by SIGTERM and by kill -9; at first two stand by."""
    took_ms: dict[signal.Signals, list[int]] = {signal.SIGTERM: [], signal.SIGKILL: []}
    follower, begun = Follower(ring), 0
    with ExitStack() as stack:

        def begin() -> Collect:
            nonlocal begun
            begun += 1
            return stack.enter_context(market.collecting(ring, "--standby"))

        writer = begin()
        until(lambda: writer.says("ready"), "the first writer: nobody is there before it")
        assert not writer.says("standby")
        waiting = [begin(), begin()]
        stack.enter_context(follower.following())
        with market.trading():
            until(lambda: {record.pool for record in follower.all(PoolSwap)} == market.pools, "an event of each pool")
            first = market.world.height() + 1  # before that, events waited for their pool to be proven
            for turn in range(turns):
                until(lambda: all(one.says("standby") for one in waiting), "those who stand by")
                market.wait(4)
                number = (signal.SIGTERM, signal.SIGKILL)[turn % 2]
                began_ns = time.monotonic_ns()
                assert writer.end(number) == (0 if number == signal.SIGTERM else -number), writer.errors
                winners = until(lambda: [one for one in waiting if one.says("ready")], "one that takes over")
                assert len(winners) == 1
                writer = winners[0]
                starts = until(lambda turn=turn: (e := follower.epochs())[turn + 1 :] and e, "the next epoch")
                took_ms[number].append((follower.published[starts[turn + 1]] - began_ns) // 1_000_000)
                waiting.remove(writer)
                if begun <= turns:
                    waiting.append(begin())
            market.wait(4)
        until(lambda: market.head() in {end.hash for end in follower.all(BlockEnd)}, "the end of the last block")
        assert writer.end(signal.SIGTERM) == 0
    told, truth = standing(follower.messages, first), market.events(first)
    assert len(truth) > turns * 4 * SWAPS
    assert list(told) == list(truth)
    assert told == truth
    assert follower.all(Gap) == []
    for number, times in took_ms.items():
        tell(
            f"row 60: {number.name} to the next writer's first frame {sorted(times)} ms; {len(truth)} events, each once"
        )


@pytest.mark.parametrize("turns", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_hand_over_back_and_forth_under_load_tells_every_event_once_and_in_order(
    market: Market, ring_name: str, tell: Callable[[str], None], turns: int
) -> None:
    """Row 60."""
    hand_over(market, ring_name, turns, tell)


def test_upgrade_to_a_new_ring_under_load_lacks_no_event_and_readers_go_over(
    market: Market, ring_name: str, tmp_path: Path
) -> None:
    """Row 61, as for a new layout: the writer ends, its ring is removed, and the state file says where to go on."""
    state = ("--state", str(tmp_path / "state.json"))
    seen: list[Event] = []
    enough = threading.Event()

    def follow(live: Live) -> None:
        for item in live:
            assert isinstance(item, Event)  # no Loss
            seen.append(item)
            if enough.is_set():
                return

    with ExitStack() as stack:
        old = stack.enter_context(market.collecting(ring_name, *state))
        until(lambda: old.says("ready"), "the first writer")
        thread = threading.Thread(target=follow, args=(stack.enter_context(Live(ring_name, start="oldest")),))
        thread.start()
        try:
            with market.trading(reorgs=False):
                first = until(lambda: [e.record for e in list(seen) if isinstance(e.record, Block)], "a block")[
                    0
                ].number
                market.wait(4)
                assert old.end(signal.SIGTERM) == 0
                market.wait(4)
                unlink(ring_name)
                new = stack.enter_context(market.collecting(ring_name, *state, "--standby"))
                until(lambda: new.says("ready"), "the writer of the new ring")
                market.wait(4)
            ends = lambda: {e.record.hash for e in list(seen) if isinstance(e.record, BlockEnd)}  # noqa: E731
            until(lambda: market.head() in ends(), "the end of the last block")
        finally:
            enough.set()  # heartbeats go on, so that it is seen
            thread.join()
    assert sum(isinstance(event.record, RingReplaced) for event in seen) == 1
    assert standing(seen, first, over_rings=True) == market.events(first)


def counted(ring: str) -> StandbyCounts | None:
    """What the standby of a ring counts."""
    found = [copy for _, copy in copies() if not isinstance(copy, SegmentError) and copy.ring == ring]
    return next((copy.as_record(StandbyCounts) for copy in found if copy.role == "standby"), None)


def uuid_of(ring: str) -> bytes | None:
    try:
        return RingInfo.read(ring).identity.uuid
    except SegmentError:  # gone, or being made
        return None


def test_standby_is_shown_leaves_a_writer_that_hangs_or_loses_its_ring_and_ends_when_told_to(ring_name: str) -> None:
    with collecting(ring_name) as writer:
        until(lambda: writer.says("ready"), "the writer")
        with collecting(ring_name, "--standby") as standby, closing(Looking((ring_name,))) as looking:
            until(lambda: standby.says("standby"), "the standby")
            assert standby.lines == [
                {"standby": True, "ring": ring_name, "chain": "polygon", "writer_pid": writer.process.pid}
            ]
            until(lambda: (c := counted(ring_name)) and c.writer_pid == writer.process.pid, "its counts")
            (shown,) = [one for one in process_states() if one.process == f"{ring_name}-standby"]
            assert shown.sentence == f"standby for ring {ring_name} (pid {standby.process.pid})"
            found = [one for one in judge(looking.look()) if one.subject == shown.process]
            assert [(one.name, one.ok) for one in found] == [("process", True)]

            for number in (signal.SIGHUP, signal.SIGUSR1):  # for a filter and states that it does not have yet
                standby.process.send_signal(number)
            writer.process.send_signal(signal.SIGSTOP)
            before = counted(ring_name)
            assert before is not None
            until(
                lambda: (c := counted(ring_name)) and c.looks > before.looks + 100,
                "looks at a writer that stands still",
            )
            writer.process.send_signal(signal.SIGCONT)
            ring = RingInfo.read(ring_name)
            assert (ring.epoch, ring.writer_pid) == (1, writer.process.pid)

            for path in FOLDER.glob(ring_object(ring_name).removeprefix("/") + "*"):
                if not path.name.endswith("-counters"):
                    path.unlink()
            until(lambda: uuid_of(ring_name) not in (None, ring.identity.uuid), "a ring of that name")
            assert RingInfo.read(ring_name).writer_pid == writer.process.pid

            assert standby.end(signal.SIGTERM) == 0
            assert standby.lines[1:] == [{"took_over": False, "ring": ring_name}]
        assert counted(ring_name) is None
        assert writer.end(signal.SIGTERM) == 0, writer.errors


def test_standby_that_could_not_take_over_says_so_while_the_writer_works(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    layout, chain, usual = new_ring_name(), new_ring_name(), new_ring_name()
    rules = tmp_path / "rules.toml"
    rules.write_text("events = [")
    with (
        Writer.create(layout, layout_digest=LAYOUT_DIGEST + 1),
        Writer.create(chain, layout_digest=LAYOUT_DIGEST) as writer,
        Writer.create(usual, layout_digest=LAYOUT_DIGEST),
    ):
        session = Session(writer.uuid, 1, 1, 1, LAYOUT_DIGEST)
        writer.publish(build(Domain.SYSTEM, Source.ETHEREUM_COLLECTOR, [session], sequence=1))
        started = {
            f"ring {layout}: ": Collect(layout, "--standby"),
            f"ring {chain}: expected chain 137 (polygon), found 1": Collect(chain, "--standby"),
            "rules.toml": Collect(usual, "--standby", "--filter", str(rules)),
        }
        for said, standby in started.items():
            assert standby.process.wait(PATIENCE_S) in (1, 2)
            standby.end(signal.SIGKILL)
            assert said in standby.errors
            assert standby.lines == []


TWO = """
[up]
settle = 1
[collector]
url = "ws://127.0.0.1:9"
ring = "{name}.market"
pool_cache = "none"
standby = true
[collector.a]
[collector.b]
"""


def test_two_collectors_under_up_take_turns_when_one_is_killed_or_restarted_and_both_end() -> None:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        rig = UpRig(Path(folder), TWO)
        ring = f"{rig.name}.market"

        def roles() -> tuple[str, str] | None:
            """Names of the writer and of the standby, once there are both."""
            names = {one.pid: name for name, one in rig.processes().items()}
            shown = [one.pid for one in process_states() if one.process == f"{ring}-standby" and not one.problem]
            found = [names.get(pid, "") for pid in (writer_of(ring), *shown)]
            return (found[0], found[1]) if sorted(found) == ["collector.a", "collector.b"] else None

        rig.up()
        try:
            writer, standby = until(roles, "a writer and a standby")
            kill(rig.pids()[writer])
            assert until(lambda: (r := roles()) and r[0] == standby and r, "the standby at work") == (standby, writer)
            assert rig.run("restart", standby).returncode == 0
            assert until(lambda: (r := roles()) and r[0] == writer and r, "the other one") == (writer, standby)
            assert RingInfo.read(ring).epoch == 3
            assert rig.run("down").returncode == 0
            assert RingInfo.read(ring).closed
            assert rig.left_running() == []
            assert rig.run("down", "--purge").returncode == 0
            assert rig.segments() == []
        finally:
            rig.end()
