"""What an endpoint can do, found out by few questions; and what is not shown is not held against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.node.capabilities import Capabilities
from producers.node.jsonrpc import JsonRpc
from producers.node.probing import TRIES, TRIES_OF_UNKNOWN, Probing
from producers.node.rpc_types import Head
from producers.node.timers import Clock, Timers

SECOND = 1_000_000_000
Answer = Callable[[str, list[Any]], Any]
NOT_FOUND = {"code": -32000, "message": "header not found"}
NO_OBJECTS = {
    "code": -32602,
    "message": "invalid argument 1: json: cannot unmarshal object into Go value of type string",
}
ADDRESS_NEEDED = {"code": -32701, "message": "Please specify an address in your request"}
WORD = "0x" + "12".rjust(64, "0")


def probed(answer: Answer, seconds: int = 20) -> tuple[Capabilities, list[tuple[str, Any]]]:
    """What is known after so long, with a head every second, and what was asked."""
    clock = Clock()
    rpc, timers, capabilities = JsonRpc(clock), Timers(clock), Capabilities()
    probing = Probing(rpc, timers, capabilities, "0x" + "0d" * 20)
    asked: list[tuple[str, Any]] = []
    probing.connected()
    for number in range(seconds):
        probing.saw(head_of(number))
        while frames := rpc.outgoing():
            for frame in frames:
                request = msgspec.json.decode(frame)
                asked.append((request["method"], request["params"][-1] if request["params"] else None))
                said = answer(request["method"], request["params"])
                if said is not None:
                    said = {"error": said} if isinstance(said, dict) and "code" in said else {"result": said}
                    rpc.read(msgspec.json.encode({"id": request["id"], **said}))
        clock.now_ns += SECOND
        rpc.expire()
        timers.run()
    return capabilities, asked


def head_of(number: int, branch: int = 0) -> Head:
    parent = f"0x{branch:02x}{number - 1:062x}" if number else "0x" + "00" * 32
    return Head(hex(number), f"0x{branch:02x}{number:062x}", parent)


def able(method: str, params: list[Any]) -> Any:
    if method == "eth_getBlockByNumber":
        return spelt(head_of(int(params[0], 16)))
    return {"web3_clientVersion": "Geth/v1.16.0", "eth_call": WORD, "eth_getLogs": []}[method]


def spelt(head: Head) -> dict[str, str]:
    return {"number": head.number, "hash": head.hash, "parentHash": head.parent_hash, "timestamp": "0x1"}


def by_number_only(refusal: dict[str, Any]) -> Answer:
    def answer(method: str, params: list[Any]) -> Any:
        return refusal if method == "eth_call" and isinstance(params[1], dict) else able(method, params)

    return answer


def test_able_endpoint_is_asked_three_questions_and_found_able() -> None:
    known, asked = probed(able)
    assert known == Capabilities()
    assert known.shortcomings == []
    assert [method for method, _ in asked] == ["web3_clientVersion", "eth_call", "eth_getLogs"]


@pytest.mark.parametrize("refusal", [NO_OBJECTS, NOT_FOUND], ids=["as a form", "as unknown, like Ganache 7"])
def test_endpoint_without_block_hashes_in_calls_is_found_out(refusal: dict[str, Any]) -> None:
    known, asked = probed(by_number_only(refusal))
    assert not known.calls_by_hash
    assert known.block_parameter("0x1", 7) == "0x7"
    assert sum(method == "eth_call" for method, _ in asked) <= TRIES_OF_UNKNOWN + 1
    assert len(known.shortcomings) == 1


def test_endpoint_whose_block_left_the_chain_is_asked_about_a_newer_one() -> None:
    def answer(method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber":
            return spelt(head_of(int(params[0], 16), branch=1))
        is_first = method == "eth_call" and params[1] == {"blockHash": head_of(0).hash}
        return NOT_FOUND if is_first else able(method, params)

    known, asked = probed(answer)
    assert known == Capabilities()
    assert {"blockHash": head_of(0).hash} in [last for _, last in asked]
    assert asked[-1][0] == "eth_call" and asked[-1][1] != {"blockHash": head_of(0).hash}


def test_endpoint_that_lags_for_a_moment_is_found_able() -> None:
    left = [NOT_FOUND] * (TRIES - 1)
    known, _ = probed(lambda method, params: left.pop() if method == "eth_call" and left else able(method, params))
    assert known.calls_by_hash


@pytest.mark.parametrize("said", [NOT_FOUND, None], ids=["refuses everything", "is silent"])
def test_endpoint_that_answers_nothing_shows_nothing_and_is_asked_little(said: Any) -> None:
    known, asked = probed(lambda method, params: said, seconds=60)
    assert known == Capabilities()
    assert len(asked) <= 3 + TRIES_OF_UNKNOWN


def test_endpoint_that_dies_of_block_hashes_is_not_asked_by_one() -> None:
    name = "EthereumJS TestRPC/v2.13.2/ethereum-js"
    known, asked = probed(lambda method, params: name if method == "web3_clientVersion" else able(method, params))
    assert not known.calls_by_hash
    assert all(not isinstance(last, dict) for method, last in asked if method == "eth_call")


def test_endpoint_that_needs_addresses_is_found_out() -> None:
    known, _ = probed(lambda method, params: ADDRESS_NEEDED if method == "eth_getLogs" else able(method, params))
    assert not known.logs_without_address
    assert known.calls_by_hash


def test_another_connection_forgets_what_the_last_one_could_not() -> None:
    known = Capabilities(calls_by_hash=False, logs_by_hash=False, logs_without_address=False)
    assert len(known.shortcomings) == 3
    known.forget()
    assert known == Capabilities()
