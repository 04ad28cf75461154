"""Rounds of questions about many emitters at once.

Owns the way from open questions to answers that were taken.  It must never decide who is asked, nor when again; what an
answer means is `producers.pools.inquiry`'s, how it comes `producers.node.calls_at`'s.

    emitters, a block --their open questions, each once--> CallsAt --answers--> inquiries, tokens --> what each gained
                      --the creations they lack----------> Creations --logs--> inquiries
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from producers.blocks.block import Block
from producers.context import Context
from producers.kinds.proving import LogSearch
from producers.node.call_program import Question
from producers.node.calls_at import About, Answer
from producers.node.jsonrpc import Failure
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
from producers.pools.creations import Creations
from producers.pools.inquiry import Inquiry, Token, Tokens

MOST_TOGETHER = 90
"""Emitters in one round where one request carries it: four questions each are what an answer holds."""
MOST_ALONE = 32
"""Questions under way where each is a request: half of what may be in flight, so blocks go on.  Pools share tokens, so
these are of 8 emitters at least, and of 32 where most tokens are known."""
MOST_ROUNDS = 4
"""Rounds in flight where one request carries each."""
USUAL_QUESTIONS = 3
NATIVE_COINS, NATIVE_DECIMALS = (bytes(20), bytes.fromhex("ee" * 20)), 18
"""What stands for the chain's own coin, of which no contract can be asked: address 0 in Uniswap V4 (v4-core Currency),
0xEeee... in Curve's pools that hold it (StableSwapSETH, StableSwapSTETH: `coins(0)`)."""


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
    sought: list[LogSearch | None]
    """The log that each lacks."""
    left: int = 0
    """Answers, or searches, that are awaited."""
    answer_of: dict[Question, Answer] = field(default_factory=dict)
    found: dict[LogSearch, Log] = field(default_factory=dict)

    def questions(self) -> list[Question]:
        """All, each once, since pools share tokens."""
        return list(dict.fromkeys(question for some in (*self.of_emitters, *self.of_tokens) for question in some))


class Verifier:
    """Asks about emitters over one node."""

    def __init__(self, context: Context, tokens: dict[bytes, Token]) -> None:
        self._calls, self._creations = context.calls, Creations(context)
        for coin in NATIVE_COINS:
            tokens.setdefault(coin, Token(NATIVE_DECIMALS, context.chain.native_symbol))
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
        asked = _Round(inquiries, block, then, own, tokens, [inquiry.sought for inquiry in inquiries])
        questions, searches = asked.questions(), list(dict.fromkeys(filter(None, asked.sought)))
        if not questions and not searches:
            then([Gain(False, False) for _ in inquiries])
            return
        alone = len(searches) + (0 if self._calls.takes_programs(len(questions)) else len(questions))
        self._rounds += 1
        self._alone += alone
        asked.left = len(searches) + bool(questions)
        for search in searches:
            self._creations.find(search, block.number, partial(self._take_found, asked, search, alone))
        if questions:
            about = About(block.hash, block.number)
            self._calls.ask(about, questions, partial(self._take_answers, asked, questions, alone))

    def _token_questions(self, inquiry: Inquiry) -> list[Question]:
        if inquiry.pool is None:
            return []
        tokens = dict.fromkeys((inquiry.pool.token0, inquiry.pool.token1, *inquiry.coins))
        return [question for token in tokens for question in self.tokens.questions(token)]

    def _take_answers(self, asked: _Round, questions: list[Question], alone: int, answers: list[Answer]) -> None:
        asked.answer_of = dict(zip(questions, answers, strict=True))
        self._count_down(asked, alone)

    def _take_found(self, asked: _Round, search: LogSearch, alone: int, log: Log | None) -> None:
        if log is not None:
            asked.found[search] = log
        self._count_down(asked, alone)

    def _count_down(self, asked: _Round, alone: int) -> None:
        asked.left -= 1
        if asked.left == 0:
            self._rounds -= 1
            self._alone -= alone
            self._take(asked)

    def _take(self, asked: _Round) -> None:
        answer_of = asked.answer_of
        tokens = dict.fromkeys(question for some in asked.of_tokens for question in some)
        told = {q for q in tokens if self.tokens.take(bytes.fromhex(q.to[2:]), q.data, answer_of[q])}
        gains = []
        rows = zip(asked.inquiries, asked.of_emitters, asked.of_tokens, asked.sought, strict=True)
        for inquiry, own, of_tokens, search in rows:
            gained = [inquiry.take(question, answer_of[question], asked.block) for question in own]
            log = asked.found.get(search) if search is not None else None
            if log is not None:
                inquiry.take_sought(log)
            progress = log is not None or any(gained) or not told.isdisjoint(of_tokens)
            said = [answer_of[question] for question in (*own, *of_tokens)]
            gains.append(Gain(progress, not progress and bool(said) and all(map(_is_pruned, said))))
        asked.then(gains)


def _is_pruned(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.meaning is Meaning.PRUNED
