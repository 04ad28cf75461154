"""The bridge of a world: the project's own `Outward` and `Inward`, each a process after the other, and their server.

    rings, journal --> Outward --> WorldServer (JetStream) --> Inward --> FarEnd

Owns what strikes them: kills, pauses, connections cut, a server that dies, hangs, is slow or full, and what an
administrator does to stream and consumer.  The client library's code runs as it is, over `nats_wire`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import nats.aio.client
import nats.js.client

import consumers.bridge.inward
import consumers.bridge.outward
import consumers.bridge.presence
import consumers.bridge.retrying
from consumers.bridge.address import Access, Address
from consumers.bridge.broker import BROKER_ERRORS, Broker
from consumers.bridge.errors import BridgeError, BridgeRefused
from consumers.bridge.inward import Inward
from consumers.bridge.outward import Outward
from consumers.bridge.presence import HANDOVER_S
from consumers.bridge.sent_stream import StreamWanted
from consumers.held import HeldRings
from consumers.incarnations import RingCursor
from tools.prove.delivery.world.bridge_oracle import BridgeOracle
from tools.prove.delivery.world.bridge_reading import BridgedRing, JournalPolls
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.far_ring import FarEnd
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.nats_wire import WireTransport, WorldServer
from tools.prove.delivery.world.process_loop import LoopTime, ProcessLoop
from tools.prove.delivery.world.rings import NAME, RingName
from tools.prove.delivery.world.stand_ins import in_place

STREAM, SUBJECT, DURABLE = "alphapulse", f"alphapulse.{NAME}", "far"
BROKER = Broker(Access((Address("nats", "world", 4222),)), STREAM, SUBJECT)
OTHER_SUBJECT = "alphapulse.other"
FORGETTING = {"consumer_deleted", "stream_deleted", "stream_purged", "tail_lost", "second_sender"}
LOGGERS = ("nats.aio.client", "asyncio")


class WorldOutward(Outward):
    """The sending side, from the simulated rings and journal; what it loses is shown to the oracle."""

    def __init__(self, part: BridgePart) -> None:
        super().__init__(NAME, BROKER, journal=Path(NAME) if part.recorded is not None else None, wanted=part.wanted)
        self._oracle = part.oracle
        self._recorded = part.recorded  # type: ignore[assignment]
        uuids = part.recorded.uuids if part.recorded is not None else tuple
        self._rings = HeldRings(partial(part.name.attach, BridgedRing), uuids)

    def _first_cursor(self, say: Any) -> RingCursor | None:
        cursor = super()._first_cursor(say)
        if cursor is not None:
            self._oracle.began(cursor, self._rings)
        return cursor

    def _again(self) -> RingCursor | None:
        cursor = super()._again()
        if cursor is not None and self._ring_sent:
            self._oracle.again(cursor)
        return cursor

    def _lose(self, loss: Any, say: Any) -> None:
        self._oracle.sender_lost(loss, self._rings.get(loss.ring))
        super()._lose(loss, say)

    def _tell_too_large(self, sequence: int, size: int, say: Any) -> None:
        self._oracle.too_large(self._at, sequence)
        super()._tell_too_large(sequence, size, say)

    async def _send_ring(self, chain: Any, cursor: RingCursor, say: Any) -> RingCursor | None:
        self._at = cursor.uuid
        return await super()._send_ring(chain, cursor, say)

    async def _send_recorded(self, chain: Any, cursor: RingCursor, say: Any) -> RingCursor:
        self._at = cursor.uuid
        return await super()._send_recorded(chain, cursor, say)

    async def _send_replaced(self, chain: Any, cursor: RingCursor, step: Any, say: Any) -> None:
        self._oracle.replaced(cursor, step, {ring.uuid for ring in self._rings.rings})
        await super()._send_replaced(chain, cursor, step, say)


class BridgeProcess:
    """One process of one side: from its start until it ends or is killed."""

    def __init__(self, part: BridgePart, who: str, kill: str, work: Callable[[], Any]) -> None:
        self.who = who
        self.carrier: Any = None
        self._part, self._work = part, work
        self.loop = ProcessLoop(
            part.clock.now, self._failed, lambda: part.rng.random() * 0.1, lambda: part.chances.strikes(kill, 0.01)
        )
        self.task: asyncio.Task[Any] = self.loop.create_task(self._run())
        self.refusal: BridgeRefused | None = None

    async def _run(self) -> None:
        self.carrier = self._work()
        try:
            await self.carrier.run(asyncio.Event(), self._say)
        except BridgeRefused as refusal:
            self.refusal = refusal

    @property
    def sends(self) -> bool:
        """Whether it is a sender that found itself alone."""
        return isinstance(self.carrier, Outward) and self.carrier._presence.active

    def _say(self, words: str) -> None:
        if self.loop.alive:
            self._part.findings.note(f"{self.who}: {words}")

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, BridgeError | BROKER_ERRORS):
            self._part.findings.break_rule("exception", f"{self.who}: {type(error).__name__}: {error}")

    def turn(self, now: float) -> bool:
        """Run until now; False if it has ended."""
        self.loop.run_until(now)
        return self.loop.alive and not self.task.done()

    def pause(self, now: float) -> None:
        """Its time passes without it."""
        self.loop.now = now

    def end(self) -> None:
        """Take it away, dead or not."""
        self._part.server.forget(self.loop, self.loop.now)
        self.loop.bury()


class Side:
    """The processes of one side, one after the other."""

    def __init__(self, part: BridgePart, who: str, kill: str, pause: str, work: Callable[[], Any]) -> None:
        self.who, self._kill, self._pause, self._work, self._part = who, kill, pause, work, part
        self.process: BridgeProcess | None = None
        self._back_at = self._paused_until = self.ended_at = 0.0
        self._count = 0

    def turn(self) -> None:
        """Start if that is due, run, and be struck."""
        part, now, honest = self._part, self._part.clock.now, self._part.chances.honest
        if self.process is None:
            if now < self._back_at and not honest:
                return
            self._count += 1
            self.process = BridgeProcess(part, f"{self.who} {self._count}", self._kill, self._work)
        if now < self._paused_until and not honest:
            self.process.pause(now)
            return
        if part.chances.strikes(self._pause, 0.02):
            self._paused_until = now + part.chances.seconds(self._pause, 6)
        if not self.process.turn(now):
            self._gone(self.process, now)

    def _gone(self, process: BridgeProcess, now: float) -> None:
        part = self._part
        if process.refusal is not None:
            part.findings.note(f"{process.who} ends: {process.refusal}")
            part.oracle.refused(process.who, alone=part.is_alone(self))
        elif process.loop.alive:
            part.findings.break_rule("ended", f"{process.who} ended by itself")
        else:
            part.findings.note(f"{process.who} is killed")
        self.stop()
        self._back_at = now + part.chances.seconds(self._kill, 3)

    def kill(self, back_at: float) -> None:
        """End its process; the next comes at `back_at`."""
        self.stop()
        self._back_at = back_at

    def stop(self) -> None:
        """End its process, if there is one."""
        if self.process is not None:
            part, carrier = self._part, self.process.carrier
            self.process.end()
            self.ended_at = part.clock.now
            self.process = None
            if carrier is not None:
                part.oracle.counted(carrier)


class BridgePart:
    """Both sides and the server of one world."""

    def __init__(
        self,
        seed: int,
        name: RingName,
        journal: WorldJournal,
        clock: DeliveryClock,
        chances: Chances,
        findings: Findings,
    ) -> None:
        self.rng = Random(f"{seed}/bridge order")
        self.name, self.clock, self.chances, self.findings = name, clock, chances, findings
        self.journal, active = journal, chances.active
        self.recorded = None if "unrecorded_bridge" in active else journal
        self.far = FarEnd()
        self.oracle = BridgeOracle(name, self.recorded, self.far, findings)
        self.server = WorldServer(self._latency, newer=self.rng.random() < 0.5)
        self.server.stream.on_dropped = self.oracle.dropped
        self.oracle.acknowledged_for_good = self.server.stream.newer and not active & FORGETTING
        self.wanted = StreamWanted()
        if "stream_limits" in active:
            by_age = self.rng.random() < 0.3
            age, size = (self.rng.uniform(1, 5), -1) if by_age else (0.0, self.rng.randint(1500, 9000))
            self.wanted = StreamWanted(max_bytes=size, max_age_s=age)
        if "small_payload" in active:
            self.server.max_payload = self.rng.randint(700, 1400)
        if "shared_stream" in active:
            subjects = [SUBJECT, OTHER_SUBJECT] if self.rng.random() < 0.5 else ["alphapulse.>"]
            self.server.stream.make(STREAM, {"name": STREAM, "subjects": subjects})
        self._restart_at = 0.0
        self._slow = 1.0
        self.out = Side(self, "out", "out_kill", "out_paused", partial(WorldOutward, self))
        self.second = Side(self, "second out", "out_kill", "out_paused", partial(WorldOutward, self))
        self.inward = Side(self, "in", "in_kill", "in_paused", lambda: Inward("far", BROKER, durable=DURABLE))

    def _latency(self) -> float:
        return float((0.0005 + self.rng.random() * 0.004) * self._slow)

    def is_alone(self, side: Side) -> bool:
        """Whether no other process does what this side does."""
        if side is self.inward:
            return True
        other = self.second if side is self.out else self.out
        return other.process is None and self.clock.now - other.ended_at > HANDOVER_S

    def stand_ins(self) -> AbstractContextManager[None]:
        """Put the world in the place of network, clocks, files and ring memory."""
        WireTransport.server = self.server
        outward, inward = consumers.bridge.outward, consumers.bridge.inward
        time = LoopTime()
        timed = (outward, consumers.bridge.presence, consumers.bridge.retrying, nats.aio.client, nats.js.client)
        places: list[tuple[Any, str, object]] = [(module, "time", time) for module in timed]
        places += [(module, "this_process", self._who) for module in (outward, inward)]
        places += [
            (nats.aio.client, "TcpTransport", WireTransport),
            (outward, "JournalReader", partial(JournalPolls, self.journal)),
            (inward, "unlink", self.far.unlink),
            *((inward, place, self.far) for place in ("Writer", "Reader", "RingInfo")),
        ]
        return in_place(places, LOGGERS)

    def _who(self) -> str:
        sides = (self.out, self.second, self.inward)
        loop = asyncio.get_running_loop()
        return next(side.process.who for side in sides if side.process is not None and side.process.loop is loop)

    def turn(self) -> None:
        """A moment: something may happen, and both sides and the server have a turn."""
        now = self.clock.now
        self._strike_server(now)
        if self.server.up:
            self._strike_stream(now)
        self._strike_second(now)
        turns: list[Callable[[], None]] = [self.out.turn, self.inward.turn, partial(self.server.turn, now)]
        if self.second.process is not None:
            turns.append(self.second.turn)
        self.rng.shuffle(turns)
        for turn in turns:
            turn()

    def _strike_server(self, now: float) -> None:
        chances, server = self.chances, self.server
        if not server.up and (now >= self._restart_at or chances.honest):
            server.up = True
            self.findings.note("the server is back")
        if chances.honest:
            server.hung_until, server.stream.full, self._slow = 0.0, False, 1.0
        if server.up and chances.strikes("server_kill", 0.015):
            self._kill_server(now)
        if chances.strikes("server_hang", 0.01):
            server.hung_until = now + chances.seconds("server_hang", 8)
            self.findings.note(f"the server hangs until {server.hung_until - 1000:.3f}")
        if chances.strikes("slow_server", 0.1):
            self._slow = chances.number("slow_server", 1, 100)
        if chances.strikes("server_full", 0.04):
            server.stream.full = not server.stream.full
            self.findings.note(f"the server is {'full' if server.stream.full else 'no longer full'}")
        if server.connections and chances.strikes("connection_lost", 0.03):
            served = server.connections[chances.number("connection_lost", 0, len(server.connections) - 1)]
            self.findings.note("a connection is lost")
            server.cut(served)

    def _kill_server(self, now: float) -> None:
        chances, server = self.chances, self.server
        self.findings.note("the server is killed")
        server.die()
        self._restart_at = now + chances.seconds("server_kill", 4)
        if STREAM in server.stream.streams and chances.strikes("tail_lost", 0.7):
            count = min(chances.number("tail_lost", 1, 30), len(server.stream.streams[STREAM].messages))
            self.findings.note(f"with it the last {count} messages")
            server.stream.lose_tail(STREAM, count, consumers_too=bool(chances.number("tail_lost", 0, 1)))

    def _strike_stream(self, now: float) -> None:
        chances, streams = self.chances, self.server.stream
        stream = streams.streams.get(STREAM)
        if stream is None:
            return
        if chances.strikes("shared_stream", 0.1):
            streams.store(OTHER_SUBJECT, b"", b"something else", now)
        if chances.strikes("stream_purged", 0.02):
            self.findings.note(f"the stream is purged, up to {stream.last}")
            streams.purge(STREAM)
        if DURABLE in stream.consumers and chances.strikes("consumer_deleted", 0.02):
            self.findings.note("the consumer is deleted")
            streams.delete_consumer(STREAM, DURABLE)
        if chances.strikes("stream_deleted", 0.015):
            self.findings.note(f"the stream is deleted, up to {stream.last}")
            streams.delete(STREAM)

    def _strike_second(self, now: float) -> None:
        chances = self.chances
        if self.second.process is not None and self.second.process.sends:
            self.oracle.two_senders = True
        if self.second.process is None:
            if chances.strikes("second_sender", 0.02):
                self.second.turn()
        elif chances.honest or chances.strikes("second_sender", 0.03):
            self.findings.note("the second out is stopped")
            self.second.stop()

    def reboot(self, back_at: float) -> None:
        """The senders' machine goes down."""
        for side in (self.out, self.second):
            side.kill(back_at)

    @property
    def lacks(self) -> bool:
        """Whether the far end lacks anything."""
        return self.second.process is not None or self.oracle.lacks()

    def judge_end(self) -> None:
        """Everything had its time."""
        self.close()
        self.oracle.judge_end()

    def close(self) -> None:
        """End all processes."""
        for side in (self.out, self.second, self.inward):
            side.stop()
