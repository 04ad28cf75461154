"""The proven pools that come with recorded logs: a file of emitters, each with how its identity was proven.

Owns the reading of that file.  Only emitters whose address was recomputed from factory, init-code hash and tokens
(`method` is CREATE2_verified) are taken; the other lines are unproven.  A factory that is proven by its pools is an
emitter as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from producers.chains.configuration import BUNDLED, Factory, load_chain
from producers.decode.pool_table import VerifiedEmitter, unverified
from producers.kinds.events import Role
from tlv.codes import UNKNOWN_DECIMALS, Protocol
from tlv.filter import address
from tools.recording.bundle import RECORDED, bundled_recording
from tools.recording.files import read_rows
from tools.recording.rows import Address

PROOF = "CREATE2_verified"


class ProvenPool(msgspec.Struct, frozen=True, rename={"chain_id": "chainId"}):
    """One line of the file."""

    chain_id: int
    pool: Address
    method: str | None = None
    dex: str | None = None
    factory_or_deployer: Address | None = None
    token0: Address | None = None
    token1: Address | None = None
    fee_pips: int | None = None
    decimals0: int | None = None
    decimals1: int | None = None


def bundled_pools() -> list[VerifiedEmitter]:
    """The proven pools of the bundled recordings, of every chain, and their factories."""
    return read_proven_pools(*(bundled_recording(chain) / "pools.jsonl.gz" for chain in RECORDED))


def read_proven_pools(*paths: Path) -> list[VerifiedEmitter]:
    """The proven pools in these files and their factories, each address once.

    Raises:
        RecordingError: a file cannot be read, or a line is no such row; names file and line.
    """
    factories = _configured_factories()
    pools: dict[bytes, VerifiedEmitter] = {}
    for path in paths:
        for _, _, row in read_rows(path, ProvenPool):
            for pool in _emitters(row, factories):
                known = pools.setdefault(pool.pool, pool)
                if known.venue != pool.venue:  # one address on two chains, as Uniswap V3's factory: a log does not say
                    pools[pool.pool] = replace(known, venue=0)
    return list(pools.values())


def _configured_factories() -> dict[tuple[int, str], Factory]:
    """The factories of the bundled chains by chain id and by the address that a pool's CREATE2 names."""
    chains = [load_chain(name) for name in BUNDLED]
    return {(chain.chain_id, made.deployer or made.address): made for chain in chains for made in chain.factories}


def _emitters(row: ProvenPool, factories: dict[tuple[int, str], Factory]) -> Iterator[VerifiedEmitter]:
    if row.method != PROOF or row.token0 is None or row.token1 is None or row.factory_or_deployer is None:
        return
    known = factories.get((row.chain_id, row.factory_or_deployer))
    factory = address(known.address if known else row.factory_or_deployer)
    protocol = known.protocol_code if known else _protocol_of(row.dex or "")
    venue = known.venue_code if known else 0
    yield unverified(factory, protocol, Role.FACTORY, venue)
    yield VerifiedEmitter(
        address(row.pool),
        address(row.token0),
        address(row.token1),
        venue,
        UNKNOWN_DECIMALS if row.decimals0 is None else row.decimals0,
        UNKNOWN_DECIMALS if row.decimals1 is None else row.decimals1,
        factory=factory,
        fee_pips=(known.fee_pips if known else 0) or row.fee_pips or 0,
        protocol=protocol,
    )


def _protocol_of(dex: str) -> Protocol:
    """The family of a factory on a chain that is not configured, by the name that the file gives it."""
    if "Algebra" in dex:
        return Protocol.ALGEBRA
    return Protocol.UNISWAP_V3 if dex.endswith("V3") else Protocol.UNISWAP_V2
