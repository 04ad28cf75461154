"""`alphapulse obs`: serve what the pipeline on this machine does, as metrics, health and JSON.

Owns the command line, the socket and the server's life.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from tlv.errors import UsageError
from tools.command.say import say
from tools.command.service import tell_while_it_turns

PORT = 9464
"""Of those that Prometheus' exporters list, one that is theirs for OpenTelemetry and rarely taken."""
MOST_AT_ONCE = 64
CLOSING_S = 1
SHORTEST_TOKEN = 16


@click.command("obs", epilog="Example:  alphapulse obs --ring market.polygon")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; another needs a token.")
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: one that the kernel chooses."
)
@click.option(
    "--ring", "rings", multiple=True, help="Ring that must be there; repeatable.  [default: look at every ring]"
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="Name under which we may be asked; repeatable."
)
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help="Page that may ask; repeatable.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the token that every request must carry (Authorization: Bearer ...).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the ready line as JSON.")
def command(
    host: str,
    port: int,
    rings: tuple[str, ...],
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    token_file: Path | None,
    as_json: bool,
) -> int:
    """Serve /metrics, /healthz, /readyz and /api over HTTP, read-only, until Ctrl-C.

    It reads rings and counters and changes nothing; rings may come, go and be made anew.  It listens at loopback. At
    another address it wants a token, and the names under which it may be asked.
    """
    token = read_token(token_file) if token_file else ""
    if not is_loopback(host) and not token:
        raise UsageError(f"--host {host}: expected --token-file too: that address can be reached from other machines")
    try:
        import uvicorn

        from tools.obs.app import make_app
        from tools.obs.guard import LOOPBACK, Guard
    except ModuleNotFoundError as error:
        if error.name not in {"uvicorn", "starlette", "prometheus_client"}:
            raise
        raise UsageError("obs needs the extra `obs`: pip install 'alphapulse[obs]'") from None
    from tools.obs.look import Looking

    for name in rings:
        check_ring(name)
    with contextlib.closing(Looking(rings)) as looking, listen(host, port) as listening:
        where = listening.getsockname()
        named = f"[{where[0]}]" if ":" in where[0] else where[0]
        guard = Guard(make_app(looking), (*LOOPBACK, named, host, *hosts), origins, token)
        config: Any = uvicorn.Config(
            guard,
            access_log=False,
            log_config=None,
            lifespan="off",
            limit_concurrency=MOST_AT_ONCE,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_S,
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # ours, not uvicorn's

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        url = f"http://{named}:{where[1]}"
        say({"ready": True, "url": url}, f"serving {url}/metrics, /healthz, /readyz and /api", as_json)
        asyncio.run(serve(server, listening))
    return 0


async def serve(server: Any, listening: socket.socket) -> None:
    """Serve, and tell systemd that the loop turns."""
    telling = asyncio.create_task(tell_while_it_turns())
    try:
        await server.serve(sockets=[listening])
    finally:
        telling.cancel()


def check_ring(name: str) -> None:
    """Refuse what no ring can be called."""
    from ringbuf.names import check_name as check

    check(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """The token in a file that nobody else may read.

    Raises:
        UsageError: saying what is wrong, and never what the file holds.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if mode & 0o077:
        raise UsageError(f"--token-file {path}: expected mode 0600, found {mode & 0o777:04o}")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        expected = f"one line of {SHORTEST_TOKEN} printable characters or more"
        raise UsageError(f"--token-file {path}: expected {expected}, found {len(token)}")
    return token


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there.

    Raises:
        UsageError: the address is none of this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror or error}") from None
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(128)
        except OSError as error:
            raise UsageError(f"--host {host} --port {port}: {error.strerror}; --port 0 takes a free one") from None
        yield listening


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "obs")
