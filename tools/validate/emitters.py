"""Which contracts are pools: asked of their factories, not taken from the collector.

Owns one question per contract and its answer.  The collector recomputes a pool's CREATE2 address; here the factory is
asked which pool it has for these tokens, which is another way to the same fact.

    told by the ring        factory.getPair(token0, token1) == pool      confirmed, or refuted: its events are extra
    not told by the ring    factory(), token0(), token1(), then the same confirmed: its events are missing
    the node cannot say     the ring's word stands, and it is counted
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from producers.chains.configuration import ChainConfig, Factory
from producers.node.jsonrpc import TEXT
from producers.node.refusals import Meaning
from tlv.layout import PoolState
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer
from tools.validate.abi import read_hex

MOST_ASKED = 4096
"""Strangers asked in one round; beyond that the ring's word stands for the rest, and they are counted."""


class EmitterStanding(StrEnum):
    """What is known of a contract that emits events of ours."""

    CONFIRMED = "confirmed"
    """A pool, by its factory's word."""
    REFUTED = "refuted"
    """No pool of a configured factory."""
    UNTOLD = "untold"
    """The node could not say."""


class Emitter(NamedTuple):
    """A contract, and the code of the kind its events must be of."""

    standing: EmitterStanding
    family: int | None = None


class Emitters:
    """Everything that was asked so far."""

    def __init__(self, chain: ChainConfig) -> None:
        self._factories = {bytes.fromhex(factory.address[2:]): factory for factory in chain.factories}
        self._known: dict[bytes, Emitter] = {}

    def counts(self) -> Counter[str]:
        """Contracts by standing."""
        return Counter(str(emitter.standing) for emitter in self._known.values())

    def family(self, address: bytes, *, as_factory: bool, told: Mapping[bytes, PoolState]) -> int | None:
        """The kind whose events this contract may emit; None if it may emit none."""
        if as_factory:
            factory = self._factories.get(address)
            return factory.protocol_code if factory is not None else None
        emitter = self._known.get(address, Emitter(EmitterStanding.UNTOLD))
        if emitter.standing is EmitterStanding.UNTOLD:
            return told[address].protocol if address in told else None
        return emitter.family

    def is_refuted(self, address: bytes) -> bool:
        """Whether this contract is no pool of a configured factory."""
        return self._standing(address) is EmitterStanding.REFUTED

    async def ask(self, endpoint: Endpoint, addresses: Iterable[bytes], told: Mapping[bytes, PoolState]) -> None:
        """Find out about the contracts that are not known yet; what could not be said is asked again next time."""
        wanted = [address for address in set(addresses) if self._standing(address) is EmitterStanding.UNTOLD]
        wanted.sort(key=lambda address: address not in told)
        found = await asyncio.gather(*(self._examine(endpoint, at, told.get(at)) for at in wanted[:MOST_ASKED]))
        self._known |= dict(zip(wanted, found, strict=False))

    def _standing(self, address: bytes) -> EmitterStanding:
        return self._known[address].standing if address in self._known else EmitterStanding.UNTOLD

    async def _examine(self, endpoint: Endpoint, address: bytes, state: PoolState | None) -> Emitter:
        hub = self._factories.get(address)
        if hub is not None:
            return Emitter(EmitterStanding.CONFIRMED, hub.protocol_code)
        try:
            maker = state.factory if state is not None else await call(endpoint, address, "factory()", "address")
            factory = self._factories.get(maker or b"")
            if factory is None:
                return Emitter(EmitterStanding.REFUTED)
            if state is not None:
                key: list[Any] = [state.token0, state.token1]
            else:
                key = [await call(endpoint, address, name, "address") for name in ("token0()", "token1()")]
            key += [await call(endpoint, address, *asked) for asked in questions(factory)]
            if not factory.kind.proof.lookup:
                return Emitter(EmitterStanding.UNTOLD)
            if None in key or await pool_of(endpoint, factory, key) != address:
                return Emitter(EmitterStanding.REFUTED)
            return Emitter(EmitterStanding.CONFIRMED, factory.protocol_code)
        except (Unanswered, UnexpectedAnswer):
            return Emitter(EmitterStanding.UNTOLD)


def questions(factory: Factory) -> list[tuple[str, str]]:
    """What names a pool besides its tokens: view functions, and their types as the factory takes them."""
    proof = factory.kind.proof
    types = proof.lookup.rstrip(")").split(",")[2:]
    return list(zip(proof.functions, types, strict=False))


async def pool_of(endpoint: Endpoint, factory: Factory, key: list[Any]) -> bytes | None:
    """The pool that a factory has for two tokens and what else names it."""
    at = bytes.fromhex(factory.address[2:])
    found: bytes | None = await call(endpoint, at, factory.kind.proof.lookup, "address", *key)
    return found


async def call(endpoint: Endpoint, at: bytes, signature: str, returns: str, *values: Any) -> Any:
    """One return value of a view function; None if the contract has no such function or answers something else.

    Raises:
        Unanswered: the node itself could not say.
    """
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    data = "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()
    try:
        answer = await endpoint.ask_for(TEXT, "eth_call", {"to": f"0x{at.hex()}", "data": data}, "latest")
        value = decode([returns], read_hex(answer) or b"")[0]
    except Unanswered as error:
        if error.failure.meaning is Meaning.REVERT:
            return None
        raise
    except DecodingError:
        return None
    return bytes.fromhex(value[2:]) if returns == "address" else value
