"""What a kind's proof works with: how a pool was named, who may have made it, and what was said so far.

Owns the forms only.  A proof is a function from a `Case` to a `Verdict`, or None while something is missing: it asks
for what it needs by `Case.ask`, whose first call notes the question, and is called again when answers came.  It must
never keep anything, since answers of a block that left the chain are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from producers.node import view_calls as view
from producers.node.call_program import Question
from producers.node.calls_at import Answer

if TYPE_CHECKING:
    from producers.kinds.kind import PoolKind
    from producers.node.rpc_types import Log


class Standing(Enum):
    """What is known of an emitter."""

    VERIFIED = "verified"
    FALSE = "false"
    """Proven to be no pool: it speaks like one."""
    UNSUPPORTED = "unsupported"
    """Proven to be of no configured factory."""
    UNKNOWN = "unknown"
    """Nobody can say yet."""


class Maker(Protocol):
    """What a proof knows of a configured factory (`producers.chains.configuration.Factory`)."""

    @property
    def kind(self) -> PoolKind:
        """What its pools are."""

    @property
    def address(self) -> str:
        """Lower-case hex."""

    @property
    def init_code_hash(self) -> str | None:
        """What CREATE2 hashes."""

    @property
    def fee_pips(self) -> int:
        """Of all its pools; 0 = each has its own."""

    @property
    def fee_call(self) -> str | None:
        """Its view function that says a pool's fee."""

    @property
    def lookup(self) -> str | None:
        """Its own word for that function."""

    @property
    def positions(self) -> str | None:
        """The contract that knows the keys of its pools."""

    @property
    def custom_deployers(self) -> tuple[str, ...]:
        """Whose pools count besides its own."""

    @property
    def lookup_function(self) -> str:
        """From two tokens to their pool; "" = none."""

    @property
    def venue_code(self) -> int:
        """The venue's number on the wire."""

    def pool_address(self, token0: bytes, token1: bytes, *words: int) -> bytes:
        """Where its pool must be; only with an init code hash."""


class Proven(NamedTuple):
    """It is a pool of a configured factory."""

    token0: bytes
    token1: bytes
    factory: Maker
    fee_pips: int = 0
    tick_spacing: int = 0
    flipped: bool = False
    """Coin in is token1."""
    coins: tuple[bytes, ...] = ()
    """All coins of a pool of more than two, as it counts them."""
    hooks: bytes = bytes(20)
    """The contract that it calls at swaps; zero = none."""
    curve: int = 0
    """How it swaps, where pools of a factory differ in that (`tlv.codes.Curve`)."""


class Refuted(NamedTuple):
    """It is none."""

    standing: Standing
    """FALSE or UNSUPPORTED."""
    rests_on: tuple[Question, ...] = ()
    """The answers that show it."""
    factory: bytes = bytes(20)
    """What made it as far as it says."""


Verdict = Proven | Refuted


class LogSearch(NamedTuple):
    """A log that a contract must have emitted once."""

    address: str
    topics: tuple[str, ...]

    def is_met_by(self, log: Log) -> bool:
        """Whether it is that log, as far as a node says."""
        found = tuple(topic or "" for topic in log.topics[: len(self.topics)])
        return log.address.lower() == self.address and tuple(map(str.lower, found)) == self.topics


class Case:
    """One emitter, as the kinds that emit its events see it."""

    def __init__(
        self,
        address: str,
        pool_id: bytes,
        coins: tuple[int, int] | None,
        factories: Sequence[Maker],
        configured: frozenset[str],
        said: Callable[[Question, bool, bool], Answer | None],
        heard: dict[str, Log],
    ) -> None:
        self.address = address
        """The emitter, lower-case hex."""
        self.pool_id = pool_id
        """What names the pool: 32 bytes, or its address."""
        self.coins = coins
        """What its logs name as coin in and coin out: addresses or indices."""
        self.factories = factories
        """The configured ones of these kinds."""
        self.configured = configured
        """The addresses of all configured ones."""
        self.heard = heard
        """By topic0, the first log of each kind of event of it, or one that was searched for."""
        self.sought: LogSearch | None = None
        """The log that would prove it."""
        self._said = said

    def ask(self, question: Question, *, zero_is_none: bool = False, revert_is_none: bool = False) -> Answer | None:
        """What was answered, None if nothing was yet; then it is asked.

        Args:
            zero_is_none: whether an answer of zeros, or a list of none, is none: a storage that is not there yet says
                so.
            revert_is_none: whether a revert is none: a contract that checks whether it knows the pool does so then.
        """
        return self._said(question, zero_is_none, revert_is_none)

    def seek(self, topic0: str) -> None:
        """Search the chain for its emitter's event of this topic about the pool; it is in `heard` then."""
        self.sought = LogSearch(self.address, (topic0, "0x" + self.pool_id.hex()))

    def of_pool(self, function: str, *arguments: int | bytes) -> Question:
        """A question to the emitter."""
        return Question(self.address, view.calling(function, *arguments))


def word_of(answer: Answer | None) -> int | None:
    """One word, unsigned; None if it is anything else."""
    return view.read_word(answer) if isinstance(answer, str) else None


def address_in(answer: Answer | None) -> bytes | None:
    """An address; None if it is anything else."""
    return view.read_address(answer) if isinstance(answer, str) else None


def words_of(answer: Answer | None) -> list[int]:
    """Whole words, unsigned; empty if it is anything else."""
    return view.read_words(answer) if isinstance(answer, str) else []


def addresses_in(answer: Answer | None) -> list[bytes] | None:
    """The addresses that a contract lists: the first array of its answer, or without one its words up to the first
    zero; None if they are no addresses, or more than was asked for."""
    words = words_of(answer)
    if not words:
        return None
    begin, rest = divmod(words[0], view.WORD)
    if rest == 0 and 0 < begin < len(words):
        count = words[begin]
        words = words[begin + 1 : begin + 1 + count] if count < len(words) - begin else [0]
    else:
        words = words[: words.index(0)] if 0 in words else words
    if any(word == 0 or word >> 160 for word in words):
        return None
    return [word.to_bytes(20, "big") for word in words]


class Pair(NamedTuple):
    """The two coins that a swap of a pool of several moved, in the order of their addresses."""

    token0: bytes
    token1: bytes
    flipped: bool
    """Coin in is token1."""


def ordered(coins: tuple[int, int] | None) -> Pair | None:
    """The pair of coin in and coin out, as numbers; None if it is none: one coin twice, or no coin."""
    if coins is None or coins[0] == coins[1] or 0 in coins:
        return None
    low, high = sorted(coins)
    return Pair(low.to_bytes(20, "big"), high.to_bytes(20, "big"), coins[0] == high)


def hub_of(case: Case) -> Maker | None:
    """The configured contract that is the emitter itself, of a kind that keeps all pools in one."""
    return next((factory for factory in case.factories if factory.address == case.address), None)
