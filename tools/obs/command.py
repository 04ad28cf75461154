"""`alphapulse obs`: serve what the pipeline on this machine does, as metrics, health and JSON.

Owns the command line, the socket and the server's life.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tlv.errors import UsageError
from tools.command.config_option import config_option
from tools.command.given import refuse_without_effect
from tools.command.needs import needs
from tools.command.say import say
from tools.command.service import tell_while_it_turns
from tools.obs.private_file import read_private

if TYPE_CHECKING:
    from tools.dashboard.live import LiveDashboard
    from tools.dashboard.past import Past
    from tools.obs.look import Looking
    from tools.obs.notify import Notifying

PORT = 9464
"""Of those that Prometheus' exporters list, one that is theirs for OpenTelemetry and rarely taken."""
TAKES_NOTHING_S = 10
"""A connection whose other end takes nothing for so long is dropped by the kernel, with what is unsent."""
SHORTEST_TOKEN = 16


@click.command("obs", epilog="Example:  alphapulse obs --ring market.polygon")
@config_option(required=False, handed_over=False)
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
    help="File of the token that every request for data must carry (Authorization: Bearer ...).",
)
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a journal that the dashboard can travel in; repeatable.",
)
@click.option(
    "--notify-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of receivers to tell of what is wrong, an apprise URL a line.  [default: tell nobody]",
)
@click.option(
    "--notify-after",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.0, 86400.0),
    metavar="SECONDS",
    help="How long a condition must be unmet, or met again, before it is told.",
)
@click.option("--notify-test", is_flag=True, help="Send one message through every receiver, say what came of it, end.")
@click.option("--json", "as_json", is_flag=True, help="Print the ready line, or what came of a test, as JSON.")
@needs("uvicorn", "starlette", "prometheus_client")
@needs("apprise", option="--notify-file")
def command(
    host: str,
    port: int,
    rings: tuple[str, ...],
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    token_file: Path | None,
    journals: tuple[Path, ...],
    notify_file: Path | None,
    notify_after: float,
    notify_test: bool,
    as_json: bool,
) -> int:
    """Serve the dashboard, /metrics, /healthz, /readyz and /api over HTTP, read-only, until Ctrl-C.

    It reads rings and counters and changes nothing; rings may come, go and be made anew.  It listens at loopback. At
    another address it wants a token, and the names under which it may be asked.  With --notify-file it tells of what
    begins and ends to be wrong, through whatever service apprise knows.
    """
    if notify_file is None:
        refuse_without_effect("without --notify-file", "--notify-after", "--notify-test")
    else:
        from tools.obs.notify import Notifying, send_test
        from tools.obs.receivers import read_receivers

        receivers = read_receivers(notify_file)
        if notify_test:
            return send_test(receivers, as_json)
    token = read_token(token_file) if token_file else ""
    if not is_loopback(host) and not token:
        raise UsageError(f"--host {host}: expected --token-file too: that address can be reached from other machines")
    from tools.dashboard.live import LiveDashboard
    from tools.dashboard.page import Page
    from tools.dashboard.past import Past
    from tools.dashboard.routes import dashboard_routes
    from tools.obs.app import make_app
    from tools.obs.guard import LOOPBACK, Guard
    from tools.obs.look import Looking
    from tools.obs.serving import server_of

    for name in rings:
        check_ring(name)
    page = Page()
    live = LiveDashboard(page.build)
    with contextlib.ExitStack() as opened:
        past = opened.enter_context(contextlib.closing(Past(journals, page.build, live.pool)))
        live.journals = past.journals
        looking = opened.enter_context(contextlib.closing(Looking(rings, live)))
        notifying = None
        if notify_file is not None:
            notifying = opened.enter_context(contextlib.closing(Notifying(looking, receivers, notify_after)))
        listening = opened.enter_context(listen(host, port))
        where = listening.getsockname()
        named = f"[{where[0]}]" if ":" in where[0] else where[0]
        routes = dashboard_routes(page, live, past)
        app = make_app(looking, notifying.stats if notifying else list, routes, past.directories)
        guard = Guard(app, (*LOOPBACK, named, host, *hosts), origins, token)
        server = server_of(guard)

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        # What was imported is no garbage: looking for some in it stops everything for 70 ms.
        gc.freeze()
        past.start()
        url = f"http://{named}:{where[1]}"
        say({"ready": True, "url": url}, f"dashboard at {url}/  (also /metrics, /healthz, /readyz, /api)", as_json)
        asyncio.run(serve(server, listening, looking, live, past, notifying))
    return 0


async def serve(
    server: Any,
    listening: socket.socket,
    looking: Looking,
    live: LiveDashboard,
    past: Past,
    notifying: Notifying | None,
) -> None:
    """Serve, tell systemd that the loop turns, pages what is new, and receivers what is wrong."""
    tasks = [asyncio.create_task(tell_while_it_turns()), asyncio.create_task(live.run(looking.look, looking.read))]
    if notifying is not None:
        tasks.append(asyncio.create_task(notifying.watch()))
    for task in tasks[1:]:
        # It ends by a defect only; then all ends, rather than that nobody is told any more.
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
    shut_down = server.shutdown

    async def shutdown(sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(live.end(), past.end())
        await shut_down(sockets)

    server.shutdown = shutdown
    try:
        await server.serve(sockets=[listening])
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()


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
    token = read_private("--token-file", path).strip()
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
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * TAKES_NOTHING_S)
        try:
            listening.bind(address)
            listening.listen(128)
        except OSError as error:
            raise UsageError(f"--host {host} --port {port}: {error.strerror}; --port 0 takes a free one") from None
        yield listening


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "obs")
