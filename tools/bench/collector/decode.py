"""Logs to sealed messages: the batch decoder against eth-abi, and against parsing the JSON alone.

The logs are one day of a real Uniswap V3 pool, in batches as on a busy chain.  Each reading is the fastest pass within
its time: the machine's other work makes a pass slower, never faster.
"""

from __future__ import annotations

import gzip
from itertools import islice

import msgspec
from eth_abi.abi import decode as abi_decode

from producers.decode.batch import BatchDecoder, flatten
from producers.decode.pool_table import PoolTable
from producers.node.hex import read_bytes
from producers.node.rpc_types import Log
from tlv.codes import Source
from tools.bench.collector.swaps import run as swaps_of_each_kind
from tools.bench.result import BenchResult
from tools.bench.timing import per_second
from tools.recording import bundled_recording
from tools.recording.proven_pools import bundled_pools

LOGS = 500
"""A pass takes milliseconds, so that on a busy machine some passes are not interrupted."""
ABI_LOGS = 200
TARGET = 1e6 / 3
"""3 us a log: a fifth of what the 60,000 notifications a second of a whole collector leave for each."""
DAY = "univ3_usdc_weth_500_2024-01-05_logs.jsonl.gz"
SWAP_TOPICS, SWAP_WORDS = ("address", "address"), ("int256", "int256", "uint160", "uint128", "int24")


def run(seconds: float) -> list[BenchResult]:
    """Every reading; each takes about `seconds`."""
    with gzip.open(bundled_recording("ethereum") / DAY) as file:
        lines = list(islice(file, LOGS))
    parser = msgspec.json.Decoder(Log)
    logs = [parser.decode(line) for line in lines]
    swaps = [log for log in logs if log.data is not None and len(log.data) == 2 + 64 * len(SWAP_WORDS)][:ABI_LOGS]
    decoder = BatchDecoder(PoolTable(bundled_pools()), Source.ETHEREUM_COLLECTOR)

    def batches(size: int) -> None:
        for start in range(0, LOGS, size):
            batch = logs[start : start + size]
            context = decoder.context(len(batch))
            context["row"] = decoder.rows(batch)
            decoder.decode(batch, context, first_sequence=1, timestamp_ns=0)

    def parse_json() -> None:
        for line in lines:
            parser.decode(line)

    eth_abi = per_second(lambda: decode_with_eth_abi(swaps), len(swaps), seconds)
    json = per_second(parse_json, LOGS, seconds)
    in_hundreds = per_second(lambda: batches(100), LOGS, seconds)
    alone = per_second(lambda: batches(1), LOGS, seconds)
    flat = per_second(lambda: flatten(logs), LOGS, seconds)
    return [
        reading(
            "decode, batches of 100", in_hundreds, "eth_abi.decode", eth_abi, TARGET, "to sealed messages with CRC"
        ),
        reading("decode beside parsing", in_hundreds, "msgspec JSON parse", json, None, "what comes before it"),
        reading("decode, one log at a time", alone, "eth_abi.decode", eth_abi, None, "a quiet chain"),
        reading("flatten only", flat, "decode, batches of 100", in_hundreds, None, "the part that is Python"),
        swaps_of_each_kind(seconds),
    ]


def reading(
    name: str, value: float, baseline: str, baseline_value: float, target: float | None, note: str
) -> BenchResult:
    """One rate beside another."""
    return BenchResult(name, value, "logs/s", baseline, baseline_value, value / baseline_value, target, note)


def decode_with_eth_abi(logs: list[Log]) -> None:
    """What a program without this decoder does for a V3 swap: hex to bytes, then topics and data by eth-abi."""
    for log in logs:
        for kind, topic in zip(SWAP_TOPICS, log.topics[1:], strict=True):
            abi_decode([kind], read_bytes(topic))
        abi_decode(SWAP_WORDS, read_bytes(log.data))
