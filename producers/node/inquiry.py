"""One short conversation with an endpoint that is not in use: which chain it serves, and its newest block.

Owns a connection for as long as that takes.  What follows from the answers is decided in `producers.node.endpoints` and
`producers.node.health`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed

from producers.node.connection import UNREACHABLE, open_connection, refusal_of, words_of_close
from producers.node.hex import HexError, read_quantity
from producers.node.jsonrpc import TEXT, UNREADABLE, Failure, JsonRpc
from producers.node.redaction import printable

LARGEST_ANSWER = 1 << 16
QUESTIONS = ("eth_chainId", "eth_blockNumber")


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What an endpoint said."""

    chain_id: int | None = None
    newest: int | None = None
    trouble: str = ""
    """Why it did not say both, without secrets."""


async def inquire(url: str, timeout_s: float) -> EndpointAnswer:
    """Ask, and be back within `timeout_s`; an endpoint that cannot be asked is an answer, too."""
    found: dict[str, int] = {}
    troubles: list[str] = []
    rpc, answered = JsonRpc(), asyncio.Event()

    def note(method: str, result: msgspec.Raw | None, failure: Failure | None) -> None:
        try:
            if failure is not None:
                troubles.append(f"{method}: {failure.message[:200]}")
            else:
                found[method] = read_quantity(TEXT.decode(result or b""))
        except (*UNREADABLE, HexError):
            troubles.append(f"{method} was answered without a number")
        if len(found) + len(troubles) == len(QUESTIONS):
            answered.set()

    def asked(method: str) -> Any:
        return lambda result, failure: note(method, result, failure)

    for method in QUESTIONS:
        rpc.ask(method, [], asked(method))
    try:
        async with asyncio.timeout(timeout_s):
            connection = await open_connection(
                url, lambda frames: take(rpc, frames), timeout_s=timeout_s, max_message=LARGEST_ANSWER
            )
            try:
                for request in rpc.outgoing():
                    await connection.send(request, text=True)
                closed = asyncio.create_task(connection.wait_closed())
                waiting = asyncio.create_task(answered.wait())
                await asyncio.wait((closed, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if not answered.is_set():
                    troubles.append(words_of_close(connection)[1])
            finally:
                connection.transport.abort()
    except TimeoutError:
        troubles.append(f"no answer within {timeout_s:g} s")
    except UNREACHABLE as error:
        troubles.append(refusal_of(error)[1])
    except (ConnectionError, ConnectionClosed):
        troubles.append("the connection broke")
    return EndpointAnswer(
        found.get("eth_chainId"), found.get("eth_blockNumber"), printable("; ".join(troubles), url) if troubles else ""
    )


def take(rpc: JsonRpc, frames: list[bytes]) -> None:
    """Everything that the socket held."""
    for frame in frames:
        rpc.read(frame)
