"""A whole block of Base: its logs are the block's, and each is decoded as eth-abi does.

Base is no code: its chain file alone makes it known.  The block is of 2023, before Aerodrome and Uniswap V4.
"""

from __future__ import annotations

from collections import Counter
from functools import reduce

from producers.blocks.bloom import bloom_bits, read_bloom
from producers.chains.configuration import load_chain
from producers.decode.cold import RefusedLog, decode_log, identify
from producers.kinds.events import EVENT_OF_TOPIC
from tests.producers.decode.abi_oracle import ROOT, as_log, expected, rows, value_of
from tlv.layout import PoolSwap

FOLDER = ROOT / "tests" / "data" / "base"
HEADER = rows(FOLDER / "full_block_2000000_header.jsonl.gz")[0]
LOGS = rows(FOLDER / "full_block_2000000_logs.jsonl.gz")


def test_logs_are_the_whole_block() -> None:
    named = [bytes.fromhex(text[2:]) for log in LOGS for text in (log["address"], *log["topics"])]
    assert reduce(lambda bloom, name: bloom | bloom_bits(name), named, 0) == read_bloom(HEADER["logsBloom"])
    assert [int(log["logIndex"], 16) for log in LOGS] == list(range(49))
    assert {log["blockHash"] for log in LOGS} == {HEADER["hash"]}
    assert load_chain("base").bloom_proves(int(HEADER["number"], 16))


def test_every_log_agrees_with_eth_abi() -> None:
    found: Counter[str] = Counter()
    for raw in LOGS:
        oracle = expected(raw)
        try:
            record = decode_log(as_log(raw))
        except RefusedLog as refused:
            assert oracle is None, refused
            continue
        assert oracle is not None, record
        assert {field: value_of(record, field) for field in oracle[2]} == oracle[2]
        found[identify(as_log(raw)).name] += 1
        assert not isinstance(record, PoolSwap) or record.amount0_in + record.amount1_in > 0
    assert found["swap"] == 6
    assert found["sync"] >= 2, "two of Uniswap V2's, and four of Solidly's where that kind is known"
    known = [log for log in LOGS if log["topics"] and log["topics"][0] in EVENT_OF_TOPIC]
    assert found.total() == len(known)
