"""Verified pools on disk: what is given back, what is passed over, what is refused and named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from producers.chains.configuration import Factory, load_chain
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.kinds.proving import Standing
from producers.pools.cache import PoolCache
from producers.pools.inquiry import Finding, Token
from tlv.codes import Protocol

CHAIN = load_chain("polygon")
HUB = bytes.fromhex("11" * 20)


def factory_of(protocol: Protocol) -> Factory:
    return next(factory for factory in CHAIN.factories if factory.protocol_code is protocol)


def finding(number: int, *, settled: bool = True, protocol: Protocol = Protocol.UNISWAP_V2) -> Finding:
    """A pool whose address is proven, of made-up tokens."""
    factory = factory_of(protocol)
    token1 = (b"\x22" + number.to_bytes(4, "big")).ljust(20, b"\0")
    fee = factory.fee_pips or (500 if protocol is Protocol.UNISWAP_V3 else 0)
    words = (500,) if protocol is Protocol.UNISWAP_V3 else ()
    pool = VerifiedEmitter(
        pool=factory.pool_address(HUB, token1, *words),
        token0=HUB,
        token1=token1,
        venue=factory.venue_code,
        decimals0=18,
        decimals1=6,
        factory=bytes.fromhex(factory.address[2:]),
        fee_pips=fee,
        tick_spacing=10 if words else 0,
        protocol=protocol,
    )
    return Finding(Standing.VERIFIED, pool, Token(18, "ONE"), Token(6, "TWO", settled))


def address_of(found: Finding) -> str:
    assert found.pool is not None
    return "0x" + found.pool.pool.hex()


def loaded(path: Path, chain: str = "polygon", genesis: bytes = CHAIN.genesis) -> PoolTable:
    table = PoolTable()
    PoolCache(path, load_chain(chain)).load().add_to(table, {}, genesis)
    return table


def test_pool_cache_gives_back_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pools.jsonl"
    cache = PoolCache(path, CHAIN)
    table, tokens = PoolTable(), dict[bytes, Token]()
    assert len(cache.load()) == 0
    cache.append([finding(1), finding(2, settled=False)], CHAIN.genesis)
    cache.append([], CHAIN.genesis)
    cache.append([finding(3, protocol=Protocol.UNISWAP_V3), finding(4, protocol=Protocol.ALGEBRA)], CHAIN.genesis)
    found = cache.load()
    assert not found.refused
    assert found.add_to(table, tokens, CHAIN.genesis) == 3
    kept = [finding(1), finding(3, protocol=Protocol.UNISWAP_V3), finding(4, protocol=Protocol.ALGEBRA)]
    assert list(table.row_of) == [address_of(pool) for pool in kept]
    assert [VerifiedEmitter.unpack(row.tobytes()) for row in table.rows] == [pool.pool for pool in kept]
    assert tokens[HUB] == Token(18, "ONE")
    assert path.stat().st_mode & 0o777 == 0o600


def test_pool_cache_cut_anywhere_loses_at_most_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    cache = PoolCache(path, CHAIN)
    cache.append([finding(1), finding(2)], CHAIN.genesis)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        cache.append([finding(3)], CHAIN.genesis)
        table = loaded(path)
        kept = whole[:cut].count(b"}")  # a line without its newline is whole
        assert len(table) == kept + 1
        assert address_of(finding(3)) in table.row_of


def test_pool_cache_of_another_chain_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    PoolCache(path, CHAIN).append([finding(1)], CHAIN.genesis)
    assert not len(loaded(path, "ethereum"))
    assert not PoolCache(path, load_chain("ethereum")).load().refused


def test_pool_cache_of_a_chain_that_was_replaced_is_not_used(tmp_path: Path) -> None:
    """The same id and another early block: a token at the same address may have other decimals."""
    path = tmp_path / "pools.jsonl"
    cache = PoolCache(path, CHAIN)
    cache.append([finding(1)], b"a" * 32)
    cache.append([finding(2)], b"b" * 32)
    cache.append([finding(3)])
    for genesis, number in ((b"a" * 32, 1), (b"b" * 32, 2), (bytes(32), 3)):
        assert list(loaded(path, genesis=genesis).row_of) == [address_of(finding(number))]
    assert not len(loaded(path))


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"pool": "0x" + "12" * 20}, "address", "expected 0x[0-9a-f]{40} as the QUICKSWAP_V2 pool"),
        ({"token0": "0x" + "ff" * 20}, "tokens", "token0 below token1"),
        ({"token1": "0x" + "33" * 20}, "address", "expected 0x"),
        ({"decimals0": 256}, "unreadable", "decimals0"),
        ({"decimals1": -1}, "unreadable", "decimals1"),
        ({"decimals1": "18"}, "unreadable", "decimals1"),
        ({"fee_pips": 1_000_000}, "unreadable", "fee_pips"),
        ({"tick_spacing": 1 << 15}, "unreadable", "tick_spacing"),
        ({"symbol0": "A" * 21}, "symbol", "symbol0"),
        ({"symbol1": "\x1b[2J"}, "symbol", "symbol1"),
        ({"symbol1": None}, "unreadable", "symbol1"),
        ({"genesis": "0x"}, "unreadable", "genesis"),
    ],
)
def test_pool_cache_row_that_cannot_be_right_is_named_and_skipped(
    tmp_path: Path, changes: dict[str, object], reason: str, detail: str
) -> None:
    path = tmp_path / "pools.jsonl"
    cache = PoolCache(path, CHAIN)
    cache.append([finding(1), finding(2)], CHAIN.genesis)
    first, second = path.read_bytes().splitlines()
    wrong = msgspec.json.encode({**msgspec.json.decode(first), **changes})
    path.write_bytes(b"\n".join([second, wrong, b"{", b"\xff", b"[" * 5000, first, b""]))
    found = cache.load()
    assert found.refused == {reason: 4 if reason == "unreadable" else 1} | (
        {} if reason == "unreadable" else {"unreadable": 3}
    )
    assert found.first_refused.startswith("line 2: ")
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(found.first_refused)
    table = PoolTable()
    assert found.add_to(table, {}, CHAIN.genesis) == 2
    assert list(table.row_of) == [address_of(finding(2)), address_of(finding(1))]


def test_pool_cache_row_of_a_kind_that_it_cannot_prove_is_asked_again(tmp_path: Path) -> None:
    """V3's salt holds the fee: another fee is another pool's address."""
    path = tmp_path / "pools.jsonl"
    cache = PoolCache(path, CHAIN)
    cache.append([finding(1, protocol=Protocol.UNISWAP_V3)], CHAIN.genesis)
    row = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**row, "fee_pips": 3000}))
    assert cache.load().refused == {"address": 1}
