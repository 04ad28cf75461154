"""What the recording node knows of tokens and pools: made anew it is the same, and the bundled logs prove it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from producers.chains.configuration import load_chain
from producers.kinds.registry import all_kinds
from tlv.codes import Protocol
from tlv.layout import PoolSwap, PoolSync
from tools.recording.bundle import RECORDED, bundled_recording
from tools.recording.contracts import MOVED, PROVEN
from tools.rig.bundled_metadata import (
    FACTORIES,
    POOLS,
    TOKENS,
    factories,
    make_pools,
    make_tokens,
    pool_address,
    read,
    renew_checksums,
    write,
)
from tools.rig.token_lists import read_lists

Row = dict[str, Any]
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TOKEN_EXCHANGE = "0x8b3e96f2b889fa771c53c981b40daf005f63f637f1869f707052d15a3dd97140"
TOKEN_EXCHANGE_UNDERLYING = "0xd013ca23e77a65003c2c659c5442c00c805371b7fc1ebd4c206c41d1536bd90b"


@cache
def logs(chain: str) -> list[Row]:
    return [row for path in sorted(bundled_recording(chain).glob("*_logs.jsonl.gz")) for row in read(path)]


def topic(record: type) -> str:
    (kind,) = (kind for kind in all_kinds() if kind.code == Protocol.UNISWAP_V2)
    (event,) = (event for event in kind.events if event.record is record)
    return event.topic0


def words(log: Row) -> list[int]:
    data = bytes.fromhex(log["data"][2:])
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def newly_proven() -> list[tuple[Row, Row]]:
    """Pools and the factory beside the chain files that made each."""
    made = {(factory["chain_id"], factory["address"]): factory for factory in factories()}
    pools = [row for chain in RECORDED for row in read(bundled_recording(chain) / POOLS) if row["method"] == PROVEN]
    found = [(row, made.get((row["chainId"], row["factory_or_deployer"]))) for row in pools]
    return [(row, factory) for row, factory in found if factory is not None]


def test_metadata_made_anew_from_the_lists_is_what_is_bundled() -> None:
    said = read_lists()
    for chain in RECORDED:
        tokens = make_tokens(chain, said)
        assert tokens == read(bundled_recording(chain) / TOKENS)
        assert make_pools(chain, tokens) == read(bundled_recording(chain) / POOLS)


def test_every_factory_computes_to_the_pools_that_name_it() -> None:
    proven = newly_proven()
    assert len(proven) == 16 + 19
    for row, factory in proven:
        assert row["dex"] == factory["dex"]
        assert pool_address(row, factory, row["fee_pips"]) == row["pool"]
        swapped = row | {"token0": row["token1"], "token1": row["token0"]}
        assert pool_address(swapped, factory, row["fee_pips"]) != row["pool"]
    assert {factory["address"] for _, factory in proven} == {factory["address"] for factory in factories()}


def test_factory_that_a_chain_file_names_too_is_the_same_there() -> None:
    for chain in map(load_chain, RECORDED):
        configured = {factory.address: factory for factory in chain.factories}
        for factory in factories():
            same = configured.get(factory["address"]) if factory["chain_id"] == chain.chain_id else None
            if same is not None:
                assert (same.protocol, same.fee_pips) == (factory["protocol"], factory.get("fee_pips", 0))
                assert same.init_code_hash == factory["init_code_hash"]


@pytest.mark.parametrize("chain", RECORDED)
def test_measured_fee_is_the_largest_that_every_bundled_swap_paid(chain: str) -> None:
    chain_id = load_chain(chain).chain_id
    fees = {row["pool"]: factory["measured"] for row, factory in newly_proven() if "measured" in factory}
    tight: dict[int, set[bool]] = {}
    after: dict[str, list[int]] = {}
    for log in logs(chain):
        pool = log["address"]
        if pool in fees and log["topics"][0] == topic(PoolSync):
            after[pool] = words(log)
        if pool in fees and log["topics"][0] == topic(PoolSwap):
            fee, (in0, in1, out0, out1), (reserve0, reserve1) = fees[pool], words(log), after[pool]
            product = (reserve0 - in0 + out0) * (reserve1 - in1 + out1) * 10**12

            def holds(pips: int) -> bool:
                return (reserve0 * 10**6 - in0 * pips) * (reserve1 * 10**6 - in1 * pips) >= product  # noqa: B023

            assert holds(fee), log
            tight.setdefault(fee, set()).add(not holds(fee + 1))
    wanted = {
        factory["measured"] for factory in factories() if factory["chain_id"] == chain_id and "measured" in factory
    }
    assert tight.keys() == wanted
    assert all(True in found for found in tight.values())


def exchanges() -> Iterator[tuple[Row, str, list[int], list[Row]]]:
    """Swaps of pools of several coins: the pool's row, the event's topic and words, the transaction's transfers."""
    pools = {row["pool"]: row for row in read(bundled_recording() / POOLS) if row["method"] == MOVED}
    transfers: dict[tuple[str, str], list[Row]] = {}
    for log in logs("polygon"):
        if log["topics"][:1] == [TRANSFER]:
            transfers.setdefault((log["blockHash"], log["transactionHash"]), []).append(log)
    for log in logs("polygon"):
        if log["address"] in pools and log["topics"][0] in (TOKEN_EXCHANGE, TOKEN_EXCHANGE_UNDERLYING):
            of_transaction = transfers[log["blockHash"], log["transactionHash"]]
            yield pools[log["address"]], log["topics"][0], words(log), of_transaction


def test_coins_of_a_pool_are_those_that_its_events_moved() -> None:
    found = list(exchanges())
    assert len(found) == 3
    for pool, kind, (sold, sold_amount, bought, bought_amount), transfers in found:
        coins = pool["coins"] if kind == TOKEN_EXCHANGE else pool["underlying_coins"]
        moved = {(log["address"], words(log)[0]) for log in transfers}
        assert {token for token, amount in moved if amount == sold_amount} & set(coins) == {coins[sold]}
        assert {token for token, amount in moved if amount == bought_amount} & set(coins) == {coins[bought]}


def test_files_written_again_are_the_same_bytes(tmp_path: Any) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, [{"a": 1}, {"b": "é"}])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read(tmp_path / "one") == [{"a": 1}, {"b": "é"}]
    before = {path: path.read_bytes() for path in bundled_recording().parent.glob("*.md")}
    renew_checksums()
    assert before == {path: path.read_bytes() for path in before}
    assert (bundled_recording().parent / FACTORIES).is_file()
