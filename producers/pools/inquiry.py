"""What one emitter said of itself, and what follows.

Owns the answers, and which of them still count.  It must never ask, nor know why somebody does, nor how a kind is
proven: its `prove` says that (`producers.kinds.pair_proof` for most).

    kinds that emit its events --their ways to prove a pool--> questions that are open --> answers --> ... --> a verdict

    VERIFIED       with its tokens' decimals and symbols
    FALSE, UNSUPPORTED
    no answer, any other error, `0x`, zero: still open

A proof against one (FALSE, UNSUPPORTED) needs code to have spoken: words, a revert, or nothing from an address that has
code.  And all of it at blocks of the log's own branch, not below the log: before its creation a pool has no code, on
another branch it may be another contract.  What was said elsewhere is asked again.
Decimals and symbols are the tokens' own claim: asked until they are said or refused by the token itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import msgspec

from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, Factory
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.emitter_key import address_of, coins_of, id_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.proving import Case, LogSearch, Proven, Refuted, Standing, Verdict
from producers.kinds.registry import kind_of
from producers.node import view_calls as view
from producers.node.call_program import Question
from producers.node.calls_at import Answer
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
from tlv.codes import UNKNOWN_DECIMALS

SYMBOL_WORDS = 4
NO_LIST = [view.WORD, 0]
"""The words of an array without members."""
Proof = Callable[[Case], Verdict | None]


class Token(NamedTuple):
    """What a token says of itself."""

    decimals: int = UNKNOWN_DECIMALS
    symbol: str = ""
    settled: bool = True
    """False if the node failed to answer: another time it may."""


class ProofBasis(NamedTuple):
    """All that a proof was told: the same kinds, told the same, say the same again."""

    key: str
    """The pool's name."""
    protocols: tuple[int, ...]
    """Codes of the kinds that emit its events."""
    answers: tuple[tuple[Question, Answer], ...]
    heard: tuple[Log, ...]


class Finding(NamedTuple):
    """The end of a verification; the rest is None unless VERIFIED."""

    standing: Standing
    pool: VerifiedEmitter | None = None
    token0: Token = Token()
    token1: Token = Token()
    coins: tuple[tuple[bytes, Token], ...] = ()
    """All of a pool of more than two."""
    basis: ProofBasis | None = None

    @property
    def settled(self) -> bool:
        """Whether both tokens have said what they are; the others are asked again."""
        return self.token0.settled and self.token1.settled


class Tokens:
    """What tokens said, the settled ones shared with whoever tells readers of them."""

    def __init__(self, settled: dict[bytes, Token]) -> None:
        self.settled = settled
        self._said: dict[bytes, dict[str, str]] = {}
        """Of tokens that did not answer everything."""

    def questions(self, token: bytes) -> list[Question]:
        """What it did not answer yet."""
        if token in self.settled:
            return []
        said, to = self._said.get(token, {}), f"0x{token.hex()}"
        wanted = (Question(to, view.DECIMALS), Question(to, view.SYMBOL, SYMBOL_WORDS))
        return [question for question in wanted if question.data not in said]

    def take(self, token: bytes, call: str, answer: Answer) -> bool:
        """Whether the answer says something of it."""
        if token in self.settled or not speaks(answer):
            return False
        said = self._said.setdefault(token, {})
        said[call] = answer if isinstance(answer, str) else ""
        if len(said) == 2:
            self.settled[token] = self.known(token)
            del self._said[token]
        return True

    def known(self, token: bytes) -> Token:
        """What is known of it."""
        if token in self.settled:
            return self.settled[token]
        said = self._said.get(token, {})
        decimals, symbol = view.read_decimals(said.get(view.DECIMALS)), view.read_symbol(said.get(view.SYMBOL))
        return Token(decimals, symbol, len(said) == 2)


class Said(NamedTuple):
    """An answer, and the block it is of."""

    answer: Answer
    block: Block


class Inquiry:
    """One emitter under verification."""

    def __init__(self, chain: ChainConfig, key: str, protocols: tuple[int, ...]) -> None:
        self.key = key
        """The pool's name, `producers.kinds.emitter_key`."""
        self._chain, self._protocols = chain, protocols
        self._said: dict[Question, Said] = {}
        self._heard: dict[str, Log] = {}
        self._missing: dict[Question, None] = {}
        self._no_zeros: set[Question] = set()
        self._no_reverts: set[Question] = set()
        self._refuted: Refuted | None = None
        self.pool: VerifiedEmitter | None = None
        """Once it is proven."""
        self.coins: tuple[bytes, ...] = ()
        """All of a proven pool of more than two."""
        self._basis: ProofBasis | None = None
        """Once it is proven, unless by what was recalled."""
        self._recalled: dict[Question, Answer] = {}
        """What was answered in another life."""
        self._used: dict[Question, Answer] = {}
        """What the proof at hand was told."""

    @cached_property
    def _cases(self) -> list[tuple[Proof, Case]]:
        """The ways to prove it, each with the factories of the kinds that are proven so.

        Found when it is first asked, which most emitters of a flood never are.
        """
        key = self.key
        configured = frozenset(factory.address for factory in self._chain.factories)
        ways: dict[Proof, list[Factory]] = {}
        for kind in filter(None, map(kind_of, self._protocols)):
            factories = [factory for factory in self._chain.factories if factory.kind is kind]
            ways.setdefault(kind.prove, []).extend(factories)
        if any(ways.values()):  # a kind without a factory can prove nothing, and need not be asked for
            ways = {prove: factories for prove, factories in ways.items() if factories}
        return [
            (prove, Case(address_of(key), id_of(key), coins_of(key), factories, configured, self._ask, self._heard))
            for prove, factories in ways.items()
        ]

    def afresh(self) -> Inquiry:
        """The same, with nothing said."""
        inquiry = Inquiry(self._chain, self.key, self._protocols)
        inquiry._heard.update(self._heard)
        return inquiry

    def hear(self, log: Log) -> None:
        """A log of it: its words may be part of the proof.  One with more of them than its event has is another's."""
        topic0 = (log.topics[0] or "") if log.topics else ""
        if topic0 in self._heard or topic0 not in EVENT_OF_TOPIC:
            return
        if len(log.data or "") <= 2 + 2 * view.WORD * len(EVENT_OF_TOPIC[topic0].words):
            self._heard[topic0] = log

    def take_sought(self, log: Log) -> None:
        """The log that was searched for."""
        self._heard[log.topics[0] or ""] = log

    @property
    def sought(self) -> LogSearch | None:
        """The log that would prove it, if nothing else did."""
        found = (case.sought for _, case in self._cases)
        return next(filter(None, found), None) if self.pool is None and self._refuted is None else None

    def take(self, question: Question, answer: Answer, block: Block) -> bool:
        """Whether the answer says something of the contract."""
        if not speaks(answer) or (question in self._no_zeros and is_zero(answer)):
            return False
        if question in self._no_reverts and not isinstance(answer, str):
            return False
        self._said[question] = Said(answer, block)
        return True

    def against(self) -> Refuted | None:
        """What of the answers so far is a proof against it."""
        return self._refuted if self.pool is None else None

    def forget(self, against: Refuted, holds: Callable[[Block], bool]) -> bool:
        """Whether a proof rests on answers of a block of which they prove nothing: then all such are dropped."""
        void = {question for question, said in self._said.items() if not holds(said.block)}
        if void.isdisjoint(against.rests_on):
            return False
        for question in void:
            del self._said[question]
        return True

    def blocks(self, against: Refuted) -> list[Block]:
        """The blocks that a proof is of."""
        return [self._said[question].block for question in against.rests_on]

    def open_questions(self) -> list[Question]:
        """What is to be asked next; looks for its factory meanwhile."""
        self._missing.clear()
        if self.pool is not None:
            return []
        for _, case in self._cases:
            case.sought = None
        verdicts = []
        for prove, case in self._cases:
            verdict = self._try(prove, case)
            if isinstance(verdict, Proven):
                self._accept(verdict, prove, case)
                return []
            verdicts.append(verdict)
        refuted = [verdict for verdict in verdicts if isinstance(verdict, Refuted)]
        self._refuted = _worst(refuted) if refuted and len(refuted) == len(verdicts) else None
        return [] if self._refuted is not None else list(self._missing)

    def _try(self, prove: Proof, case: Case) -> Verdict | None:
        self._used.clear()
        return prove(case)

    def _ask(self, question: Question, zero_is_none: bool, revert_is_none: bool) -> Answer | None:
        if zero_is_none:
            self._no_zeros.add(question)
        if revert_is_none:
            self._no_reverts.add(question)
        said = self._said.get(question)
        answer = said.answer if said is not None else self._recalled.get(question)
        if answer is None:
            self._missing[question] = None
        else:
            self._used[question] = answer
        return answer

    def recall(self, basis: ProofBasis) -> None:
        """Take what proved it before, under whatever chain file that was."""
        self._heard.update({log.topics[0] or "": log for log in basis.heard})
        self._recalled.update(basis.answers)

    def _accept(self, proven: Proven, prove: Proof, case: Case) -> None:
        if not self._recalled:
            self._basis = self._basis_of(proven, prove, case)
        self._refuted = None
        self._missing.clear()
        factory = proven.factory
        self.coins = proven.coins
        self.pool = VerifiedEmitter(
            pool=id_of(self.key),
            token0=proven.token0,
            token1=proven.token1,
            venue=factory.venue_code,
            decimals0=UNKNOWN_DECIMALS,
            decimals1=UNKNOWN_DECIMALS,
            factory=bytes.fromhex(factory.address[2:]),
            fee_pips=proven.fee_pips,
            tick_spacing=proven.tick_spacing,
            protocol=factory.kind.code,
            flipped=proven.flipped,
            hooks=proven.hooks,
            curve=proven.curve,
        )

    def _basis_of(self, proven: Proven, prove: Proof, case: Case) -> ProofBasis:
        """What the proof that just came rests on: logs only if they are needed."""
        answers, heard = dict(self._used), tuple(self._heard.values())
        case.heard = {}
        if self._try(prove, case) == proven:
            answers, heard = dict(self._used), ()
        case.heard = self._heard
        return ProofBasis(self.key, self._protocols, tuple(answers.items()), heard)

    def finding(self, tokens: Tokens) -> Finding:
        """VERIFIED, with what is known of its tokens; only if `pool` is there."""
        assert self.pool is not None
        token0, token1 = tokens.known(self.pool.token0), tokens.known(self.pool.token1)
        pool = msgspec.structs.replace(self.pool, decimals0=token0.decimals, decimals1=token1.decimals)
        coins = tuple((coin, tokens.known(coin)) for coin in self.coins)
        return Finding(Standing.VERIFIED, pool, token0, token1, coins, self._basis)


def _worst(refuted: list[Refuted]) -> Refuted:
    """What several proofs against one emitter come to: UNSUPPORTED if one says so."""
    return next((one for one in refuted if one.standing is Standing.UNSUPPORTED), refuted[0])


def speaks(answer: Answer) -> bool:
    """Whether a contract with code said this: words, nothing from code (""), or a revert."""
    if isinstance(answer, str):
        return answer == "" or bool(view.read_words(answer)) or is_long(answer)
    return answer.meaning is Meaning.REVERT


def is_long(answer: str) -> bool:
    """Whether an answer is words beyond what any honest contract says."""
    return len(answer) > view.LONGEST_ANSWER


def is_zero(answer: Answer) -> bool:
    """Whether an answer is nothing but zeros, or a list of none, as of a contract whose storage is not there (yet)."""
    words = view.read_words(answer) if isinstance(answer, str) else []
    return bool(words) and (not any(words) or words == NO_LIST)
