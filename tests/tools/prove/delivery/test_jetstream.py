"""The world's JetStream answers as the real servers do, both versions, to whatever the bridge asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.aio.client
import nats.js.client
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from consumers.bridge.stream_config import new_config
from tests.consumers.bridge_rig import PROGRAMS, STREAM, SUBJECT
from tools.prove.delivery.world.nats_wire import WireTransport, WorldServer
from tools.prove.delivery.world.process_loop import LoopTime, ProcessLoop
from tools.prove.delivery.world.stand_ins import in_place
from tools.rig.nats_server import NatsServer

MS = 1_000_000
CONFIG = new_config(STREAM, SUBJECT)
CONSUMER = {
    **{"durable_name": "d", "description": "me", "filter_subject": SUBJECT, "ack_policy": "all"},
    **{"ack_wait": 30_000 * MS, "replay_policy": "instant", "deliver_policy": "all", "max_ack_pending": -1},
}


PATIENCE_S = 60.0
"""With a server beside a busy machine's other work."""


class Questions:
    """Asks one server, and notes what it answers, without what differs from run to run."""

    def __init__(self, client: Client, model: list[Any]) -> None:
        self.answers: list[Any] = []
        self._model = model
        self._client, self._inbox = client, client.new_inbox()
        self._pulled: list[Any] = []

    async def listen(self) -> None:
        """Subscribe to what is pulled."""
        await self._client.subscribe(self._inbox, cb=self._take)

    async def _take(self, message: Msg) -> None:
        told = (message.headers or {}).get("Status")
        self._pulled.append(told or (message.reply.split(".")[4:7], message.data[:1]))

    async def api(self, operation: str, **body: Any) -> None:
        """Ask JetStream."""
        asked = await self._client.request(
            f"$JS.API.{operation}", json.dumps(body).encode() if body else b"", timeout=PATIENCE_S
        )
        found = json.loads(asked.data)
        told: dict[str, Any] = {"error": found.get("error", {}).get("err_code")}
        if "state" in found:
            told |= {key: found["state"][key] for key in ("messages", "bytes", "first_seq", "last_seq")}
        for key in ("delivered", "ack_floor"):
            if key in found:
                told[key] = found[key]["consumer_seq"], found[key]["stream_seq"]
        told |= {key: found[key] for key in ("num_ack_pending", "num_waiting", "num_pending") if key in found}
        told |= {key: found["message"].get(key) for key in ("seq", "data", "hdrs") if "message" in found}
        self.answers.append((operation, told))

    async def publish(self, data: bytes, *, id: str = "", **expected: int | str) -> None:
        """Send a message to the stream; each header is its id, or one that names what is expected."""
        headers = {f"Nats-Expected-{key.replace('_', '-')}": str(value) for key, value in expected.items()}
        headers |= {"Nats-Msg-Id": id} if id else {}
        try:
            told = json.loads((await self._client.request(SUBJECT, data, PATIENCE_S, headers=headers or None)).data)
            self.answers.append((id, expected, told.get("seq"), told.get("error"), told.get("duplicate")))
        except NoRespondersError:
            self.answers.append("nobody")

    async def pull(self, **request: Any) -> None:
        """Ask the consumer for messages."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.d"
        await self._client.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        await self.settle(request)

    async def settle(self, what: object) -> None:
        """Note what came."""
        await self._client.flush()
        await asyncio.sleep(0.3)
        awaited = len(self._model[len(self.answers)][1]) if self._model else 0
        with contextlib.suppress(TimeoutError):  # the comparison says what is missing
            async with asyncio.timeout(PATIENCE_S):
                while len(self._pulled) < awaited:
                    await asyncio.sleep(0.05)
        self.answers.append((what, self._pulled))
        self._pulled = []

    async def acknowledge(self, sequence: int, delivery: int) -> None:
        """Acknowledge a message, and wait until that is done."""
        await self._client.request(f"$JS.ACK.{STREAM}.d.1.{sequence}.{delivery}.0.0", timeout=PATIENCE_S)


async def ask_all(url: str, model: list[Any]) -> list[Any]:
    """All questions, in an order that makes one state out of the other.  A server gets time for what `model` said."""
    client = Client()
    await client.connect(url, allow_reconnect=False)
    ask = Questions(client, model)
    await ask.listen()
    await ask_about_storing(ask)
    await ask_about_ids(ask)
    await ask_about_consuming(ask)
    await ask_about_what_is_gone(ask)
    await client.close()
    return ask.answers


async def ask_about_storing(ask: Questions) -> None:
    await ask.publish(b"x")
    for operation in ("STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE"):
        await ask.api(f"{operation}.{STREAM}")
    await ask.api(f"STREAM.MSG.GET.{STREAM}", seq=1)
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")
    await ask.pull(batch=5, no_wait=True)
    for config in (CONFIG, CONFIG, {**CONFIG, "subjects": ["other"]}):
        await ask.api(f"STREAM.CREATE.{STREAM}", **config)
    await ask.api(f"STREAM.MSG.GET.{STREAM}", last_by_subj=SUBJECT)
    await ask.publish(b"a", Last_Sequence=0, Stream=STREAM)
    await ask.publish(b"b", Last_Sequence=0)
    await ask.publish(b"b", Stream="other")
    await ask.publish(b"b", Last_Subject_Sequence=1)
    await ask.publish(b"c", Last_Subject_Sequence=1)
    await ask.publish(b"c", Last_Sequence=2)
    await ask.api(f"STREAM.MSG.GET.{STREAM}", last_by_subj=SUBJECT)
    for sequence in (1, 9):
        await ask.api(f"STREAM.MSG.GET.{STREAM}", seq=sequence)


async def ask_about_ids(ask: Questions) -> None:
    """In a stream of its own, which is deleted again."""
    await ask.api(f"STREAM.DELETE.{STREAM}")
    await ask.api(f"STREAM.CREATE.{STREAM}", **{**CONFIG, "duplicate_window": 60_000 * MS})
    await ask.publish(b"a", Last_Msg_Id="a0")
    await ask.publish(b"a")
    await ask.publish(b"a", id="a1", Last_Msg_Id="a0")
    await ask.publish(b"a", id="a1", Last_Sequence=1)
    await ask.publish(b"a", id="a2", Last_Sequence=2, Last_Msg_Id="a1")
    await ask.publish(b"a", id="b4", Last_Sequence=3, Last_Msg_Id="b3")
    await ask.publish(b"a", id="b4", Last_Sequence=9, Last_Msg_Id="b3")
    await ask.publish(b"a", id="b4", Last_Sequence=3, Last_Msg_Id="a2")
    await ask.publish(b"a", id="a1")
    await ask.publish(b"a")
    await ask.publish(b"a", id="b6", Last_Sequence=5, Last_Msg_Id="b4")
    await ask.publish(b"a", id="b6", Last_Sequence=5)
    await ask.api(f"STREAM.PURGE.{STREAM}")
    await ask.publish(b"a", id="b7", Last_Sequence=6, Last_Msg_Id="b6")
    await ask.api(f"STREAM.UPDATE.{STREAM}", **{**CONFIG, "duplicate_window": 100 * MS})
    await ask.settle("a pause longer than the window")
    await ask.publish(b"a", id="b8", Last_Sequence=7, Last_Msg_Id="b7")
    await ask.settle("another")
    await ask.publish(b"a", id="b8", Last_Msg_Id="b8")
    await ask.api(f"STREAM.INFO.{STREAM}")
    await ask.api(f"STREAM.DELETE.{STREAM}")
    await ask.api(f"STREAM.CREATE.{STREAM}", **CONFIG)
    await ask.publish(b"a", Last_Sequence=0, Stream=STREAM)
    await ask.publish(b"c", Last_Subject_Sequence=1)


async def ask_about_consuming(ask: Questions) -> None:
    for operation in ("CONSUMER.INFO", "CONSUMER.DELETE"):
        await ask.api(f"{operation}.{STREAM}.d")
    await ask.api(f"CONSUMER.DURABLE.CREATE.{STREAM}.d", stream_name=STREAM, config=CONSUMER)
    for _ in range(3):
        await ask.pull(batch=2, no_wait=True)
    await ask.pull(batch=2, no_wait=True, expires=100 * MS)
    await ask.pull(batch=2, expires=100 * MS)
    await ask.publish(b"d")
    await ask.pull(batch=2, no_wait=True, expires=100 * MS)
    await ask.publish(b"e")
    await ask.pull(batch=2, expires=100 * MS)
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")
    await ask.acknowledge(4, 4)
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")
    await ask.api(f"STREAM.PURGE.{STREAM}")
    await ask.api(f"STREAM.INFO.{STREAM}")
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")
    await ask.api(f"STREAM.MSG.GET.{STREAM}", last_by_subj=SUBJECT)
    await ask.publish(b"f", Last_Sequence=5)
    await ask.publish(b"f", Last_Subject_Sequence=0)
    await ask.api(f"STREAM.PURGE.{STREAM}")
    await ask.publish(b"f", Last_Subject_Sequence=0)
    await ask.pull(batch=2, no_wait=True)
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")


async def ask_about_what_is_gone(ask: Questions) -> None:
    await ask.api(f"STREAM.UPDATE.{STREAM}", **{**CONFIG, "max_bytes": 400})
    for _ in range(4):
        await ask.publish(b"z" * 100)
    await ask.api(f"STREAM.INFO.{STREAM}")
    for start in (10, 11):
        await ask.api(f"CONSUMER.DELETE.{STREAM}.d")
        config = {**CONSUMER, "deliver_policy": "by_start_sequence", "opt_start_seq": start}
        await ask.api(f"CONSUMER.DURABLE.CREATE.{STREAM}.d", stream_name=STREAM, config=config)
        await ask.pull(batch=9, no_wait=True)
    await ask.api(f"CONSUMER.DELETE.{STREAM}.d")
    await ask.api(f"CONSUMER.DURABLE.CREATE.{STREAM}.d", stream_name=STREAM, config=CONSUMER)
    await ask.pull(batch=64, expires=5000 * MS)
    await ask.api(f"CONSUMER.INFO.{STREAM}.d")
    await ask.api(f"CONSUMER.DELETE.{STREAM}.d")
    await ask.settle("consumer deleted")
    await ask.api(f"STREAM.UPDATE.{STREAM}", **{**CONFIG, "max_msg_size": 50})
    await ask.publish(b"z" * 100)
    await ask.api(f"STREAM.DELETE.{STREAM}")
    await ask.api(f"STREAM.UPDATE.{STREAM}", **CONFIG)
    await ask.api(f"CONSUMER.DURABLE.CREATE.{STREAM}.d", stream_name=STREAM, config=CONSUMER)
    await ask.pull(batch=5, no_wait=True)


def answers_of_the_model(*, newer: bool) -> list[Any]:
    server = WorldServer(lambda: 0.001, newer=newer)
    WireTransport.server = server
    failures: list[BaseException] = []
    loop = ProcessLoop(1000.0, failures.append, lambda: 0.01, lambda: False)
    time = LoopTime()
    places: list[tuple[Any, str, object]] = [(module, "time", time) for module in (nats.aio.client, nats.js.client)]
    with in_place([*places, (nats.aio.client, "TcpTransport", WireTransport)], ()):
        asked = loop.create_task(ask_all("nats://world:4222", []))
        for turn in range(3000):
            loop.run_until(1000 + turn * 0.01)
            server.turn(loop.now)
        loop.bury()
    assert not failures
    return asked.result()


@pytest.fixture(params=PROGRAMS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(version: str, tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path, program=PROGRAMS[version]()) as running:
        yield running


def test_model_of_jetstream_answers_as_the_servers_do(server: NatsServer, version: str) -> None:
    model = answers_of_the_model(newer=version == "current")
    real = asyncio.run(ask_all(server.url, model))
    assert len(real) == len(model) > 60
    for asked, answer in zip(real, model, strict=True):
        assert answer == asked
