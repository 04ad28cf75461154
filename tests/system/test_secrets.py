"""Row 34 of the fault table: a key in an endpoint's URL leaves no process, however it fails and however much it logs.

Every process runs with ALPHAPULSE_LOG_LEVEL=debug and gets its URLs by environment.  Afterwards the canary is looked
for in everything that it printed and wrote, in its command line and in its ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from ringbuf import Writer
from tests.producers.collected import canonical_events, read_story
from tests.tools.obs.http_receiver import receivers_file
from tlv.layout import LAYOUT_DIGEST
from tools.command.supervisor import child_environment, command_line
from tools.recording import RecordingNode
from tools.rig.nats_server import NatsServer
from tools.warm import warm_collector, warm_ring

CANARY = "canary7f3a9b2e"
STATUSES = ("401", "429", "503")
HANDSHAKES = (*STATUSES, "302", "garbage")
"""Ways to refuse a handshake; each repeats the URL in its answer."""
CONVERSATIONS = ("refuse", "close", "end")
"""Ways to accept one and be of no use; each repeats the key in its own words."""
TIMEOUT_S = 100


async def converse(connection: ServerConnection) -> None:
    """Be of no use, and repeat the key."""
    assert connection.request is not None
    way = connection.request.path.split("/")[1]
    if way == "close":
        await connection.close(4000, f"unknown key {CANARY}")
        return
    async for message in connection:
        asked = json.loads(message)
        error = {"code": -32000, "message": f"key {CANARY} is exhausted, see wss://billing.example/{CANARY}"}
        await connection.send(json.dumps({"id": -1 if way == "end" else asked["id"], "error": error}))


def admit(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse as the path says."""
    way = request.path.split("/")[1]
    if way not in (*STATUSES, "302"):
        return None
    response = connection.respond(http.HTTPStatus(int(way)), f"refused: {request.path}\n")
    if way == "302":
        response.headers["Location"] = f"/401/{CANARY}"
    return response


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """No HTTP at all, but the request once more."""
    writer.write(b"SSH-2.0 " + await reader.read(4096))
    writer.close()


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """That of a talkative process whose caches and temporary files are in `folder`."""
    folders = {name: str(folder / name.lower()) for name in ("XDG_RUNTIME_DIR", "TMPDIR")}
    for path in folders.values():
        Path(path).mkdir(mode=0o700, exist_ok=True)
    compiled = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return {**folders, "ALPHAPULSE_LOG_LEVEL": "debug", "XDG_CACHE_HOME": compiled, **settings}


async def run(
    arguments: list[str], folder: Path, stop_when: Callable[[str], bool] = lambda err: False, **settings: str
) -> tuple[str, str, int]:
    """What a command printed on stdout and stderr, and its exit code; the canary is in none of its files.

    It is terminated when `stop_when`, given what it has printed on stderr, says so; else it ends by itself.
    """
    process = await asyncio.create_subprocess_exec(
        *command_line(arguments),
        env=child_environment(environment(folder, settings)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert process.stdout is not None
    assert process.stderr is not None
    watchdog = asyncio.get_running_loop().call_later(TIMEOUT_S, process.kill)
    reading = asyncio.create_task(process.stdout.read())
    err = b""
    stopped = ended = False
    while not ended:
        with contextlib.suppress(TimeoutError):
            chunk = await asyncio.wait_for(process.stderr.read(1 << 16), 0.1)
            ended = not chunk
            err += chunk
        if not stopped and stop_when(err.decode(errors="replace")):
            process.terminate()
            stopped = True
    out = await reading
    await process.wait()
    watchdog.cancel()
    assert process.returncode is not None
    assert CANARY.encode() not in line
    assert CANARY not in out.decode() + err.decode()
    for path in folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    return out.decode(), err.decode(), process.returncode


@contextmanager
def unused(ring: str) -> Iterator[None]:
    """After the block, the ring's memory is searched."""
    yield
    found = list(Path("/dev/shm").glob(f"alphapulse-*-{ring}*"))
    assert found
    assert all(CANARY.encode() not in path.read_bytes() for path in found)


class Servers:
    """The useless endpoints; an async context manager."""

    async def __aenter__(self) -> Servers:
        self._polite = await serve(converse, "127.0.0.1", 0, process_request=admit)
        self._rude = await asyncio.start_server(garbage, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in (self._polite, self._rude):
            server.close()
            await server.wait_closed()

    def url(self, way: str) -> str:
        """The endpoint that fails in this way."""
        if way == "unresolvable":
            return f"wss://{CANARY}:{CANARY}@name.invalid/{CANARY}"
        server = self._rude if way == "garbage" else self._polite
        port = next(iter(server.sockets)).getsockname()[1]
        if way == "tls":
            return f"wss://user:{CANARY}@127.0.0.1:{port}/v2/{CANARY}"
        return f"ws://127.0.0.1:{port}/{way}/{CANARY}?key={CANARY}"


@pytest.mark.parametrize(
    ("ways", "form"),
    [(STATUSES, "json"), (("302", "garbage", "tls"), "text"), ((*CONVERSATIONS, "unresolvable"), "json")],
    ids=["refused", "no-handshake", "useless"],
)
def test_collector_at_debug_says_no_key_whatever_its_endpoints_do(
    ring_name: str, tmp_path: Path, ways: tuple[str, ...], form: str
) -> None:
    """P8."""
    warm_ring()
    warm_collector()

    async def collect() -> tuple[str, str, int]:
        async with Servers() as servers, RecordingNode(speed=100.0) as node:
            first, *others = [*map(servers.url, ways), f"{node.ws_url}/v2/{CANARY}"]
            arguments = [
                *("collect", "--ring", ring_name, "--until-idle", "5", "--json"),
                *("--stats-json", "stats.json", "--state", "state.json", "--pool-cache", "pools.jsonl"),
            ]
            return await run(
                arguments,
                tmp_path,
                ALPHAPULSE_LOG_FORMAT=form,
                ALPHAPULSE__COLLECTOR__URL=first,
                ALPHAPULSE__COLLECTOR__FALLBACK=",".join(others),
                ALPHAPULSE__COLLECTOR__CROSS_CHECK=servers.url(ways[0]),
                ALPHAPULSE__COLLECTOR__CROSS_CHECK_SHARE="1",
            )

    with unused(ring_name):
        _, err, code = asyncio.run(collect())
    assert code == 0, err
    troubles = ("cannot connect", "giving up", "disconnected", "it is tried last")
    assert sum(map(err.count, troubles)) >= len(ways)
    assert "the second endpoint" in err
    assert form == "text" or all("event" in json.loads(line) for line in err.splitlines())
    assert read_story(ring_name).standing == canonical_events()


@pytest.mark.parametrize("way", [*HANDSHAKES, "refuse", "close", "tls", "unresolvable"])
def test_doctor_at_debug_says_no_key_whatever_the_endpoint_does(tmp_path: Path, way: str) -> None:
    async def diagnose() -> tuple[str, str, int]:
        async with Servers() as servers:
            return await run(
                ["doctor", "--endpoints", "--wait", "1"], tmp_path, ALPHAPULSE__COLLECTOR__URL=servers.url(way)
            )

    out, err, code = asyncio.run(diagnose())
    assert code == 1, out + err
    assert "Traceback" not in err


def test_validate_at_debug_says_no_key_of_an_endpoint_that_works(tmp_path: Path) -> None:
    async def validate() -> tuple[str, str, int]:
        async with RecordingNode(speed=100.0) as node:
            url = f"{node.ws_url}/v2/{CANARY}"
            arguments = ["validate", "--duration", "6", "--pool-cache", "pools.jsonl", "--json"]
            return await run(arguments, tmp_path, ALPHAPULSE__COLLECTOR__URL=url)

    out, err, code = asyncio.run(validate())
    assert code == 0, out + err


@pytest.mark.parametrize("works", [True, False])
def test_bridge_at_debug_says_nothing_of_its_servers_password(ring_name: str, tmp_path: Path, works: bool) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST), NatsServer(tmp_path / "nats") as server:
        place = server.url.removeprefix("nats://") if works else "127.0.0.1:1"
        arguments = ["--log-format", "text" if works else "json", "bridge", "out", "--ring", ring_name]
        url = f"nats://user:{CANARY}@{place}"

        def is_under_way(err: str) -> bool:
            return any((tmp_path / "nats").rglob("streams/*")) if works else "cannot connect" in err

        _, err, code = asyncio.run(run(arguments, tmp_path, is_under_way, ALPHAPULSE__BRIDGE_OUT__SERVER=url))
    assert code == 0, err
    assert ("cannot connect" in err) is not works


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (f"json://user:{CANARY}@127.0.0.1:1/{CANARY}", 1, "cannot be reached, or does not answer"),
        (f"tgram://{CANARY}", 2, "line 1: expected [TAGS=]URL of a service that apprise knows"),
    ],
)
def test_obs_at_debug_says_nothing_of_its_receivers_urls(tmp_path: Path, line: str, code: int, words: str) -> None:
    """`test_obs_notify.py` has the same for messages that are taken and refused while it serves."""
    (tmp_path / "place").mkdir()
    path = receivers_file(tmp_path, line)
    settings = {"ALPHAPULSE__OBS__NOTIFY_FILE": str(path)}
    out, err, found = asyncio.run(run(["obs", "--notify-test", "--json"], tmp_path / "place", **settings))
    assert (found, words in out + err) == (code, True), out + err
    assert "Traceback" not in err


def test_collector_as_a_library_under_a_root_logger_at_debug_says_no_key(
    ring_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever embeds it decides what is logged; the library's handshakes must not be among it."""
    warm_ring()
    warm_collector()

    async def collect() -> None:
        async with Servers() as servers, RecordingNode(speed=100.0) as node:
            options = CollectorOptions(
                chain=load_chain("polygon"),
                urls=(servers.url("401"), servers.url("close"), f"{node.ws_url}/v2/{CANARY}"),
                ring=ring_name,
                second_url=servers.url("refuse"),
                until_idle_s=4.0,
            )
            caplog.clear()
            await Collector(options).run()

    logging.getLogger("websockets.server").setLevel(logging.INFO)  # the test's own servers log what they are asked
    with caplog.at_level(logging.DEBUG):
        asyncio.run(collect())
    assert "cannot connect to 127.0.0.1: HTTP 401" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["collect", f"wss://polygon.example/v2/{CANARY}"],
        ["collect", "--url", f"wss://polygon.example:{CANARY}/"],
        ["collect", "--url", f"wss://[{CANARY}/"],
        ["collect", "--url", f"https://polygon.example/{CANARY}"],
        ["collect", "--cross-check", f"wss://:{CANARY}@/"],
        ["collect", "--filter", f"wss://polygon.example/v2/{CANARY}"],
        ["doctor", "--url", f"wss://polygon.example:{CANARY}/"],
        ["validate", f"wss://polygon.example/v2/{CANARY}"],
        ["trace", f"https://traces.example/{CANARY}"],
        ["trace", "1", "--otlp", f"wss://user:{CANARY}@traces.example/{CANARY}"],
        [f"wss://polygon.example/v2/{CANARY}"],
    ],
)
def test_command_line_with_a_url_in_the_wrong_place_is_not_repeated(arguments: list[str]) -> None:
    async def mistake() -> tuple[bytes, bytes, int | None]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command_line(arguments), env=child_environment({}), stdout=pipe, stderr=pipe
        )
        return (*await process.communicate(), process.returncode)

    out, err, code = asyncio.run(mistake())
    assert code == 2, err
    assert CANARY.encode() not in out + err
    assert b"Traceback" not in err
    assert sys.executable.encode() not in err
