"""The proven pools that come with recorded logs, and what they say about the emitters of those logs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.events import Role
from tlv.codes import UNKNOWN_DECIMALS, Protocol, Venue
from tools.recording.errors import RecordingError
from tools.recording.proven_pools import bundled_pools, read_proven_pools


def pool_at(address: str) -> VerifiedEmitter:
    return next(pool for pool in bundled_pools() if pool.pool.hex() == address)


def test_bundled_pools_are_the_proven_ones_by_venue() -> None:
    pools = [pool for pool in bundled_pools() if pool.role == Role.POOL]
    venues = Counter(pool.venue for pool in pools if pool.venue in set(Venue))
    assert len(pools) == 132 + 971
    assert venues == {
        Venue.UNISWAP_V2: 624,
        Venue.UNISWAP_V3: 284,
        Venue.SUSHISWAP: 44,
        Venue.QUICKSWAP_V2: 65,
        Venue.UNISWAP_V3_POLYGON: 16,
        Venue.DFYN_POLYGON: 16,
        Venue.QUICKSWAP_V3: 9,
        Venue.SUSHISWAP_POLYGON: 5,
        Venue.APESWAP_POLYGON: 3,
        Venue.UNISWAP_V2_POLYGON: 2,
    }


def test_bundled_pools_each_address_stands_once() -> None:
    addresses = [pool.pool for pool in bundled_pools()]
    assert len(addresses) == len(set(addresses))


def test_bundled_pools_identity_is_complete() -> None:
    pool = pool_at("88e6a0c2ddd26feeb64f039a2c41296fcb3f5640")
    assert (pool.token0.hex(), pool.token1.hex()) == (
        "a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        "c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
    )
    assert (pool.venue, pool.protocol, pool.decimals0, pool.decimals1, pool.fee_pips) == (301, 3, 6, 18, 500)
    assert pool.factory.hex() == "1f98431c8ad98523631ae4a59f267346ea31f984"


def test_bundled_pools_algebra_pool_names_its_factory_and_not_its_deployer() -> None:
    pool = next(pool for pool in bundled_pools() if pool.protocol == Protocol.ALGEBRA and pool.role == Role.POOL)
    assert pool.factory.hex() == "411b0facc3489691f28ad58c47006af5e3ab3a28"


def test_bundled_pools_unknown_decimals_are_said_to_be_unknown() -> None:
    assert pool_at("a7c7d39c5102b65557c7c494d033385215652e11").decimals1 == UNKNOWN_DECIMALS


def test_bundled_pools_one_factory_address_on_two_chains_has_no_venue() -> None:
    factory = pool_at("1f98431c8ad98523631ae4a59f267346ea31f984")
    assert (factory.role, factory.venue, factory.protocol) == (Role.FACTORY, 0, Protocol.UNISWAP_V3)


def test_read_proven_pools_what_is_only_inferred_does_not_count(tmp_path: Path) -> None:
    row = (
        '{{"chainId":137,"pool":"0x{0}","method":"{1}",'
        '"factory_or_deployer":"0x{2}","token0":"0x{2}","token1":"0x{0}"}}\n'
    )
    path = tmp_path / "pools.jsonl"
    path.write_text(
        row.format("11" * 20, "inferred_from_transfers", "22" * 20)
        + row.format("33" * 20, "CREATE2_verified", "44" * 20)
    )
    assert {pool.pool.hex()[:2] for pool in read_proven_pools(path)} == {"33", "44"}


@pytest.mark.parametrize("text", ["{", "[]", '{"chainId":137}', '{"chainId":137,"pool":"0x12"}'])
def test_read_proven_pools_a_line_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pools.jsonl"
    path.write_text(f"{text}\n")
    with pytest.raises(RecordingError, match=r"pools\.jsonl line 1"):
        read_proven_pools(path)
