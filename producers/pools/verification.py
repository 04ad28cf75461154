"""Rounds of questions about many emitters at once.

Owns the way from open questions to answers that were taken.  It must never decide who is asked, nor when again; what an
answer means is `producers.pools.inquiry`'s, how it comes `producers.node.calls_at`'s.

    emitters, a block --their open questions, each once--> CallsAt --answers--> inquiries, tokens --> what each gained
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from producers.blocks.block import Block
from producers.context import Context
from producers.node.call_program import Question
from producers.node.calls_at import About, Answer
from producers.node.jsonrpc import Failure
from producers.node.refusals import Meaning
from producers.pools.inquiry import Inquiry, Token, Tokens

MOST_TOGETHER = 90
"""Emitters in one round where one request carries it: four questions each are what an answer holds."""
MOST_ALONE = 32
"""Questions under way where each is a request: half of what may be in flight, so blocks go on.  Pools share tokens, so
these are of 8 emitters at least, and of 32 where most tokens are known."""
MOST_ROUNDS = 4
"""Rounds in flight where one request carries each."""
USUAL_QUESTIONS = 3


class Gain(NamedTuple):
    """What a round brought for one emitter."""

    progress: bool
    """An answer said something of it, or of its tokens."""
    pruned: bool
    """The state of that block is gone, says the node to everything."""


Then = Callable[[list[Gain]], None]


@dataclass(eq=False)
class _Round:
    """Questions on their way."""

    inquiries: Sequence[Inquiry]
    block: Block
    then: Then
    of_emitters: list[list[Question]]
    """The questions about each."""
    of_tokens: list[list[Question]]
    """The questions that are put to the tokens of each."""

    def questions(self) -> list[Question]:
        """All, each once, since pools share tokens."""
        return list(dict.fromkeys(question for some in (*self.of_emitters, *self.of_tokens) for question in some))


class Verifier:
    """Asks about emitters over one node."""

    def __init__(self, context: Context, tokens: dict[bytes, Token]) -> None:
        self._calls = context.calls
        self.tokens = Tokens(tokens)
        self._rounds = 0
        self._alone = 0
        """Plain calls under way."""

    def room(self, waiting: int) -> int:
        """How many of so many emitters the next round may have; 0 = none now."""
        if self._calls.takes_programs(waiting * USUAL_QUESTIONS):
            return MOST_TOGETHER if self._rounds < MOST_ROUNDS else 0
        return max((MOST_ALONE - self._alone) // USUAL_QUESTIONS, 0)

    def ask(self, inquiries: Sequence[Inquiry], block: Block, then: Then) -> None:
        """Put every open question of these; `then` gets what each gained, at once if nothing is open."""
        own = [inquiry.open_questions() for inquiry in inquiries]
        tokens = [self._token_questions(inquiry) for inquiry in inquiries]
        asked = _Round(inquiries, block, then, own, tokens)
        questions = asked.questions()
        if not questions:
            then([Gain(False, False) for _ in inquiries])
            return
        alone = 0 if self._calls.takes_programs(len(questions)) else len(questions)
        self._rounds += 1
        self._alone += alone
        self._calls.ask(About(block.hash, block.number), questions, partial(self._take, asked, questions, alone))

    def _token_questions(self, inquiry: Inquiry) -> list[Question]:
        if inquiry.pool is None:
            return []
        return self.tokens.questions(inquiry.pool.token0) + self.tokens.questions(inquiry.pool.token1)

    def _take(self, asked: _Round, questions: list[Question], alone: int, answers: list[Answer]) -> None:
        self._rounds -= 1
        self._alone -= alone
        answer_of = dict(zip(questions, answers, strict=True))
        tokens = dict.fromkeys(question for some in asked.of_tokens for question in some)
        told = {q for q in tokens if self.tokens.take(bytes.fromhex(q.to[2:]), q.data, answer_of[q])}
        gains = []
        for inquiry, own, of_tokens in zip(asked.inquiries, asked.of_emitters, asked.of_tokens, strict=True):
            gained = [inquiry.take(question, answer_of[question], asked.block) for question in own]
            progress = any(gained) or not told.isdisjoint(of_tokens)
            said = [answer_of[question] for question in (*own, *of_tokens)]
            gains.append(Gain(progress, not progress and bool(said) and all(map(_is_pruned, said))))
        asked.then(gains)


def _is_pruned(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.meaning is Meaning.PRUNED
