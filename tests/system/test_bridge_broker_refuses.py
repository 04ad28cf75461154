"""A broker that refuses while it is connected: credentials revoked or expired, lame duck mode, storage that is full.

For each: the bridge says what it is, loses nothing, and goes on by itself once the cause is gone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nkeys
import pytest

from consumers.bridge.broker import BrokerConnection
from consumers.bridge.stream_config import new_config
from ringbuf import Writer
from tests.consumers.bridge_rig import PROGRAMS, Bridge, api, on_broker, publish, read_sequences, sequences, until
from tlv.layout import LAYOUT_DIGEST
from tools.rig.nats_server import NatsServer

Start = Callable[..., Bridge]
PASSWORD, OTHER = "first-password", "second-password"
EXPIRES_S = 4


@pytest.fixture
def writer(new_ring_name: Callable[[], str]) -> Iterator[Writer]:
    with Writer.create(new_ring_name(), capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writing:
        yield writing
        writing.close(unlink=True)


def both(start: Start, near: str, far: str, url: str, *options: str) -> tuple[Bridge, Bridge]:
    return start("out", near, url, *options), start("in", far, url, *options)


def nothing_lost(far: str, last: int, *bridges: Bridge) -> None:
    """The far ring has every frame once, and neither side counted a loss."""
    assert read_sequences(far, last) == list(range(1, last + 1))
    counts = [bridge.stop() for bridge in bridges]
    assert [count["lost"] for count in counts] == [0, 0]
    assert counts[0]["failures"] > 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_credentials_revoked_while_connected_are_told_and_new_ones_heal(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start, program: str
) -> None:
    def users(password: str) -> str:
        return f'authorization {{ user: desk, password: "{password}" }}'

    far = new_ring_name()
    with NatsServer(tmp_path / "nats", program=PROGRAMS[program](), settings=users(PASSWORD)) as server:
        bridges = both(start, writer.name, far, f"nats://desk:{PASSWORD}@{server.place}")
        publish(writer, 100)
        read_sequences(far, 100)
        server.reload(users(OTHER))
        for bridge in bridges:
            bridge.until_says("authorization violation", "Authorization Violation")
        publish(writer, 100)
        server.reload(users(PASSWORD))
        nothing_lost(far, 200, *bridges)
        assert PASSWORD not in bridges[0].words + bridges[1].words


def key(prefix: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claim: dict[str, object], expires: int = 0) -> str:
    """A NATS JWT, as `nsc` makes them."""
    body: dict[str, object] = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": "test",
        "nats": claim | {"version": 2},
    }
    if expires:
        body["exp"] = expires
    digest = hashlib.new("sha512_256", json.dumps(body, separators=(",", ":")).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    parts = [
        text_of(json.dumps(one, separators=(",", ":")).encode())
        for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
    ]
    signed = ".".join(parts)
    return f"{signed}.{text_of(issuer.sign(signed.encode()))}"


def test_credentials_that_expire_while_connected_are_told_and_a_fresh_file_heals(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    operator, account, user, system = (
        key(prefix)
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
            nkeys.PREFIX_BYTE_ACCOUNT,
        )
    )
    no_limit = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {
        "wildcards": True
    }
    stores = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    accounts = {
        account: jwt(operator, account, {"type": "account", "limits": no_limit | stores}),
        system: jwt(operator, system, {"type": "account", "limits": no_limit}),
    }
    preload = "\n".join(f"{one.public_key.decode()}: {text}" for one, text in accounts.items())
    settings = (
        f"operator: {jwt(operator, operator, {'type': 'operator'})}\nsystem_account: {system.public_key.decode()}\n"
        f"resolver: MEMORY\nresolver_preload {{ {preload} }}"
    )
    creds = tmp_path / "desk.creds"

    def write_creds(seconds: int) -> None:
        claim = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        token = jwt(account, user, claim, int(time.time()) + seconds)
        fresh = creds.with_suffix(".new")
        fresh.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{bytes(user.seed).decode()}\n------END USER NKEY SEED------\n"
        )
        fresh.replace(creds)

    far = new_ring_name()
    with NatsServer(tmp_path / "nats", settings=settings) as server:

        def carried() -> bool:
            # Both may take longer to start than credentials last: they are given fresh ones until they have carried.
            write_creds(EXPIRES_S)
            return sequences(far)[-1:] == [100]

        write_creds(EXPIRES_S)
        bridges = both(start, writer.name, far, server.url, "--creds", str(creds))
        publish(writer, 100)
        until(carried, lambda: f"{sequences(far)[-1:]} of 100; {[bridge.words for bridge in bridges]}")
        for bridge in bridges:
            bridge.until_says("expired", "Expired")
        publish(writer, 100)
        write_creds(3600)
        nothing_lost(far, 200, *bridges)


@pytest.mark.parametrize("program", PROGRAMS)
def test_server_in_lame_duck_mode_is_told_and_left_for_the_next_or_waited_for(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start, program: str
) -> None:
    far = new_ring_name()
    with NatsServer(tmp_path / "nats", program=PROGRAMS[program]()) as server:
        bridges = both(start, writer.name, far, server.url)
        publish(writer, 100)
        read_sequences(far, 100)
        server.process.send_signal(signal.SIGUSR2)
        for bridge in bridges:
            bridge.until_says("it is shutting down (lame duck mode)")
        publish(writer, 100)
        server.restart()
        nothing_lost(far, 200, *bridges)


@pytest.mark.parametrize("program", PROGRAMS)
def test_storage_of_the_server_that_is_full_is_told_and_waited_for(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start, program: str
) -> None:
    async def fill(connection: BrokerConnection) -> None:
        for _ in range(25):
            await connection.stream.publish("filler.x", bytes(40_000))

    far = new_ring_name()
    with NatsServer(tmp_path / "nats", program=PROGRAMS[program](), storage="max_file_store: 1MB") as server:
        api(server, "STREAM.CREATE.filler", new_config("filler", "filler.*"))
        bridges = both(start, writer.name, far, server.url)
        publish(writer, 100)
        read_sequences(far, 100)
        on_broker(server, fill)
        publish(writer, 1500)
        bridges[0].until_says("insufficient resources")
        publish(writer, 1500)
        api(server, "STREAM.DELETE.filler")
        nothing_lost(far, 3100, *bridges)
