"""A feed and the recording node's core in one conversation, without sockets and on a clock that only moves when told.

Both sides are the real ones; only the wire between them is ours, so a test can lose, delay or add frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producers.chains.configuration import load_chain
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.feed import Feed
from producers.kinds.selection import LogSelection
from producers.output.epoch import OutputRing
from tests.producers.collected import Story
from tlv.message import parse
from tools.recording.bundle import bundled_recording
from tools.recording.core import NodeCore
from tools.recording.recording import Recording, load_recording

SECOND = 1_000_000_000
Answerer = Callable[[bytes], list[bytes]]
WALL = 1_700_000_000 * SECOND
Tamper = Callable[[bytes], list[bytes]]
_RECORDING: list[Recording] = []


def recording() -> Recording:
    """The bundled sessions, loaded once."""
    if not _RECORDING:
        _RECORDING.append(load_recording(bundled_recording(), None, 2.0))
    return _RECORDING[0]


def new_feed(**options: Any) -> Feed:
    """A Polygon feed into a ring of epoch 1 that nobody has written to; it knows `pools`."""
    ring = options.pop("ring", OutputRing(bytes(16), 1, 1))
    selection = options.pop("selection", LogSelection())
    table = PoolTable(options.pop("pools", ()))
    return Feed(load_chain("polygon"), ring, table, {}, selection, **options, now_ns=0, wall_ns=WALL)


def knowing_all(answered: Tamper = lambda frame: [frame]) -> Answerer:
    """A second node that is through with the recording, and knows its last chain; its answers go through `answered`."""
    core = NodeCore(recording())
    client = core.connect()
    while core.due_ns is not None:
        core.step()

    def answer(request: bytes) -> list[bytes]:
        frame = core.receive(request, client)
        return answered(frame) if frame is not None else []

    return answer


class VirtualFeed:
    """A feed on a virtual clock, and what it has told."""

    STEP_S = 0.05

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.now_ns = 0
        self.story = Story()

    @property
    def clock(self) -> dict[str, int]:
        return {"now_ns": self.now_ns, "wall_ns": WALL + self.now_ns}

    def exchange(self) -> None:
        """Requests and answers, until neither side has anything to say."""
        raise NotImplementedError

    def wait(self, seconds: float, step_s: float | None = None) -> None:
        """Let time pass."""
        end_ns = self.now_ns + int(seconds * SECOND)
        while self.now_ns < end_ns:
            self.now_ns += int((step_s or self.STEP_S) * SECOND)
            self.feed.tick(**self.clock)
            self.exchange()

    def records(self, kind: type[Any]) -> list[Any]:
        """The records of one class, in order."""
        return [record for message in self.story.messages for record in message.records if isinstance(record, kind)]


class Conversation(VirtualFeed):
    """What the node pushes goes through `pushed` (one frame in, any number out), its answers through `answered`.

    `second` answers what the feed asks a second endpoint.
    """

    def __init__(
        self,
        feed: Feed,
        pushed: Tamper | None = None,
        answered: Tamper | None = None,
        served: Recording | None = None,
        second: Answerer | None = None,
    ) -> None:
        super().__init__(feed)
        self.core = NodeCore(served or recording())
        self.payloads: list[bytes] = []
        """What went into the ring."""
        self.client: int | None = None
        self._pushed = pushed or (lambda frame: [frame])
        self._answered = answered or (lambda frame: [frame])
        self._second = second
        if second is not None:
            feed.second_connected()

    def connect(self) -> None:
        self.client = self.core.connect()
        self.feed.connected(**self.clock)
        self.exchange()

    def disconnect(self) -> None:
        assert self.client is not None
        self.core.disconnect(self.client)
        self.client = None
        self.feed.disconnected(**self.clock)
        self._read()

    def exchange(self) -> None:
        """Requests and answers, until neither side has anything to say."""
        asked = True
        while asked:
            asked = False
            if requests := self.feed.requests():
                asked = True
                answers: list[bytes] = []
                for request in requests:
                    answer = self.core.receive(request, self.client)
                    answers += self._answered(answer) if answer is not None else []
                self.feed.receive(answers, **self.clock)
            if self._second is not None and (requests := self.feed.second_requests()):
                asked = True
                opinions = [frame for request in requests for frame in self._second(request)]
                self.feed.receive_second(opinions, **self.clock)
        self._read()

    def push(self, frames: list[bytes]) -> None:
        """The node says this."""
        self.feed.receive(frames, **self.clock)
        self.exchange()

    def step(self) -> bool:
        """One step of the recording; False at its end."""
        due_ns = self.core.due_ns
        if due_ns is None:
            return False
        self.wait(max(0.0, (due_ns - self.now_ns) / SECOND), 0.25)
        for delivery in self.core.step():
            if delivery.client == self.client:
                self.push([frame for text in delivery.texts for frame in self._pushed(text)])
        return True

    def play(self) -> None:
        """The whole recording, at its own pace, and until everything is settled."""
        while self.step():
            pass
        self.feed.settle(**self.clock)
        self.exchange()
        self.wait(2)

    def _read(self) -> None:
        for item in self.feed.messages():
            if isinstance(item, Segment):
                self._keep(*item.messages())
            else:
                self._keep(item)

    def _keep(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.payloads.append(payload)
            self.story.add(parse(payload))
