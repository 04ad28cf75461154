"""Proof that an emitter is a pool: what it says of itself must give its own address by CREATE2.

Owns the questions to the node and the judgement of the answers.  It must never know why somebody asks, nor blocks.

    ask token0, token1, and what its kind asks (V3: fee)
         |
         +--> CREATE2 over the configured factories --match--> ask the tokens --> VERIFIED
         |                                   |
         | reverts, or a word that is        +--no match--> ask factory --> a configured one did not make it: FALSE
         | no address                                                  +--> another, nobody can tell: UNKNOWN
         +--> FALSE
         | the node cannot tell ("missing trie node"): UNKNOWN
         +--> no answer, any other error, `0x`, zero: UNKNOWN `again`

FALSE needs a proof, that is, words or a revert: only code gives them.  A backend that lags behind its own logs answers
`0x` (go-ethereum#17516, erigon#18912), and a node in a reorg "header not found": neither says anything of the contract.
What a pool says of itself never changes, so it does not matter as of which block it was said.

CREATE2 needs no trust in the emitter: a contract that lies about its tokens computes to another address.  Decimals and
symbols are the tokens' own claim; where they fail, the pool is verified without them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import NamedTuple

import msgspec

from producers.chains.configuration import ChainConfig, Factory
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.kind import Fee, PoolKind
from producers.kinds.registry import kind_of
from producers.node import view_calls as metadata
from producers.node.jsonrpc import DISCONNECTED, TIMED_OUT, Failure, JsonRpc, read_text
from tlv.codes import UNKNOWN_DECIMALS

UNANSWERED = (TIMED_OUT, DISCONNECTED)


class Standing(Enum):
    """What is known of an emitter."""

    VERIFIED = "verified"
    FALSE = "false"
    """Proven to be no pool of a configured factory."""
    UNKNOWN = "unknown"
    """The node cannot say."""


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
    again: bool = False
    """UNKNOWN only because what came proves nothing: worth another try."""
    refused: bool = False
    """Of these, the node gave no result: no fault of the emitter's."""

    @property
    def settled(self) -> bool:
        """Whether both tokens have said what they are; the others are asked again after a restart."""
        return self.token0.settled and self.token1.settled


Found = Callable[[str, Finding], None]
Answers = dict[str, str | Failure]


class Verifier:
    """Verifies emitters over one JSON-RPC connection."""

    def __init__(self, chain: ChainConfig, rpc: JsonRpc, tokens: dict[bytes, Token]) -> None:
        self._chain = chain
        self._rpc = rpc
        self._factories = {bytes.fromhex(factory.address[2:]): factory for factory in chain.factories}
        self._tokens = tokens

    def verify(self, address: str, protocols: tuple[int, ...], found: Found) -> None:
        """Find out whether `address` is a pool of one of these families; `found` is called once."""
        kinds = [kind for kind in map(kind_of, protocols) if kind is not None]
        calls = dict.fromkeys(call for kind in kinds for call in _questions(kind))
        self._ask(
            address, [metadata.TOKEN0, metadata.TOKEN1, *calls], partial(self._judge_tokens, address, protocols, found)
        )

    def _judge_tokens(self, address: str, protocols: tuple[int, ...], found: Found, answers: Answers) -> None:
        sides = [answers[metadata.TOKEN0], answers[metadata.TOKEN1]]
        if any(isinstance(side, Failure) and side.is_revert for side in sides):
            found(address, Finding(Standing.FALSE))
            return
        of_kind = _doubt(
            *(answer for call, answer in answers.items() if call not in (metadata.TOKEN0, metadata.TOKEN1))
        )
        doubt = _doubt(*sides, zero_is_none=True) or (of_kind if of_kind is not None and of_kind.again else None)
        if doubt is not None:
            found(address, doubt)
            return
        tokens = [metadata.read_address(side) for side in sides if isinstance(side, str)]
        if tokens[0] is None or tokens[1] is None:
            found(address, Finding(Standing.FALSE))
            return
        said = {call: metadata.read_word(answer) for call, answer in answers.items() if isinstance(answer, str)}
        maker = self._maker(address, protocols, tokens[0], tokens[1], said)
        if maker is None and of_kind is not None:
            found(address, of_kind)
            return
        if maker is None:
            self._ask(address, [metadata.FACTORY], partial(self._judge_factory, address, found))
            return
        kind = maker.kind
        fee = maker.fee_pips or (said.get(metadata.FEE) or 0 if kind.fee is Fee.OWN else 0)
        spacing = (kind.spacing_of_fee or {}).get(fee, 0)
        pool = VerifiedEmitter(
            pool=bytes.fromhex(address[2:]),
            token0=tokens[0],
            token1=tokens[1],
            venue=maker.venue_code,
            decimals0=UNKNOWN_DECIMALS,
            decimals1=UNKNOWN_DECIMALS,
            factory=bytes.fromhex(maker.address[2:]),
            fee_pips=fee,
            tick_spacing=spacing,
            protocol=kind.code,
        )
        if spacing == 0 and kind.spacing_of_fee is not None:
            self._ask(address, [metadata.TICK_SPACING], partial(self._take_spacing, pool, found))
        else:
            self._ask_token(pool, found)

    def _maker(
        self, address: str, protocols: tuple[int, ...], token0: bytes, token1: bytes, said: dict[str, int | None]
    ) -> Factory | None:
        """The configured factory whose pool for these tokens has this address."""
        wanted = bytes.fromhex(address[2:])
        if token0 >= token1 or (said.get(metadata.FEE) or 0) >= 1_000_000:
            return None
        for factory in self._chain.factories:
            words = [said.get(metadata.selector(name)) for name in factory.kind.proof.functions]
            known = [word for word in words if word is not None]
            if factory.kind.code not in protocols or len(known) < len(words):
                continue
            if factory.pool_address(token0, token1, *known) == wanted:
                return factory
        return None

    def _judge_factory(self, address: str, found: Found, answers: Answers) -> None:
        answer = answers[metadata.FACTORY]
        doubt = _doubt(answer, zero_is_none=True)
        if doubt is not None:
            found(address, doubt)
            return
        claimed = metadata.read_address(answer) if isinstance(answer, str) else None
        found(address, Finding(Standing.FALSE if claimed is None or claimed in self._factories else Standing.UNKNOWN))

    def _take_spacing(self, pool: VerifiedEmitter, found: Found, answers: Answers) -> None:
        answer = answers[metadata.TICK_SPACING]
        doubt = _doubt(answer)
        if doubt is not None and doubt.again:
            found(f"0x{pool.pool.hex()}", doubt)
            return
        spacing = metadata.read_word(answer) if isinstance(answer, str) else None
        if spacing is not None and spacing < 1 << 15:
            pool = msgspec.structs.replace(pool, tick_spacing=spacing)
        self._ask_token(pool, found)

    def _ask_token(self, pool: VerifiedEmitter, found: Found) -> None:
        """Ask the first token of `pool` that is not known yet; when both are, the pool is verified."""
        for token in (pool.token0, pool.token1):
            if token not in self._tokens:
                calls = [metadata.DECIMALS, metadata.SYMBOL]
                self._ask("0x" + token.hex(), calls, partial(self._take_token, token, pool, found))
                return
        known = (self._tokens[pool.token0], self._tokens[pool.token1])
        for token, said in zip((pool.token0, pool.token1), known, strict=True):
            if not said.settled:
                del self._tokens[token]
        pool = msgspec.structs.replace(pool, decimals0=known[0].decimals, decimals1=known[1].decimals)
        found(f"0x{pool.pool.hex()}", Finding(Standing.VERIFIED, pool, *known))

    def _take_token(self, token: bytes, pool: VerifiedEmitter, found: Found, answers: Answers) -> None:
        decimals, symbol = answers[metadata.DECIMALS], answers[metadata.SYMBOL]
        if decimals in UNANSWERED or symbol in UNANSWERED:
            found(f"0x{pool.pool.hex()}", Finding(Standing.UNKNOWN, again=True, refused=True))
            return
        self._tokens[token] = Token(
            metadata.read_decimals(decimals) if isinstance(decimals, str) else UNKNOWN_DECIMALS,
            metadata.read_symbol(symbol) if isinstance(symbol, str) else "",
            all(said.is_revert if isinstance(said, Failure) else said != "0x" for said in (decimals, symbol)),
        )
        self._ask_token(pool, found)

    def _ask(self, to: str, calls: list[str], then: Callable[[Answers], None]) -> None:
        """Make view calls on one contract; `then` gets all answers at once, in whatever order they came."""
        answers: Answers = {}

        def take(call: str, result: msgspec.Raw | None, failure: Failure | None) -> None:
            answers[call] = failure or read_text(result)
            if len(answers) == len(calls):
                then(answers)

        for call in calls:
            self._rpc.ask("eth_call", [{"to": to, "data": call}, "latest"], partial(take, call))


def _questions(kind: PoolKind) -> list[str]:
    """Call data of what a pool of this kind is asked besides its tokens."""
    own_fee = [metadata.FEE] if kind.fee is Fee.OWN else []
    return [*map(metadata.selector, kind.proof.functions), *own_fee]


def _doubt(*answers: str | Failure, zero_is_none: bool = False) -> Finding | None:
    """UNKNOWN, if one of these says nothing of the contract: neither words (other than zero) nor a revert."""
    for answer in answers:
        if isinstance(answer, Failure) and not answer.is_revert:
            return Finding(Standing.UNKNOWN, again=not answer.is_lasting, refused=not answer.is_lasting)
    for answer in answers:
        words = metadata.read_words(answer) if isinstance(answer, str) else [1]
        if not words or (zero_is_none and not any(words)):
            return Finding(Standing.UNKNOWN, again=True)
    return None
