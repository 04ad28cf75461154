"""View calls about one block, in few requests, and answers that are of that block.

Owns how a block is named, which requests carry the questions, and what of an answer is evidence.  It must never judge
a contract, nor ask a second time what a node refused: whoever asked knows for how long that matters.

    questions --(the program runs here)--> one eth_call without `to` (`producers.node.call_program`), halved if too much
              --(it does not, or few)----> one eth_call each
    block     --(EIP-1898)--> by its hash         --(not known here)--> by its number; its hash is asked afterwards, and
                                                    where that is another the answer is void

Whether the program runs is found out with the first questions that are worth it.  Nodes that do not run it say so in
many words, and some may drop the connection: until it has run, a failure other than of the rate means plain calls, a
passing one at the third time.

A plain `0x` says nothing: code that returns nothing and a backend without the contract say so alike.  The program tells
them apart in one answer of one backend, so such a question is put by it once more; eth_getCode would be another answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from producers.node.call_program import (
    CODE,
    LARGEST_ANSWER,
    LARGEST_SENT,
    NOTHING,
    Question,
    call_data,
    read_answers,
    sent_size,
    size_of,
)
from producers.node.capabilities import Capabilities
from producers.node.jsonrpc import (
    DISCONNECTED,
    TIMED_OUT,
    Failure,
    JsonRpc,
    read_head,
    read_text,
)
from producers.node.refusals import Meaning
from producers.node.timers import Clock
from tlv.units import NS

Answer = str | Failure
"""Hex words; "" = code that returned nothing; a REVERT = code that refused; everything else is no evidence."""

WORTH_A_PROGRAM = 12
"""Questions; fewer are put one by one where it is not known whether the node runs programs."""
TIMEOUT_S = 20.0
PLAIN_FOR_S = 60.0
"""How long a node that did not run the program is asked plainly."""
REFUSED_BY_HASH = 8
"""Refusals without a word of evidence after which a block is named by its number, every other time."""
KNOWS_HASHES = re.compile(r"(?:block|header) (?:was )?not found|unknown (?:block|header)|out of range", re.IGNORECASE)
"""So a backend speaks that understood the hash, and does not have the block (yet): a number would name another one."""
ANOTHER_BLOCK = Failure(None, "the number is of another block")
NOT_REACHED = Failure(None, "the program ended before this question")
NO_PROGRAM = Failure(3, "the program did not run")
INVALID = (-32600, -32601, -32602)
MOST_DOUBTS = 3
SLOWER = (Meaning.RATE, Meaning.QUOTA)
SMALLER = (Meaning.SIZE, Meaning.RANGE, Meaning.REVERT)
"""The program never reverts by itself: it ran out of gas, or its answer is too long for a contract."""


class About(NamedTuple):
    """The block that is asked about."""

    hash: str
    number: int


class _Call(NamedTuple):
    """A request about a block on its way."""

    about: About
    method: str
    params: tuple[object, ...]
    """In front of the block."""
    names_contract: bool
    """Whether another contract than our program is asked, which may be done by number as well."""
    then: Callable[[Answer], None]
    timeout_s: float


class _Group:
    """Questions that were put together."""

    def __init__(self, about: About, questions: Sequence[Question]) -> None:
        self.about, self.questions = about, questions
        self.answers: list[Answer | None] = [None] * len(questions)
        self.left = len(questions)
        self.repeated: set[int] = set()
        """Questions that were answered `0x`, and put again by the program."""


Then = Callable[[list[Answer]], None]


class CallsAt:
    """The calls of one feed."""

    def __init__(self, clock: Clock, rpc: JsonRpc, capabilities: Capabilities) -> None:
        self._clock, self._rpc, self._capabilities = clock, rpc, capabilities
        self.runs_programs = False
        """Whether the program ran on this connection."""
        self._plain_until_ns = 0
        self._refused_by_hash = 0
        self._takes_hashes = False
        """A contract was called by a block's hash on this connection: numbers, which prove less, are not needed."""
        self._doubts = 0
        """Failures of the program that may have had another cause, since it was last given up."""

    def reconnected(self) -> None:
        """Another connection, perhaps another node."""
        self.runs_programs = self._takes_hashes = False
        self._refused_by_hash = 0

    def takes_programs(self, questions: int) -> bool:
        """Whether so many questions would go into one request."""
        return self._clock.now_ns >= self._plain_until_ns and (self.runs_programs or questions >= WORTH_A_PROGRAM)

    def ask(self, about: About, questions: Sequence[Question], then: Then) -> None:
        """Put the questions, at least one; `then` gets their answers, once, in their order."""
        group = _Group(about, questions)
        if self.takes_programs(len(questions)):
            for at in _pieces(questions):
                self._run(group, at, then)
        else:
            self._ask_plainly(group, range(len(questions)), then)

    def call(self, about: About, call: dict[str, str], then: Callable[[Answer], None], timeout_s: float = 10.0) -> None:
        """One eth_call about a block.  An answer of another block is a failure."""
        self._begin(_Call(about, "eth_call", (call,), "to" in call, then, timeout_s))

    def storage(self, about: About, address: str, slot: int, then: Callable[[Answer], None], timeout_s: float) -> None:
        """One eth_getStorageAt about a block, likewise."""
        self._begin(_Call(about, "eth_getStorageAt", (address, hex(slot)), True, then, timeout_s))

    def _begin(self, call: _Call) -> None:
        about = call.about
        where = self._capabilities.block_parameter(about.hash, about.number)
        if self._refused_by_hash >= REFUSED_BY_HASH and self._refused_by_hash % 2 == 0:
            where = hex(about.number)
        self._send(call, where)

    def _send(self, call: _Call, where: object) -> None:
        then = partial(self._take_by_number if isinstance(where, str) else self._take_by_hash, call)
        self._rpc.ask(call.method, [*call.params, where], then, timeout_s=call.timeout_s)

    def _take_by_hash(self, call: _Call, result: msgspec.Raw | None, failure: Failure | None) -> None:
        answer = failure or read_text(result)
        if is_evidence(answer):
            self._refused_by_hash, self._takes_hashes = 0, True
        elif isinstance(answer, Failure) and not self._takes_hashes:
            if answer.meaning is Meaning.UNSUPPORTED and call.names_contract:
                self._send(call, hex(call.about.number))
                return
            if answer is not DISCONNECTED and answer.meaning not in (*SLOWER, Meaning.PRUNED):
                self._refused_by_hash += not KNOWS_HASHES.search(answer.message)
        call.then(answer)

    def _take_by_number(self, call: _Call, result: msgspec.Raw | None, failure: Failure | None) -> None:
        answer = failure or read_text(result)
        if is_evidence(answer):
            check = partial(self._check, call, answer)
            self._rpc.ask("eth_getBlockByNumber", [hex(call.about.number), False], check)
        else:
            self._refused_by_hash += self._refused_by_hash > 0  # neither way helps: the other is due again
            call.then(answer)

    def _check(self, call: _Call, answer: Answer, result: msgspec.Raw | None, failure: Failure | None) -> None:
        head = read_head(result)
        same = head is not None and head.hash == call.about.hash
        call.then(failure or (answer if same else ANOTHER_BLOCK))

    # One by one

    def _ask_plainly(self, group: _Group, at: range, then: Then) -> None:
        for index in at:
            to, data, _ = group.questions[index]
            self.call(group.about, {"to": to, "data": data}, partial(self._take_one, group, index, then))

    def _take_one(self, group: _Group, index: int, then: Then, answer: Answer) -> None:
        if answer == NOTHING and index not in group.repeated and self._clock.now_ns >= self._plain_until_ns:
            group.repeated.add(index)
            self._run(group, range(index, index + 1), then)
        else:
            self._settle(group, range(index, index + 1), then, [answer])

    def _settle(self, group: _Group, at: range, then: Then, answers: Sequence[Answer]) -> None:
        for index, answer in zip(at, answers, strict=True):
            group.answers[index] = answer
        group.left -= len(at)
        if group.left == 0:
            then([answer for answer in group.answers if answer is not None])

    # All at once

    def _run(self, group: _Group, at: range, then: Then) -> None:
        data = call_data(group.questions[at.start : at.stop])
        take = partial(self._take_program, group, at, then)
        self.call(group.about, {"data": data}, take, timeout_s=TIMEOUT_S)

    def _take_program(self, group: _Group, at: range, then: Then, answer: Answer) -> None:
        questions = group.questions[at.start : at.stop]
        found = read_answers(answer, questions) if isinstance(answer, str) else None
        if found is not None:
            self.runs_programs = True
            self._settle(group, at, then, [*found, *[NOT_REACHED] * (len(at) - len(found))])
            return
        failure = answer if isinstance(answer, Failure) else NO_PROGRAM
        if failure is DISCONNECTED or failure.meaning in SLOWER:
            if failure is DISCONNECTED and not self.runs_programs:
                self._distrust()
            self._settle(group, at, then, [failure] * len(at))
        elif not self.runs_programs:
            self._doubts += 1
            if failure.meaning is Meaning.TRANSIENT and failure.code not in INVALID and self._doubts < MOST_DOUBTS:
                self._settle(group, at, then, [failure] * len(at))
                return
            self._distrust()
            self._ask_plainly(group, at, then)
        elif failure is not TIMED_OUT and failure.meaning not in SMALLER:
            self._settle(group, at, then, [failure] * len(at))
        elif len(at) > 1:
            middle = (at.start + at.stop) // 2
            self._run(group, range(at.start, middle), then)
            self._run(group, range(middle, at.stop), then)
        else:
            self._ask_plainly(group, at, then)

    def _distrust(self) -> None:
        self._doubts = 0
        self._plain_until_ns = self._clock.now_ns + int(PLAIN_FOR_S * NS)


def _pieces(questions: Sequence[Question]) -> list[range]:
    """So that each, and the longest answer to it, fits."""
    pieces, start, size, sent = [], 0, 0, len(CODE)
    for index, question in enumerate(questions):
        if size + size_of(question) > LARGEST_ANSWER or sent + sent_size(question) > LARGEST_SENT:
            pieces.append(range(start, index))
            start, size, sent = index, 0, len(CODE)
        size += size_of(question)
        sent += sent_size(question)
    return [*pieces, range(start, len(questions))]


def is_evidence(answer: Answer) -> bool:
    """Whether a contract said this."""
    return isinstance(answer, str) or answer.meaning is Meaning.REVERT
