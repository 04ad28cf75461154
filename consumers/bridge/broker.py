"""The connection to NATS JetStream that both directions share.

Owns connecting, the stream and its settings.  A server address may carry credentials: it is never printed.

What the stream promises: file storage, one subject per ring, duplicates dropped by message id within two minutes.  A
single server acknowledges before its disk has the bytes (2.9 has no `sync_interval`), so a power cut can take back what
was acknowledged; the journal is the authority, and the outward bridge sends again what the stream turns out to lack.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from consumers.bridge.errors import BridgeError

DUPLICATE_WINDOW_S = 120.0
CONNECT_TIMEOUT_S = 5.0
SECOND_ATTEMPT_S = 0.1
BROKER_ERRORS = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
"""Exceptions of the client that mean a failure of the broker or of the way to it; all are retried."""


class Broker(NamedTuple):
    """Where a ring's messages go: a server, a stream, a subject."""

    server: str
    stream: str
    subject: str
    replicas: int = 1
    max_bytes: int = -1
    """Of the stream; the oldest batches are dropped beyond it (-1: no bound)."""

    @property
    def shown(self) -> str:
        """The server without credentials."""
        parts = urlsplit(self.server)
        return f"{parts.hostname}:{parts.port or 4222}"


def default_subject(ring: str) -> str:
    """The subject of a ring: its own name, below the project's."""
    return f"alphapulse.{ring}"


async def connect(broker: Broker) -> tuple[Client, JetStreamContext]:
    """Connect once and see that the stream exists.

    Raises:
        BridgeError: the server cannot be reached, has no JetStream, or refuses the stream.
    """
    failures: deque[Exception] = deque(maxlen=1)

    async def note(error: Exception) -> None:
        """By default the client logs it with a traceback."""
        failures.append(error)

    try:
        client = await nats.connect(
            broker.server,
            connect_timeout=CONNECT_TIMEOUT_S,
            allow_reconnect=False,
            # The client's defaults try an absent server sixty times, two seconds apart, without reporting a failure.
            max_reconnect_attempts=1,
            reconnect_time_wait=SECOND_ATTEMPT_S,
            error_cb=note,
        )
    except BROKER_ERRORS as error:
        cause = failures[-1] if failures else error
        raise BridgeError(f"NATS server {broker.shown}: cannot connect ({cause!r})") from None
    stream = client.jetstream(timeout=CONNECT_TIMEOUT_S)
    try:
        await _ensure_stream(stream, broker)
    except BROKER_ERRORS as error:
        await client.close()
        raise BridgeError(f"NATS server {broker.shown}: cannot use stream {broker.stream} ({error!r})") from None
    return client, stream


async def _ensure_stream(stream: JetStreamContext, broker: Broker) -> None:
    config = StreamConfig(
        name=broker.stream,
        subjects=[broker.subject],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_bytes=broker.max_bytes,
        num_replicas=broker.replicas,
        duplicate_window=DUPLICATE_WINDOW_S,
    )
    try:
        found = await stream.stream_info(broker.stream)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(config)
        return
    subjects = found.config.subjects or []
    if broker.subject not in subjects:
        config.subjects = [*subjects, broker.subject]
        await stream.update_stream(config)
