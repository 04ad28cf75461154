"""The durable consumer under whose name the broker keeps a receiver's place.

Owns whose it is and where it goes on.  Its description says whose; a receiver that finds another's name there later
knows that it was replaced, and one that begins first sees whether the other is at work.

It is made anew for each session, behind the last batch that was acknowledged: the old one would hold back for half a
minute what a killed bridge had fetched, and deliver newer batches first.  What was acknowledged is believed only if the
stream still has that batch there: a stream made anew counts from 1 again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from consumers.bridge.batch import read_header
from consumers.bridge.broker import BrokerConnection
from consumers.bridge.errors import BridgeRefused
from tlv.errors import FrameError

OURS = "alphapulse bridge in on "
"""What the description of a receiver's consumer begins with; who it is follows."""
KEPT = ("metadata", "inactive_threshold", "num_replicas", "mem_storage", "max_waiting")
"""Keys of an existing consumer that are its administrator's."""
FETCH_TIMEOUT_S = 0.5
LOOK_AGAIN_S = (FETCH_TIMEOUT_S + 0.2, 0.3, 0.3)
"""A killed receiver's last request ends after FETCH_TIMEOUT_S; a living one has another then, or has received."""

Known = Callable[[bytes, int], bool]
"""Whether a ring's frames up to a sequence are in our ring."""


class Durable:
    """One durable name, as ours or as another's."""

    def __init__(self, name: str, who: str) -> None:
        self.name = name
        self.who = who

    async def take_over(self, connection: BrokerConnection, stream: dict[str, Any], known: Known) -> None:
        """Make it ours and let it go on where it was acknowledged.  `stream` is what JetStream said of it before.

        Raises:
            BridgeRefused: another receiver is at work, or the consumer is not a bridge's.
        """
        broker = connection.broker
        found = await connection.consumer_info(self.name)
        wanted: dict[str, Any] = {
            "durable_name": self.name,
            "description": OURS + self.who,
            "filter_subject": broker.subject,
            "ack_policy": "all",
            "ack_wait": 30_000_000_000,
            "replay_policy": "instant",
            "deliver_policy": "all",
            "max_ack_pending": (stream["config"].get("consumer_limits") or {}).get("max_ack_pending") or -1,
        }
        if found is not None:
            self._refuse_another_kind(connection, found["config"])
            await self._refuse_another_receiver(connection, found)
            wanted |= {key: found["config"][key] for key in KEPT if key in found["config"]}
            acknowledged = int(found["ack_floor"]["stream_seq"])
            if acknowledged and await self._still_there(connection, stream, acknowledged, known):
                wanted |= {"deliver_policy": "by_start_sequence", "opt_start_seq": acknowledged + 1}
            await connection.api(f"CONSUMER.DELETE.{broker.stream}.{self.name}")
        body = {"stream_name": broker.stream, "config": wanted}
        await connection.api(f"CONSUMER.DURABLE.CREATE.{broker.stream}.{self.name}", body)

    async def check(self, connection: BrokerConnection) -> dict[str, Any]:
        """JetStream's words about it, as long as it is ours.

        Raises:
            BridgeError: it was deleted.
            BridgeRefused: another receiver has taken it.
        """
        found = await connection.consumer_info(self.name)
        if found is None:
            what = "consumer" if await connection.stream_info() else "stream"
            name = self.name if what == "consumer" else connection.broker.stream
            raise connection.error(f"{what} {name} was deleted")
        if not self._is_mine(found):
            raise self._refusal(connection, found)
        return found

    def _is_mine(self, found: dict[str, Any]) -> bool:
        return bool(found["config"].get("description") == OURS + self.who)

    def _refuse_another_kind(self, connection: BrokerConnection, config: dict[str, Any]) -> None:
        subject = connection.broker.subject
        reason = ""
        if config.get("deliver_subject"):
            reason = "a push consumer"
        elif (config.get("filter_subject") or subject) != subject or config.get("filter_subjects"):
            reason = "for another subject"
        elif config.get("ack_policy") == "none" or config.get("headers_only"):
            reason = "without acknowledgements or without data"
        if reason:
            raise BridgeRefused(
                f"{connection.broker.shown}: consumer {self.name} of stream {connection.broker.stream} is {reason}, "
                "which no bridge made: choose another --durable"
            )

    async def _refuse_another_receiver(self, connection: BrokerConnection, found: dict[str, Any]) -> None:
        if self._is_mine(found):
            return
        received = found["delivered"]["consumer_seq"]
        for pause in LOOK_AGAIN_S:
            await asyncio.sleep(pause)
            now = await connection.consumer_info(self.name)
            if now is None:
                return
            if now["num_waiting"] or now["delivered"]["consumer_seq"] != received:
                raise self._refusal(connection, now)

    def _refusal(self, connection: BrokerConnection, found: dict[str, Any]) -> BridgeRefused:
        holder = str(found["config"].get("description") or "a consumer without a name").removeprefix(OURS)
        return BridgeRefused(
            f"{connection.broker.shown}: durable {self.name} of stream {connection.broker.stream} has another "
            f"receiver: {holder}; each would get a part. Give this one another --durable"
        )

    async def _still_there(
        self, connection: BrokerConnection, stream: dict[str, Any], acknowledged: int, known: Known
    ) -> bool:
        """Whether the stream's message with that sequence is the one that was acknowledged, or was dropped since."""
        found = await connection.message(seq=acknowledged)
        if found is None:
            # By now a stream that had lost it may have another one there.
            return bool(acknowledged <= stream["state"]["last_seq"])
        try:
            header = read_header(base64.b64decode(found.get("data") or ""))
        except FrameError:
            return True  # acknowledged, and refused, as such bytes are
        return known(header.ring_uuid, header.first_sequence + header.count - 1)
