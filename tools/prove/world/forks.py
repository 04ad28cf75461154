"""Factories of pairs beside those of Uniswap V2, V3 and Algebra V1: what each has particular, and pools of them.

Owns which kinds there are (`FORKS`), how a seed draws their factories (with an init code hash, or asked for their
pools; with a fee of its own, or one that it is asked for and that moves), and what they answer about a pool.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from eth_hash.auto import keccak

from producers.chains.configuration import Factory
from producers.kinds.algebra_integral import CUSTOM_LOOKUP
from tlv.codes import Protocol
from tools.prove.world.contracts import FEES, TOKENS, WorldPool, mark, pool_of, selector, word, words

FORKS = {
    protocol: f"0x{digits * 20}"
    for protocol, digits in (
        (Protocol.SOLIDLY, "f1"),
        (Protocol.VELODROME, "f2"),
        (Protocol.SLIPSTREAM, "f3"),
        (Protocol.ALGEBRA_INTEGRAL, "f4"),
        (Protocol.PANCAKESWAP_V3, "f5"),
        (Protocol.KYBER_ELASTIC, "f6"),
    )
}
"""The address of each kind's factory."""
DEPLOYER = "0x" + "f7" * 20
"""A custom one of Algebra Integral's factory."""
FEE_CALLS = ("getFee(bool)", "getFee(address,bool)", None)
HASHED = 0.4
"""Of the factories, those with an init code hash."""
BASIS_POINT = 100
"""Pips of what these count in."""
MOST_PIPS = 1_000_000
"""All that is paid."""
FEE_PIPS = 500
"""Of a factory that says no other."""


def draw_factories(rng: Random, venue: str) -> list[Factory]:
    """One of each kind."""
    return [_factory_of(rng, venue, protocol, address) for protocol, address in FORKS.items()]


def _factory_of(rng: Random, venue: str, protocol: Protocol, address: str) -> Factory:
    code = f"0x{keccak(address.encode()).hex()}" if rng.random() < HASHED else None
    factory = Factory(venue, protocol.name, address, code)
    if factory.kind.stable_curve:
        fee_call = rng.choice(FEE_CALLS)
        return Factory(venue, protocol.name, address, code, 0 if fee_call else FEE_PIPS, fee_call=fee_call)
    if protocol is Protocol.ALGEBRA_INTEGRAL and rng.random() < 0.5:
        return Factory(venue, protocol.name, address, code, custom_deployers=(DEPLOYER,))
    return factory


def draw_fork_pool(factory: Factory, rng: Random) -> WorldPool:
    """A pool of one of these; of two that a pair may have, either."""
    first, second = sorted(rng.sample(range(TOKENS), 2))
    pool = pool_of(factory, first, second, rng.choice(FEES), rng.randrange(2))
    if factory.custom_deployers and rng.random() < 0.7:
        pool.deployer = bytes.fromhex(DEPLOYER[2:])
        if factory.init_code_hash is not None:
            address = factory.pool_address(pool.token0, pool.token1, int(DEPLOYER, 16))
        else:
            address = keccak(pool.deployer + pool.token0 + pool.token1)[:20]
        pool.contract.address = pool.facts["pool"] = address
    if factory.fee_call is not None:
        pool.fee_after = fee_after
    return pool


def fee_after(block_hash: str) -> int:
    """What a factory that is asked wants for a swap after a block, in pips; 0 where it says more than all."""
    fee = _said_after(block_hash) * BASIS_POINT
    return fee if fee < MOST_PIPS else 0


def _said_after(block_hash: str) -> int:
    """What it says: basis points, or nonsense."""
    said = mark(block_hash) % 16 * 7
    return said or MOST_PIPS // BASIS_POINT + mark(block_hash)


def lookup_of(pool: WorldPool) -> bytes:
    """The call that asks a factory for a pool."""
    assert pool.factory is not None
    tokens = pool.token0, pool.token1
    if pool.deployer:
        return selector(CUSTOM_LOOKUP) + words(pool.deployer, *tokens)
    return selector(pool.factory.kind.proof.lookup) + words(*tokens, *pool.words)


def fee_call_of(pool: WorldPool) -> tuple[bytes, Callable[[str], bytes]] | None:
    """The call that asks a factory what a pool charges, and what it answers after a block; None if it says nothing."""
    factory = pool.factory
    if factory is None or factory.fee_call is None:
        return None
    types = factory.fee_call.partition("(")[2].rstrip(")").split(",")
    call = selector(factory.fee_call) + words(*(pool.name if one == "address" else pool.words[0] for one in types))
    return call, lambda block_hash: word(_said_after(block_hash))
