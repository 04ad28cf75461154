"""What a NATS server with JetStream answers: streams, their limits, and durable pull consumers, in memory.

Owns the streams.  Answers are those of the real servers, old (2.9) and new (2.15), to the requests that the bridge
makes: `tests/tools/prove/delivery/test_jetstream.py` asks all three the same questions.  It knows no connection.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from consumers.bridge.broker import (
    CONSUMER_NOT_FOUND,
    MESSAGE_NOT_FOUND,
    NAME_IN_USE,
    STREAM_NOT_FOUND,
    WRONG_LAST_ID,
    WRONG_LAST_SEQUENCE,
)
from consumers.bridge.stream_config import Config, covers

OTHER_STREAM = 10060
TOO_LARGE = 10054
NOT_STORED = 10077
RECORD_BYTES = 22 + 8
"""Of a stored message in a stream's file, beyond subject, headers and data."""
HEADERS_BYTES = 4
DEFAULTS: Config = {
    **{"subjects": [], "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0},
    **{"max_msgs_per_subject": -1, "max_msg_size": -1, "discard": "old", "storage": "file", "num_replicas": 1},
}
SECOND = 1_000_000_000
DUPLICATES = 120 * SECOND
ID = "Nats-Msg-Id"


class StoredMessage(NamedTuple):
    """What a stream stores."""

    sequence: int
    subject: str
    headers: bytes
    data: bytes
    at: float

    @property
    def size(self) -> int:
        """What it counts for `max_bytes`."""
        return (
            RECORD_BYTES
            + len(self.subject)
            + (HEADERS_BYTES + len(self.headers) if self.headers else 0)
            + len(self.data)
        )


class Deliver(Protocol):
    """Sends a message to whoever subscribes to `inbox`; False if nobody does."""

    def __call__(self, inbox: str, subject: str, reply: str, headers: bytes, data: bytes) -> bool:
        """Send it."""


@dataclass
class Pull:
    """A request for messages that waits for them."""

    inbox: str
    left: int
    expires: float
    no_wait: bool
    delivered: int = 0


@dataclass
class PullConsumer:
    """A durable pull consumer with the policy that an acknowledgement counts for all before it."""

    name: str
    config: Config
    next: int
    floor: tuple[int, int]
    """Of the consumer's deliveries and of the stream's messages: acknowledged so far."""
    delivered: int = 0
    pending: dict[int, tuple[int, float, int]] = field(default_factory=dict)
    """Not acknowledged: delivery, time, and how often, by the stream's sequence."""
    again: list[int] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)

    def acknowledge(self, delivery: int, sequence: int) -> None:
        """Take an acknowledgement."""
        if delivery <= self.floor[0] or sequence <= self.floor[1]:
            return
        self.next = max(self.next, sequence + 1)
        self.floor = delivery, sequence
        self.pending = {one: of for one, of in self.pending.items() if one > sequence}
        self.again = [one for one in self.again if one > sequence]

    def purged(self, first: int) -> None:
        """The stream begins with `first` now."""
        if self.next <= first:
            self.next = first
            self.floor = self.delivered, first - 1
            self.pending, self.again = {}, []


class Stream:
    """One stream."""

    def __init__(self, config: Config, created: str) -> None:
        self.config = {**DEFAULTS, **config}
        self.created = created
        self.messages: list[StoredMessage] = []
        self.last = self.bytes = 0
        self.last_id = ""
        """Of the last message that was stored, gone or not; empty if it had none."""
        self.ids: dict[str, tuple[int, float]] = {}
        """Sequence and time of each message with an id."""
        self.consumers: dict[str, PullConsumer] = {}

    @property
    def first(self) -> int:
        """The sequence of the oldest message, or of the next one."""
        return self.messages[0].sequence if self.messages else self.last + 1

    def get(self, sequence: int) -> StoredMessage | None:
        """The message with that sequence."""
        at = sequence - self.first
        return self.messages[at] if 0 <= at < len(self.messages) else None

    def last_of(self, subject: str) -> StoredMessage | None:
        """The last message of a subject."""
        return next((one for one in reversed(self.messages) if one.subject == subject), None)

    def state(self) -> dict[str, Any]:
        """As the API has it."""
        first = self.first if self.last else 0
        return {"messages": len(self.messages), "bytes": self.bytes, "first_seq": first, "last_seq": self.last}

    def info(self) -> dict[str, Any]:
        """As the API has it."""
        return {"config": self.config, "created": self.created, "state": self.state()}


class JetStream:
    """All of a server's streams; `newer` says whose ways it has where the two versions differ."""

    def __init__(self, deliver: Deliver, *, newer: bool) -> None:
        self.streams: dict[str, Stream] = {}
        self.full = False
        self.newer = newer
        self.on_dropped: Callable[[StoredMessage, str], None] = lambda message, why: None
        """Told of each message that is stored no more."""
        self._deliver = deliver
        self._made = 0

    # ---- the API

    def ask(self, operation: str, body: bytes, now: float) -> bytes:
        """The answer to `$JS.API.OPERATION`."""
        what, _, rest = operation.partition(".")
        names = rest.split(".")
        request = json.loads(body) if body else {}
        if what == "STREAM":
            found = self._ask_stream(names[0], names[-1], request)
        else:
            found = self._ask_consumer(names, request, now)
        return json.dumps(found).encode()

    def _ask_stream(self, action: str, name: str, request: Config) -> dict[str, Any]:
        stream = self.streams.get(name)
        if action == "CREATE":
            if stream is None:
                return self.make(name, request).info()
            if stream.config == {**DEFAULTS, **request}:
                return stream.info()
            return refusal(400, NAME_IN_USE, "stream name already in use with a different configuration")
        if stream is None:
            return refusal(404, STREAM_NOT_FOUND, "stream not found")
        if action == "UPDATE":
            stream.config = {**DEFAULTS, **request}
            self._limit(stream)
        elif action == "MSG":
            return self._message(stream, request)
        elif action == "PURGE":
            return {"success": True, "purged": self.purge(name)}
        elif action == "DELETE":
            self.delete(name)
            return {"success": True}
        return stream.info()

    def _message(self, stream: Stream, request: Config) -> dict[str, Any]:
        by_subject = request.get("last_by_subj")
        found = stream.last_of(by_subject) if by_subject else stream.get(request["seq"])
        if found is None:
            return refusal(404, MESSAGE_NOT_FOUND, "no message found")
        shown = {"subject": found.subject, "seq": found.sequence, "data": base64.b64encode(found.data).decode()}
        return {"message": shown | ({"hdrs": base64.b64encode(found.headers).decode()} if found.headers else {})}

    def _ask_consumer(self, names: list[str], request: Config, now: float) -> dict[str, Any]:
        action, (stream_name, name) = names[0], names[-2:]
        stream = self.streams.get(stream_name)
        if stream is None:
            return refusal(404, STREAM_NOT_FOUND, "stream not found")
        if action == "DURABLE":
            if name not in stream.consumers:
                self._make_consumer(stream, name, request["config"])
        elif name not in stream.consumers:
            return refusal(404, CONSUMER_NOT_FOUND, "consumer not found")
        elif action == "DELETE":
            self.delete_consumer(stream_name, name)
            return {"success": True}
        return self._consumer_info(stream, stream.consumers[name], now)

    def _make_consumer(self, stream: Stream, name: str, config: Config) -> None:
        start = stream.first
        if config["deliver_policy"] == "by_start_sequence":
            start = max(start, config["opt_start_seq"])
            start = start if self.newer else min(start, stream.last + 1)
        stream.consumers[name] = PullConsumer(name, config, start, (0, start - 1 if self.newer else 0))

    def _consumer_info(self, stream: Stream, consumer: PullConsumer, now: float) -> dict[str, Any]:
        self._expire(consumer, now)
        waiting = [one for one in stream.messages if one.sequence >= consumer.next and self._wants(consumer, one)]
        return {
            "stream_name": stream.config["name"],
            "name": consumer.name,
            "config": consumer.config,
            "delivered": {"consumer_seq": consumer.delivered, "stream_seq": consumer.next - 1},
            "ack_floor": {"consumer_seq": consumer.floor[0], "stream_seq": consumer.floor[1]},
            "num_ack_pending": len(consumer.pending),
            "num_waiting": len(consumer.pulls),
            "num_pending": len(waiting),
        }

    # ---- what an administrator does

    def make(self, name: str, config: Config) -> Stream:
        """Make a stream."""
        self._made += 1
        self.streams[name] = Stream(config, f"made {self._made}")
        return self.streams[name]

    def delete(self, name: str) -> None:
        """Delete a stream."""
        for consumer in list(self.streams[name].consumers):
            self.delete_consumer(name, consumer)
        self._drop(self.streams[name], len(self.streams[name].messages), "deleted")
        del self.streams[name]

    def purge(self, name: str) -> int:
        """Drop all messages of a stream; its sequences go on."""
        stream = self.streams[name]
        count = len(stream.messages)
        self._drop(stream, count, "purged")
        for consumer in stream.consumers.values():
            consumer.purged(stream.first)
        return count

    def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer; whoever waits for messages is told."""
        consumer = self.streams[stream].consumers.pop(name)
        for pull in consumer.pulls:
            self._deliver(pull.inbox, pull.inbox, "", status(409, "Consumer Deleted"), b"")

    def lose_tail(self, name: str, count: int, *, consumers_too: bool) -> None:
        """Lose the newest messages, as a host that dies does; the consumers' files may be as old or not."""
        stream = self.streams[name]
        lost = stream.messages[len(stream.messages) - count :]
        del stream.messages[len(stream.messages) - count :]
        stream.last -= len(lost)
        stream.bytes -= sum(one.size for one in lost)
        stream.last_id = headers_of(stream.messages[-1].headers).get(ID, "") if stream.messages else ""
        stream.ids = {one: of for one, of in stream.ids.items() if of[0] <= stream.last}
        for message in lost:
            self.on_dropped(message, "tail")
        for consumer in stream.consumers.values() if consumers_too else ():
            back = max(consumer.floor[1] - stream.last, 0)
            consumer.floor = max(consumer.floor[0] - back, 0), consumer.floor[1] - back
            consumer.next = min(consumer.next, stream.last + 1)
            consumer.pending = {one: of for one, of in consumer.pending.items() if one <= stream.last}

    # ---- messages

    def store(self, subject: str, headers: bytes, data: bytes, now: float) -> bytes | None:
        """Store a message; the acknowledgement or refusal, None if no stream takes the subject."""
        taking = (one for one in self.streams.values() if any(covers(each, subject) for each in one.config["subjects"]))
        stream = next(taking, None)
        if stream is None:
            return None
        given = headers_of(headers)
        stored_before, at = stream.ids.get(given.get(ID, ""), (0, 0.0))
        if stored_before and now - at <= stream.config.get("duplicate_window", DUPLICATES) / SECOND:
            return json.dumps({"stream": stream.config["name"], "seq": stored_before, "duplicate": True}).encode()
        refused = self._refuse(stream, subject, given, len(headers) + len(data))
        if refused is not None:
            return json.dumps(refused | {"stream": stream.config["name"], "seq": 0}).encode()
        stream.last += 1
        stream.last_id = given.get(ID, "")
        if stream.last_id:
            stream.ids[stream.last_id] = stream.last, now
        stream.messages.append(StoredMessage(stream.last, subject, headers, data, now))
        stream.bytes += stream.messages[-1].size
        self._limit(stream)
        for consumer in stream.consumers.values():
            self.serve(stream, consumer, now)
        return json.dumps({"stream": stream.config["name"], "seq": stream.last}).encode()

    def _refuse(self, stream: Stream, subject: str, given: dict[str, str], size: int) -> dict[str, Any] | None:
        if given.get("Nats-Expected-Stream", stream.config["name"]) != stream.config["name"]:
            return refusal(400, OTHER_STREAM, "expected stream does not match")
        last = stream.last_of(subject)
        of_subject = last.sequence if last is not None else 0
        for header, stands in (("Sequence", stream.last), ("Subject-Sequence", of_subject)):
            if int(given.get(f"Nats-Expected-Last-{header}", stands)) != stands:
                return refusal(400, WRONG_LAST_SEQUENCE, f"wrong last sequence: {stands}")
        if given.get("Nats-Expected-Last-Msg-Id", stream.last_id) != stream.last_id:
            return refusal(400, WRONG_LAST_ID, f"wrong last msg ID: {stream.last_id}")
        if 0 <= stream.config["max_msg_size"] < size:
            return refusal(400, TOO_LARGE, "message size exceeds maximum allowed")
        if self.full:
            return refusal(503, NOT_STORED, "maximum bytes exceeded")
        return None

    def _limit(self, stream: Stream) -> None:
        most, count, size = stream.config["max_bytes"], 0, stream.bytes
        while 0 <= most < size:
            size -= stream.messages[count].size
            count += 1
        self._drop(stream, count, "limits")

    def _drop(self, stream: Stream, count: int, why: str) -> None:
        for message in stream.messages[:count]:
            stream.bytes -= message.size
            self.on_dropped(message, why)
        del stream.messages[:count]

    def grow_old(self, now: float) -> None:
        """Drop what is older than its stream keeps it, and deliver again what was not acknowledged in time."""
        for stream in self.streams.values():
            age = stream.config["max_age"] / SECOND
            self._drop(stream, sum(0 < age < now - one.at for one in stream.messages), "limits")
            for consumer in stream.consumers.values():
                wait = consumer.config["ack_wait"] / SECOND
                late = [one for one, of in consumer.pending.items() if of[1] + wait < now and one not in consumer.again]
                consumer.again += late
                if late:
                    self.serve(stream, consumer, now)

    # ---- consumers

    def pull(self, stream_name: str, name: str, inbox: str, body: bytes, now: float) -> bool:
        """Take a request for messages; False if there is no such consumer."""
        stream = self.streams.get(stream_name)
        consumer = stream.consumers.get(name) if stream is not None else None
        if stream is None or consumer is None:
            return False
        asked = json.loads(body)
        expires = now + asked["expires"] / SECOND if asked.get("expires") else 0.0
        if asked.get("no_wait") and not expires and self._next(stream, consumer) is None:
            self._deliver(inbox, inbox, "", status(404, "No Messages"), b"")
            return True
        consumer.pulls.append(Pull(inbox, asked.get("batch", 1), expires, bool(asked.get("no_wait"))))
        self.serve(stream, consumer, now)
        return True

    def serve(self, stream: Stream, consumer: PullConsumer, now: float) -> None:
        """Deliver what is there to those who wait for it."""
        self._expire(consumer, now)
        while consumer.pulls and (message := self._next(stream, consumer)) is not None:
            pull = consumer.pulls[0]
            times = consumer.pending.get(message.sequence, (0, 0.0, 0))[2] + 1
            of, delivery = stream.config["name"], consumer.delivered + 1
            reply = f"$JS.ACK.{of}.{consumer.name}.{times}.{message.sequence}.{delivery}.{int(message.at * SECOND)}.0"
            if not self._deliver(pull.inbox, message.subject, reply, message.headers, message.data):
                consumer.pulls.remove(pull)
                continue
            consumer.delivered = delivery
            consumer.pending[message.sequence] = delivery, now, times
            if message.sequence in consumer.again:
                consumer.again.remove(message.sequence)
            else:
                consumer.next = message.sequence + 1
            pull.left, pull.delivered = pull.left - 1, pull.delivered + 1
            if not pull.left:
                consumer.pulls.remove(pull)
        for pull in [one for one in consumer.pulls if one.no_wait and one.delivered]:
            consumer.pulls.remove(pull)
            told = (404, "No Messages") if self.newer else (408, "Request Timeout")
            self._deliver(pull.inbox, pull.inbox, "", status(*told), b"")

    def expire(self, now: float) -> None:
        """End the requests whose time is over."""
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                self._expire(consumer, now)

    def _expire(self, consumer: PullConsumer, now: float) -> None:
        for pull in [one for one in consumer.pulls if one.expires and one.expires <= now]:
            consumer.pulls.remove(pull)
            self._deliver(pull.inbox, pull.inbox, "", status(408, "Request Timeout"), b"")

    def _next(self, stream: Stream, consumer: PullConsumer) -> StoredMessage | None:
        for sequence in list(consumer.again):
            if (message := stream.get(sequence)) is not None:
                return message
            consumer.again.remove(sequence)
            consumer.pending.pop(sequence, None)
        begin = max(consumer.next - stream.first, 0)
        later = (one for one in stream.messages[begin:] if self._wants(consumer, one))
        return next(later, None)

    def _wants(self, consumer: PullConsumer, message: StoredMessage) -> bool:
        return bool(message.subject == consumer.config["filter_subject"])

    def acknowledge(self, subject: str) -> None:
        """Take an acknowledgement: `$JS.ACK.STREAM.CONSUMER.TIMES.SEQUENCE.DELIVERY...`."""
        _, _, stream_name, name, _, sequence, delivery, *_ = subject.split(".")
        stream = self.streams.get(stream_name)
        consumer = stream.consumers.get(name) if stream is not None else None
        if consumer is not None:
            consumer.acknowledge(int(delivery), int(sequence))


def headers_of(headers: bytes) -> dict[str, str]:
    """A message's headers by name."""
    return dict(line.split(": ", 1) for line in headers.decode().split("\r\n")[1:] if line)


def refusal(code: int, number: int, words: str) -> dict[str, Any]:
    """An error, as the API has it."""
    return {"error": {"code": code, "err_code": number, "description": words}}


def status(code: int, words: str) -> bytes:
    """The headers of a message without data that only has a status."""
    return f"NATS/1.0 {code} {words}\r\n\r\n".encode()
