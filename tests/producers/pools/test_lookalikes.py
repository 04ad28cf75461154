"""Lookalikes: logs with the topic of a DEX event from contracts that are no pool."""

from __future__ import annotations

from itertools import groupby

import msgspec
import pytest

from producers.node.rpc_types import Log
from producers.pools.lookalikes import is_lookalike
from tests.producers.decode.abi_oracle import BUNDLED, EVENTS, LOG_FILES, ROOT, as_log, rows
from tools.recording.proven_pools import bundled_pools

TOPIC = {(family, name): topic0 for topic0, (family, name, *_) in EVENTS.items()}
MINT, SYNC, V3_MINT = TOPIC["uniswap_v2", "mint"], TOPIC["uniswap_v2", "sync"], TOPIC["uniswap_v3", "mint"]
PAIR_SYNC = TOPIC["solidly", "sync"]
ZERO = "0x" + "00" * 32


def log_of(topic0: str, indexed: int, words: int, transaction: str | None = "0x01") -> Log:
    return Log("0x" + "11" * 20, (topic0, *[ZERO] * indexed), "0x" + "00" * 32 * words, transaction_hash=transaction)


def by_emitter(name: str) -> list[tuple[str, list[Log]]]:
    """The logs of a bundled file, each emitter's of one transaction together."""
    logs = sorted(map(as_log, rows(BUNDLED / name)), key=lambda log: (log.transaction_hash or "", log.address))
    grouped = groupby(logs, key=lambda log: (log.transaction_hash, log.address))
    return [(address, list(theirs)) for (_, address), theirs in grouped]


def test_is_lookalike_every_row_of_the_collection_is_one() -> None:
    collected = [as_log(row["log"]) for row in rows(ROOT / "tests/data/lookalikes.jsonl.gz")]
    assert len(collected) == 68
    assert all(is_lookalike([log]) for log in collected)


@pytest.mark.parametrize(("name", "false"), list(zip(LOG_FILES, (93, 2, 10, 1, 0), strict=True)))
def test_is_lookalike_whole_blocks_convict_no_proven_pool(name: str, false: int) -> None:
    proven = {"0x" + pool.pool.hex() for pool in bundled_pools()}
    convicted = [(address, log) for address, logs in by_emitter(name) if is_lookalike(logs) for log in logs]
    assert {address for address, _ in convicted}.isdisjoint(proven)
    assert sum(bool(log.topics) and log.topics[0] in EVENTS for _, log in convicted) == false


def test_is_lookalike_sync_in_the_same_transaction_acquits() -> None:
    assert is_lookalike([log_of(MINT, 1, 2)])
    assert not is_lookalike([log_of(SYNC, 0, 2), log_of(MINT, 1, 2)])
    assert is_lookalike([log_of(SYNC, 0, 2, "0x02"), log_of(MINT, 1, 2)])


@pytest.mark.parametrize("moved", [TOPIC["uniswap_v2", "swap"], TOPIC["velodrome", "swap"], TOPIC["velodrome", "burn"]])
def test_is_lookalike_solidly_sync_acquits_events_of_both_kinds(moved: str) -> None:
    words = 2 if moved == TOPIC["velodrome", "burn"] else 4
    assert is_lookalike([log_of(moved, 2, words)])
    assert not is_lookalike([log_of(PAIR_SYNC, 0, 2), log_of(moved, 2, words)])
    assert is_lookalike([log_of(PAIR_SYNC, 0, 2, "0x02"), log_of(moved, 2, words)])


@pytest.mark.parametrize(("indexed", "words"), [(0, 3), (1, 1), (2, 2)])
def test_is_lookalike_other_shape_convicts_even_with_a_sync(indexed: int, words: int) -> None:
    assert is_lookalike([log_of(SYNC, 0, 2), log_of(MINT, indexed, words)])


@pytest.mark.parametrize(
    "log",
    [
        log_of(MINT, 1, 2, None),
        log_of(V3_MINT, 3, 4),
        log_of(SYNC, 0, 2),
        log_of("0x" + "77" * 32, 0, 0),
        Log("0x" + "11" * 20),
        msgspec.structs.replace(log_of(MINT, 1, 2), data="0x" + "zz" * 64),
    ],
)
def test_is_lookalike_what_proves_nothing_acquits(log: Log) -> None:
    assert not is_lookalike([log])


def test_is_lookalike_no_logs_prove_nothing() -> None:
    assert not is_lookalike([])
