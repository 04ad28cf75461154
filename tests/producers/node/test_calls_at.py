"""Calls about one block: how the block is named, what carries the questions, and which answers are void."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.node.call_program import CODE, Question
from producers.node.calls_at import ANOTHER_BLOCK, PLAIN_FOR_S, REFUSED_BY_HASH, About, Answer, CallsAt
from producers.node.capabilities import Capabilities
from producers.node.jsonrpc import Failure, JsonRpc
from producers.node.timers import Clock
from producers.node.view_calls import TOKEN0
from tlv.units import NS

BLOCK = About("0x" + "11" * 32, 7)
WORD = "0x" + "00" * 31 + "07"
Reply = Callable[[str, list[Any]], dict[str, Any]]


def head(block_hash: str) -> dict[str, Any]:
    return {"result": {"number": "0x7", "hash": block_hash, "parentHash": "0x" + "22" * 32, "timestamp": "0x1"}}


def error(message: str, code: int = -32000) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


class Endpoint:
    """CallsAt in front of a node that replies as told."""

    def __init__(self, reply: Reply, **capabilities: bool) -> None:
        self.clock = Clock()
        self.rpc = JsonRpc(self.clock)
        self.calls = CallsAt(self.clock, self.rpc, Capabilities(**capabilities))  # type: ignore[arg-type]
        self.asked: list[tuple[str, list[Any]]] = []
        self._reply = reply

    def ask(self, questions: int) -> list[Answer]:
        """Put so many questions; the answers that came."""
        found: list[list[Answer]] = []
        wanted = [Question("0x" + f"{index:040x}", TOKEN0) for index in range(questions)]
        self.calls.ask(BLOCK, wanted, found.append)
        while frames := self.rpc.outgoing():
            for frame in frames:
                request = msgspec.json.decode(frame)
                self.asked.append((request["method"], request["params"]))
                reply = self._reply(request["method"], request["params"])
                self.rpc.read(msgspec.json.encode({"id": request["id"], **reply}))
        assert len(found) == 1 and len(found[0]) == questions
        return found[0]

    @property
    def programs(self) -> int:
        return sum(method == "eth_call" and "to" not in params[0] for method, params in self.asked)


def running(method: str, params: list[Any]) -> dict[str, Any]:
    """A node that runs the program: 7 is everybody's answer."""
    if "to" in params[0]:
        return {"result": WORD}
    questions = (len(params[0]["data"]) - 2) // 64 - len(CODE) // 32
    return {"result": "0x" + f"{32 << 8 | 3:064x}{7:064x}" * questions}


def test_questions_worth_it_go_in_one_request_about_the_block() -> None:
    endpoint = Endpoint(running)
    assert endpoint.ask(100) == [WORD] * 100
    assert len(endpoint.asked) == endpoint.programs == 1
    assert endpoint.asked[0][1][1] == {"blockHash": BLOCK.hash}


def test_questions_that_exceed_an_answer_go_in_several_requests() -> None:
    endpoint = Endpoint(running)
    assert endpoint.ask(1000) == [WORD] * 1000
    assert endpoint.programs == 3


@pytest.mark.parametrize(
    "refusal",
    [
        error("execution reverted", 3),
        error("missing value for required argument 0", -32602),
        error("the method does not exist", -32601),
        {"result": "0x"},
        {"result": WORD},
    ],
)
def test_node_that_does_not_run_the_program_is_asked_plainly_for_a_while(refusal: dict[str, Any]) -> None:
    endpoint = Endpoint(lambda method, params: {"result": WORD} if "to" in params[0] else refusal)
    assert endpoint.ask(20) == endpoint.ask(20) == [WORD] * 20
    assert endpoint.programs == 1
    endpoint.clock.now_ns += int(PLAIN_FOR_S * NS) + 1
    assert endpoint.ask(20) == [WORD] * 20
    assert endpoint.programs == 2


def test_connection_that_breaks_over_the_program_is_asked_plainly_afterwards() -> None:
    endpoint, found = Endpoint(running), []
    endpoint.calls.ask(BLOCK, [Question("0x" + "ab" * 20, TOKEN0)] * 20, found.append)
    endpoint.rpc.outgoing()
    endpoint.rpc.abandon()
    endpoint.calls.reconnected()
    assert len(found) == 1
    assert endpoint.ask(20) == [WORD] * 20
    assert endpoint.programs == 0


@pytest.mark.parametrize("refusal", [error("out of gas"), error("max code size exceeded: range")])
def test_program_that_is_too_much_for_the_node_is_halved(refusal: dict[str, Any]) -> None:
    def reply(method: str, params: list[Any]) -> dict[str, Any]:
        large = endpoint.calls.runs_programs and len(params[0]["data"]) > 2 + 2 * len(CODE) + 64 * 30
        return refusal if large else running(method, params)

    endpoint = Endpoint(reply)
    endpoint.ask(20)
    assert endpoint.ask(100) == [WORD] * 100
    assert endpoint.programs == 1 + 1 + 2 + 4


def test_header_that_is_not_there_yet_does_not_end_the_use_of_programs() -> None:
    endpoint = Endpoint(
        lambda method, params: running(method, params) if endpoint.programs > 1 else error("header not found")
    )
    answers = {(answer.code, answer.message) for answer in endpoint.ask(20) if isinstance(answer, Failure)}
    assert answers == {(-32000, "header not found")}
    assert endpoint.ask(20) == [WORD] * 20
    assert endpoint.programs == 2


@pytest.mark.parametrize("said", [{"result": WORD}, error("execution reverted", 3)])
@pytest.mark.parametrize("there", [BLOCK.hash, "0x" + "33" * 32])
def test_answer_by_number_counts_only_if_the_number_is_of_that_block(said: dict[str, Any], there: str) -> None:
    endpoint = Endpoint(
        lambda method, _: head(there) if method == "eth_getBlockByNumber" else said, calls_by_hash=False
    )
    (answer,) = endpoint.ask(1)
    expected = said.get("result", Failure(3, "execution reverted", "eth_call"))
    assert answer == (expected if there == BLOCK.hash else ANOTHER_BLOCK)
    assert endpoint.asked[0][1][1] == hex(BLOCK.number)


@pytest.mark.parametrize("later", [{"result": None}, error("busy"), {"result": 7}])
def test_answer_by_number_without_the_hash_afterwards_is_void(later: dict[str, Any]) -> None:
    endpoint = Endpoint(
        lambda method, _: later if method == "eth_getBlockByNumber" else {"result": WORD}, calls_by_hash=False
    )
    assert not isinstance(endpoint.ask(1)[0], str)


def test_node_that_refuses_every_call_by_hash_is_asked_by_number_too() -> None:
    def reply(method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_getBlockByNumber":
            return head(BLOCK.hash)
        return {"result": WORD} if isinstance(params[1], str) else error("hex string expected: in its own words")

    endpoint = Endpoint(reply)
    answers = [endpoint.ask(1)[0] for _ in range(REFUSED_BY_HASH + 2)]
    assert WORD in answers


@pytest.mark.parametrize("words", ["header not found", "unknown block", "Block not found with hash"])
def test_block_that_a_backend_does_not_have_is_never_named_by_its_number(words: str) -> None:
    endpoint = Endpoint(lambda method, params: {"result": WORD} if isinstance(params[1], str) else error(words))
    assert WORD not in [endpoint.ask(1)[0] for _ in range(REFUSED_BY_HASH + 4)]
    assert all(isinstance(params[1], dict) for _, params in endpoint.asked)


def test_short_answer_of_the_program_is_an_answer_to_the_first_questions_only() -> None:
    one = f"{32 << 8 | 3:064x}{7:064x}"
    endpoint = Endpoint(lambda method, params: {"result": "0x" + one * 5})
    answers = endpoint.ask(20)
    assert answers[:5] == [WORD] * 5 and not any(isinstance(answer, str) for answer in answers[5:])


@pytest.mark.parametrize(("has_code", "answer"), [(1, ""), (0, "0x")])
def test_plain_answer_of_nothing_is_put_again_by_the_program_that_tells_whether_code_said_it(
    has_code: int, answer: str
) -> None:
    def reply(method: str, params: list[Any]) -> dict[str, Any]:
        return {"result": "0x" if "to" in params[0] else "0x" + f"{has_code << 1 | 1:064x}" + "00" * 32}

    endpoint = Endpoint(reply)
    assert endpoint.ask(3) == [answer] * 3
    assert len(endpoint.asked) == 6 and endpoint.programs == 3


def test_plain_answer_of_nothing_is_no_evidence_where_the_program_does_not_run() -> None:
    refusal = error("missing value for required argument 0", -32602)
    endpoint = Endpoint(lambda method, params: {"result": "0x"} if "to" in params[0] else refusal)
    assert endpoint.ask(2) == endpoint.ask(2) == ["0x"] * 2
    assert endpoint.programs <= 2


@pytest.mark.parametrize(("questions", "requests"), [(1, 1), (11, 11), (12, 1), (13, 1)])
def test_fewer_than_twelve_questions_are_put_one_by_one_before_the_program_ran(questions: int, requests: int) -> None:
    endpoint = Endpoint(running)
    assert endpoint.ask(questions) == [WORD] * questions
    assert len(endpoint.asked) == requests


@pytest.mark.parametrize(
    ("words", "understood_first"),
    [("missing trie node 41f0", False), ("pruned history unavailable", False), ("internal error", True)],
)
def test_node_that_understands_hashes_is_never_asked_by_number(words: str, understood_first: bool) -> None:
    """A number names a block of whatever branch the backend is on, and the header behind it may be another's."""
    answers = [{"result": WORD}] if understood_first else []
    endpoint = Endpoint(lambda method, params: answers.pop() if answers else error(words))
    for _ in range(3 * REFUSED_BY_HASH):
        endpoint.ask(1)
    assert all(isinstance(params[1], dict) for method, params in endpoint.asked if method == "eth_call")
