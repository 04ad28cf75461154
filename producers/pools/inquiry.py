"""What one emitter said of itself, and what follows: a pool is whose own words give its address by CREATE2.

Owns the questions that are still open and the judgement.  It must never ask, nor know why somebody does.

    token0, token1, and what its kind asks (V3: fee)
         |
         +--> CREATE2 over the configured factories --match--> its tokens' decimals and symbols --> VERIFIED
         |                                   |
         | reverts, is silent, or says       +--no match--> factory() --> a configured one did not make it: FALSE
         | what is no address                                         +--> another, which is not configured: UNSUPPORTED
         +--> FALSE
         +--> no answer, any other error, `0x`, zero: still open

A proof for a pool holds from whatever block it came: what a pool says of itself never changes, and a contract that lies
computes to another address.  A proof against one (FALSE, UNSUPPORTED) needs code to have spoken: words, a revert, or
nothing from an address that has code.  And all of it at blocks of the log's own branch, not below the log: before its
creation a pool has no code, on another branch it may be another contract.  What was said elsewhere is asked again.
Decimals and symbols are the tokens' own claim: asked until they are said or refused by the token itself.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import msgspec

from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, Factory
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.kind import Fee
from producers.kinds.registry import kind_of
from producers.node import view_calls as view
from producers.node.call_program import Question
from producers.node.calls_at import Answer
from producers.node.refusals import Meaning
from tlv.codes import UNKNOWN_DECIMALS

SYMBOL_WORDS = 4
FEE_LIMIT = 1_000_000


class Standing(Enum):
    """What is known of an emitter."""

    VERIFIED = "verified"
    FALSE = "false"
    """Proven to be no pool: it speaks like one."""
    UNSUPPORTED = "unsupported"
    """Proven to be of no configured factory."""
    UNKNOWN = "unknown"
    """Nobody can say yet."""


class Token(NamedTuple):
    """What a token says of itself."""

    decimals: int = UNKNOWN_DECIMALS
    symbol: str = ""
    settled: bool = True
    """False if the node failed to answer: another time it may."""


class Finding(NamedTuple):
    """The end of a verification; the rest is None unless VERIFIED."""

    standing: Standing
    pool: VerifiedEmitter | None = None
    token0: Token = Token()
    token1: Token = Token()

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


class Against(NamedTuple):
    """A proof that an emitter is no pool of ours."""

    standing: Standing
    rests_on: tuple[str, ...]
    """The calls whose answers show it."""


class Inquiry:
    """One emitter under verification."""

    def __init__(self, chain: ChainConfig, address: str, protocols: tuple[int, ...]) -> None:
        self.address = address
        self._chain, self._protocols = chain, protocols
        kinds = [kind for kind in map(kind_of, protocols) if kind is not None]
        of_kinds = [
            call
            for kind in kinds
            for call in (*map(view.selector, kind.proof.functions), *([view.FEE] if kind.fee is Fee.OWN else []))
        ]
        self._first = list(dict.fromkeys((view.TOKEN0, view.TOKEN1, *of_kinds)))
        self._said: dict[str, Said] = {}
        self.pool: VerifiedEmitter | None = None
        """Once it is proven."""

    def afresh(self) -> Inquiry:
        """The same, with nothing said."""
        return Inquiry(self._chain, self.address, self._protocols)

    def take(self, call: str, answer: Answer, block: Block) -> bool:
        """Whether the answer says something of the contract."""
        if not speaks(answer) or (call in (view.TOKEN0, view.TOKEN1, view.FACTORY) and is_zero(answer)):
            return False
        self._said[call] = Said(answer, block)
        return True

    def against(self) -> Against | None:
        """What of the answers so far is a proof against it."""
        for call in (view.TOKEN0, view.TOKEN1):
            if call in self._said and self._address(call) is None:
                return Against(Standing.FALSE, (call,))
        if self.pool is not None or self.open_calls() or view.FACTORY not in self._said:
            return None
        maker = self._address(view.FACTORY)
        ours = maker is None or f"0x{maker.hex()}" in {factory.address for factory in self._chain.factories}
        return Against(Standing.FALSE if ours else Standing.UNSUPPORTED, (*self._first, view.FACTORY))

    def forget(self, against: Against, holds: Callable[[Block], bool]) -> bool:
        """Whether a proof rests on answers of a block of which they prove nothing: then all such are dropped."""
        void = {call for call, said in self._said.items() if not holds(said.block)}
        if void.isdisjoint(against.rests_on):
            return False
        for call in void:
            del self._said[call]
        return True

    def blocks(self, against: Against) -> list[Block]:
        """The blocks that a proof is of."""
        return [self._said[call].block for call in against.rests_on]

    def open_calls(self) -> list[str]:
        """What is to be asked of the emitter next; looks for its factory meanwhile."""
        missing = [call for call in self._first if call not in self._said]
        if missing or self.pool is not None:
            return missing
        token0, token1 = self._address(view.TOKEN0), self._address(view.TOKEN1)
        if token0 is None or token1 is None:
            return []
        maker = self._maker(token0, token1)
        if maker is None:
            return [] if view.FACTORY in self._said else [view.FACTORY]
        fee = maker.fee_pips or (self._word(view.FEE) or 0 if maker.kind.fee is Fee.OWN else 0)
        spacing = (maker.kind.spacing_of_fee or {}).get(fee, 0)
        if spacing == 0 and maker.kind.spacing_of_fee is not None:
            if view.TICK_SPACING not in self._said:
                return [view.TICK_SPACING]
            spacing = self._word(view.TICK_SPACING) or 0
        self.pool = VerifiedEmitter(
            pool=bytes.fromhex(self.address[2:]),
            token0=token0,
            token1=token1,
            venue=maker.venue_code,
            decimals0=UNKNOWN_DECIMALS,
            decimals1=UNKNOWN_DECIMALS,
            factory=bytes.fromhex(maker.address[2:]),
            fee_pips=fee,
            tick_spacing=spacing if spacing < 1 << 15 else 0,
            protocol=maker.kind.code,
        )
        return []

    def finding(self, tokens: Tokens) -> Finding:
        """VERIFIED, with what is known of its tokens; only if `pool` is there."""
        assert self.pool is not None
        token0, token1 = tokens.known(self.pool.token0), tokens.known(self.pool.token1)
        pool = msgspec.structs.replace(self.pool, decimals0=token0.decimals, decimals1=token1.decimals)
        return Finding(Standing.VERIFIED, pool, token0, token1)

    def _maker(self, token0: bytes, token1: bytes) -> Factory | None:
        """The configured factory whose pool for these tokens has this address."""
        wanted = bytes.fromhex(self.address[2:])
        if token0 >= token1 or (self._word(view.FEE) or 0) >= FEE_LIMIT:
            return None
        for factory in self._chain.factories:
            words = [self._word(view.selector(name)) for name in factory.kind.proof.functions]
            known = [word for word in words if word is not None]
            if factory.kind.code not in self._protocols or len(known) < len(words):
                continue
            if factory.pool_address(token0, token1, *known) == wanted:
                return factory
        return None

    def _word(self, call: str) -> int | None:
        said = self._said.get(call)
        return view.read_word(said.answer) if said is not None and isinstance(said.answer, str) else None

    def _address(self, call: str) -> bytes | None:
        said = self._said.get(call)
        return view.read_address(said.answer) if said is not None and isinstance(said.answer, str) else None


def speaks(answer: Answer) -> bool:
    """Whether a contract with code said this: words, nothing from code (""), or a revert."""
    if isinstance(answer, str):
        return answer == "" or bool(view.read_words(answer)) or is_long(answer)
    return answer.meaning is Meaning.REVERT


def is_long(answer: str) -> bool:
    """Whether an answer is words beyond what any honest contract says."""
    return len(answer) > view.LONGEST_ANSWER


def is_zero(answer: Answer) -> bool:
    """Whether an answer is nothing but zeros, as of a contract whose storage is not there (yet)."""
    words = view.read_words(answer) if isinstance(answer, str) else []
    return bool(words) and not any(words)
