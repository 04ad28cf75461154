"""What pools hold, asked from the node: events alone show it only when the next one comes.

Owns the questions and who is due to be asked about.  A factory that says its pools' fees is asked for that one along
with the state.  It must never decide when readers need to know: pools become due
when they are introduced, when readers were told to forget, and when somebody wants it.

    due --(the newest complete block)--> what its kind asks (V2: getReserves), at that block's hash --> PoolState

The question is about one block (`producers.node.calls_at`), so the answer is the state after that block's last event,
and nothing else.  What is refused, or answered by nothing, is asked again, as of the block that is newest then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from producers.blocks.block import Block
from producers.context import Context
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.kind import StateAnswer
from producers.kinds.pair_proof import fee_in, fee_question
from producers.kinds.registry import kind_of
from producers.node.call_program import Question
from producers.node.calls_at import About, Answer
from producers.node.jsonrpc import Failure
from producers.node.refusals import Meaning
from producers.node.view_calls import read_words, selector
from producers.output.introductions import Introductions
from producers.pools.inquiry import speaks
from producers.pools.pauses import Pauses
from tlv.codes import Curve

MAX_AT_ONCE = 8
"""Requests in flight; a public node has other things to do, and so have we."""
MAX_TOGETHER = 40
"""Pools in one, where the node runs a program: two answers of eight words each fill what it may return."""
STATE_WORDS = 8
NEVER = (Meaning.PRUNED, Meaning.POLICY)
"""A node that says so of its newest block has no states: readers wait for the next event."""
PAUSES_S = (0.1, 10.0)
"""After an answer that says nothing: a backend that does not have the block yet, or wants to be asked less."""


class Due(NamedTuple):
    """A pool whose state is wanted."""

    row: int
    since_block: int
    """The lowest block number whose state is of use."""


class Snapshots:
    """PoolState with reserves or price, for the pools that are due."""

    def __init__(self, context: Context, introductions: Introductions, is_canonical: Callable[[Block], bool]) -> None:
        self._clock, self._timers, self._calls = context.clock, context.timers, context.calls
        self._asked_factories = context.chain.factories_with_fee_call
        self._introductions, self._is_canonical = introductions, is_canonical
        self.due: deque[Due] = deque()
        """With 100,000 of them `want_all` and `pump` still cost nothing that an event would notice."""
        self._fees_told: dict[int, int] = {}
        """Row, and the block number of the fees that readers have, where these are part of the state: events change
        them, and readers do not keep those before."""
        self._asking = 0
        """Requests, or groups of them."""
        self._pauses = Pauses(*PAUSES_S)

    def want(self, row: int, since_block: int) -> None:
        """Tell the state of one pool, as of `since_block` or later."""
        self.due.append(Due(row, since_block))

    def want_all(self, since_block: int) -> None:
        """Tell the state of every pool that readers have heard of, as of `since_block` or later."""
        self.due.clear()
        self.due.extend(Due(row, since_block) for row in self._introductions.known)

    def reorganise(self, lowest: int) -> None:
        """Blocks from `lowest` on left the chain, and with them the fees as of these: ask again."""
        for row, number in list(self._fees_told.items()):
            if number >= lowest:
                del self._fees_told[row]
                self.want(row, 0)

    def pump(self, block: Block) -> None:
        """Ask about what is due, as of `block`, which is complete."""
        while self._asking < MAX_AT_ONCE:
            together = MAX_TOGETHER if self._calls.takes_programs(2 * len(self.due)) else 1
            due = list(self._take_due(together, block.number))
            if not due:
                return
            self._ask(due, block)

    def _take_due(self, most: int, number: int) -> Iterator[Due]:
        """The first that are due as of a block."""
        while self.due and most > 0 and self.due[0].since_block <= number:
            most -= 1
            yield self.due.popleft()

    def _ask(self, due: list[Due], block: Block) -> None:
        asked = [(one, questions) for one in due if (questions := self._questions(self._introductions.pool(one.row)))]
        if asked:
            self._asking += 1
            about = About(block.hash, block.number)
            questions = [question for _, some in asked for question in some]
            self._calls.ask(about, questions, partial(self._take, asked, block))

    def _questions(self, pool: VerifiedEmitter) -> list[Question]:
        """What is asked about a pool: its state, and then its factory for its fee where that says it."""
        questions, factory = state_questions(pool), self._asked_factories.get(pool.factory)
        if questions and factory is not None:
            questions.append(fee_question(factory, f"0x{pool.pool.hex()}", pool.curve > Curve.VOLATILE))
        return questions

    def _take(self, asked: list[tuple[Due, list[Question]]], block: Block, answers: list[Answer]) -> None:
        self._asking -= 1
        at, refused = 0, []
        for due, questions in asked:
            said, at = answers[at : at + len(questions)], at + len(questions)
            if any(isinstance(answer, Failure) and answer.meaning in NEVER for answer in said):
                continue
            if self._is_canonical(block) and all(map(speaks, said)):
                self._tell(due.row, block, said)
            else:
                refused.append(due)
        if refused:
            self._pauses.failed(self._clock.now_ns)
            self._timers.after(self._pauses.due_ns - self._clock.now_ns, partial(self.due.extend, refused))
        else:
            self._pauses = Pauses(*PAUSES_S)

    def _tell(self, row: int, block: Block, answers: list[Answer]) -> None:
        pool = self._introductions.pool(row)
        asked = len(state_questions(pool))
        state = read_state(pool, [said for said in answers[:asked] if isinstance(said, str)])
        if len(answers) > asked:
            self._introductions.set_fee(row, fee_in(self._asked_factories[pool.factory], answers[asked]))
        if state is not None:
            self._introductions.put(row, state._replace(block_number=block.number))
            if state.fees is not None:
                self._fees_told[row] = block.number


def state_questions(pool: VerifiedEmitter) -> list[Question]:
    """What is asked about a pool of this kind; nothing if the kind says no way, or is none of this process."""
    kind = kind_of(pool.protocol)
    if kind is None or kind.state is None:
        return []
    if kind.state.questions is not None:
        return kind.state.questions(pool.factory, pool.pool)
    return [Question(f"0x{pool.pool.hex()}", call, STATE_WORDS) for call in map(selector, kind.state.functions)]


def read_state(pool: VerifiedEmitter, answers: list[str]) -> StateAnswer | None:
    """The state that the answers to `state_questions` tell; None if one is missing or cannot be."""
    kind = kind_of(pool.protocol)
    if kind is None or kind.state is None or len(answers) != len(state_questions(pool)):
        return None
    return kind.state.read([read_words(answer) for answer in answers])
