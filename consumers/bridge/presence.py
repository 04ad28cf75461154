"""One sender a subject: each says that it is there, and asks before it begins, and from then on, whether it is alone.

Owns the questions, the answers and who yields.  A killed sender does not answer, so it is in nobody's way.

    subject _alphapulse.sender.STREAM.SUBJECT    question: our id    answer: {"who", "ring", "since", "active"}

Of two senders the one that is at work stays; of two that are, or are not, the one that began first.  An account that
may not use that subject is told so once; two senders then meet in the stream, see `sending`.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from nats.aio.msg import Msg

from consumers.bridge.broker import BROKER_ERRORS, BrokerConnection
from consumers.bridge.errors import BridgeRefused

PREFIX = "_alphapulse.sender"
ANSWER_S = 0.4
HANDOVER_S = 3.0
"""How long a sender that begins waits for one that is ending."""


class Presence:
    """We, as one of the senders of a subject."""

    def __init__(self, who: str, ring: str) -> None:
        self.who = who
        self.ring = ring
        self.since = time.time_ns()
        self.active = False

    async def begin(self, connection: BrokerConnection) -> None:
        """Answer others from now on, and see that nobody else sends.

        Raises:
            BridgeRefused: somebody does, and went on doing so.
        """
        connection.optional = PREFIX
        await connection.client.subscribe(self._subject(connection), cb=self._answer)
        deadline = time.monotonic() + HANDOVER_S
        while (other := await self.other(connection)) is not None and time.monotonic() < deadline:
            await asyncio.sleep(ANSWER_S)
        if other is not None:
            raise self.refusal(connection, other)
        self.active = True

    async def other(self, connection: BrokerConnection) -> dict[str, Any] | None:
        """A sender of our subject that we must yield to."""
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def take(message: Msg) -> None:
            answer = read_answer(message.data)
            if answer is not None and self.yields_to(answer) and not found.done():
                found.set_result(answer)

        inbox = connection.client.new_inbox()
        answers = await connection.client.subscribe(inbox, cb=take)
        try:
            await connection.client.publish(self._subject(connection), self.who.encode(), reply=inbox)
            await asyncio.wait({found}, timeout=ANSWER_S)
        finally:
            await answers.unsubscribe()
        connection.check()
        return found.result() if found.done() else None

    def yields_to(self, other: dict[str, Any]) -> bool:
        """Whether that sender goes before us."""
        if other["who"] == self.who:
            return False
        if bool(other["active"]) != self.active:
            return bool(other["active"])
        return (int(other["since"]), str(other["who"])) < (self.since, self.who)

    def refusal(self, connection: BrokerConnection, other: dict[str, Any]) -> BridgeRefused:
        """Why we do not send."""
        broker = connection.broker
        return BridgeRefused(
            f"{broker.shown}: subject {broker.subject} of stream {broker.stream} has a sender already: ring "
            f"{other['ring']} on {other['who']}; two would mix two rings into one. Give this ring another --subject"
        )

    async def _answer(self, message: Msg) -> None:
        if not message.reply or message.data == self.who.encode():
            return
        answer = {"who": self.who, "ring": self.ring, "since": self.since, "active": self.active}
        try:
            await message.respond(json.dumps(answer).encode())
        except BROKER_ERRORS:
            return  # the connection is failing, and says so itself

    def _subject(self, connection: BrokerConnection) -> str:
        return f"{PREFIX}.{connection.broker.stream}.{connection.broker.subject}"


def read_answer(data: bytes) -> dict[str, Any] | None:
    """A sender's answer; None for bytes that are none."""
    try:
        answer = json.loads(data)
        return {
            "who": str(answer["who"]),
            "ring": str(answer["ring"]),
            "since": int(answer["since"]),
            "active": bool(answer["active"]),
        }
    except (ValueError, TypeError, KeyError):
        return None
