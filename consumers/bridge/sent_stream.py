"""The stream that a sender puts its batches into.

Owns making it, adding our subject to it, and noticing that it is not what it was.  A stream that was deleted is made
again as it last was, its limits included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from consumers.bridge.broker import NAME_IN_USE, BrokerConnection, Say
from consumers.bridge.errors import ApiError, BridgeError
from consumers.bridge.sending import BatchChain
from consumers.bridge.stream_config import (
    Config,
    StreamJudgement,
    as_it_was,
    judge_for_sending,
    new_config,
    with_subject,
)

ATTEMPTS = 5
"""Senders that begin together make the stream and add their subjects at the same time; each looks again."""


class StreamWanted(NamedTuple):
    """What a stream is made with if it is missing."""

    replicas: int = 1
    max_bytes: int = -1
    """The oldest batches are dropped beyond it (-1: no bound)."""
    max_age_s: float = 0.0
    """Older batches are dropped (0: none)."""


class SentStream:
    """The stream as it was when it was last looked at."""

    def __init__(self, wanted: StreamWanted) -> None:
        self._wanted = wanted
        self._config: Config | None = None
        self._created = ""
        self._last = 0
        self._judgement = StreamJudgement()
        self._warned: tuple[str, ...] = ()

    async def prepare(self, connection: BrokerConnection, say: Say) -> None:
        """See that the stream exists and takes our subject.

        Raises:
            BridgeError: it cannot be made or used.
        """
        broker = connection.broker
        for _ in range(ATTEMPTS):
            found = await connection.stream_info()
            if found is None:
                await self._make(connection, say)
                continue
            self._judgement = judge_for_sending(found["config"], broker.subject)
            if self._judgement.refusal:
                raise connection.error(f"stream {broker.stream} cannot be used: {self._judgement.refusal}")
            if self._judgement.lacks_subject:
                await self._change(connection, "UPDATE", with_subject(found["config"], broker.subject))
                continue
            self._remember(found)
            if self._judgement.warnings != self._warned:
                self._warned = self._judgement.warnings
                for warning in self._warned:
                    say(f"stream {broker.stream}: {warning}")
            return
        raise connection.error(f"stream {broker.stream}: others change it as often as we do")

    async def check(self, connection: BrokerConnection, stored: int) -> None:
        """See that it is the stream that was prepared, and has what it acknowledged, up to `stored`.

        Raises:
            BridgeError: it is not, or has not.
        """
        stream = connection.broker.stream
        found = await connection.stream_info()
        if found is None:
            raise connection.error(f"stream {stream} was deleted")
        if found["created"] != self._created:
            raise connection.error(f"stream {stream} was deleted and made anew")
        if found["state"]["last_seq"] < stored:
            raise connection.error(
                f"stream {stream} ends with {found['state']['last_seq']}, and had acknowledged {stored}; sending again"
            )
        judgement = judge_for_sending(found["config"], connection.broker.subject)
        if judgement._replace(warnings=()) != self._judgement._replace(warnings=()):
            raise connection.error(f"stream {stream}: its configuration has changed")

    def largest_message(self, connection: BrokerConnection) -> int:
        """The largest message that server and stream take, headers included."""
        return min(connection.max_payload, self._judgement.max_message or connection.max_payload)

    def end(self, subject_last: int) -> int:
        """The sequence that the next batch comes behind; `subject_last` is that of our subject's last message."""
        return max(self._last, subject_last) if self._judgement.exclusive else subject_last

    def chain(self, connection: BrokerConnection, who: str, end: int) -> BatchChain:
        """What sends into it, behind `end`."""
        judged = self._judgement
        return BatchChain(connection, who, end, exclusive=judged.exclusive, linked=judged.exclusive and judged.single)

    def _remember(self, found: dict[str, Any]) -> None:
        self._config = found["config"]
        self._created = found["created"]
        self._last = int(found["state"]["last_seq"])

    async def _make(self, connection: BrokerConnection, say: Say) -> None:
        broker = connection.broker
        if self._config is None:
            wanted = self._wanted
            config = new_config(
                broker.stream,
                broker.subject,
                replicas=wanted.replicas,
                max_bytes=wanted.max_bytes,
                max_age_s=wanted.max_age_s,
            )
        else:
            say(f"{broker.shown}: stream {broker.stream} is gone; it is made again as it was")
            config = as_it_was(self._config)
        try:
            await self._change(connection, "CREATE", config)
        except ApiError as error:
            if error.code != NAME_IN_USE:
                raise

    async def _change(self, connection: BrokerConnection, operation: str, config: Config) -> None:
        stream = connection.broker.stream
        try:
            await connection.api(f"STREAM.{operation}.{stream}", config)
        except ApiError as error:
            if error.code == NAME_IN_USE:
                raise
            raise BridgeError(f"stream {stream}: {operation.lower()} was refused: {error}") from None
