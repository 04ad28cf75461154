"""Asking a real node with `await`, and naming an endpoint without its key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from producers.node.errors import EndpointError
from producers.node.jsonrpc import HEAD, TEXT, Notice
from producers.node.redaction import without_secrets
from tlv.errors import UsageError
from tools.command.endpoint_options import checked_http, checked_websocket, http_url_of
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as running:
        yield running


def test_endpoint_answers_come_to_whoever_asked(node: Node) -> None:
    async def ask() -> list[str]:
        async with Endpoint(node.url) as endpoint:
            questions = [endpoint.ask_for(TEXT, name) for name in ("eth_chainId", "eth_blockNumber", "eth_chainId")]
            return await asyncio.gather(*questions)

    assert asyncio.run(ask()) == ["0x89", "0x0", "0x89"]


def test_endpoint_refusal_has_the_nodes_words(node: Node) -> None:
    async def ask() -> None:
        async with Endpoint(node.url) as endpoint:
            await endpoint.ask("eth_nonsense")

    with pytest.raises(Unanswered, match=r"eth_nonsense: .+") as caught:
        asyncio.run(ask())
    assert caught.value.failure.code is not None


def test_endpoint_answer_of_another_form_is_told(node: Node) -> None:
    async def ask() -> None:
        async with Endpoint(node.url) as endpoint:
            await endpoint.ask_for(HEAD, "eth_chainId")

    with pytest.raises(UnexpectedAnswer, match="eth_chainId"):
        asyncio.run(ask())


def test_endpoint_listener_hears_every_head(node: Node) -> None:
    heard: list[Notice] = []

    async def listen() -> None:
        async with Endpoint(node.url, heard.append) as endpoint:
            await endpoint.ask("eth_subscribe", "newHeads")
            await endpoint.ask("anvil_mine", "0x3")
            async with asyncio.timeout(10):
                while len(heard) < 3:
                    await asyncio.sleep(0.01)

    asyncio.run(listen())
    numbers = [int(HEAD.decode(notice.result).number, 16) for notice in heard]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3


def test_endpoint_lost_while_asking_ends_the_question(node: Node) -> None:
    async def lose() -> bool:
        async with WsRelay(node.url) as relay, Endpoint(relay.url) as endpoint:
            await endpoint.ask("eth_chainId")
            relay.stall(True)
            question = asyncio.create_task(endpoint.ask("eth_chainId"))
            await asyncio.sleep(0.1)
            await relay.close_all(1001)
            with pytest.raises(Unanswered, match="the connection was lost"):
                await question
            with pytest.raises(Unanswered, match="the connection was lost"):
                await endpoint.ask("eth_chainId")
            relay.stall(False)
            return endpoint.lost

    assert asyncio.run(lose())


def test_endpoint_that_cannot_be_reached_is_named_by_its_host() -> None:
    async def connect() -> None:
        async with Endpoint(f"ws://user:{KEY}@127.0.0.1:1/v2/{KEY}?token={KEY}"):
            pass

    with pytest.raises(EndpointError, match=r"cannot connect to 127\.0\.0\.1: ") as caught:
        asyncio.run(connect())
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"wss://h/v2/{KEY}", f"wss://h/?key={KEY}", f"wss://me:{KEY}@h", f"wss://{KEY}@h", f"wss://h/#{KEY}"]
)
def test_endpoint_key_is_hidden_wherever_it_stands(url: str) -> None:
    assert without_secrets(f"invalid key {KEY} for rpc", url) == "invalid key [hidden] for rpc"


@pytest.mark.parametrize(
    "url", ["", "http://h", f"ws:///{KEY}", f"ws://h:{KEY}", "ws://h:0", "ws://h:70000", f"ws://[{KEY}", "h:8546"]
)
def test_endpoint_url_that_cannot_work_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(UsageError, match="expected a ws:// or wss:// URL with a host") as caught:
        checked_websocket(url)
    assert KEY not in str(caught.value)


def test_endpoint_http_form_keeps_everything_but_the_scheme() -> None:
    assert http_url_of(f"wss://h:8546/v2/{KEY}?a=b") == f"https://h:8546/v2/{KEY}?a=b"
    assert checked_http(http_url_of("ws://h")) == "http://h"
