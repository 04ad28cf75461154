"""An emitter under verification, answered until its kinds' proofs come to an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from eth_abi.abi import encode

from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, Factory, load_chain
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.emitter_key import key_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.proving import Refuted
from producers.node.call_program import REVERTED, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from producers.node.view_calls import selector
from producers.pools.inquiry import Inquiry

BLOCK: Any = object.__new__(Block)
MOST_ROUNDS = 12


def chain_of(*factories: Factory) -> ChainConfig:
    """Polygon with these factories alone."""
    return msgspec.structs.replace(load_chain("polygon"), factories=factories)


def factory_of(protocol: str, address: str, **more: Any) -> Factory:
    """A factory, or hub, of a kind."""
    return Factory("polygon.uniswap_v3", protocol, address, **more)


def inquire(chain: ChainConfig, log: Log, answer: Callable[[Question], Answer]) -> Inquiry:
    """The inquiry into a log's emitter, over."""
    event = EVENT_OF_TOPIC[log.topics[0] or ""]
    inquiry = Inquiry(chain, key_of(log), event.protocols)
    inquiry.hear(log)
    for _ in range(MOST_ROUNDS):
        questions = inquiry.open_questions()
        if not questions:
            return inquiry
        for question in questions:
            inquiry.take(question, answer(question), BLOCK)
    return inquiry


def proven(chain: ChainConfig, log: Log, answer: Callable[[Question], Answer]) -> VerifiedEmitter:
    """The row of a log's pool, which must be proven."""
    pool = inquire(chain, log, answer).pool
    assert pool is not None
    return pool


def refuted(chain: ChainConfig, log: Log, answer: Callable[[Question], Answer]) -> Refuted:
    """What is proven against it, as something must be."""
    inquiry = inquire(chain, log, answer)
    against = inquiry.against()
    assert inquiry.pool is None and against is not None
    return against


class Said:
    """Contracts that answer by a table: of each address, function and arguments the ABI types and values."""

    def __init__(self, table: Mapping[tuple[str, str], Any]) -> None:
        self._answers = {(to, call_of(call)): answer for (to, call), answer in table.items()}
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Answer:
        """The answer; whatever is not in the table reverts."""
        self.asked.append(question)
        found = self._answers.get((question.to, question.data))
        if found is None:
            return REVERTED
        return found if isinstance(found, str) else f"0x{encode(*found).hex()}"


def call_of(call: Any) -> str:
    """Call data of `("name(types)", argument, ...)`, or of a function without arguments."""
    signature, *arguments = (call,) if isinstance(call, str) else call
    types = signature[signature.index("(") + 1 : -1].split(",") if arguments else []
    return selector(signature) + encode(types, arguments).hex()


def address(number: int) -> str:
    """A made-up address."""
    return f"0x{number:040x}"
