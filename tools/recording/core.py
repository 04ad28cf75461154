"""The recording node without I/O: requests in, answers and notifications out.

Owns clients, their subscriptions, and the place in the time line.  It must never know sockets or clocks: `step`
is called by the owner of the clock, at `due_ns` of the recording's own time, which starts at 0.

    due_ns --> step() --> [Delivery(client, texts, close code)]        text from a client --> receive() --> answer

Every notification is a JSON text made when the recording was loaded; only the subscription id is put in front.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from tools.recording.blocks import RecordedLog
from tools.recording.chain import VisibleChain
from tools.recording.faults import Faults, Mischief
from tools.recording.filters import FilterParams, LogFilter, log_filter
from tools.recording.laps import both, lap_of
from tools.recording.queries import Queries, argument
from tools.recording.recording import Recording, begun_at
from tools.recording.rpc import INVALID_PARAMS, METHOD_NOT_FOUND, AnswerError, answer
from tools.recording.timeline import Moment

HEADS, LOGS = "newHeads", "logs"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Texts to push to one client, in order; then its connection ends with `close_code`, if there is one."""

    client: int
    texts: list[bytes]
    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class NodeSubscription:
    """One subscription of a client; `opening` is the notification's text up to its result."""

    kind: str
    wanted: LogFilter
    opening: bytes

    def text(self, body: bytes) -> bytes:
        """The notification that carries `body`."""
        return b"%b%b}}" % (self.opening, body)


@dataclass(slots=True)
class Counts:
    """What the node has done so far."""

    requests: int = 0
    notifications: int = 0
    disconnects: int = 0
    steps: int = 0


@dataclass(slots=True)
class Client:
    """One connection and its subscriptions by id."""

    subscriptions: dict[str, NodeSubscription] = field(default_factory=dict)

    @property
    def has_both(self) -> bool:
        """Whether it is subscribed to heads and to logs."""
        return {HEADS, LOGS} <= {subscription.kind for subscription in self.subscriptions.values()}


class NodeCore:
    """A recorded node at one moment of its recording."""

    def __init__(self, recording: Recording, faults: Faults | None = None, first_block: int | None = None) -> None:
        """With `first_block` it begins at that head; later laps are whole."""
        self._recorded = recording
        if first_block is not None:
            recording = begun_at(recording, first_block)
        self._recording = self._lap = recording  # what it knows: two laps at most; and the newest of them
        self._laps = 0
        self._faults = faults or Faults()
        self._clients: dict[int, Client] = {}
        self._ids = 0
        self.counts = Counts()
        self._mischief = Mischief(self._faults, recording.steps)
        self._chain = VisibleChain(recording.blocks, recording.first_head)
        self._queries = Queries(recording, self._chain)
        self._next = 0
        self.absence = 0  # steps that may still pass without a subscriber after a cut

    def next_lap(self) -> None:
        """Go on with the same blocks as later ones; the lap before the last is history that the node no longer has."""
        self._laps += 1
        before, self._lap = self._lap, lap_of(self._recorded, self._laps)
        self._recording = both(before, self._lap)
        self._mischief = Mischief(self._faults, self._lap.steps)
        self._chain.know(self._recording.blocks)
        self._queries = Queries(self._recording, self._chain, self._recorded.lowest)
        self._next = 0

    @property
    def due_ns(self) -> int | None:
        """When the next step is due; None at the end of the recording."""
        steps = self._mischief.steps
        return steps[self._next].due_ns if self._next < len(steps) else None

    @property
    def head_number(self) -> int:
        """The height of the newest visible block."""
        return self._chain.head.number

    @property
    def has_subscriber(self) -> bool:
        """Whether any client has a subscription."""
        return any(client.subscriptions for client in self._clients.values())

    @property
    def has_full_subscriber(self) -> bool:
        """Whether a client is subscribed to heads and to logs."""
        return any(client.has_both for client in self._clients.values())

    def connect(self) -> int:
        """Admit a client that can be notified and return its number."""
        self._ids += 1
        self._clients[self._ids] = Client()
        return self._ids

    def disconnect(self, client: int) -> None:
        """Remove a client; one that was cut off is removed already."""
        self._clients.pop(client, None)

    def receive(self, text: bytes | str, client: int | None = None) -> bytes | None:
        """Answer a JSON-RPC text; `client` is None where notifications are impossible (plain HTTP)."""
        self.counts.requests += 1
        return answer(text, lambda method, params: self._answer(client, method, params))

    def step(self) -> list[Delivery]:
        """Do the next step of the recording and return what to push."""
        step, index = self._mischief.steps[self._next], self._next
        self._next += 1
        self.counts.steps += 1
        if step.adopts is not None:
            self._chain.adopt(step.adopts)
        subscribed = self.has_subscriber
        self.absence = 0 if subscribed else max(0, self.absence - 1)
        notifications = self._mischief.disturb(self._notifications(step))
        cut = self._mischief.cut(index, len(notifications), subscribed)
        if cut is not None:
            notifications = notifications[: cut.delivered]
        deliveries = [
            Delivery(number, texts, None if cut is None else cut.code)
            for number, client in self._clients.items()
            if (texts := _texts(client, notifications)) or cut is not None
        ]
        self.counts.notifications += sum(len(delivery.texts) for delivery in deliveries)
        if cut is not None:
            self.counts.disconnects += len(self._clients)
            self._clients.clear()
            self.absence = cut.absence
        return deliveries

    def _notifications(self, step: Moment) -> list[bytes | RecordedLog]:
        """What a step pushes: the body of a head, or logs."""
        notifications: list[bytes | RecordedLog] = []
        if step.announces is not None:
            notifications.append(self._recording.blocks[step.announces].head_json)
        if step.logs_of is not None:
            notifications += self._recording.logs_of(step.logs_of)
        return notifications

    def _answer(self, client: int | None, method: str, params: list[Any]) -> bytes:
        if method not in ("eth_subscribe", "eth_unsubscribe"):
            return self._queries.answer(method, params)
        subscriber = None if client is None else self._clients.get(client)
        if subscriber is None:
            raise AnswerError(METHOD_NOT_FOUND, "notifications not supported")
        return self._subscribe(subscriber, params) if method == "eth_subscribe" else _unsubscribe(subscriber, params)

    def _subscribe(self, client: Client, params: list[Any]) -> bytes:
        kind = argument(params, 0, str)
        if kind not in (HEADS, LOGS):
            raise AnswerError(INVALID_PARAMS, f'no "{kind}" subscription in eth namespace')
        wanted = argument(params, 1, FilterParams) if kind == LOGS and len(params) > 1 else FilterParams()
        self._ids += 1
        name = f"0x{self._ids:032x}"
        opening = (
            b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"%b","result":' % name.encode()
        )
        client.subscriptions[name] = NodeSubscription(kind, log_filter(wanted), opening)
        return msgspec.json.encode(name)


def _unsubscribe(client: Client, params: list[Any]) -> bytes:
    if client.subscriptions.pop(argument(params, 0, str), None) is None:
        raise AnswerError(INVALID_PARAMS, "subscription not found")
    return b"true"


def _texts(client: Client, notifications: list[bytes | RecordedLog]) -> list[bytes]:
    """The notifications that concern `client`, as texts."""
    texts = []
    for notification in notifications:
        for subscription in client.subscriptions.values():
            if isinstance(notification, bytes):
                if subscription.kind == HEADS:
                    texts.append(subscription.text(notification))
            elif subscription.kind == LOGS and subscription.wanted.matches(notification.address, notification.topics):
                texts.append(subscription.text(notification.body))
    return texts
